"""Constants that put a data set's features, utilities and returns on one scale.

Letters: T turns.
"""

import jax
import jax.numpy as jnp
import ml_collections

from pasta.agent import credit as credit_lib
from pasta.agent import inputs
from pasta.agent.episodes import Episodes

_SMALLEST_SCALE = 1e-3
_SHRINKAGE = 0.01  # share of the mean variance added to the covariance


def make_constants(
  episodes: Episodes, config: ml_collections.ConfigDict
) -> inputs.Constants:
  """Normalisation constants, from training sessions only."""
  valid = jnp.asarray(episodes.valid)
  count = valid.sum()

  def mean_scale(x):  # over valid turns and columns, per trailing feature
    x = jnp.asarray(x, jnp.float32)
    mask = valid[(...,) + (None,) * (x.ndim - 2)]
    total = count * x.shape[2]
    mean = jnp.where(mask, x, 0.0).sum((0, 1, 2)) / total
    variance = jnp.where(mask, (x - mean) ** 2, 0.0).sum((0, 1, 2)) / total
    return mean, jnp.maximum(jnp.sqrt(variance), _SMALLEST_SCALE)

  text_mean, text_scale = mean_scale(episodes.slate_text)
  image_mean, image_scale = mean_scale(episodes.slate_image)
  mean, spread = inputs.moments(
    jnp.asarray(episodes.log_belief), jnp.asarray(episodes.slate_utility)
  )
  utility_mean, utility_scale = mean_scale(mean)
  spread_mean, spread_scale = mean_scale(spread)
  gain = credit_lib.returns(jnp.asarray(episodes.reward), config.discount)
  per_turn = jnp.maximum(valid.sum(0), 1)
  return_mean = jnp.where(valid, gain, 0.0).sum(0) / per_turn
  rest = jnp.where(valid, gain - return_mean, 0.0)
  return_scale = jnp.maximum(jnp.sqrt((rest**2).sum() / count), _SMALLEST_SCALE)
  expected = jnp.asarray(episodes.expected)[..., -1:]
  expected_mean, expected_scale = mean_scale(expected)
  # The slope of the return on what the base knows, within turns: it starts
  # there.
  if config.credit == 'slate':
    regressor = (expected[..., 0] - expected_mean) / expected_scale
  else:
    regressor = credit_lib.credited(
      (mean - utility_mean) / utility_scale,
      jnp.asarray(episodes.choice),
      config.credit,
    )
  regressor_mean = jnp.where(valid, regressor, 0.0).sum(0) / per_turn
  regressor = jnp.where(valid, regressor - regressor_mean, 0.0)
  slope = (regressor * rest).sum() / jnp.maximum(
    (regressor**2).sum(), _SMALLEST_SCALE
  )
  return inputs.Constants(
    text_mean=text_mean,
    text_scale=text_scale,
    image_mean=image_mean,
    image_scale=image_scale,
    utility_mean=utility_mean,
    utility_scale=utility_scale,
    spread_mean=spread_mean,
    spread_scale=spread_scale,
    expected_mean=expected_mean,
    expected_scale=expected_scale,
    return_mean=return_mean,
    return_scale=return_scale,
    slope=jnp.maximum(slope / return_scale, config.min_slope),
    **_support(jnp.asarray(episodes.slate_text), valid, text_mean),
  )


def _support(
  text: jax.Array, valid: jax.Array, mean: jax.Array
) -> dict[str, jax.Array]:
  """Where the shown prompts' features [N, T, L, D] lie."""
  weight = jnp.broadcast_to(valid[..., None], text.shape[:-1]).astype(
    jnp.float32
  )
  offset = (text.astype(jnp.float32) - mean) * weight[..., None]
  covariance = jnp.einsum('ntld,ntle->de', offset, offset) / weight.sum()
  dim = text.shape[-1]
  floor = _SHRINKAGE * jnp.trace(covariance) / dim + _SMALLEST_SCALE**2
  precision = jnp.linalg.inv(covariance + floor * jnp.eye(dim))
  distance = jnp.einsum('ntld,de,ntle->ntl', offset, precision, offset)
  limit = jnp.nanquantile(jnp.where(weight > 0, distance, jnp.nan), 0.95)
  return {
    'support_precision': precision,
    'support_limit': jnp.maximum(limit, _SMALLEST_SCALE),
  }
