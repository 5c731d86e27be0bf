"""A person takes part: one session in the terminal, with the trained agent."""

import os
import time

import jax
import ml_collections
import numpy as np

from pasta import errors, files, seeds
from pasta import workdir as workdir_lib
from pasta.agent import expected_selection, policies
from pasta.evaluate import fresh_people
from pasta.interaction import loop, terminal
from pasta.report import taste
from pasta.storage import sessions as sessions_lib
from pasta.world import world as world_lib


def run(workdir: str, prompt: str, size: int, seed: int) -> None:
  """Runs one session with the agent of a working directory.

  Args:
    workdir: a directory in which quickstart or evaluate has finished.
    prompt: the initial prompt.
    size: pixels of a picture.
    seed: of the session; negative: from the clock.

  Raises:
    PastaError: an empty prompt; no trained agent in workdir; no answer at all.
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
  # Sixteen pictures a turn need no pool, and nobody sees them again.
  config.world.t2i.num_workers, config.world.t2i.store = 0, ''
  world = world_lib.World(config.world)
  try:
    _play(workdir, prompt, size, seed, config, world)
  finally:
    world.close()


def _play(
  workdir: str,
  prompt: str,
  size: int,
  seed: int,
  config: ml_collections.ConfigDict,
  world: world_lib.World,
) -> None:
  model, value = fresh_people.load_agent(workdir, world)
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
  person = terminal.TerminalPerson(
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
