"""Fits a surrogate to rendered columns; surrogates on disk.

Letters: P prompts (columns), M images of each, D embedding width, B columns of
a batch, S updates of a call.
"""

import dataclasses
import functools
import os
from typing import Any

import chex
import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from absl import logging

from pasta import checkpoint, errors, progress, workdir
from pasta import metrics as metrics_lib
from pasta.storage import session_features as features_lib
from pasta.surrogate import flow as surrogate_lib
from pasta.surrogate.flow import Surrogate
from pasta.user_model.sessions_by_person import chunks

_INFO_FILE = 'surrogate.json'
_CHUNK_COLUMNS = 256
Columns = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Parts:
  """Sessions by what they are for; nobody is in two parts.

  Attributes:
    training: what the surrogate learns from.
    validation: what tells it when to stop.
    test: what it is judged by.
  """

  training: features_lib.SessionFeatures
  validation: features_lib.SessionFeatures
  test: features_lib.SessionFeatures


def split(
  features: features_lib.SessionFeatures,
  validation_share: float,
  test_share: float,
  key: jax.Array,
) -> Parts:
  """Splits by person; at least one each for validation and test.

  Raises:
    PastaError: fewer than three people, or shares that leave nobody to learn
      from.
  """
  names, person = np.unique(features.user_id, return_inverse=True)
  order = np.asarray(jax.random.permutation(key, len(names)))
  num_validation = max(round(len(names) * validation_share), 1)
  num_test = max(round(len(names) * test_share), 1)
  if num_validation + num_test >= len(names):
    raise errors.PastaError(
      f'{len(names)} people, {num_validation} for validation and {num_test} '
      'for the test: nobody is left to learn from'
    )
  part = np.full(len(names), 2)
  part[order[: num_validation + num_test]] = 1
  part[order[:num_validation]] = 0
  validation, test, training = (
    features.select(np.flatnonzero(part[person] == i)) for i in range(3)
  )
  return Parts(training=training, validation=validation, test=test)


def slates(features: features_lib.SessionFeatures) -> Columns:
  """Shown slates: prompts' features [S, L, D] and images' [S, L, M, D]."""
  valid = features.choice >= 0
  return features.slate_text[valid], features.slate_image[valid]


def columns(features: features_lib.SessionFeatures) -> Columns:
  """Shown columns: prompts' features [P, D] and images' [P, M, D]."""
  text, image = slates(features)
  return (
    text.reshape(-1, text.shape[-1]),
    image.reshape(-1, *image.shape[2:]),
  )


@flax.struct.dataclass
class State:
  """Where a fit is: the parameters, and the best so far."""

  params: chex.ArrayTree
  opt_state: optax.OptState
  best_params: chex.ArrayTree
  best_score: jax.Array
  best_step: jax.Array


def fit(
  training: Columns,
  validation: Columns,
  config: ml_collections.ConfigDict,
  *,
  key: jax.Array,
  directory: str,
) -> tuple[Surrogate, dict[str, float]]:
  """Maximum likelihood; the parameters with the best held-out one are kept.

  Args:
    training: prompts' features [P, D] and their images' [P, M, D], float16.
    validation: those of other people.
    config: of configs/train_surrogate.py.
    key: typed key; the same key and data give the same result, restarted or
      not.
    directory: gets checkpoints/ and metrics.jsonl.

  Returns:
    The surrogate, and metrics of the step that was kept.

  Raises:
    PastaError: a loss that is not finite.
  """
  text, image = training
  settings = surrogate_lib.Settings(
    embedding_dim=text.shape[1],
    num_couplings=config.num_couplings,
    hidden_dim=config.hidden_dim,
    trunk_dim=config.trunk_dim,
  )
  constants = surrogate_lib.constants_of(text, image, config.whitening_floor)
  init_key, batch_key, blur_key = jax.random.split(key, 3)
  optimizer = _optimizer(config)

  @jax.jit
  def start(key, constants):
    model = surrogate_lib.init(key, settings, constants)
    state = State(
      params=model.params,
      opt_state=optimizer.init(model.params),
      best_params=model.params,
      best_score=jnp.full((), -jnp.inf, jnp.float32),
      best_step=jnp.zeros((), jnp.int32),
    )
    return state, model

  state, model = start(init_key, constants)
  run = jax.jit(functools.partial(_run, optimizer=optimizer, blur=config.blur))
  with checkpoint.Checkpointer(os.path.join(directory, 'checkpoints')) as saver:
    step, state = saver.restore(state) or (0, state)
    with (
      metrics_lib.MetricWriter(directory, resume_step=step + 1) as writer,
      progress.progress(
        total=config.num_steps, unit='updates', desc='surrogate'
      ) as bar,
    ):
      bar.update(step)
      while step < config.num_steps:
        num = min(config.steps_per_call, config.num_steps - step)
        keys = jax.vmap(lambda i: jax.random.fold_in(batch_key, i))(
          jnp.arange(step, step + num)
        )
        index = np.asarray(
          _draw_batches(keys, config.batch_columns, len(text))
        )  # [S, B]
        state, train = run(state, model, text[index], image[index], keys)
        step += num
        bar.update(num)
        score = log_likelihood(
          model.replace(params=state.params), validation, config.blur, blur_key
        )
        train = {k: float(jnp.mean(v)) for k, v in train.items()}
        val = {'val/loss': -score}
        metrics_lib.check_finite(train | val, step, f'{step - num} to {step}')
        if score > float(state.best_score):
          state = state.replace(
            best_params=state.params,
            best_score=jnp.asarray(score, jnp.float32),
            best_step=jnp.asarray(step, jnp.int32),
          )
        writer.write(step, train | val)
        if step == config.num_steps or step % config.checkpoint_steps < num:
          saver.save(step, state)
  metrics = {
    'best_step': int(state.best_step),
    'validation_log_likelihood': float(state.best_score),
  }
  logging.info('surrogate after %d updates: %s', step, metrics)
  return model.replace(params=state.best_params), metrics


