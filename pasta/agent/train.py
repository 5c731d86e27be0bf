"""Trains the value function on logged or simulated sessions.

Letters: N sessions, B sessions of a batch, S updates of a call.
"""

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from pasta import checkpoint, errors, parallel, workdir
from pasta import metrics as metrics_lib
from pasta import progress as progress_lib
from pasta.agent import credit as credit_lib
from pasta.agent import episodes as episodes_lib
from pasta.agent import iql, networks, value_model
from pasta.agent.episodes import Episodes
from pasta.agent.value_model import ValueModel

_INFO_FILE = 'value_model.json'
_VERSION = 1


def split(
  episodes: Episodes, key: jax.Array, heldout_fraction: float
) -> tuple[Episodes, Episodes]:
  """Training and held-out sessions; at least one each where there are two."""
  size = len(episodes)
  order = np.asarray(jax.random.permutation(key, size))
  num_heldout = min(max(round(size * heldout_fraction), 1), size - 1)
  heldout, training = np.split(order, [num_heldout])
  return (
    episodes_lib.take(episodes, np.sort(training)),
    episodes_lib.take(episodes, np.sort(heldout)),
  )


def fit(
  episodes: Episodes,
  config: ml_collections.ConfigDict,
  *,
  key: jax.Array,
  directory: str,
) -> tuple[ValueModel, dict[str, float]]:
  """Trains f and v; going on from the directory's checkpoint if there is one.

  Args:
    episodes: N sessions, numpy or jax arrays.
    config: of configs/train_value.py.
    key: typed key; the same key and data give the same result, restarted or
      not.
    directory: gets checkpoints/ and metrics.jsonl.

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
  training, heldout = split(episodes, split_key, config.heldout_fraction)
  training, heldout = jax.tree.map(jnp.asarray, (training, heldout))
  config = _with_scaled_decay(config, len(training))
  initialise = jax.jit(functools.partial(iql.init, config=config))
  update = functools.partial(iql.update_many, config=config)
  if num_devices > 1:
    run = parallel.pmap_update(update)
  else:
    run = jax.jit(update, donate_argnums=0)
  draw = jax.jit(iql.batch_index, static_argnums=(2, 3, 4))
  evaluate = jax.jit(functools.partial(evaluation, config=config))

  with checkpoint.Checkpointer(os.path.join(directory, 'checkpoints')) as saver:
    restored = saver.restore(
      jax.eval_shape(initialise, init_key, example=training)
    )
    step, state = restored or (0, initialise(init_key, example=training))
    val = {}
    with (
      metrics_lib.MetricWriter(directory, resume_step=step + 1) as writer,
      progress_lib.progress(
        total=config.num_steps, unit='updates', desc='value'
      ) as bar,
    ):
      bar.update(step)
      while step < config.num_steps:
        num = min(config.steps_per_call, config.num_steps - step)
        index = draw(batch_key, step, num, batch, len(training))
        if num_devices > 1:
          index = parallel.shard(index, num_devices)
        state, train = run(state, index, training)
        before, step = step, step + num
        bar.update(num)
        is_last = step == config.num_steps
        if is_last or _passed(before, step, config.log_steps):
          train = {name: float(x) for name, x in train.items()}
          metrics_lib.check_finite(train, step, f'{before} to {step - 1}')
          val = {k: float(x) for k, x in evaluate(state, heldout).items()}
          writer.write(step, train | val)
        if is_last or _passed(before, step, config.checkpoint_steps):
          saver.save(step, state)
  if not val:
    val = {k: float(x) for k, x in evaluate(state, heldout).items()}
  logging.info('value function after %d updates: %s', step, val)
  model = ValueModel(
    params=state.params,
    constants=state.constants,
    settings=state.settings,
    score=config.score,
  )
  return model, val


def _with_scaled_decay(
  config: ml_collections.ConfigDict, num_sessions: int
) -> ml_collections.ConfigDict:
  """The config with the weight decay that suits this many sessions."""
  decay = config.weight_decay * 1000 / num_sessions
  config = config.copy_and_resolve_references()
  # More than a tenth of a weight per update would not be a decay any more.
  config.weight_decay = min(decay, 0.1 / config.learning_rate)
  return config


def _passed(before: int, now: int, every: int) -> bool:
  """Whether a multiple of `every` lies in (before, now]."""
  return now // every > before // every


def evaluation(
  state: iql.IQLState, heldout: Episodes, *, config: ml_collections.ConfigDict
) -> dict[str, Any]:
  """Losses on held-out sessions, and how well q predicts their returns.

  `val/q_return_correlation` is within turns: what remains after each turn's
  mean. It shows whether f knows more than the turn; under an expectile above
  0.5, q is meant to lie above the behaviour's return (`val/q_bias`).
  """
  settings, constants = state.settings, state.constants
  states, items = iql.network_inputs(heldout, constants, settings)
  f = (
    networks.Critic(settings)
    .apply({'params': state.params['q']}, constants, states, items)
    .mean(0)
  )
  v = networks.Value(settings).apply(
    {'params': state.params['v']}, constants, states
  )
  q = credit_lib.credited(f, heldout.choice, config.credit)
  next_v = jnp.concatenate([v[:, 1:], jnp.zeros_like(v[:, :1])], 1)
  target = heldout.reward + config.discount * jnp.where(
    heldout.done, 0.0, next_v
  )
  gain = credit_lib.returns(heldout.reward, config.discount)
  valid = heldout.valid.astype(jnp.float32)
  count = jnp.maximum(valid.sum(), 1.0)

  def mean(x):
    return (x * valid).sum() / count

  def centred(x):
    per_turn = (x * valid).sum(0) / jnp.maximum(valid.sum(0), 1.0)
    return (x - per_turn) * valid

  def correlation(x, y):
    x, y = centred(x), centred(y)
    return (x * y).sum() / jnp.maximum(
      jnp.sqrt((x**2).sum() * (y**2).sum()), 1e-9
    )

  value = credit_lib.slate_value(f, heldout.log_choice, config.credit)
  return {
    'val/loss_v': mean(
      iql.expectile_loss((value - v) / constants.return_scale, config.expectile)
    ),
    'val/loss_q': mean(((target - q) / constants.return_scale) ** 2),
    'val/q_return_correlation': correlation(q, gain),
    'val/m_return_correlation': correlation(
      credit_lib.credited(items.mean, heldout.choice, config.credit), gain
    ),
    'val/q_bias': mean(q - gain),
    'val/v_mean': mean(v),
    'val/return_mean': mean(gain),
  }


def save(directory: str, model: ValueModel, info: dict[str, Any]) -> None:
  """Writes the model, what it was trained on, and `info`.

  Args:
    directory: made where it does not exist.
    model: the value model.
    info: plain JSON; 'encoder_id' is required.
  """
  if 'encoder_id' not in info:
    raise ValueError('info lacks encoder_id, the encoder of the features')
  checkpoint.save_params(os.path.join(directory, 'params'), model)
  workdir.write_json(
    os.path.join(directory, _INFO_FILE),
    {
      'version': _VERSION,
      'score': model.score,
      'settings': dataclasses.asdict(model.settings),
      'info': info,
    },
  )


def load(directory: str, encoder_id: str | None = None) -> ValueModel:
  """Reads what `save` wrote.

  Args:
    directory: given to `save`.
    encoder_id: of the features that the model will see; None to skip the check.

  Raises:
    PastaError: nothing complete is there, or it belongs to another encoder.
  """
  path = os.path.join(directory, _INFO_FILE)
  if not os.path.exists(path):
    raise errors.PastaError(
      f'{directory}: holds no value model (no {_INFO_FILE}); run '
      'launch.train_value first'
    )
  stored = workdir.read_json(path)
  if stored.get('version') != _VERSION:
    raise errors.PastaError(
      f'{path}: version {stored.get("version")}, expected {_VERSION}'
    )
  trained_on = stored['info']['encoder_id']
  if encoder_id is not None and encoder_id != trained_on:
    raise errors.PastaError(
      f'{directory}: this value model was trained on features of '
      f'{trained_on}, but the features here are of {encoder_id}'
    )
  fields = dict(stored['settings'])
  fields['head_dims'] = tuple(fields['head_dims'])
  settings = networks.NetworkSettings(**fields)
  return checkpoint.load_params(
    os.path.join(directory, 'params'),
    jax.eval_shape(
      functools.partial(value_model.blank, settings, stored['score'])
    ),
  )
