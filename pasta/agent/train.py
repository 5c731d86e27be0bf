"""Trains the value function on logged or simulated sessions.

Letters: N sessions, B sessions of a batch, S updates of a call.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from pasta import checkpoint, errors, parallel, workdir
from pasta import metrics as metrics_lib
from pasta import progress as progress_lib
from pasta import training as programs_lib
from pasta.agent import credit as credit_lib
from pasta.agent import critics, inputs, iql, rivals, value_model
from pasta.agent import episodes as episodes_lib
from pasta.agent.episodes import Episodes
from pasta.agent.gemma import base as gemma_base
from pasta.agent.value_model import ValueModel

_INFO_FILE = 'value_model.json'
_VERSION = 4


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
  training, heldout = split(episodes, split_key, config.heldout_fraction)
  training, heldout = jax.tree.map(jnp.asarray, (training, heldout))
  frozen = None if base is None else base.frozen
  pretrained = None if base is None else base.params
  config = complete(config, len(training))
  settings = critics.settings_of(config, training, base)
  programs = _programs(programs_lib.key_of(config), settings, num_devices)
  members = _member_keys(init_key, config.num_members)
  start = members, training, pretrained
  # The frozen part is an argument of its own: members share it, and it is
  # neither donated nor in a checkpoint.
  data = training, frozen
  if num_devices > 1:
    data = parallel.replicate(data)
  batch_keys = _member_keys(batch_key, config.num_members)

  with checkpoint.Checkpointer(os.path.join(directory, 'checkpoints')) as saver:
    restored = saver.restore(jax.eval_shape(programs.initialise, *start))
    step, state = restored or (0, programs.initialise(*start))
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
        index = _draw(batch_keys, step, num, batch, len(training))
        if num_devices > 1:
          index = parallel.shard(index, num_devices)
        state, train = programs.update(state, index, data)
        before, step = step, step + num
        bar.update(num)
        is_last = step == config.num_steps
        if is_last or _passed(before, step, config.log_steps):
          train = _mean(train)
          metrics_lib.check_finite(train, step, f'{before} to {step - 1}')
          val = _mean(programs.evaluate(state, heldout, data[1]))
          writer.write(step, train | val)
        if is_last or _passed(before, step, config.checkpoint_steps):
          saver.save(step, state)
  if not val:
    val = _mean(programs.evaluate(state, heldout, data[1]))
  logging.info('value function after %d updates: %s', step, val)
  model = ValueModel(
    params=state.params,
    constants=state.constants,
    settings=state.settings,
    score=config.score,
    predicts=config.backup in rivals.LEARN_VALUES
    and config.reward == 'dense'
    and config.discount == 1,
    frozen=frozen,
  )
  return model, val


# Batches of all members, [B, E, S].
_draw = jax.jit(
  jax.vmap(iql.batch_index, in_axes=(0, *4 * [None]), out_axes=1),
  static_argnums=(2, 3, 4),
)


class _Programs(NamedTuple):
  """What a fit runs, for all members at once, [E, ...]."""

  initialise: Callable[..., iql.IQLState]
  update: Callable[..., tuple[iql.IQLState, dict[str, jax.Array]]]
  evaluate: Callable[..., dict[str, jax.Array]]


@functools.lru_cache(maxsize=4)
def _programs(
  config: ml_collections.FrozenConfigDict,
  settings: inputs.NetworkSettings,
  num_devices: int,
) -> _Programs:
  """Kept, so that fits with one config are traced and compiled once."""
  # One axis for members and seeds: what they share is not repeated.
  axes = iql.IQLState(
    params=0,
    target_params=0,
    opt_state=0,
    step=None,
    constants=None,
    settings=settings,
  )

  def initialise(keys, example, pretrained):
    return jax.vmap(
      lambda k: iql.init(k, config, example, settings, pretrained),
      out_axes=axes,
    )(keys)

  def update(state, index, data, axis_name=None):
    episodes, frozen = data
    return jax.vmap(
      functools.partial(
        iql.update_many, config=config, axis_name=axis_name, frozen=frozen
      ),
      in_axes=(axes, 1, None),
      out_axes=(axes, 0),
    )(state, index, episodes)

  return _Programs(
    initialise=jax.jit(initialise),
    update=parallel.pmap_update(update)
    if num_devices > 1
    else jax.jit(update, donate_argnums=0),
    evaluate=jax.jit(
      jax.vmap(
        functools.partial(evaluation, config=config), in_axes=(axes, None, None)
      )
    ),
  )


def _member_keys(key: jax.Array, num_members: int) -> jax.Array:
  """A key a member, [E]; a member's does not depend on how many there are."""
  return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(num_members))