def _optimizer(config: ml_collections.ConfigDict):
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, config.learning_rate, config.warmup_steps, config.num_steps
  )
  return optax.chain(
    optax.clip_by_global_norm(config.max_gradient_norm),
    optax.adamw(schedule, weight_decay=config.weight_decay),
  )


@functools.partial(jax.jit, static_argnums=(1, 2))
def _draw_batches(keys: jax.Array, batch: int, size: int) -> jax.Array:
  return jax.vmap(
    lambda key: jax.random.randint(
      jax.random.fold_in(key, 0), (batch,), 0, size
    )
  )(keys)


def _run(
  state: State,
  model: Surrogate,
  text: jax.Array,
  image: jax.Array,
  keys: jax.Array,
  *,
  optimizer: optax.GradientTransformation,
  blur: float,
) -> tuple[State, dict[str, jax.Array]]:
  """S updates on batches text [S, B, D], image [S, B, M, D]."""

  def update(carry, batch):
    params, opt_state = carry
    text, image, key = batch
    added = blur * jax.random.normal(jax.random.fold_in(key, 1), image.shape)
    loss, grads = jax.value_and_grad(
      lambda p: (
        -surrogate_lib.log_density(
          model.replace(params=p), text, image, added
        ).mean()
      )
    )(params)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    metrics = {
      'train/loss': loss,
      'train/gradient_norm': optax.tree.norm(grads),
    }
    return (optax.apply_updates(params, updates), opt_state), metrics

  (params, opt_state), metrics = jax.lax.scan(
    update, (state.params, state.opt_state), (text, image, keys)
  )
  return state.replace(params=params, opt_state=opt_state), metrics


_log_density = jax.jit(surrogate_lib.log_density)


def log_likelihood(
  model: Surrogate, data: Columns, blur: float, key: jax.Array
) -> float:
  """Mean log density of an image's whitened features, in nats.

  Args:
    model: the surrogate.
    data: prompts' features [P, D] and their images' [P, M, D].
    blur: standard deviation of what is added to whitened features.
    key: draws that; the same key makes surrogates comparable.
  """
  text, image = data
  total = 0.0
  for i, (index, count) in enumerate(chunks(len(text), _CHUNK_COLUMNS)):
    chunk = image[index]
    added = blur * jax.random.normal(jax.random.fold_in(key, i), chunk.shape)
    found = _log_density(model, text[index], chunk, added)
    total += float(np.asarray(found)[:count].mean(1).sum())
  return total / len(text)


