import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pasta.agent import slates as slates_lib

C, L = 8, 3
_set_log_propensity = jax.jit(slates_lib.set_log_propensity)


def _legal_slates(usable, category, num_columns=L):
  """The legal slates of pools [B, C]: all sets of L, and which are legal.

  Legal are L usable candidates over as many categories as possible.

  Returns:
    int [S, L] and bool [B, S].
  """
  size = usable.shape[1]
  slates = np.array(list(itertools.combinations(range(size), num_columns)))
  one_hot = category[..., None] == np.arange(category.max() + 1)  # [B, C, G]
  bits = (one_hot << np.arange(one_hot.shape[2])).sum(2)  # one a category
  covered = np.bitwise_count(np.bitwise_or.reduce(bits[:, slates], 2))
  available = np.bitwise_count(np.bitwise_or.reduce(bits * usable, 1))
  target = np.minimum(available, num_columns)
  is_legal = usable[:, slates].all(2) & (covered == target[:, None])
  return slates, is_legal


def _random_pools(num, seed, size):
  """Pools with ties, NaN, infinities, padding and few categories."""
  rng = np.random.default_rng(seed)
  score = rng.integers(-3, 4, (num, size)).astype(np.float32)
  smooth = rng.random(num) < 0.5
  score[smooth] += rng.normal(size=(smooth.sum(), size)).astype(np.float32)
  broken = rng.random((num, size)) < 0.1
  values = np.array([np.nan, -np.inf, np.inf], np.float32)
  score = np.where(broken, values[rng.integers(0, 3, (num, size))], score)
  category = rng.integers(0, rng.integers(1, 6, num)[:, None], (num, size))
  valid = rng.random((num, size)) < 0.9
  weight = rng.normal(size=(num, size)).astype(np.float32)
  weight[::5] *= 10.0  # up to e^30 between candidates
  weight[rng.random((num, size)) < 0.02] = -np.inf
  few = (np.isfinite(score) & np.isfinite(weight) & valid).sum(1) < L + 1
  score[few], weight[few], valid[few] = 0.0, 0.0, True
  return score, weight, category.astype(np.int32), valid


def _check_against_brute_force(got, slates, is_legal, value):
  """Whether the slates got [B, L] are legal and have the highest value [B, S].

  Returns how far they are below it, [B].
  """
  rows = np.arange(len(got))
  position = (np.sort(got, 1)[:, None] == slates).all(2).argmax(1)  # [B]
  np.testing.assert_array_equal(slates[position], np.sort(got, 1))
  assert is_legal[rows, position].all()
  return np.where(is_legal, value, -np.inf).max(1) - value[rows, position]


# 10,000 small pools, and some of the paper's size: 12,650 slates each.
_POOLS = pytest.mark.parametrize('num, size, columns', [
  (10_000, C, L),
  (50, 25, 4),
])  # fmt: skip


def _batched(function, num_columns):
  return jax.jit(jax.vmap(functools.partial(function, num_columns=num_columns)))


@_POOLS
def test_select_mean_equals_brute_force(num, size, columns):
  score, _, category, valid = _random_pools(num, 0, size)
  got = _batched(slates_lib.select_mean, columns)(score, category, valid)
  usable = valid & np.isfinite(score)
  slates, is_legal = _legal_slates(usable, category, columns)
  value = np.where(usable, score, 0.0).astype(np.float64)[:, slates].sum(2)
  missing = _check_against_brute_force(np.asarray(got), slates, is_legal, value)
  np.testing.assert_allclose(missing, 0.0, atol=1e-6)


@_POOLS
def test_select_choice_equals_brute_force(num, size, columns):
  score, weight, category, valid = _random_pools(num, 1, size)
  got = _batched(slates_lib.select_choice, columns)(
    score, weight, category, valid
  )
  usable = valid & np.isfinite(score) & np.isfinite(weight)
  slates, is_legal = _legal_slates(usable, category, columns)
  values = np.where(usable, score, 0.0).astype(np.float64)[:, slates]
  log_weight = np.where(usable, weight, -60.0).astype(np.float64)[:, slates]
  weights = np.exp(log_weight - log_weight.max(2, keepdims=True))
  value = (weights * values).sum(2) / weights.sum(2)
  missing = _check_against_brute_force(np.asarray(got), slates, is_legal, value)
  np.testing.assert_allclose(missing, 0.0, atol=2e-5)


