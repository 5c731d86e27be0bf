"""A person takes part: one session in the terminal, with the trained agent."""

import os
import time

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta import errors, files, runs, seeds
from pasta import workdir as workdir_lib
from pasta.agent import expected_selection, policies
from pasta.evaluate import fresh_people
from pasta.interaction import loop, terminal
from pasta.report import taste
from pasta.storage import beliefs
from pasta.storage import sessions as sessions_lib
from pasta.user_model import belief as belief_lib
from pasta.world import world as world_lib


def run(
  workdir: str, prompt: str, size: int, seed: int, person: str, value: str
) -> None:
  """Runs one session with the agent of a working directory.

  Args:
    workdir: a directory in which quickstart or evaluate has finished.
    prompt: the initial prompt.
    size: pixels of a picture.
    seed: of the session; negative: from the clock.
    person: who sits there: the session starts from what was learned of them
      before, and what it adds is kept; '': somebody new, nothing is kept.
    value: name of the run of train_value whose values choose; '': the one that
      was evaluated.

  Raises:
    PastaError: an empty prompt; no trained agent in workdir; no answer at all;
      a belief about the person that cannot be used.
  """
  evaluation = os.path.join(workdir, 'evaluation')
  if not os.path.isdir(workdir):
    raise errors.PastaError(f'flag --workdir: there is no directory {workdir}')
  workdir_lib.read_done(evaluation, 'evaluate')
  if not prompt or not prompt.strip():
    raise errors.PastaError(
      'flag --prompt is empty: say what you want to see, e.g. '
      '--prompt="a quiet harbour at dusk"'
    )
  if not 32 <= size <= 1024:
    raise errors.PastaError(f'flag --size is {size}, expected 32 to 1024')
  config = ml_collections.ConfigDict(
    files.read_json(os.path.join(evaluation, 'config.json'))
  )
  if value:
    config.policies.pasta.value = value
  # Sixteen pictures a turn need no pool, and nobody sees them again.
  config.world.t2i.num_workers, config.world.t2i.store = 0, ''
  world = world_lib.World(config.world)
  try:
    _play(workdir, prompt, size, seed, person, config, world)
  finally:
    world.close()


def _play(
  workdir: str,
  prompt: str,
  size: int,
  seed: int,
  name: str,
  config: ml_collections.ConfigDict,
  world: world_lib.World,
) -> None:
  value_source = runs.output('value', config.policies.pasta.get('value', ''))
  model, value = fresh_people.load_agent(workdir, world, value=value_source)
  sizes = world_lib.Sizes(**config.sizes)
  policy = policies.build(
    config.policies.pasta,
    num_columns=sizes.num_columns,
    value_model=value,
    response=expected_selection.learned(model),
  )
  root = seeds.derive(time.time_ns() if seed < 0 else seed, prompt)
  directory = os.path.join(workdir, 'play')
  pictures = os.path.join(directory, f'pictures-{int(root):016x}')
  os.makedirs(pictures, exist_ok=True)
  words = taste.type_words(model, world.text_features)
  people = os.path.join(directory, 'people')
  user_model = workdir_lib.upstream(workdir, 'user_model', 'train_user_model')
  belief = belief_lib.initial(model, 1)
  kept = known = None
  if name:
    kept = beliefs.load(people, name, user_model, belief.log_joint.shape[1:])
    if kept is None:
      print(f'I do not know {name} yet.')
    else:
      print(f'I know {name} from {len(kept.session_ids)} session(s) before.')
      belief = belief.replace(log_joint=jnp.asarray(kept.log_joint)[None])
      known = loop.Known(
        belief_lib.carried(model, belief), (kept.session_ids[-1],)
      )
  person = terminal.TerminalPerson(
    name or 'terminal',
    prompt,
    int(root),
    pictures,
    world,
    sizes.images_per_prompt,
    size,
    words,
    input,
    print,
  )
  result = loop.run(
    world,
    person,
    policy,
    sizes,
    jax.random.key(int(root >> np.uint64(33))),
    user_model=model,
    session_prefix='play',
    known=known,
  )
  if not result.sessions[0].turns:
    raise errors.PastaError(
      'the session ended before the first choice; nothing was saved'
    )
  shards = os.path.join(directory, 'sessions')
  os.makedirs(shards, exist_ok=True)
  path = sessions_lib.shard_path(shards, len(sessions_lib.shards(shards)))
  sessions_lib.write_shard(path, result.sessions)
  print('\nAfter the last turn I believe:')
  for line in terminal.belief_lines(result.log_beliefs[0, -1], words):
    print(f'  {line}')
  print(f'Session saved: {path}')
  if name:
    ids = kept.session_ids if kept else ()
    after = beliefs.Kept(
      np.asarray(result.belief.log_joint[0]),
      (*ids, result.sessions[0].session_id),
    )
    beliefs.save(people, name, user_model, after, kept)
    print(f'What I believe of {name} is kept: {beliefs.path(people, name)}')
