"""Feedback likelihoods: one pure function each, log P(feedback | k) [N, K].

All take per-type utilities of N observations (N people for satisfaction, whose
ratings hang together) and a mask; what is masked adds exactly 0 with zero
gradient, whatever its values hold (also NaN).
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

WORSE, SAME, BETTER = -1, 0, 1
# Nodes of a person's offset in standard deviations. Equal steps: after a few
# ratings the posterior of the offset is narrower than Gauss–Hermite's nodes.
_OFFSET_GRID = np.linspace(-3.5, 3.5, 15)


def slate_choice(
  utility: jax.Array, choice: jax.Array, mask: jax.Array, log_scale: jax.Array
) -> jax.Array:
  """Log C(choice | k, slate), a softmax over columns (paper, section 4).

  Args:
    utility: R [N, L, K].
    choice: chosen column [N], int; its value is free where masked.
    mask: [N], 1 = observed.
    log_scale: log τ [].

  Returns:
    [N, K].
  """
  chex.assert_rank([utility, choice, mask, log_scale], [3, 1, 1, 0])
  chex.assert_equal_shape_prefix([utility, choice, mask], 1)
  chex.assert_type(choice, int)
  log_probs = jax.nn.log_softmax(jnp.exp(log_scale) * utility, axis=1)
  # A one-hot product: its gradient is dense, a gather's is a slow scatter.
  picked = jax.nn.one_hot(choice, utility.shape[1], dtype=utility.dtype)
  observed = mask.astype(utility.dtype)[:, None]
  return jnp.sum(log_probs * picked[..., None], 1) * observed


def satisfaction_mean(
  utility: jax.Array, params: dict, offset: jax.Array | float = 0.0
) -> jax.Array:
  """E[satisfaction | k, offset] = sigmoid(level_k + scale · R + offset).

  Args:
    utility: R of the chosen column [..., K].
    params: level [K], log_scale [], (others unused).
    offset: how generous the person is, in logits; broadcasts to utility.

  Returns:
    [..., K], in (0, 1).
  """
  scaled = params['level'] + jnp.exp(params['log_scale']) * utility
  return jax.nn.sigmoid(scaled + offset)


def satisfaction(
  utility: jax.Array, value: jax.Array, mask: jax.Array, params: dict
) -> jax.Array:
  """Log density of one person's satisfactions under each type.

  Gaussian around `satisfaction_mean`, whose offset (some people always rate
  high) is normal with mean 0 over people and integrated out on a grid. Were
  the ratings of a person taken as independent instead, types would be spent on
  generosity and not on taste.

  Args:
    utility: R of the chosen columns [N, O, K].
    value: in [0, 1], [N, O].
    mask: [N, O], 1 = observed.
    params: level [K], log_scale [], log_sigma [] (noise of a rating),
      log_spread [] (standard deviation of the offset, in logits).

  Returns:
    Log density [N, K]; it can be positive.
  """
  chex.assert_rank([utility, value, mask], [3, 2, 2])
  chex.assert_equal_shape_prefix([utility, value, mask], 2)
  observed = mask.astype(bool)[..., None, None]
  # NaN times zero is NaN in the gradient too, so it is replaced beforehand.
  value = jnp.where(mask.astype(bool), value, 0.0)[..., None, None]
  grid = jnp.asarray(_OFFSET_GRID, utility.dtype)
  offset = jnp.exp(params['log_spread']) * grid  # [J]
  scaled = params['level'] + jnp.exp(params['log_scale']) * utility
  mean = jax.nn.sigmoid(scaled[..., None] + offset)  # [N, O, K, J]
  log_sigma = params['log_sigma']
  density = (
    -0.5 * ((value - mean) * jnp.exp(-log_sigma)) ** 2
    - log_sigma
    - 0.5 * jnp.log(2 * jnp.pi)
  )
  per_offset = jnp.where(observed, density, 0.0).sum(1)  # [N, K, J]
  return jax.nn.logsumexp(per_offset + jax.nn.log_softmax(-0.5 * grid**2), -1)


def cross_turn_log_probs(difference: jax.Array, params: dict) -> jax.Array:
  """Log P(worse, same, better | k): an ordered logit on a utility difference.

  Thresholds are centre ∓ exp(log_half_width), hence always in order.

  Args:
    difference: R of this turn's chosen column minus the turn before's [..., K].
    params: log_scale [], centre [], log_half_width [].

  Returns:
    [..., K, 3], in the order worse, same, better.
  """
  scaled = jnp.exp(params['log_scale']) * difference - params['centre']
  half = jnp.exp(params['log_half_width'])
  low, high = -half - scaled, half - scaled
  worse = jax.nn.log_sigmoid(low)
  better = jax.nn.log_sigmoid(-high)
  # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b}): no cancellation in either tail.
  same = (
    jax.nn.log_sigmoid(high)
    + jax.nn.log_sigmoid(-low)
    + jnp.log1p(-jnp.exp(-2 * half))
  )
  return jnp.stack([worse, same, better], -1)


def cross_turn(
  difference: jax.Array, comparison: jax.Array, mask: jax.Array, params: dict
) -> jax.Array:
  """Log P(comparison | k) of better / same / worse than the turn before.

  Args:
    difference: as in `cross_turn_log_probs` [N, K].
    comparison: −1 worse, 0 same, 1 better [N], int; free where masked.
    mask: [N], 1 = observed.
    params: as in `cross_turn_log_probs`.

  Returns:
    [N, K].
  """
  chex.assert_rank([difference, comparison, mask], [2, 1, 1])
  chex.assert_equal_shape_prefix([difference, comparison, mask], 1)
  chex.assert_type(comparison, int)
  log_probs = cross_turn_log_probs(difference, params)  # [N, K, 3]
  picked = jax.nn.one_hot(comparison + 1, 3, dtype=difference.dtype)
  observed = mask.astype(difference.dtype)[:, None]
  return jnp.sum(log_probs * picked[:, None], -1) * observed
