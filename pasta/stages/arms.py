"""One run of one arm: which stages it needs, with which configs, and where.

An experiment is a set of arms on several seeds. Most arms share most of their
stages, so a stage's directory is named by its own fingerprint and that of all
before it: a stage is run once, whoever needs it, and a changed arm redoes only
what it changes. A run is a working directory of links to such stages.

  STORE/collect-1f3a…/      a stage's directory
  STORE/run-77b0…/sessions  -> ../collect-1f3a…
"""

import os
from collections.abc import Iterable, Sequence

import ml_collections
import numpy as np

from pasta import errors, workdir
from pasta.evaluate import compare, fresh_people, judges
from pasta.experiments import at_once
from pasta.population import ceilings
from pasta.population import population as population_lib
from pasta.stages import evaluate, registry
from pasta.stages import stage as stages
from pasta.storage import sessions as sessions_lib
from pasta.storage import typed
from pasta.user_model import saved
from pasta.world import world as world_lib

_PREVIOUS = 'previous_value'
_SHARED = ('world', 'sizes', 'population')
# Policies that need no training at all; all others need a user model.
_UNTRAINED = ('lmm', 'random', *ceilings.NAMES, *at_once.NAMES)


def configured(
  base: ml_collections.ConfigDict,
  overrides: Sequence[tuple[str, object]],
  seed: int,
) -> ml_collections.ConfigDict:
  """The quickstart's config for one arm and seed.

  Args:
    base: of configs/quickstart.py.
    overrides: (dotted field, value); fields of `world`, `sizes` and
      `population` count for all stages, those of a stage for it alone.
    seed: moves the seeds of the population, of its people and of all learners.

  Raises:
    PastaError: there is no such field.
  """
  config = ml_collections.ConfigDict(base.to_dict())
  config.population.seed += seed
  names = [name for name in registry.LOOP if name != 'report']
  for stage in names:
    if 'seed' in config[stage]:
      config[stage].seed += seed
  first = [o for o in overrides if o[0].split('.')[0] in _SHARED]
  for path, value in first:
    _set(config, path, value)
  for stage in names:
    for part in _SHARED:
      if part in config[stage]:
        config[stage][part] = ml_collections.ConfigDict(config[part].to_dict())
  for path, value in overrides:
    if (path, value) not in first:
      _set(config, path, value)
  return config


def _set(config: ml_collections.ConfigDict, path: str, value: object) -> None:
  *parents, last = path.split('.')
  part = config
  for name in parents:
    if name not in part:
      raise errors.PastaError(f"an arm sets '{path}': there is no '{name}'")
    part = part[name]
  if last not in part:
    raise errors.PastaError(f"an arm sets '{path}': there is no '{last}'")
  part[last] = value


def prepare(
  config: ml_collections.ConfigDict,
  store: str,
  needed: Iterable[str],
  worlds: stages.Worlds,
  previous: str = '',
) -> str:
  """Runs the stages that are needed and not done; returns their workdir.

  Args:
    config: as `configured` returns it.
    store: directory of all stages of all arms.
    needed: stages, in their order.
    worlds: makes the world.
    previous: working directory of an agent that makes the simulated data.
  """
  fingerprints = {}
  for stage in needed:
    before = list(fingerprints.values())
    if previous and stage == 'simulate':
      config.simulate.value_from = _PREVIOUS
      before.append(os.path.basename(previous))
    fingerprints[stage] = workdir.compute_fingerprint(
      config[stage], *before, ignore=stages.IGNORED
    )
  name = workdir.compute_fingerprint(fingerprints)
  run = os.path.join(store, f'run-{name}')
  os.makedirs(run, exist_ok=True)
  if previous:
    _link(
      os.path.join('..', os.path.basename(previous), 'value'), run, _PREVIOUS
    )
  for stage, fingerprint in fingerprints.items():
    directory, function = registry.LOOP[stage]
    target = f'{stage}-{fingerprint}'
    os.makedirs(os.path.join(store, target), exist_ok=True)
    _link(os.path.join('..', target), run, directory)
    function(config[stage], run, worlds)
  return run


def _link(target: str, directory: str, name: str) -> None:
  link = os.path.join(directory, name)
  if not os.path.islink(link):
    os.symlink(target, link)


def needed_stages(
  config: ml_collections.ConfigDict, policy: str
) -> tuple[str, ...]:
  """The stages behind a policy, in their order."""
  if policy in _UNTRAINED and config.evaluate.people == 'hidden':
    return ()
  stages_needed = ('collect', 'extract_features', 'train_user_model')
  if policy != 'pasta':
    return stages_needed
  if config.train_value.data != 'human':
    if config.simulate.surrogate:
      stages_needed += ('train_surrogate',)
    stages_needed += ('simulate',)
  return (*stages_needed, 'train_value')


def run_arm(
  config: ml_collections.ConfigDict,
  policy: ml_collections.ConfigDict,
  store: str,
  worlds: stages.Worlds,
  previous: str = '',
) -> tuple[compare.Outcome, str]:
  """What fresh people get out of one policy.

  Args:
    config: as `configured` returns it.
    policy: of configs/common.py:policy; `name` may be one of `at_once.NAMES`.
    store: directory of all stages of all arms.
    worlds: makes the world.
    previous: see `prepare`.

  Returns:
    The outcome, and the directory of the sessions, which `at_once` policies
    do not have.
  """
  needed = needed_stages(config, policy.name)
  run = prepare(config, store, needed, worlds, previous)
  upstream = [
    os.path.realpath(os.path.join(run, registry.LOOP[s].directory))
    for s in needed
  ]
  settings = ml_collections.ConfigDict(config.evaluate.to_dict())
  settings.policies = ml_collections.ConfigDict({policy.name: policy})
  prompts = typed.own_prompts(settings.prompts)
  fingerprint = workdir.compute_fingerprint(
    settings,
    *[os.path.basename(path) for path in upstream],
    *typed.fingerprints(prompts),
    ignore=stages.IGNORED,
  )
  directory = os.path.join(store, f'play-{fingerprint}')
  world = worlds(settings.world)
  if policy.name in at_once.NAMES:
    return at_once.play(policy.name, settings, world), directory
  model = value = None
  if 'train_value' in needed:
    model, value = fresh_people.load_agent(
      run, world, settings.allow_unseen_generator
    )
  elif needed:
    model = saved.load(
      os.path.join(run, 'user_model'), world.encoder.encoder_id
    )
  population = population_lib.build(settings.population)
  outcome, _ = fresh_people.play_policy(
    evaluate.build_policy(
      policy, settings, population, model, value, world.generator
    ),
    judges.of_config(
      settings, run, population, model, prompts, settings.num_people
    ),
    settings,
    run,
    directory,
    world,
    model,
  )
  return outcome, directory


def diversity(directory: str, world: world_lib.World) -> float:
  """How unlike the columns of a slate are.

  The mean of 1 − cosine between the features of two of its prompts; NaN where
  there are no sessions.
  """
  if not os.path.isdir(directory):
    return float('nan')
  slates = [
    turn.prompts
    for session in sessions_lib.read_dir(directory)
    for turn in session.turns
  ]
  size = len(slates[0])
  text = world.text_features([p for s in slates for p in s])
  text /= np.linalg.norm(text, axis=-1, keepdims=True)
  text = text.reshape(len(slates), size, -1)
  cosine = np.einsum('nld,nmd->nlm', text, text)
  off = ~np.eye(size, dtype=bool)
  return float(1.0 - cosine[:, off].mean()) if size > 1 else 0.0
