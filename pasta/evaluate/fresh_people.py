"""Fresh people use one policy.

Letters: N people, T turns, K user types.
"""

import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta.agent import saved as saved_values
from pasta.agent.policy import Policy
from pasta.agent.value_model import ValueModel
from pasta.evaluate import compare
from pasta.evaluate import judges as judges_lib
from pasta.interaction import loop
from pasta.population import true_types
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.storage import shards
from pasta.user_model import belief as belief_lib
from pasta.user_model import model as user_model_lib
from pasta.user_model import saved
from pasta.world import world as world_lib


def play_policy(
  policy: Policy,
  judges: judges_lib.Judges,
  config: ml_collections.ConfigDict,
  workdir: str,
  directory: str,
  world: world_lib.World,
  model: user_model_lib.UserModel | None,
  known: loop.Known | None = None,
) -> tuple[compare.Outcome, np.ndarray | None]:
  """Fresh people use one policy, at a sitting each.

  Args:
    policy: chooses the slates.
    judges: the people.
    config: of configs/evaluate.py.
    workdir: where the agent was trained; read for belief 'oracle' only.
    directory: gets the sessions; finished shards are kept.
    world: images, encoder, candidates.
    model: the user model, where the policy needs one.
    known: of the people, from earlier sessions; None: nothing.

  Returns:
    The outcome, and log beliefs [N, T + 1, K] where the policy has any.
  """
  needed = model if policy.uses_features else None
  told = None
  if policy.belief == 'oracle':
    features = features_lib.load_dir(os.path.join(workdir, 'features'))
    true, _ = true_types.hidden_types(workdir, model, features)
    told = true[judges.true_types]

  def run(batch, index):
    result = loop.run(
      world,
      judges.draw(index),
      policy,
      world_lib.Sizes(**config.sizes.to_dict()),
      jax.random.fold_in(jax.random.key(config.seed), batch),
      session_prefix=policy.policy_id,
      user_model=needed,
      known=None if known is None else _select(known, index),
      true_log_belief=None if told is None else told[index],
    )
    arrays = {'utilities': result.utilities, 'predicted': result.predicted}
    if needed is not None:
      arrays['log_beliefs'] = result.log_beliefs
      arrays['log_joint'] = np.asarray(result.belief.log_joint)
    return shards.Shard(result.sessions, arrays=arrays)

  os.makedirs(directory, exist_ok=True)
  shards.run_batches(
    run,
    judges.num_people,
    config.batch_size,
    directory,
    f'evaluate {os.path.basename(directory)}',
  )
  arrays = shards.read_arrays(directory)
  outcome = compare.outcome(
    list(sessions_lib.read_dir(directory)),
    arrays['utilities'],
    arrays['predicted'],
    renders_pool=policy.renders_pool,
  )
  return outcome, arrays.get('log_beliefs')


def _select(known: loop.Known, index: np.ndarray) -> loop.Known:
  """What is known of some of the people, by position."""
  belief = jax.tree.map(lambda x: x[index], known.belief)
  return loop.Known(belief, tuple(known.session_ids[i] for i in index))


def known_after(directory: str, model: user_model_lib.UserModel) -> loop.Known:
  """What is known of people after the sessions that `play_policy` has left."""
  log_joint = jnp.asarray(shards.read_arrays(directory)['log_joint'])
  fresh = belief_lib.initial(model, len(log_joint))
  return loop.Known(
    belief_lib.carried(model, fresh.replace(log_joint=log_joint)),
    tuple(s.session_id for s in sessions_lib.read_dir(directory)),
  )


def load_agent(
  workdir: str,
  world: world_lib.World,
  allow_unseen_generator: bool = False,
  user_model: str = 'user_model',
  value: str = 'value',
) -> tuple[user_model_lib.UserModel, ValueModel]:
  """A trained user model and value function.

  Args:
    workdir: the working directory.
    world: what they are to be used with.
    allow_unseen_generator: go on where the value function never saw candidates
      of the world's generator.
    user_model: directory of the user model, relative to workdir.
    value: of the value function.
  """
  encoder_id = world.encoder.encoder_id
  return (
    saved.load(os.path.join(workdir, user_model), encoder_id),
    saved_values.load(
      os.path.join(workdir, value),
      encoder_id,
      None if allow_unseen_generator else world.generator.generator_id,
    ),
  )
