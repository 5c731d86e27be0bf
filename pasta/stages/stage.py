"""The stages: each reads files, calls a library, leaves files.

Every stage is a function of (config, workdir). It skips what is done, goes on
where it was cut off, and refuses a directory made with another config. The
launch scripts call these; `quickstart` calls them one after another.
"""

import functools
import os
from collections.abc import Callable

import jax
import ml_collections
from absl import logging

from pasta import errors, oracle, progress
from pasta import workdir as workdir_lib
from pasta.agent import episodes as episodes_lib
from pasta.agent import expected_selection, policies, rivals
from pasta.agent import train as value_train
from pasta.agent.gemma import base as gemma_base
from pasta.agent.gemma import text as gemma_text
from pasta.gemma import model as gemma_model
from pasta.interaction import extraction, loop
from pasta.interaction import people as people_lib
from pasta.population import population as population_lib
from pasta.report import build as report_lib
from pasta.storage import preferences as preferences_lib
from pasta.storage import reserve, shards
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.surrogate import world as surrogate_world
from pasta.user_model import datasets, saved
from pasta.user_model import train as user_model_train
from pasta.world import world as world_lib

# Fields that change speed or memory but never a result.
IGNORED = (
  'world.t2i.num_workers',
  'world.t2i.store',
  'world.t2i.store_images',
  'world.t2i.sdxl.batch_size',
  'world.t2i.sdxl.num_devices',
  'world.t2i.sdxl.vae_chunk',
  'world.t2i.flux.batch_size',
  'world.t2i.flux.device',
  'world.t2i.flux.offload',
  'world.cache_texts',
  'world.cache_columns',
  # The server's address, and how patient we are with it.
  *(
    f'world.candidates.chat.{name}'
    for name in (
      'base_url',
      'key_env',
      'timeout_seconds',
      'turn_seconds',
      'max_retries',
      'backoff_seconds',
      'max_concurrency',
      'max_answer_bytes',
      'cache',
      'cache_dir',
    )
  ),
)
open_stage = functools.partial(workdir_lib.open_stage, ignore=IGNORED)


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


def with_worlds(function: Callable) -> Callable:
  """Gives a stage its own worlds when none are handed to it."""

  @functools.wraps(function)
  def wrapped(config, workdir, worlds=None):
    if worlds is not None:
      return function(config, workdir, worlds)
    with Worlds() as own:
      return function(config, workdir, own)

  return wrapped


@with_worlds
def collect(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """Hidden people use a policy that needs no training -> sessions/."""
  directory = os.path.join(workdir, 'sessions')
  with open_stage('collect', directory, config) as info:
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
        interact(config, world, people, policy, batch, 'people').sessions
      )

    shards.run_batches(run, len(crowd), config.batch_size, directory, 'collect')
    info['num_sessions'] = len(crowd)


@with_worlds
def extract_features(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """sessions/ -> features/: renders and encodes what was shown."""
  source = os.path.join(workdir, 'sessions')
  directory = os.path.join(workdir, 'features')
  upstream = workdir_lib.upstream(workdir, 'sessions', 'collect')
  with open_stage('extract_features', directory, config, (upstream,)) as info:
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
  with open_stage('train_user_model', directory, config, upstream) as info:
    if info is None:
      return
    data = {
      name: _read_source(config.sources[name], path)
      for name, (_, path) in paths.items()
    }
    encoder_id = datasets.encoder_id(data)
    model, metrics = user_model_train.fit(
      data, config, key=jax.random.key(config.seed), directory=directory
    )
    saved.save(directory, model, {'encoder_id': encoder_id, **metrics})
    info |= metrics


def _read_source(source: ml_collections.ConfigDict, path: str):
  """A data set, less what is kept for evaluation."""
  how = source.reserve, source.reserve_share
  if source.format == 'sessions':
    return reserve.sessions(features_lib.load_dir(path), *how, reserved=False)
  return reserve.part(preferences_lib.load(path), *how, reserved=False)


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


@with_worlds
def simulate(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """user_model/ -> simulated/: people drawn from the learned user model."""
  directory = os.path.join(workdir, 'simulated')
  upstream = [workdir_lib.upstream(workdir, 'user_model', 'train_user_model')]
  if config.value_from:
    upstream.append(
      workdir_lib.upstream(workdir, config.value_from, 'train_value')
    )
  if config.surrogate:
    upstream.append(
      workdir_lib.upstream(workdir, config.surrogate, 'train_surrogate')
    )
  with open_stage('simulate', directory, config, upstream) as info:
    if info is None:
      return
    world = worlds(config.world)
    encoder_id = world.encoder.encoder_id
    if config.surrogate:
      world = surrogate_world.load(world, workdir, config.surrogate)
    model = saved.load(os.path.join(workdir, 'user_model'), encoder_id)
    value = None
    if config.value_from:
      value = value_train.load(
        os.path.join(workdir, config.value_from),
        encoder_id,
        world.generator.generator_id,
      )
    # What people have typed so far is what simulated people type.
    draw = people_lib.simulated_crowd(
      model,
      sessions_lib.read_dir(os.path.join(workdir, 'sessions')),
      config.num_sessions,
      seed=config.seed,
    )
    behaviour = [
      policies.build(
        p,
        num_columns=config.sizes.num_columns,
        value_model=value,
        response=expected_selection.learned(model),
      )
      for p in config.behaviour.values()
    ]

    def run(batch, index):
      result = interact(
        config,
        world,
        draw(index),
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
  upstream = [workdir_lib.upstream(workdir, 'user_model', 'train_user_model')]
  sources = []
  if config.data not in ('human', 'simulated', 'mixed'):
    raise errors.PastaError(
      f"config field 'data' is {config.data!r}, expected 'human', "
      "'simulated' or 'mixed'"
    )
  if config.data != 'simulated':
    upstream.append(
      workdir_lib.upstream(workdir, 'features', 'extract_features')
    )
    sources.append('features')
  if config.data != 'human':
    upstream.append(workdir_lib.upstream(workdir, 'simulated', 'simulate'))
    sources.append('simulated')
  if config.backbone == 'gemma':
    gemma_base.check(config)
    upstream.append(gemma_model.fingerprint(config.gemma.path))
  with open_stage('train_value', directory, config, upstream) as info:
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
      log_belief=oracle.training_belief(config.belief, workdir, model, parts),
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
        't2i_id': features.t2i_id,
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


@with_worlds
def report(
  config: ml_collections.ConfigDict, workdir: str, worlds: Worlds
) -> None:
  """Everything above -> report/index.html."""
  directory = os.path.join(workdir, 'report')
  upstream = workdir_lib.upstream(workdir, 'evaluation', 'evaluate')
  with open_stage('report', directory, config, (upstream,)) as info:
    if info is None:
      return
    path = report_lib.build(workdir, config, worlds(config.world))
    logging.info('report: %s', path)


def interact(
  config, world, people, policy, batch, prefix, **options
) -> loop.Result:
  """One batch of sittings, with the stage's sizes and the batch's own key."""
  return loop.run(
    world,
    people,
    policy,
    world_lib.Sizes(**config.sizes.to_dict()),
    jax.random.fold_in(jax.random.key(config.seed), batch),
    session_prefix=prefix,
    **options,
  )
