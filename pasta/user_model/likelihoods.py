"""Feedback likelihoods: one pure function each, log P(feedback | k) [N, K].

All take per-type utilities of N observations and a mask; what is masked adds
exactly 0 with zero gradient, whatever its values hold (also NaN). Satisfactions
of one person hang together, so theirs are summed by person.
"""

from collections.abc import Mapping
from types import MappingProxyType

import chex
import jax
import jax.numpy as jnp
import numpy as np

# How people choose beside what they like; what is not modelled is left out:
# 'lapse_logit' [], logit of ε, the share of choices made at random;
# 'position' [], β, log-odds of the first column of the screen against the last.
Habits = Mapping[str, jax.Array]
NO_HABITS: Habits = MappingProxyType({})

# Logit of a column that is not there; times 0 it is 0, unlike -inf.
_NOTHING = -1e9
# Nodes of a person's offset in standard deviations. Equal steps: after a few
# ratings the posterior of the offset is narrower than Gauss–Hermite's nodes.
_OFFSET_GRID = np.linspace(-3.5, 3.5, 15)


def slate_choice(
  utility: jax.Array,
  choice: jax.Array,
  mask: jax.Array,
  log_scale: jax.Array,
  available: jax.Array | None = None,
  habits: Habits = NO_HABITS,
  position: jax.Array | None = None,
) -> jax.Array:
  """Log C(choice | k, slate), see `choice_log_probs`.

  Args:
    utility: R [N, L, K].
    choice: chosen column [N], int; its value is free where masked.
    mask: [N], 1 = observed.
    log_scale: log τ [].
    available: [N, L], 1 = the column was on the slate; None: all were. The
      utility of others is free.
    habits: see `Habits`.
    position: [N, L], as in `choice_log_probs`.

  Returns:
    [N, K].
  """
  chex.assert_rank([utility, choice, mask, log_scale], [3, 1, 1, 0])
  chex.assert_equal_shape_prefix([utility, choice, mask], 1)
  chex.assert_type(choice, int)
  num_columns = utility.shape[1]
  logits = _placed(jnp.exp(log_scale) * _known(utility, mask), habits, position)
  logits = _offered(logits, available)
  # A one-hot product: its gradient is dense, a gather's is a slow scatter.
  picked = jax.nn.one_hot(choice, num_columns, dtype=utility.dtype)
  chosen = jnp.sum(logits * picked[..., None], 1)
  log_prob = chosen - jax.nn.logsumexp(logits, 1)
  if available is not None:
    num_columns = jnp.maximum(available.sum(1, keepdims=True), 1)
  log_prob = _lapsed(log_prob, habits, num_columns)
  return log_prob * mask.astype(utility.dtype)[:, None]


def choice_log_probs(
  utility: jax.Array,
  log_scale: jax.Array,
  habits: Habits = NO_HABITS,
  position: jax.Array | None = None,
) -> jax.Array:
  """Log C(l | k, slate) = log[(1 − ε) softmax_l(τ R_l + β x_l) + ε / L].

  The paper's softmax (section 4), of people who now and then click at random
  (ε, the lapse rate) and whom a column's place on the screen attracts (β).

  Args:
    utility: R of a slate's columns [..., L, K].
    log_scale: log τ [].
    habits: see `Habits`.
    position: x [..., L], 1 in the first column of the screen, falling linearly
      to 0 in the last (`types.screen_position`); None: the order is not known,
      and no place attracts.

  Returns:
    [..., L, K].
  """
  logits = _placed(jnp.exp(log_scale) * utility, habits, position)
  log_probs = jax.nn.log_softmax(logits, axis=-2)
  return _lapsed(log_probs, habits, utility.shape[-2])


def _placed(
  logits: jax.Array, habits: Habits, position: jax.Array | None
) -> jax.Array:
  """Logits [..., L, K] with what places [..., L] add."""
  if 'position' not in habits or position is None:
    return logits
  chex.assert_shape(position, logits.shape[:-1])
  return logits + habits['position'] * position[..., None]


