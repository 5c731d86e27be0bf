"""E[R_k | prompt]: what a prompt is worth to a type before it is rendered.

A regression from prompt features to the utilities of columns that were shown.
It uses no choices, so every shown column counts. What all types feel and what
tells them apart are separate outputs with separate scales. The scatter of
columns around it is kept, too: it is what images add to their prompt.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from pasta import metrics as metrics_lib
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel
from pasta.user_model.packing import chunks

Columns = tuple[np.ndarray, np.ndarray]
_CHUNK_COLUMNS = 4096
_utility = jax.jit(model_lib.column_utility)


def column_utilities(
  model: UserModel, text: np.ndarray, image: np.ndarray
) -> np.ndarray:
  """Utilities [N, K] of columns: prompts [N, D], images [N, M, D]."""
  parts = []
  for index, count in chunks(len(text), _CHUNK_COLUMNS):
    part = np.asarray(_utility(model, text[index], image[index]))
    parts.append(part[:count])
  return np.concatenate(parts)


def targets(utility: jax.Array) -> jax.Array:
  """[mean over types, deviations from it]: [N, K] -> [N, K + 1]."""
  mean = utility.mean(-1, keepdims=True)
  xp = np if isinstance(utility, np.ndarray) else jnp
  return xp.concatenate([mean, utility - mean], -1)


def squared_error(
  params: dict[str, jax.Array], text: jax.Array, target: jax.Array
) -> jax.Array:
  """Loss []: mean's squared error plus the deviations' average one.

  Args:
    params: text regression (`model.init_text`).
    text: [B, D].
    target: normalised targets [B, K + 1].
  """
  chex.assert_rank([text, target], 2)
  error = jnp.square(model_lib.apply_text(params, text) - target)
  return jnp.mean(error[:, 0]) + jnp.mean(error[:, 1:])


def _split_constants(params: dict) -> tuple[dict, dict]:
  names = ('mean', 'std', 'target_mean', 'target_std', 'residual_std')
  constants = {k: params[k] for k in names}
  return constants, {k: v for k, v in params.items() if k not in names}


def _optimizer(config: ml_collections.ConfigDict, num_steps: int):
  schedule = optax.cosine_decay_schedule(config.learning_rate, num_steps, 0.01)
  return optax.adamw(schedule, weight_decay=config.weight_decay)


def _run_epoch(
  weights, opt_state, constants, text, target, index, *, optimizer
):
  """One pass over index [S, B]."""

  def step(carry, row):
    weights, opt_state = carry
    grads = jax.grad(
      lambda w: squared_error({**constants, **w}, text[row], target[row])
    )(weights)
    updates, opt_state = optimizer.update(grads, opt_state, weights)
    return (optax.apply_updates(weights, updates), opt_state), None

  (weights, opt_state), _ = jax.lax.scan(step, (weights, opt_state), index)
  return weights, opt_state


def r_squared(
  params: dict[str, jax.Array], text: np.ndarray, utility: np.ndarray
) -> dict[str, float]:
  """Share of variance explained, 1 at best.

  Args:
    params: text regression.
    text: [N, D].
    utility: [N, K].

  Returns:
    'text_r2' (mean over types), 'text_r2_worst_type', 'text_r2_common' (what
    types share) and 'text_r2_differences' (what tells them apart).
  """
  target = targets(utility)
  found = np.asarray(model_lib.apply_text(params, text))
  found = found * np.asarray(params['target_std']) + np.asarray(
    params['target_mean']
  )

  def explained(truth, guess) -> np.ndarray:
    total = np.sum((truth - truth.mean(0)) ** 2, 0)
    return 1.0 - np.sum((truth - guess) ** 2, 0) / np.maximum(total, 1e-9)

  by_type = explained(utility, found[:, :1] + found[:, 1:])  # [K]
  result = {
    'text_r2': float(by_type.mean()),
    'text_r2_worst_type': float(by_type.min()),
    'text_r2_common': float(explained(target[:, 0], found[:, 0])),
  }
  if utility.shape[1] > 1:
    truth, guess = target[:, 1:], found[:, 1:]
    spread = np.sum((truth - truth.mean(0)) ** 2)
    result['text_r2_differences'] = float(
      1.0 - np.sum((truth - guess) ** 2) / max(spread, 1e-9)
    )
  return result


def fit(
  model: UserModel,
  train: Columns,
  held_out: Columns | None,
  config: ml_collections.ConfigDict,
  *,
  key: jax.Array,
) -> tuple[UserModel, dict[str, float]]:
  """Fits the regression; the epoch with the least held-out error is kept.

  Args:
    model: a fitted user model; only its `text` changes.
    train: shown columns, prompts' features [N, D] and images' [N, M, D].
    held_out: other people's; None: `train` is judged on.
    config: hidden_dim, num_epochs, batch_columns, learning_rate,
      weight_decay.
    key: typed key of the start and of the batches.

  Returns:
    The model, and `r_squared` on held-out columns.

  Raises:
    PastaError: the loss is not finite.
  """
  utility = column_utilities(model, *train)
  text = train[0].astype(np.float32)
  test_text, test_utility = text, utility
  if held_out is not None:
    test_utility = column_utilities(model, *held_out)
    test_text = held_out[0].astype(np.float32)
  target = targets(utility)
  init_key, batch_key = jax.random.split(key)
  params = model_lib.init_text(
    init_key, text.shape[1], config.hidden_dim, model.num_types
  )
  params |= {
    'mean': jnp.asarray(text.mean(0)),
    'std': jnp.asarray(np.maximum(text.std(0), 1e-3)),
    'target_mean': jnp.asarray(target.mean(0)),
    'target_std': jnp.asarray(np.maximum(target.std(0), 1e-6)),
  }
  constants, weights = _split_constants(params)

  def normalise(x) -> jax.Array:
    return (x - constants['target_mean']) / constants['target_std']

  batch = min(config.batch_columns, len(text))
  steps = len(text) // batch
  optimizer = _optimizer(config, steps * config.num_epochs)
  opt_state = optimizer.init(weights)
  epoch = jax.jit(functools.partial(_run_epoch, optimizer=optimizer))
  loss = jax.jit(squared_error)
  text, target = jnp.asarray(text), normalise(target)
  test_target = normalise(targets(test_utility))
  best = (float(loss(params, test_text, test_target)), weights)
  for i in range(config.num_epochs):
    order = jax.random.permutation(jax.random.fold_in(batch_key, i), len(text))
    index = order[: steps * batch].reshape(steps, batch)
    weights, opt_state = epoch(
      weights, opt_state, constants, text, target, index
    )
    score = float(loss({**constants, **weights}, test_text, test_target))
    metrics_lib.check_finite({'text/loss': score}, i, 'of the text regression')
    if score < best[0]:
      best = (score, weights)
  params = {**constants, **best[1]}
  model = model.replace(text=params)
  predicted = jax.jit(model_lib.text_utility)(model, test_text)
  residual = test_utility - np.asarray(predicted)
  params['residual_std'] = jnp.asarray(residual.std(0))
  return model.replace(text=params), r_squared(params, test_text, test_utility)
