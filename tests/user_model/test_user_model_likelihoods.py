"""Feedback likelihoods against hand-computed numbers."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pasta.user_model import likelihoods

slate_choice = jax.jit(likelihoods.slate_choice)
ranking = jax.jit(likelihoods.ranking)
satisfaction = jax.jit(likelihoods.satisfaction, static_argnums=5)
cross_turn = jax.jit(likelihoods.cross_turn)
cross_turn_log_probs = jax.jit(likelihoods.cross_turn_log_probs)

COMPARISON = {
  'log_scale': np.log(2.0),
  'centre': np.asarray(0.5),
  'log_half_width': np.log(1.0),
}
SATISFACTION = {
  'level': np.array([0.0, 1.0]),
  'log_scale': np.log(2.0),
  'log_sigma': np.log(0.1),
  'log_spread': np.log(1e-4),
}


class ByHandTest(chex.TestCase):
  """Each likelihood, compiled and not."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_slate_choice_by_hand(self):
    log_prob = self.variant(likelihoods.slate_choice)
    # Type 0: utilities log 1, log 2, log 5; chosen 2: 5 / 8.
    # Type 1: all equal: 1 / 3.
    utility = np.stack([np.log([1.0, 2.0, 5.0]), np.zeros(3)], -1)
    utility = utility.astype(np.float32)
    found = log_prob(
      utility[None], np.array([2]), np.array([1]), np.asarray(0.0)
    )
    np.testing.assert_allclose(found, np.log([[5 / 8, 1 / 3]]), rtol=1e-6)
    # τ = 2 squares the odds: 25 / 30.
    found = log_prob(utility[None], np.array([2]), np.array([1]), np.log(2.0))
    np.testing.assert_allclose(found[0, 0], np.log(25 / 30), rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_slate_choice_among_available_columns(self):
    log_prob = self.variant(likelihoods.slate_choice)
    # Weights 1, 2, 5; the last is missing: 2 / 3 for the second.
    utility = np.log([[[1.0], [2.0], [5.0]]]).astype(np.float32)
    found = log_prob(
      utility,
      np.array([1]),
      np.array([1]),
      np.asarray(0.0),
      np.array([[1, 1, 0]]),
    )
    np.testing.assert_allclose(found, np.log([[2 / 3]]), rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_pair_by_hand(self):
    # Odds 3 : 1 for the first, who wins, loses and ties.
    utility = np.log([[[3.0], [1.0]]] * 3).astype(np.float32)
    found = self.variant(likelihoods.pair)(
      utility, np.array([1.0, 0.0, 0.5]), np.ones(3), np.asarray(0.0)
    )
    expected = np.log([3 / 4, 1 / 4])
    np.testing.assert_allclose(
      found[:, 0], [*expected, expected.mean()], rtol=1e-6
    )

  @chex.variants(with_jit=True, without_jit=True)
  def test_ranking_by_hand(self):
    log_prob = self.variant(likelihoods.ranking)
    # Weights 1, 2, 5. Order 2, 0, 1: 5/8 · 1/3 · 1; best two 1, 2: 2/8 · 5/6.
    utility = np.log([[[1.0], [2.0], [5.0]]] * 3).astype(np.float32)
    order = np.array([[2, 0, 1], [1, 2, -1], [-1, -1, -1]])
    found = log_prob(utility, order, np.ones(3), np.asarray(0.0))
    expected = np.log([5 / 8 / 3, 2 / 8 * 5 / 6, 1.0])
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5, atol=1e-6)
    # Without the column of weight 5: 2 / 3 for the other.
    found = log_prob(
      utility[:1],
      np.array([[1, 0, -1]]),
      np.ones(1),
      np.asarray(0.0),
      np.array([[1, 1, 0]]),
    )
    np.testing.assert_allclose(found, np.log([[2 / 3]]), rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_rating_by_hand(self):
    log_prob = self.variant(likelihoods.rating)
    params = {
      'intercept': np.asarray(3.0),
      'log_slope': np.log(2.0),
      'log_sigma': np.log(0.5),
    }
    # Mean 3 + 2 · 0.5 = 4, value 5: two deviations away.
    found = log_prob(
      np.array([[0.5]], np.float32), np.array([5.0]), np.array([1]), params
    )
    expected = -0.5 * 4 - np.log(0.5) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, [[expected]], rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_satisfaction_mean_by_hand(self):
    # 0 + 2 · 0.5 − 1 = 0 and 1 + 2 · 0.5 − 1 = 1.
    found = self.variant(likelihoods.satisfaction_mean)(
      np.array([[0.5, 0.5]]), SATISFACTION, -1.0
    )
    np.testing.assert_allclose(found, [[0.5, 1 / (1 + np.exp(-1))]], rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_satisfaction_by_hand(self):
    log_prob = self.variant(likelihoods.satisfaction, static_argnums=5)
    # Two ratings; with no spread of offsets they are independent Gaussians.
    utility = np.array([[0.5, 0.0], [0.0, -0.5]], np.float32)  # [N, K]
    value = np.array([0.8, 0.4])
    mean = 1 / (1 + np.exp(-np.array([[1.0, 1.0], [0.0, 0.0]])))  # [O, K]
    expected = (
      -0.5 * ((np.array([[0.8], [0.4]]) - mean) / 0.1) ** 2
      - np.log(0.1 * np.sqrt(2 * np.pi))
    ).sum(0)
    one = np.zeros(2, int)  # One person, then two people.
    found = log_prob(utility, value, np.ones(2), SATISFACTION, one, 1)
    np.testing.assert_allclose(found[0], expected, rtol=1e-3)
    apart = log_prob(
      utility, value, np.ones(2), SATISFACTION, np.array([0, 1]), 3
    )
    np.testing.assert_allclose(apart.sum(0), expected, rtol=1e-3)
    np.testing.assert_allclose(apart[2], 0.0, atol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_cross_turn_by_hand(self):
    log_prob = self.variant(likelihoods.cross_turn)
    log_probs = self.variant(likelihoods.cross_turn_log_probs)
    # scale 2, difference 0.75: 1.5 − centre 0.5 = 1; thresholds −1 and 1:
    # P(worse) = σ(−2), P(better) = σ(0) = 1/2.
    difference = np.array([[0.75]], np.float32)
    found = np.exp(log_probs(difference, COMPARISON))
    worse = 1 / (1 + np.exp(2))
    np.testing.assert_allclose(
      found[0, 0], [worse, 0.5 - worse, 0.5], rtol=1e-5
    )
    for comparison, expected in ((-1, worse), (0, 0.5 - worse), (1, 0.5)):
      value = log_prob(
        difference, np.array([comparison]), np.array([1]), COMPARISON
      )
      np.testing.assert_allclose(value, np.log([[expected]]), rtol=1e-5)


def test_slate_choice_survives_extreme_utilities():
  utility = np.array([[[1e4], [-1e4]]])
  found, gradient = jax.jit(
    jax.value_and_grad(
      lambda u: slate_choice(
        u, np.array([1]), np.array([1]), np.asarray(0.0)
      ).sum()
    )
  )(utility)
  assert found == -2e4
  np.testing.assert_allclose(gradient[0, :, 0], [-1, 1])


def test_satisfaction_integrates_the_offset_out():
  params = {**SATISFACTION, 'log_spread': np.log(0.6)}
  utility = np.array([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.0]])
  value = np.array([0.9, 0.85, 0.7])
  z = np.linspace(-8, 8, 4001)
  linear = np.asarray(params['level']) + 2.0 * np.asarray(utility)
  mean = 1 / (1 + np.exp(-linear[..., None] - 0.6 * z))  # [O, K, J]
  density = np.exp(-0.5 * ((value[:, None, None] - mean) / 0.1) ** 2) / (
    0.1 * np.sqrt(2 * np.pi)
  )
  weight = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
  expected = np.log((density.prod(0) * weight).sum(-1))
  found = satisfaction(
    utility, np.asarray(value), np.ones(3), params, np.zeros(3, int), 1
  )
  np.testing.assert_allclose(found[0], expected, atol=0.05)


def test_cross_turn_tails_are_finite_and_sum_to_one():
  difference = np.array([[-40.0, 0.0, 40.0]])
  log_probs = cross_turn_log_probs(difference, COMPARISON)
  assert np.isfinite(log_probs).all()
  np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize('kind', ['choice', 'satisfaction', 'comparison'])
def test_masked_is_zero_with_zero_gradient_even_where_nan(kind):
  mask = np.array([1, 0])
  one = np.zeros(2, int)

  def value(utility):  # [2, 2]: two observations of one person, K = 2
    if kind == 'choice':
      return slate_choice(
        jnp.stack([utility, -utility], 1),
        np.array([0, -7]),
        mask,
        np.asarray(0.0),
      )[1].sum()
    if kind == 'satisfaction':
      return (
        satisfaction(
          utility, np.array([0.5, np.nan]), mask, SATISFACTION, one, 1
        ).sum()
        - satisfaction(
          utility[:1], np.array([0.5]), mask[:1], SATISFACTION, one[:1], 1
        ).sum()
      )
    return cross_turn(utility, np.array([0, 99]), mask, COMPARISON)[1].sum()

  utility = np.array([[0.1, 0.2], [0.7, -0.3]])
  found, gradient = jax.jit(jax.value_and_grad(value))(utility)
  assert abs(found) < 1e-6
  np.testing.assert_allclose(gradient[1], 0.0, atol=1e-7)
  assert np.isfinite(gradient).all()


def test_wrong_shapes_and_dtypes_raise():
  utility = np.zeros((2, 4, 3))
  with pytest.raises(AssertionError):
    slate_choice(utility, np.zeros(3, int), np.ones(3), np.asarray(0.0))
  with pytest.raises(AssertionError):
    slate_choice(utility, np.zeros(2), np.ones(2), np.asarray(0.0))
  with pytest.raises(AssertionError):
    satisfaction(
      utility, np.zeros(2), np.ones(2), SATISFACTION, np.zeros(2, int), 1
    )


def test_ranking_probabilities_of_all_orders_sum_to_one():
  rng = np.random.default_rng(0)
  orders = np.array(list(itertools.permutations(range(4))))
  utility = np.broadcast_to(rng.normal(size=(1, 4, 2)), (24, 4, 2))
  found = ranking(
    np.asarray(utility), np.asarray(orders), np.ones(24), np.asarray(0.3)
  )
  np.testing.assert_allclose(np.exp(found).sum(0), [1.0, 1.0], rtol=1e-5)


def test_ranking_of_one_column_is_a_choice():
  rng = np.random.default_rng(1)
  utility = np.asarray(rng.normal(size=(5, 3, 2)))
  choice = np.array([0, 1, 2, 2, 0])
  order = np.stack([choice, -np.ones(5, int), -np.ones(5, int)], 1)
  scale = np.asarray(0.7)
  np.testing.assert_allclose(
    ranking(utility, order, np.ones(5), scale),
    slate_choice(utility, choice, np.ones(5), scale),
    rtol=1e-5,
  )


@pytest.mark.parametrize('kind', ['choice', 'pair', 'ranking', 'rating'])
def test_masked_observations_add_nothing_whatever_they_hold(kind):
  params = {k: np.zeros(()) for k in ('intercept', 'log_slope', 'log_sigma')}
  mask = np.array([1, 0])
  scale = np.asarray(0.0)

  def total(utility):
    if kind == 'choice':
      found = slate_choice(
        utility, np.array([0, 9]), mask, scale, np.ones((2, 2))
      )
    elif kind == 'pair':
      found = likelihoods.pair(utility, np.array([0.5, np.nan]), mask, scale)
    elif kind == 'ranking':
      order = np.array([[0, 1], [7, 7]])
      found = ranking(utility, order, mask, scale)
    else:
      value = np.array([1.0, np.nan])
      found = likelihoods.rating(utility[:, 0], value, mask, params)
    return found.sum()

  alone = np.array([[[0.3], [0.1]], [[0.0], [0.0]]])
  broken = alone.copy()
  broken[1] = np.nan
  both = jax.jit(jax.value_and_grad(total))
  found, gradient = both(broken)
  np.testing.assert_array_equal(both(alone)[0], found)
  assert np.isfinite(gradient).all()
  np.testing.assert_array_equal(gradient[1], 0)
