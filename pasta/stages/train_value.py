"""The stage `train_value`: implicit Q-learning.

Letters: N sessions, E members.
"""

import functools
import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from pasta import errors, parallel, runs
from pasta import metrics as metrics_lib
from pasta import training as training_lib
from pasta import workdir as workdir_lib
from pasta.agent import (
  backbones,
  critics,
  held_out,
  iql,
  members,
  rivals,
  weight_decay,
)
from pasta.agent import episodes as episodes_lib
from pasta.agent import saved as saved_values
from pasta.agent.episodes import Episodes
from pasta.agent.gemma import base as gemma_base
from pasta.agent.gemma import text as gemma_text
from pasta.agent.settings import NetworkSettings
from pasta.agent.value_model import ValueModel
from pasta.population import true_types
from pasta.stages import stage
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.user_model import saved


def run(
  config: ml_collections.ConfigDict,
  workdir: str,
  worlds: stage.Worlds | None = None,
) -> None:
  """features/ and simulated/ -> value/: implicit Q-learning."""
  del worlds  # Trains on features alone.
  directory = os.path.join(workdir, runs.output('value', config.name))
  user_model = runs.source(workdir, 'user_model', config.name)
  upstream = [workdir_lib.upstream(workdir, user_model, 'train_user_model')]
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
    sources.append(runs.source(workdir, 'simulated', config.name))
    upstream.append(workdir_lib.upstream(workdir, sources[-1], 'simulate'))
  backbone = backbones.of(config.backbone)
  upstream += backbone.fingerprints(config)
  with stage.open_stage('train_value', directory, config, upstream) as info:
    if info is None:
      return
    parts = {
      s: features_lib.load_dir(os.path.join(workdir, s)) for s in sources
    }
    features = features_lib.concatenate(list(parts.values()))
    model = saved.load(os.path.join(workdir, user_model), features.encoder_id)
    base, texts = backbone.load(config), None
    if base is not None:
      texts = _session_texts(base.settings.tokeniser, workdir, parts)
    episodes = episodes_lib.from_features(
      features,
      model,
      reward=config.reward,
      log_belief=true_types.training_belief(
        config.belief, workdir, model, parts
      ),
      with_pool=config.backup in rivals.NEED_POOL,
      texts=texts,
    )
    value, metrics = fit(
      episodes,
      config,
      key=jax.random.key(config.seed),
      directory=directory,
      base=base,
    )
    saved_values.save(
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


def fit(
  episodes: Episodes,
  config: ml_collections.ConfigDict,
  *,
  key: jax.Array,
  directory: str,
  base: gemma_base.Base | None = None,
) -> tuple[ValueModel, dict[str, float]]:
  """Trains f and v; going on from the directory's checkpoint if there is one.

  Args:
    episodes: N sessions, numpy or jax arrays.
    config: of configs/train_value.py.
    key: typed key; the same key and data give the same result, restarted or
      not.
    directory: gets checkpoints/ and metrics.jsonl.
    base: for the backbone 'gemma', which also needs the episodes' texts.

  Returns:
    The model and its last held-out metrics.

  Raises:
    PastaError: no sessions, a batch that the devices cannot share, or a loss
      that is not finite.
  """
  if len(episodes) < 2 or not np.asarray(episodes.valid).any():
    raise errors.PastaError(
      f'{len(episodes)} sessions to learn a value from: expected at least '
      'two, with a choice'
    )
  num_devices = jax.local_device_count()
  batch = parallel.local_batch_size(
    config.batch_sessions, field='batch_sessions'
  )
  split_key, init_key, batch_key = jax.random.split(key, 3)
  training, heldout = held_out.split(
    episodes, split_key, config.heldout_fraction
  )
  training, heldout = jax.tree.map(jnp.asarray, (training, heldout))
  frozen = None if base is None else base.frozen
  pretrained = None if base is None else base.params
  config = weight_decay.complete(config, len(training))
  settings = critics.settings_of(config, training, base and base.settings)
  programs = _programs(training_lib.key_of(config), settings, num_devices)
  member_keys = members.keys(init_key, config.num_members)
  batch_keys = members.keys(batch_key, config.num_members)
  # The frozen part is an argument of its own: members share it, and it is
  # neither donated nor in a checkpoint.
  data = jax.device_put((training, frozen))
  if num_devices > 1:
    data = parallel.replicate(data)

  def make_batch(step, num):
    index = members.batches(batch_keys, step, num, batch, len(training))
    if num_devices > 1:
      index = parallel.shard(index, num_devices)
    return index, data

  def evaluate(state):
    return members.mean(programs.evaluate(state, heldout, data[1]))

  state, val = training_lib.run(
    lambda: programs.initialise(member_keys, training, pretrained),
    make_batch,
    programs.update,
    lambda state, unused_step: (state, evaluate(state)),
    directory=directory,
    num_steps=config.num_steps,
    steps_per_call=config.steps_per_call,
    log_steps=config.log_steps,
    checkpoint_steps=config.checkpoint_steps,
    desc='value',
  )
  val = val or evaluate(state)
  logging.info(
    'value function after %d updates, on held-out sessions: %s',
    config.num_steps,
    metrics_lib.summary(val),
  )
  model = ValueModel(
    params=state.params,
    constants=state.constants,
    settings=state.settings,
    score=config.score,
    predicts=config.backup in rivals.LEARN_VALUES
    and config.reward in ('dense', 'expected')
    and config.discount == 1,
    frozen=frozen,
  )
  return model, val


@functools.lru_cache(maxsize=4)
def _programs(
  config: ml_collections.FrozenConfigDict,
  settings: NetworkSettings,
  num_devices: int,
) -> members.Programs:
  """Kept, so that fits with one config are traced and compiled once."""

  def init(key, example, pretrained):
    return iql.init(key, config, example, settings, pretrained)

  return members.programs(
    init,
    functools.partial(iql.update_many, config=config),
    functools.partial(held_out.evaluate, config=config),
    settings=settings,
    num_devices=num_devices,
  )


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
