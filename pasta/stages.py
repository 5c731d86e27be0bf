"""The stages: each reads files, calls a library, leaves files.

Every stage is a function of (config, workdir). It skips what is done, goes on
where it was cut off, and refuses a directory made with another config. The
launch scripts call these; `pasta.quickstart` calls them one after another.
"""

import functools
import os
from collections.abc import Callable

import jax
import ml_collections
import numpy as np
from absl import logging

from pasta import errors, progress, seeds, shards
from pasta import features as features_lib
from pasta import preferences as preferences_lib
from pasta import sessions as sessions_lib
from pasta import workdir as workdir_lib
from pasta.agent import episodes as episodes_lib
from pasta.agent import gemma_base, gemma_text, policies, rivals, selection
from pasta.agent import train as value_train
from pasta.evaluate import compare
from pasta.report import build as report_lib
from pasta.simulate import ceilings, extraction, interaction, true_types
from pasta.simulate import people as people_lib
from pasta.simulate import population as population_lib
from pasta.simulate import world as world_lib
from pasta.user_model import datasets, saved
from pasta.user_model import model as user_model_lib
from pasta.user_model import train as user_model_train

# Fields that change speed or memory but never a result.
IGNORED = ('world.t2i.num_workers', 'world.cache_texts', 'world.cache_columns')
_SURE_FLOOR = 1e-6  # a belief's least probability, so that logs stay finite
_open = functools.partial(workdir_lib.open_stage, ignore=IGNORED)


class Worlds:
  """Makes the world when a stage needs it and hands the same one on."""

  def __init__(self):
    self._made = None

  def __call__(self, config: ml_collections.ConfigDict) -> world_lib.World:
    plain = config.to_dict()
    if self._made and self._made[0] != plain:
      self.close()
    if not self._made:
      self._made = plain, world_lib.World(config)
    return self._made[1]

  def close(self) -> None:
    if self._made:
      self._made[1].close()
    self._made = None

  def __enter__(self) -> 'Worlds':
    return self

  def __exit__(self, *unused_exception) -> None:
    self.close()


def _stage(function: Callable) -> Callable:
  """Gives a stage its own worlds when none are handed to it."""

  @functools.wraps(function)
  def wrapped(config, workdir, worlds=None):
    if worlds is not None:
      return function(config, workdir, worlds)
    with Worlds() as own:
      return function(config, workdir, own)

  return wrapped


