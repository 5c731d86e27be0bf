"""What targets truly bring: people as those in the logs sit down with each.

It says how far estimates from logs alone are off.
"""

import os
from collections.abc import Mapping

import jax
import ml_collections
import numpy as np

from pasta import errors, files, metrics
from pasta.agent import policy as policy_lib
from pasta.interaction import hidden_people, loop, simulated_people
from pasta.population import population as population_lib
from pasta.storage import sessions as sessions_lib
from pasta.storage import shards, typed
from pasta.surrogate import world as surrogate_world
from pasta.user_model import model as user_model_lib
from pasta.world import world as world_lib


def run_targets(
  config: ml_collections.ConfigDict,
  logged: str,
  directory: str,
  targets: Mapping[str, policy_lib.Policy],
  model: user_model_lib.UserModel,
  records: Mapping[str, sessions_lib.Session],
) -> dict[str, metrics.Interval]:
  """True returns: fresh people as those in the logs sit down with each target.

  Args:
    config: configs/off_policy.py.
    logged: directory of the logged sessions, with the config that made them.
    directory: gets sessions/NAME/.
    targets: policies by name.
    model: for the targets, and for simulated people.
    records: the logged sessions by id, for what people type.

  Raises:
    PastaError: people in the logs of whom no others can be drawn.
  """
  sources = {s.source for s in records.values()}
  if not sources <= {'population', 'simulated'} or len(sources) > 1:
    raise errors.PastaError(
      f'{logged}: sessions of source {", ".join(sorted(sources))}: no further '
      'people can be drawn from there; set num_truth_sessions = 0'
    )
  made = ml_collections.ConfigDict(
    files.read_json(os.path.join(logged, 'config.json'))
  )
  num = config.num_truth_sessions
  if sources == {'population'}:
    image_seed_pool = 0
    population = population_lib.build(made.population)
    crowd = population_lib.draw_crowd(
      population,
      num,
      1,
      seed=config.seed,
      prompts=typed.own_prompts(made.get('prompts', '')),
    )

    def people(index):
      return hidden_people.HiddenPeople(population, crowd.select(index))
  else:
    image_seed_pool = made.image_seed_pool
    known = sorted({s.initial_prompt for s in records.values()})
    people = simulated_people.simulated_crowd(
      model, known, num, seed=config.seed
    )

  made.world.t2i.store = ''  # Where that run had one, there may be none now.
  rendered = world_lib.World(made.world)
  result = {}
  try:
    world = rendered
    # Absent where sessions were simulated before there were surrogates.
    if 'surrogate' in made and made.surrogate:
      world = surrogate_world.load(
        rendered, os.path.dirname(logged), made.surrogate
      )
    for name, policy in targets.items():
      where = os.path.join(directory, 'sessions', name)
      os.makedirs(where, exist_ok=True)

      def run(batch, index, policy=policy):
        return shards.Shard(
          loop.run(
            world,
            people(index),
            policy,
            world_lib.Sizes(**made.sizes.to_dict()),
            jax.random.fold_in(jax.random.key(config.seed), batch),
            user_model=model if policy.uses_features else None,
            image_seed_pool=image_seed_pool,
            session_prefix=policy.policy_id,
          ).sessions
        )

      shards.run_batches(run, num, config.batch_size, where, f'truth of {name}')
      returns = [
        _return(config, session) for session in sessions_lib.read_dir(where)
      ]
      result[name] = metrics.bootstrap_mean(np.array(returns), seed=config.seed)
  finally:
    rendered.close()
  return result


def _return(
  config: ml_collections.ConfigDict, session: sessions_lib.Session
) -> float:
  """A session's return, in the config's reward and discount."""
  reward = np.array([t.satisfaction for t in session.turns])
  if config.reward == 'sparse':
    reward[:-1] = 0.0
  return float((config.discount ** np.arange(len(reward)) * reward).sum())