def _mean(metrics: dict[str, jax.Array]) -> dict[str, float]:
  """Means over the members [E]; not finite where one of them is not."""
  return {name: float(jnp.mean(x)) for name, x in metrics.items()}


def complete(
  config: ml_collections.ConfigDict, num_sessions: int
) -> ml_collections.ConfigDict:
  """The config of one fit: what follows from the number of sessions."""
  if config.base == 'myopic':
    # More sessions teach nothing of slates that no policy showed, and it is the
    # decay that keeps the residual of those small.
    num_sessions = min(num_sessions, config.decay_sessions)
  return with_scaled_decay(config, num_sessions)


def with_scaled_decay(
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
  state: iql.IQLState,
  heldout: Episodes,
  frozen: Any = None,
  *,
  config: ml_collections.ConfigDict,
) -> dict[str, Any]:
  """Losses on held-out sessions, and how well q predicts their returns.

  `val/q_return_correlation` is within turns: what remains after each turn's
  mean. It shows whether f knows more than the turn; under an expectile above
  0.5, q is meant to lie above the behaviour's return (`val/q_bias`). The losses
  are IQL's whatever the backup: rivals have no held-out loss of their own.
  """
  settings, constants = state.settings, state.constants
  _, items = critics.network_inputs(heldout, constants, settings)
  f = critics.shown_values(
    state.params['q'], heldout, constants, settings, frozen
  ).mean(0)
  v = critics.state_values(
    state.params['v'], heldout, constants, settings, frozen
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
      heldout.expected[..., -1]
      if config.credit == 'slate'
      else credit_lib.credited(items.mean, heldout.choice, config.credit),
      gain,
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
    info: plain JSON; 'encoder_id' and 'generator_id' are required.
  """
  for name in ('encoder_id', 'generator_id'):
    if name not in info:
      raise ValueError(f'info lacks {name}, where the features come from')
  params = model.replace(frozen=None)
  checkpoint.save_params(os.path.join(directory, 'params'), params)
  of_gemma = model.settings.gemma
  settings = vars(model.settings) | {'gemma': of_gemma and of_gemma.to_json()}
  workdir.write_json(
    os.path.join(directory, _INFO_FILE),
    {
      'version': _VERSION,
      'score': model.score,
      'predicts': model.predicts,
      'num_members': model.num_members,
      'settings': settings,
      'info': info,
    },
  )


def load(
  directory: str,
  encoder_id: str | None = None,
  generator_id: str | None = None,
) -> ValueModel:
  """Reads what `save` wrote.

  Args:
    directory: given to `save`.
    encoder_id: of the features that the model will see; None to skip the check.
    generator_id: who will write the candidates; None to skip the check. Values
      of candidates unlike all training candidates are guesses.

  Raises:
    PastaError: nothing complete is there, or it belongs to another encoder,
      generator or Gemma.
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
  generators = stored['info']['generator_id']
  if generator_id is not None and generator_id not in generators.split(' + '):
    raise errors.PastaError(
      f'{directory}: this value function was trained on candidates of '
      f'{generators}, but those here are of {generator_id}; set '
      'allow_unseen_generator = True to see what it does with them'
    )
  fields = dict(stored['settings'])
  fields['head_dims'] = tuple(fields['head_dims'])
  frozen = pretrained = None
  if fields['gemma'] is not None:
    base = gemma_base.reload(fields['gemma'], path)
    fields['gemma'] = base.settings
    frozen, pretrained = base.frozen, base.params
  settings = inputs.NetworkSettings(**fields)
  model = checkpoint.load_params(
    os.path.join(directory, 'params'),
    jax.eval_shape(
      functools.partial(
        value_model.blank,
        settings,
        stored['num_members'],
        score=stored['score'],
        predicts=stored['predicts'],
      ),
      pretrained=pretrained,
    ),
  )
  return model.replace(frozen=frozen)