def gaussian_log_likelihood(
  training: Columns,
  data: Columns,
  constants: dict[str, jax.Array],
  blur: float,
) -> float:
  """What a linear mean with one covariance of residuals would have, in nats.

  Args:
    training: what the Gaussian is fitted to.
    data: what it is judged by.
    constants: of the surrogate; gives the units.
    blur: as for `log_likelihood`; here it only adds to the covariance.
  """
  constants = jax.tree.map(np.asarray, constants)

  def prepared(text, image):
    x = (text.astype(np.float64) - constants['text_mean']) / (
      constants['text_std']
    )
    u = image.astype(np.float64) - constants['image_mean']
    return np.c_[x, np.ones(len(x))], u @ constants['image_whiten']

  x, u = prepared(*training)
  weights = np.linalg.solve(
    x.T @ x + np.eye(x.shape[1]), x.T @ u.mean(1)
  )  # a ridge of 1
  residual = (u - (x @ weights)[:, None]).reshape(-1, u.shape[-1])
  dim = residual.shape[1]
  covariance = residual.T @ residual / len(residual) + blur**2 * np.eye(dim)
  x, u = prepared(*data)
  residual = (u - (x @ weights)[:, None]).reshape(-1, dim)
  _, log_det = np.linalg.slogdet(covariance)
  square = np.sum(residual.T * np.linalg.solve(covariance, residual.T), 0)
  # The expectation over the blur of the data.
  square = square.mean() + blur**2 * np.trace(np.linalg.inv(covariance))
  return float(-0.5 * (square + log_det + dim * np.log(2 * np.pi)))


_draw = jax.jit(surrogate_lib.draw)


def draw(
  model: Surrogate,
  text: np.ndarray,
  column_seeds: np.ndarray,
  num_images: int,
) -> np.ndarray:
  """Image features, rounded to float16 as rendered ones are.

  Args:
    model: the surrogate.
    text: prompts' features [P, D].
    column_seeds: uint64 [P]; images depend on text and seed alone.
    num_images: M.

  Returns:
    float16 [P, M, D].
  """
  parts = []
  dim = model.settings.embedding_dim
  for start in range(0, len(text), _CHUNK_COLUMNS):
    # Always as many: another shape is another program, which rounds otherwise.
    rows = np.arange(start, start + _CHUNK_COLUMNS) % len(text)
    noise = surrogate_lib.noise(column_seeds[rows], num_images, dim)
    found = np.asarray(_draw(model, text[rows], noise), np.float16)
    parts.append(found[: len(text) - start])
  return np.concatenate(parts)


def save(directory: str, model: Surrogate, info: dict[str, Any]) -> None:
  """Writes a fitted surrogate.

  Args:
    directory: where to.
    model: the surrogate.
    info: plain values; must hold 'encoder_id' and 't2i_id'.
  """
  for name in ('encoder_id', 't2i_id'):
    if name not in info:
      raise errors.PastaError(
        f'info lacks {name}, which says what the surrogate stands for'
      )
  checkpoint.save_params(os.path.join(directory, 'model'), model)
  workdir.write_json(
    os.path.join(directory, _INFO_FILE),
    {'settings': dataclasses.asdict(model.settings), 'info': info},
  )


def load(directory: str, encoder_id: str, t2i_id: str) -> Surrogate:
  """Reads a fitted surrogate.

  Args:
    directory: as given to `save`.
    encoder_id: the encoder whose text features it will read.
    t2i_id: the text-to-image model that it is to stand for.

  Raises:
    PastaError: none there, a damaged one, or one of another encoder or
      text-to-image model.
  """
  path = os.path.join(directory, _INFO_FILE)
  if not os.path.exists(path):
    raise errors.PastaError(
      f'{directory}: no surrogate there (expected {_INFO_FILE}); run '
      'launch.train_surrogate first'
    )
  content = workdir.read_json(path)
  try:
    settings = surrogate_lib.Settings(**content['settings'])
    made_by = content['info']['encoder_id'], content['info']['t2i_id']
  except (KeyError, TypeError) as e:
    raise errors.PastaError(
      f'{path}: does not describe a surrogate ({e!r})'
    ) from e
  if made_by != (encoder_id, t2i_id):
    raise errors.PastaError(
      f'{directory}: the surrogate stands for {made_by[1]} as seen by encoder '
      f'{made_by[0]}, not for {t2i_id} and {encoder_id}; train it on sessions '
      'of those'
    )
  dim = settings.embedding_dim
  one, square = np.zeros(dim, np.float32), np.zeros((dim, dim), np.float32)
  constants = {
    'text_mean': one,
    'text_std': one,
    'image_mean': one,
    'image_whiten': square,
    'image_colour': square,
  }
  abstract = jax.eval_shape(
    lambda key: surrogate_lib.init(key, settings, constants), jax.random.key(0)
  )
  return checkpoint.load_params(os.path.join(directory, 'model'), abstract)
