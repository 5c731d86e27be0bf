"""A person takes part: one session in the terminal, with a workdir's agent."""

import os
import time
from collections.abc import Collection
from typing import Any

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
from pasta.stages import stage
from pasta.storage import beliefs, candidate_sources
from pasta.storage import sessions as sessions_lib
from pasta.user_model import belief as belief_lib
from pasta.user_model import saved
from pasta.world import world as world_lib

# Whose world an agent was made in, and is used in: the first that is there.
_RECORDS = ('sessions', 'simulated', 'evaluation')


def run(
  config: ml_collections.ConfigDict,
  workdir: str,
  prompt: str,
  size: int = 0,
  seed: int = -1,
  person: str = '',
  fields_given: Collection[str] = (),
) -> None:
  """Runs one session with the agent of a working directory.

  Args:
    config: of configs/play.py.
    workdir: a directory in which train_user_model has finished; train_value
      too, if values are to choose.
    prompt: the initial prompt.
    size: pixels of a picture; 0: config.picture_size.
    seed: of the session; negative: from the clock.
    person: who sits there: the session starts from what was learned of them
      before, and what it adds is kept; '': somebody new, nothing is kept.
    fields_given: dotted fields of the config that the command line has set:
      they come before what the workdir's runs have recorded.

  Raises:
    PastaError: an empty prompt; no user model in workdir, or one of another
      encoder; no answer at all; a belief about the person that cannot be used.
  """
  if not os.path.isdir(workdir):
    raise errors.PastaError(f'flag --workdir: there is no directory {workdir}')
  where = {
    part: runs.source(workdir, part, config.name)
    for part in ('user_model', 'value')
  }
  user_model = workdir_lib.upstream(
    workdir, where['user_model'], 'train_user_model'
  )
  if not prompt or not prompt.strip():
    raise errors.PastaError(
      'flag --prompt is empty: say what you want to see, e.g. '
      '--prompt="a quiet harbour at dusk"'
    )
  field = 'flag --size' if size else "config field 'picture_size'"
  # A stray byte of the command line could be neither printed nor saved.
  prompt = prompt.encode(errors='replace').decode()
  size = size or config.picture_size
  if not 32 <= size <= 1024:
    raise errors.PastaError(f'{field} is {size}, expected 32 to 1024')
  if config.as_recorded:
    config = _as_recorded(config, workdir, fields_given)
  config = _with_policy(config, os.path.join(workdir, where['value']))
  if config.policy.name == 'pasta':
    workdir_lib.upstream(workdir, where['value'], 'train_value')
  world = world_lib.World(config.world)
  try:
    _play(workdir, where, user_model, prompt, size, seed, person, config, world)
  finally:
    world.close()


def _as_recorded(
  config: ml_collections.ConfigDict, workdir: str, given: Collection[str]
) -> ml_collections.ConfigDict:
  """The config with the world and the sizes of the workdir's own runs."""
  config = ml_collections.ConfigDict(config.to_dict())
  for part in ('world.t2i', 'world.candidates'):
    if f'{part}.name' in given:  # Its arguments are not the recorded class's.
      given = (*given, f'{part}.arguments')
  for name in _RECORDS:
    path = os.path.join(workdir, name, 'config.json')
    if os.path.exists(path):
      found = files.read_json(path)
      if isinstance(found, dict) and {'world', 'sizes'} <= set(found):
        print(f'World and sizes: as in {path}, where no flag says otherwise.')
        for part in ('world', 'sizes'):
          _take(config[part], found[part], f'{part}.', given, path)
        break
  return config


def _take(
  config: ml_collections.ConfigDict,
  found: Any,
  prefix: str,
  given: Collection[str],
  path: str,
) -> None:
  """Takes fields that were recorded and that nobody has set."""
  if not isinstance(found, dict):
    raise errors.PastaError(f'{path}: {prefix[:-1]!r} is no JSON object')
  for name in config:
    field = f'{prefix}{name}'
    if name not in found or field in stage.IGNORED or field in given:
      continue
    if isinstance(config[name], ml_collections.ConfigDict):
      _take(config[name], found[name], f'{field}.', given, path)
      continue
    value = found[name]
    try:
      config[name] = tuple(value) if isinstance(value, list) else value
    except TypeError as e:
      raise errors.PastaError(f'{path}: {field!r} cannot be used: {e}') from e


def _with_policy(
  config: ml_collections.ConfigDict, value: str
) -> ml_collections.ConfigDict:
  """The config with a policy: the best there is, with values or without."""
  if config.policy.name:
    return config
  config = ml_collections.ConfigDict(config.to_dict())
  has_value = os.path.isdir(value)
  config.policy.name = 'pasta' if has_value else 'greedy_slate'
  if not has_value:
    print(f'There is no {value}: policy greedy_slate, by the user model alone.')
  return config


def _play(
  workdir: str,
  where: dict[str, str],
  user_model: str,
  prompt: str,
  size: int,
  seed: int,
  name: str,
  config: ml_collections.ConfigDict,
  world: world_lib.World,
) -> None:
  if config.policy.name == 'pasta':
    model, value = fresh_people.load_agent(
      workdir,
      world,
      config.allow_unseen_generator,
      where['user_model'],
      where['value'],
    )
  else:
    encoder_id = world.encoder.encoder_id
    model = saved.load(os.path.join(workdir, where['user_model']), encoder_id)
    value = None
  sizes = world_lib.Sizes(**config.sizes)
  if value is not None and value.settings.num_turns != sizes.num_turns:
    raise errors.PastaError(
      f"config field 'sizes.num_turns' is {sizes.num_turns}, expected "
      f'{value.settings.num_turns}, as the values in '
      f'{os.path.join(workdir, where["value"])} were trained with'
    )
  policy = policies.build(
    config.policy,
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
  shards = os.path.join(directory, 'sessions')
  os.makedirs(shards, exist_ok=True)
  path = sessions_lib.shard_path(shards, len(sessions_lib.shards(shards)))
  result = loop.run(
    world,
    person,
    policy,
    sizes,
    jax.random.key(int(root >> np.uint64(33))),
    user_model=model,
    session_prefix='play',
    known=known,
    after_turn=lambda records: sessions_lib.write_shard(
      path, records, grows=len(records[0].turns) > 1
    ),
  )
  if not result.sessions[0].turns:
    if person.has_quit:
      print('You stopped before the first choice; nothing was saved.')
      return
    raise errors.PastaError(
      'the session ended before the first choice; nothing was saved'
    )
  print('\nAfter the last turn I believe:')
  for line in terminal.belief_lines(result.log_beliefs[0, -1], words):
    print(f'  {line}')
  stage.tell_sources({}, candidate_sources.count(result.sessions))
  print(f'Session saved: {path}')
  if name:
    ids = kept.session_ids if kept else ()
    after = beliefs.Kept(
      np.asarray(result.belief.log_joint[0]),
      (*ids, result.sessions[0].session_id),
    )
    beliefs.save(people, name, user_model, after, kept)
    print(f'What I believe of {name} is kept: {beliefs.path(people, name)}')
