"""Picks a slate of L candidates, at most one a category (design of the agent).

A slate is legal if its L candidates are usable (valid, with a finite score) and
cover as many categories as the pool allows: L different ones, or all of them
where there are fewer than L. All functions take one pool; vmap for a batch.

Letters: C candidates, L slate columns.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

_MAX_DINKELBACH_STEPS = 24


def _rank(
  usable: jax.Array, valid: jax.Array, used: jax.Array, taken: jax.Array
) -> jax.Array:
  """How much a candidate may be picked next; only the highest rank counts.

  4 usable in an unused category, 3 usable, 2 and 1 the same for candidates
  with a non-finite score, 0 padding, -1 already taken. Ranks below 3 matter
  only for pools with fewer than L usable candidates, so that even then the
  slate has L different entries.

  Args:
    usable: bool [..., C], valid and with a finite score.
    valid: bool [..., C].
    used: bool [..., C], the category is in the slate already.
    taken: bool [..., C], the candidate is in the slate already.

  Returns:
    int32 [..., C].
  """
  rank = valid.astype(jnp.int32) * (2 - used) + 2 * usable
  return jnp.where(taken, -1, rank)


def allowed(
  usable: jax.Array, valid: jax.Array, used: jax.Array, taken: jax.Array
) -> jax.Array:
  """Mask [..., C] of the candidates that may be picked next."""
  rank = _rank(usable, valid, used, taken)
  return rank == rank.max(-1, keepdims=True)


def _pick(
  score: jax.Array,
  category: jax.Array,
  usable: jax.Array,
  valid: jax.Array,
  num_columns: int,
) -> jax.Array:
  """Picks the highest score that is still allowed, num_columns times."""
  score = jnp.where(usable, score, 0.0)
  used = jnp.zeros_like(valid)
  taken = jnp.zeros_like(valid)
  slate = []
  for _ in range(num_columns):
    may = allowed(usable, valid, used, taken)
    best = jnp.argmax(jnp.where(may, score, -jnp.inf))
    slate.append(best)
    used |= category == category[best]
    taken |= jnp.arange(score.shape[0]) == best
  return jnp.stack(slate).astype(jnp.int32)


def _check(category: jax.Array, num_columns: int, *scores: jax.Array) -> None:
  for score in scores:
    chex.assert_rank(score, 1)
    chex.assert_type(score, float)
    chex.assert_equal_shape([score, category])
  if not 1 <= num_columns <= category.shape[0]:
    raise ValueError(
      f'num_columns is {num_columns}: expected 1 to {category.shape[0]}, '
      'the size of the pool'
    )


def select_mean(
  scores: jax.Array, category: jax.Array, valid: jax.Array, num_columns: int
) -> jax.Array:
  """The legal slate with the highest sum of scores.

  The best candidate within each category, then the best L of those (the
  paper's section on slate selection): legal slates are the bases of a matroid,
  so picking greedily is exact. Where there are fewer than L categories the
  slate is filled with the next best.

  Args:
    scores: float [C]; non-finite ones are masked.
    category: int [C].
    valid: bool [C].
    num_columns: L.

  Returns:
    int32 [L], indices by falling score, ties by index. Entries that had to be
    filled from a used category come last.
  """
  _check(category, num_columns, scores)
  usable = valid & jnp.isfinite(scores)
  return _pick(scores, category, usable, valid, num_columns)


def select_choice(
  values: jax.Array,
  log_weights: jax.Array,
  category: jax.Array,
  valid: jax.Array,
  num_columns: int,
) -> jax.Array:
  """The legal slate P with the highest Σ_P w f / Σ_P w, exactly.

  This is the expected value of the chosen item when a person chooses with
  probability proportional to w. Dinkelbach's iteration: for the ratio λ of the
  best slate so far, select_mean on w (f − λ), until λ stops rising. It
  converges superlinearly, in two to five steps.

  Args:
    values: float [C], f; non-finite ones are masked.
    log_weights: float [C], log w up to a constant; non-finite ones are masked.
      Weights below e^-87 of the pool's largest count as equal, at 0.
    category: int [C].
    valid: bool [C].
    num_columns: L.

  Returns:
    int32 [L].
  """
  _check(category, num_columns, values, log_weights)
  usable = valid & jnp.isfinite(values) & jnp.isfinite(log_weights)
  values = jnp.where(usable, values, 0.0)
  log_weights = jnp.where(usable, log_weights, -jnp.inf)
  # Weights count up to a factor; the largest is 1, so that none overflows.
  top = log_weights.max()
  weights = jnp.exp(log_weights - jnp.where(usable.any(), top, 0.0))

  def ratio(slate):
    """λ of a slate as (f of its heaviest item, λ less that)."""
    log_weight = log_weights[slate]
    heaviest = jnp.argmax(log_weight)
    # Relative to the slate's own largest weight, so that no slate underflows.
    top = jnp.where(jnp.isfinite(log_weight).any(), log_weight.max(), 0.0)
    weight = jnp.exp(log_weight - top)
    total = weight.sum()
    anchor = values[slate][heaviest]
    excess = (weight * (values[slate] - anchor)).sum()
    return anchor, excess / jnp.where(total > 0, total, 1.0)

  def improve(carry):
    step, slate, (anchor, excess), _ = carry
    # f − λ in two parts: the rounding of λ, times the weight of an item that
    # dominates its slate, would otherwise hide all other items.
    gain = weights * ((values - anchor) - excess)
    # P is better than λ exactly where its Σ w (f − λ) is positive, and sums are
    # what picking greedily is exact for.
    new_slate = _pick(gain, category, usable, valid, num_columns)
    new_anchor, new_excess = ratio(new_slate)
    # Part by part, for the same reason.
    is_better = (new_anchor - anchor) + (new_excess - excess) > 0
    return (
      step + 1,
      jnp.where(is_better, new_slate, slate),
      (
        jnp.where(is_better, new_anchor, anchor),
        jnp.where(is_better, new_excess, excess),
      ),
      is_better,
    )

  slate = _pick(values, category, usable, valid, num_columns)
  carry = (jnp.int32(0), slate, ratio(slate), jnp.bool_(True))
  return jax.lax.while_loop(
    lambda c: c[3] & (c[0] < _MAX_DINKELBACH_STEPS), improve, carry
  )[1]


def sample_slate(
  key: jax.Array,
  logits: jax.Array,
  category: jax.Array,
  valid: jax.Array,
  num_columns: int,
) -> tuple[jax.Array, jax.Array]:
  """Draws a legal slate: L softmax draws over what is still allowed.

  After each draw its whole category is excluded; once every category is used,
  the rest is drawn from the remaining candidates.

  Args:
    key: typed key.
    logits: float [C], scores / temperature; non-finite ones are masked.
    category: int [C].
    valid: bool [C].
    num_columns: L.

  Returns:
    int32 [L], indices in the order drawn, and float32 [], the log probability
    of the slate as a set.
  """
  _check(category, num_columns, logits)
  usable = valid & jnp.isfinite(logits)
  logits = jnp.where(usable, logits, 0.0)
  # Fresh noise at every draw: candidates that come back when all categories
  # are used would otherwise carry the noise that they lost with.
  noise = jax.random.gumbel(key, (num_columns, logits.shape[0]))
  used = jnp.zeros_like(valid)
  taken = jnp.zeros_like(valid)
  slate = []
  for column in range(num_columns):
    may = allowed(usable, valid, used, taken)
    drawn = jnp.argmax(jnp.where(may, logits + noise[column], -jnp.inf))
    slate.append(drawn)
    used |= category == category[drawn]
    taken |= jnp.arange(logits.shape[0]) == drawn
  slate = jnp.stack(slate).astype(jnp.int32)
  return slate, set_log_propensity(logits, category, usable, slate, valid=valid)


def set_log_propensity(
  logits: jax.Array,
  category: jax.Array,
  usable: jax.Array,
  slate: jax.Array,
  *,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Log probability that sample_slate shows these candidates, in any order.

  The sum over all L! orders, computed over the 2^L subsets: with F(∅) = 1,
  F(S) = Σ_{i in S} F(S − i) p(i | S − i).

  Args:
    logits: float [C], finite where usable.
    category: int [C].
    usable: bool [C], valid and with a finite score.
    slate: int [L], different indices.
    valid: bool [C]; the same as usable where left out.

  Returns:
    float32 [].
  """
  chex.assert_rank([logits, category, usable, slate], 1)
  valid = usable if valid is None else valid
  num_columns = slate.shape[0]
  subsets = np.arange(2**num_columns)
  members = (subsets[:, None] >> np.arange(num_columns)) & 1  # [2^L, L]
  is_member = jnp.asarray(members, bool)[:, :, None]
  index = jnp.arange(logits.shape[0])
  taken = (is_member & (slate[:, None] == index)).any(1)  # [2^L, C]
  used = (is_member & (category[slate][:, None] == category)).any(1)
  may = allowed(usable, valid, used, taken)
  log_prob = jax.nn.log_softmax(jnp.where(may, logits, -jnp.inf), axis=-1)[
    :, slate
  ]  # [2^L, L]
  log_reach = jnp.full(2**num_columns, -jnp.inf).at[0].set(0.0)
  for size in range(1, num_columns + 1):
    sets = subsets[members.sum(1) == size]
    last = np.stack([np.flatnonzero(members[s]) for s in sets])  # [n, size]
    before = sets[:, None] - (1 << last)
    log_reach = log_reach.at[sets].set(
      jax.nn.logsumexp(log_reach[before] + log_prob[before, last], axis=-1)
    )
  return log_reach[-1]