class ByHandTest(chex.TestCase):
  """Small pools, compiled and not."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_allowed_are_usable_candidates_of_unused_categories(self):
    # In turn: taken, its category used, unused, not finite, padding.
    usable = jnp.array([True, True, True, False, False])
    valid = jnp.array([True, True, True, True, False])
    used = jnp.array([True, True, False, False, False])
    taken = jnp.array([True, False, False, False, False])
    allowed = self.variant(slates_lib.allowed)
    found = allowed(usable, valid, used, taken)
    assert found.tolist() == [False, False, True, False, False]
    # Without it: the usable one before that which is not.
    found = allowed(usable, valid, used, taken.at[2].set(True))
    assert found.tolist() == [False, True, False, False, False]

  @chex.variants(with_jit=True, without_jit=True)
  def test_select_choice_is_not_the_mean(self):
    # w = (1, 9) on f = (1, 0) with 2 columns of 3: the pairs' ratios are
    # {0, 1}: 1/10, {0, 2}: (1 + 0.5) / 2 = 0.75 where the means are 0.5, 0.75.
    slate = self.variant(slates_lib.select_choice, static_argnums=4)(
      jnp.array([1.0, 0.6, 0.5]),
      jnp.log(jnp.array([1.0, 9.0, 1.0])),
      jnp.arange(3),
      jnp.ones(3, bool),
      2,
    )
    assert sorted(slate.tolist()) == [0, 2]  # 0.75 against 0.64 for {0, 1}
    mean = self.variant(slates_lib.select_mean, static_argnums=3)(
      jnp.array([1.0, 0.6, 0.5]), jnp.arange(3), jnp.ones(3, bool), 2
    )
    assert sorted(mean.tolist()) == [0, 1]

  @chex.variants(with_jit=True, without_jit=True)
  def test_select_choice_survives_far_weights_and_an_offset(self):
    slate = self.variant(slates_lib.select_choice, static_argnums=4)(
      jnp.array([1000.0, 1001.0, 1000.5]),
      jnp.array([-500.0, -520.0, -510.0]),
      jnp.arange(3),
      jnp.ones(3, bool),
      2,
    )
    assert sorted(slate.tolist()) == [1, 2]

  @chex.variants(with_jit=True, without_jit=True)
  def test_ties_break_by_index_and_order_falls(self):
    slate = self.variant(slates_lib.select_mean, static_argnums=3)(
      jnp.array([1.0, 2.0, 2.0, 1.0]), jnp.arange(4), jnp.ones(4, bool), 3
    )
    assert slate.tolist() == [1, 2, 0]

  @chex.variants(with_jit=True, without_jit=True)
  def test_one_category_is_filled_with_the_next_best(self):
    slate = self.variant(slates_lib.select_mean, static_argnums=3)(
      jnp.array([1.0, 4.0, 3.0, 2.0]),
      jnp.array([1, 0, 0, 0]),
      jnp.ones(4, bool),
      3,
    )
    assert slate.tolist() == [1, 0, 2]

  @chex.variants(with_jit=True, without_jit=True)
  def test_too_few_finite_scores_still_give_different_entries(self):
    score = jnp.array([jnp.nan, 1.0, -jnp.inf, jnp.nan, 0.5])
    valid = jnp.array([True, True, True, True, False])
    category = jnp.array([0, 0, 0, 1, 2])
    slate = self.variant(slates_lib.select_mean, static_argnums=3)(
      score, category, valid, 3
    )
    # The finite one, then the unused category, then the first of the rest.
    assert slate.tolist() == [1, 3, 0]


def test_sizes_that_do_not_fit_raise():
  with pytest.raises(ValueError, match='num_columns is 5'):
    slates_lib.select_mean(
      jnp.zeros(4), jnp.zeros(4, int), jnp.ones(4, bool), 5
    )
  with pytest.raises(AssertionError):
    slates_lib.select_mean(
      jnp.zeros(4), jnp.zeros(3, int), jnp.ones(4, bool), 2
    )


@pytest.mark.parametrize('category', [[0, 0, 1, 1, 2, 3], [0, 0, 0, 1, 1, 1]])
def test_propensities_sum_to_one_and_match_frequencies(category):
  category = jnp.array(category)
  logits = jnp.array([0.5, -0.5, 1.0, 0.0, -1.0, 0.3])
  valid = jnp.array([True, True, True, True, True, False])
  num = 40_000
  slates, log_propensity = jax.jit(
    jax.vmap(lambda k: slates_lib.sample_slate(k, logits, category, valid, L))
  )(jax.random.split(jax.random.key(0), num))
  sets, is_legal = _legal_slates(
    np.asarray(valid)[None], np.asarray(category)[None]
  )
  legal = [tuple(s) for s in sets[is_legal[0]].tolist()]
  expected = {
    s: float(
      jnp.exp(_set_log_propensity(logits, category, valid, jnp.array(s)))
    )
    for s in legal
  }
  assert sum(expected.values()) == pytest.approx(1.0, abs=1e-5)
  codes, index, counts = np.unique(
    np.sort(slates, 1), axis=0, return_index=True, return_counts=True
  )
  assert {tuple(c) for c in codes} == set(legal)
  for code, i, count in zip(codes, index, counts, strict=True):
    p = expected[tuple(code)]
    assert float(jnp.exp(log_propensity[i])) == pytest.approx(p, rel=1e-4)
    assert count / num == pytest.approx(p, abs=4 * (p * (1 - p) / num) ** 0.5)


def test_set_propensity_is_the_sum_over_orders():
  logits = np.array([0.3, -0.2, 1.1, 0.0], np.float32)
  category = np.array([0, 1, 1, 2])
  slate, total = (0, 2, 3), 0.0
  for order in itertools.permutations(slate):
    allowed, p = np.ones(4, bool), 1.0
    for i in order:
      p *= np.exp(logits[i]) / np.exp(logits[allowed]).sum()
      allowed &= category != category[i]
    total += p
  got = _set_log_propensity(
    jnp.array(logits), jnp.array(category), jnp.ones(4, bool), jnp.array(slate)
  )
  assert float(jnp.exp(got)) == pytest.approx(total, rel=1e-5)


def test_sampling_ignores_non_finite_scores():
  logits = jnp.array([jnp.nan, 0.0, jnp.inf, 0.0, -jnp.inf, 0.0])
  slates, log_propensity = jax.jit(
    jax.vmap(
      lambda k: slates_lib.sample_slate(
        k, logits, jnp.arange(6), jnp.ones(6, bool), 3
      )
    )
  )(jax.random.split(jax.random.key(0), 20))
  assert (np.sort(slates, 1) == [1, 3, 5]).all()
  np.testing.assert_allclose(log_propensity, 0.0, atol=1e-6)