def _lapsed(
  log_prob: jax.Array, habits: Habits, num_columns: jax.Array | int
) -> jax.Array:
  """Mixes log probabilities with a uniform choice among so many columns."""
  if 'lapse_logit' not in habits:
    return log_prob
  logit = habits['lapse_logit']
  at_random = jax.nn.log_sigmoid(logit) - jnp.log(num_columns)
  return jnp.logaddexp(jax.nn.log_sigmoid(-logit) + log_prob, at_random)


def _known(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Values [N, …] with zeros where masked: NaN times 0 would be NaN."""
  shape = mask.shape + (1,) * (values.ndim - mask.ndim)
  return jnp.where(mask.astype(bool).reshape(shape), values, 0.0)


def _offered(logits: jax.Array, available: jax.Array | None) -> jax.Array:
  """Logits [N, L, K] with a finite nothing where a column was not offered."""
  if available is None:
    return logits
  chex.assert_shape(available, logits.shape[:2])
  offered = available.astype(bool)[..., None]
  return jnp.where(offered, logits, _NOTHING)


def pair(
  utility: jax.Array, label: jax.Array, mask: jax.Array, log_scale: jax.Array
) -> jax.Array:
  """Log-likelihood of comparing two columns (Bradley and Terry 1952).

  Args:
    utility: R [N, 2, K].
    label: how much the first was preferred [N], in [0, 1]; a tie is 0.5, and
      counts half as a win of either (Pick-a-Pic's labels).
    mask: [N], 1 = observed.
    log_scale: log τ [].

  Returns:
    Cross-entropy of the label, [N, K].
  """
  chex.assert_rank([utility, label, mask, log_scale], [3, 1, 1, 0])
  chex.assert_axis_dimension(utility, 1, 2)
  chex.assert_equal_shape_prefix([utility, label, mask], 1)
  utility, label = _known(utility, mask), _known(label, mask)[:, None]
  difference = jnp.exp(log_scale) * (utility[:, 0] - utility[:, 1])
  log_prob = label * jax.nn.log_sigmoid(difference)
  log_prob += (1.0 - label) * jax.nn.log_sigmoid(-difference)
  return log_prob * mask.astype(utility.dtype)[:, None]


def ranking(
  utility: jax.Array,
  order: jax.Array,
  mask: jax.Array,
  log_scale: jax.Array,
  available: jax.Array | None = None,
) -> jax.Array:
  """Log-likelihood of a full or partial ranking (Plackett and Luce).

  Columns are taken one after another, each by a softmax over what is left. A
  partial ranking names the best few; those not named come after them, in an
  order that is not known.

  Args:
    utility: R [N, L, K].
    order: columns from best to worst [N, L], int; −1 from where the ranking
      ends.
    mask: [N], 1 = observed.
    log_scale: log τ [].
    available: [N, L], 1 = there was such a column; None: all.

  Returns:
    [N, K]. A slate choice is the ranking that names one column.
  """
  chex.assert_rank([utility, order, mask, log_scale], [3, 2, 1, 0])
  chex.assert_equal_shape_prefix([utility, order], 2)
  chex.assert_type(order, int)
  logits = _offered(jnp.exp(log_scale) * _known(utility, mask), available)
  num_columns = utility.shape[1]
  total = jnp.zeros_like(utility[:, 0])
  for place in range(num_columns):
    picked = jax.nn.one_hot(order[:, place], num_columns, dtype=logits.dtype)
    named = (order[:, place] >= 0).astype(logits.dtype)[:, None]
    chosen = jnp.sum(logits * picked[..., None], 1)
    total += named * (chosen - jax.nn.logsumexp(logits, 1))
    logits = jnp.where(picked[..., None] > 0, _NOTHING, logits)
  return total * mask.astype(utility.dtype)[:, None]


def rating(
  utility: jax.Array, value: jax.Array, mask: jax.Array, params: dict
) -> jax.Array:
  """Log density of a number given to a column, Gaussian.

  Args:
    utility: R [N, K].
    value: the rating [N], in the data's own units; free where masked.
    mask: [N], 1 = observed.
    params: intercept [], log_slope [] (rating units per unit of utility) and
      log_sigma [] (rating units).

  Returns:
    [N, K]; it can be positive.
  """
  chex.assert_rank([utility, value, mask], [2, 1, 1])
  chex.assert_equal_shape_prefix([utility, value, mask], 1)
  utility, value = _known(utility, mask), _known(value, mask)[:, None]
  mean = params['intercept'] + jnp.exp(params['log_slope']) * utility
  log_sigma = params['log_sigma']
  density = (
    -0.5 * ((value - mean) * jnp.exp(-log_sigma)) ** 2
    - log_sigma
    - 0.5 * jnp.log(2 * jnp.pi)
  )
  return density * mask.astype(utility.dtype)[:, None]


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


def offset_log_prior(dtype: jnp.dtype = jnp.float32) -> jax.Array:
  """Log probability of each of the J values of a person's offset [J].

  Some people always rate high: the offset is normal with mean 0 over people,
  here on a grid.
  """
  return jax.nn.log_softmax(-0.5 * jnp.asarray(_OFFSET_GRID, dtype) ** 2)


def satisfaction_by_offset(
  utility: jax.Array, value: jax.Array, mask: jax.Array, params: dict
) -> jax.Array:
  """Log density of a satisfaction under each type and each offset.

  Gaussian around `satisfaction_mean`.

  Args:
    utility: R of the chosen columns [N, K].
    value: in [0, 1], [N]; free where masked.
    mask: [N], 1 = observed.
    params: level [K], log_scale [], log_sigma [] (noise of a rating),
      log_spread [] (standard deviation of the offset, in logits).

  Returns:
    [N, K, J], for the offsets of `offset_log_prior`; it can be positive.
  """
  chex.assert_rank([utility, value, mask], [2, 1, 1])
  chex.assert_equal_shape_prefix([utility, value, mask], 1)
  # NaN times zero is NaN in the gradient too, so it is replaced beforehand.
  value = _known(value, mask)[:, None, None]
  grid = jnp.asarray(_OFFSET_GRID, utility.dtype)
  offset = jnp.exp(params['log_spread']) * grid  # [J]
  scaled = params['level'] + jnp.exp(params['log_scale']) * _known(
    utility, mask
  )
  mean = jax.nn.sigmoid(scaled[..., None] + offset)  # [N, K, J]
  log_sigma = params['log_sigma']
  density = (
    -0.5 * ((value - mean) * jnp.exp(-log_sigma)) ** 2
    - log_sigma
    - 0.5 * jnp.log(2 * jnp.pi)
  )
  return density * mask.astype(density.dtype)[:, None, None]


def satisfaction(
  utility: jax.Array,
  value: jax.Array,
  weight: jax.Array,
  params: dict,
  group: jax.Array,
  num_groups: int,
) -> jax.Array:
  """Log density of each person's satisfactions under each type.

  The offset is integrated out over all of a person's ratings. Were these taken
  as independent instead, types would be spent on generosity and not on taste.

  Args:
    utility: R of the chosen columns [N, K].
    value: in [0, 1], [N].
    weight: [N], 1 = observed; other numbers multiply the log density.
    params: as for `satisfaction_by_offset`.
    group: which of the G people [N], int, growing.
    num_groups: G.

  Returns:
    Log density [G, K]; it can be positive; 0 for people without a rating.
  """
  chex.assert_rank([weight, group], 1)
  chex.assert_equal_shape_prefix([utility, weight, group], 1)
  density = satisfaction_by_offset(utility, value, weight > 0, params)
  per_offset = jax.ops.segment_sum(
    density * weight.astype(density.dtype)[:, None, None],
    group,
    num_groups,
    indices_are_sorted=True,
  )  # [G, K, J]
  return jax.nn.logsumexp(per_offset + offset_log_prior(density.dtype), -1)


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
    difference: as in `cross_turn_log_probs` [N, K]; free where masked.
    comparison: −1 worse, 0 same, 1 better [N], int; free where masked.
    mask: [N], 1 = observed.
    params: as in `cross_turn_log_probs`.

  Returns:
    [N, K].
  """
  chex.assert_rank([difference, comparison, mask], [2, 1, 1])
  chex.assert_equal_shape_prefix([difference, comparison, mask], 1)
  chex.assert_type(comparison, int)
  log_probs = cross_turn_log_probs(_known(difference, mask), params)
  picked = jax.nn.one_hot(comparison + 1, 3, dtype=difference.dtype)
  observed = mask.astype(difference.dtype)[:, None]
  return jnp.sum(log_probs * picked[:, None], -1) * observed