@_stage
def collect(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """Hidden people use a policy that needs no training -> sessions/."""
  directory = os.path.join(workdir, 'sessions')
  with _open('collect', directory, config) as info:
    if info is None:
      return
    world = worlds(config.world)
    population = population_lib.build(config.population)
    crowd = population_lib.draw_crowd(
      population,
      config.num_people,
      config.sessions_per_person,
      seed=config.seed,
    )
    policy = policies.build(config.policy, num_columns=config.sizes.num_columns)

    def run(batch, index):
      people = people_lib.HiddenPeople(population, crowd.select(index))
      return shards.Shard(
        _interact(config, world, people, policy, batch, 'people').sessions
      )

    shards.run_batches(run, len(crowd), config.batch_size, directory, 'collect')
    info['num_sessions'] = len(crowd)


@_stage
def extract_features(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """sessions/ -> features/: renders and encodes what was shown."""
  source = os.path.join(workdir, 'sessions')
  directory = os.path.join(workdir, 'features')
  upstream = _upstream(workdir, 'sessions', 'collect')
  with _open('extract_features', directory, config, (upstream,)) as info:
    if info is None:
      return
    world = worlds(config.world)
    paths = sessions_lib.shards(source)
    for path in progress.progress(paths, unit='shard', desc='extract'):
      target = shards.features_path(directory, path)
      if not os.path.exists(target):
        features_lib.save(
          target,
          extraction.extract(
            world,
            sessions_lib.read_shard(path),
            with_pool=config.with_pool,
          ),
        )
    info |= {
      'num_shards': len(paths),
      'encoder_id': world.encoder.encoder_id,
      'num_images_made': world.num_images_made,
    }


def train_user_model(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds | None = None
) -> None:
  """features/ and preference data -> user_model/: types, utilities (EM)."""
  del worlds  # Trains on features alone.
  directory = os.path.join(workdir, 'user_model')
  paths = {
    name: (source.format, os.path.join(workdir, source.path))
    for name, source in config.sources.items()
  }
  upstream = [_source_fingerprint(workdir, *where) for where in paths.values()]
  with _open('train_user_model', directory, config, upstream) as info:
    if info is None:
      return
    data = {
      name: features_lib.load_dir(path)
      if file_format == 'sessions'
      else preferences_lib.load(path)
      for name, (file_format, path) in paths.items()
    }
    encoder_id = datasets.encoder_id(data)
    model, metrics = user_model_train.fit(
      data, config, key=jax.random.key(config.seed), directory=directory
    )
    saved.save(directory, model, {'encoder_id': encoder_id, **metrics})
    info |= metrics


def _source_fingerprint(workdir: str, file_format: str, path: str) -> str:
  """What stands for a data set's content."""
  if file_format == 'sessions':
    return workdir_lib.read_done(path, 'extract_features')['fingerprint']
  if file_format == 'preferences':
    return preferences_lib.fingerprint(path)
  raise errors.PastaError(
    f"config field 'sources' has the format {file_format!r}, expected "
    "'sessions' or 'preferences'"
  )


@_stage
def simulate(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """user_model/ -> simulated/: people drawn from the learned user model."""
  directory = os.path.join(workdir, 'simulated')
  upstream = [_upstream(workdir, 'user_model', 'train_user_model')]
  if config.value_from:
    upstream.append(_upstream(workdir, config.value_from, 'train_value'))
  with _open('simulate', directory, config, upstream) as info:
    if info is None:
      return
    world = worlds(config.world)
    encoder_id = world.encoder.encoder_id
    model = saved.load(os.path.join(workdir, 'user_model'), encoder_id)
    value = None
    if config.value_from:
      value = value_train.load(
        os.path.join(workdir, config.value_from),
        encoder_id,
        world.generator.generator_id,
      )
    # What people have typed so far is what simulated people type.
    known = sorted(
      {
        s.initial_prompt
        for s in sessions_lib.read_dir(os.path.join(workdir, 'sessions'))
      }
    )
    sitting = seeds.derive(
      config.seed, 'sitting', np.arange(config.num_sessions)
    )
    pick = seeds.derive(sitting, 'prompt') % np.uint64(len(known))
    behaviour = [
      policies.build(
        p,
        num_columns=config.sizes.num_columns,
        value_model=value,
        response=selection.learned(model),
      )
      for p in config.behaviour.values()
    ]

    def run(batch, index):
      people = people_lib.SimulatedPeople(
        model, tuple(known[i] for i in pick[index]), sitting[index]
      )
      result = _interact(
        config,
        world,
        people,
        behaviour[batch % len(behaviour)],
        batch,
        'simulated',
        user_model=model,
        image_seed_pool=config.image_seed_pool,
        with_pool=config.with_pool,
      )
      return shards.Shard(result.sessions, features=result.features)

    before = world.num_images_made
    shards.run_batches(
      run, config.num_sessions, config.batch_size, directory, 'simulate'
    )
    info |= {
      'num_sessions': config.num_sessions,
      'num_images_made': world.num_images_made - before,
    }


def train_value(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds | None = None
) -> None:
  """features/ and simulated/ -> value/: implicit Q-learning."""
  del worlds  # Trains on features alone.
  directory = os.path.join(workdir, 'value')
  upstream = [_upstream(workdir, 'user_model', 'train_user_model')]
  sources = []
  if config.data not in ('human', 'simulated', 'mixed'):
    raise errors.PastaError(
      f"config field 'data' is {config.data!r}, expected 'human', "
      "'simulated' or 'mixed'"
    )
  if config.data != 'simulated':
    upstream.append(_upstream(workdir, 'features', 'extract_features'))
    sources.append('features')
  if config.data != 'human':
    upstream.append(_upstream(workdir, 'simulated', 'simulate'))
    sources.append('simulated')
  if config.backbone == 'gemma':
    gemma_base.check(config)
    upstream.append(gemma_base.fingerprint(config.gemma.path))
  with _open('train_value', directory, config, upstream) as info:
    if info is None:
      return
    parts = {
      s: features_lib.load_dir(os.path.join(workdir, s)) for s in sources
    }
    features = features_lib.concatenate(list(parts.values()))
    model = saved.load(os.path.join(workdir, 'user_model'), features.encoder_id)
    base = texts = None
    if config.backbone == 'gemma':
      base = gemma_base.load(config)
      texts = _session_texts(base.settings.tokeniser, workdir, parts)
    episodes = episodes_lib.from_features(
      features,
      model,
      reward=config.reward,
      log_belief=_training_belief(config.belief, workdir, model, parts),
      with_pool=config.backup in rivals.NEED_POOL,
      texts=texts,
    )
    value, metrics = value_train.fit(
      episodes,
      config,
      key=jax.random.key(config.seed),
      directory=directory,
      base=base,
    )
    value_train.save(
      directory,
      value,
      {
        'encoder_id': features.encoder_id,
        'generator_id': features.generator_id,
        **metrics,
      },
    )
    info |= metrics


def _session_texts(tokeniser, workdir, parts) -> episodes_lib.EpisodeTexts:
  """The sessions behind features, as text, in the features' order."""
  records = []
  for name, features in parts.items():
    directory = 'sessions' if name == 'features' else name
    records += sessions_lib.read_by_id(
      os.path.join(workdir, directory), features.session_id
    )
    num_turns = features.slate_text.shape[1]
  return gemma_text.of_sessions(tokeniser, records, num_turns)


def _training_belief(mode, workdir, model, parts) -> np.ndarray | None:
  """The fixed log beliefs [N, K] of all training sessions, or None."""
  num = sum(len(p) for p in parts.values())
  if mode == 'prior':
    return np.tile(np.asarray(model.log_prior), (num, 1))
  if mode != 'oracle':
    return None
  result = []
  for name, features in parts.items():
    if name == 'features':
      by_type, types = _hidden_types(workdir, model, features)
      result.append(by_type[types])
    else:
      types = true_types.of_simulated_people(features.user_id, model)
      sure = np.eye(model.num_types)[types]
      result.append(np.log(np.maximum(sure, _SURE_FLOOR)))
  return np.concatenate(result).astype(np.float32)


def _hidden_types(workdir, model, features):
  """Beliefs [K*, K] by true type, and the true types of sessions [N]."""
  collected = ml_collections.ConfigDict(
    workdir_lib.read_json(os.path.join(workdir, 'sessions', 'config.json'))
  )
  population = population_lib.build(collected.population)
  types = true_types.of_hidden_people(
    features.user_id, population, collected.num_people, collected.seed
  )
  by_type = true_types.type_beliefs(
    model, features, types, collected.population.num_types
  )
  return by_type, types


@_stage
def evaluate(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """All policies on fresh people of the hidden population -> evaluation/."""
  directory = os.path.join(workdir, 'evaluation')
  upstream = (
    _upstream(workdir, 'user_model', 'train_user_model'),
    _upstream(workdir, 'value', 'train_value'),
  )
  with _open('evaluate', directory, config, upstream) as info:
    if info is None:
      return
    world = worlds(config.world)
    model, value = load_agent(workdir, world, config.allow_unseen_generator)
    outcomes, beliefs = {}, {}
    for name, policy_config in config.policies.items():
      where = os.path.join(directory, 'sessions', name)
      outcomes[name], beliefs[name] = play_policy(
        policy_config, config, workdir, where, world, model, value
      )
    results = compare.compare(outcomes, seed=config.seed)
    results |= {
      'num_people': config.num_people,
      'num_turns': config.sizes.num_turns,
      'seed': config.seed,
      'population': config.population.to_dict(),
    }
    if beliefs.get('pasta') is not None:
      ids = [
        s.session_id
        for s in sessions_lib.read_dir(
          os.path.join(directory, 'sessions', 'pasta')
        )
      ]
      features_lib.save_arrays(
        os.path.join(directory, 'beliefs.npz'),
        {'belief': np.exp(beliefs['pasta']), 'session_id': np.array(ids)},
      )
    workdir_lib.write_json(os.path.join(directory, 'results.json'), results)
    for line in compare.headline(results):
      print(line)


def play_policy(
  policy_config: ml_collections.ConfigDict,
  config: ml_collections.ConfigDict,
  workdir: str,
  directory: str,
  world: world_lib.World,
  model: user_model_lib.UserModel | None,
  value: value_train.ValueModel | None,
) -> tuple[compare.Outcome, np.ndarray | None]:
  """Fresh people of the hidden population use one policy.

  Args:
    policy_config: which policy.
    config: of configs/evaluate.py.
    workdir: where the agent was trained; read for belief 'oracle' only.
    directory: gets the sessions; finished shards are kept.
    world: images, encoder, candidates.
    model: the user model, where the policy needs one.
    value: the value function, where the policy needs one.

  Returns:
    The outcome, and log beliefs [N, T + 1, K] where the policy has any.
  """
  population = population_lib.build(config.population)
  crowd = population_lib.draw_crowd(
    population, config.num_people, 1, seed=config.seed
  )
  policy = _policy(policy_config, config, population, model, value)
  needed = model if policy.uses_features else None
  told = None
  if policy.belief == 'oracle':
    features = features_lib.load_dir(os.path.join(workdir, 'features'))
    told = _hidden_types(workdir, model, features)[0][crowd.types]

  def run(batch, index):
    result = _interact(
      config,
      world,
      people_lib.HiddenPeople(population, crowd.select(index)),
      policy,
      batch,
      policy.policy_id,
      user_model=needed,
      true_log_belief=None if told is None else told[index],
    )
    arrays = {'utilities': result.utilities, 'predicted': result.predicted}
    if needed is not None:
      arrays['log_beliefs'] = result.log_beliefs
    return shards.Shard(result.sessions, arrays=arrays)

  os.makedirs(directory, exist_ok=True)
  shards.run_batches(
    run,
    len(crowd),
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


@_stage
def report(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """Everything above -> report/index.html."""
  directory = os.path.join(workdir, 'report')
  upstream = _upstream(workdir, 'evaluation', 'evaluate')
  with _open('report', directory, config, (upstream,)) as info:
    if info is None:
      return
    path = report_lib.build(workdir, config, worlds(config.world))
    logging.info('report: %s', path)


def load_agent(
  workdir: str,
  world: world_lib.World,
  allow_unseen_generator: bool = False,
) -> tuple[user_model_lib.UserModel, value_train.ValueModel]:
  """The trained user model and value function of a working directory."""
  encoder_id = world.encoder.encoder_id
  return (
    saved.load(os.path.join(workdir, 'user_model'), encoder_id),
    value_train.load(
      os.path.join(workdir, 'value'),
      encoder_id,
      None if allow_unseen_generator else world.generator.generator_id,
    ),
  )


def _policy(policy_config, config, population, model, value):
  """A policy by name; the ceilings get the truth, pasta its value function."""
  if policy_config.name in ceilings.NAMES:
    return ceilings.Ceiling(
      policy_config.name,
      population,
      config.ceilings,
      images_per_prompt=config.sizes.images_per_prompt,
      num_columns=config.sizes.num_columns,
    )
  return policies.build(
    policy_config,
    num_columns=config.sizes.num_columns,
    value_model=value,
    response=None if model is None else selection.learned(model),
  )


def _interact(
  config, world, people, policy, batch, prefix, **options
) -> interaction.Result:
  """One batch of sittings, with the stage's sizes and the batch's own key."""
  return interaction.run(
    world,
    people,
    policy,
    world_lib.Sizes(**config.sizes.to_dict()),
    jax.random.fold_in(jax.random.key(config.seed), batch),
    session_prefix=prefix,
    **options,
  )


def _upstream(workdir: str, name: str, stage: str) -> str:
  """Fingerprint of a finished stage; PastaError where it has not finished."""
  directory = os.path.join(workdir, name)
  return workdir_lib.read_done(directory, stage)['fingerprint']
