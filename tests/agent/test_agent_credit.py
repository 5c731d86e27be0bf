"""How values of slates are made of their candidates', by hand."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from pasta.agent import credit


class ByHandTest(chex.TestCase):
  """Each function of `credit`, compiled and not."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_choice_under_a_belief(self):
    # τ = 2 squares odds 1 : 3 to 1 : 9 for the first type; the second does
    # not care. The third column is not there.
    utility = jnp.array([[0.0, 1.0], [np.log(3.0), 1.0], [5.0, 1.0]])
    found = self.variant(credit.log_choice)(
      jnp.log(jnp.array([0.25, 0.75])),
      utility,
      jnp.log(2.0),
      jnp.array([True, True, False]),
    )
    first = 0.25 * 0.1 + 0.75 * 0.5
    np.testing.assert_allclose(
      found, [np.log(first), np.log(1 - first), -np.inf], rtol=1e-5
    )

  @chex.variants(with_jit=True, without_jit=True)
  def test_pool_weights_are_exact_for_one_type(self):
    log_weights = self.variant(credit.pool_log_weights)(
      jnp.zeros((1, 1)), jnp.array([[[1.0], [2.0], [0.0]]]),
      jnp.array([[True, True, False]]), jnp.log(2.0),
    )  # fmt: skip
    assert float(log_weights[0, 1] - log_weights[0, 0]) == pytest.approx(2.0)
    assert float(log_weights[0, 2]) == -np.inf

  @chex.variants(with_jit=True, without_jit=True)
  def test_slate_values_and_returns_by_hand(self):
    f, c = jnp.array([1.0, 2.0, 6.0]), jnp.log(jnp.array([0.5, 0.25, 0.25]))
    slate_value = self.variant(credit.slate_value, static_argnums=2)
    assert float(slate_value(f, c, 'mean')) == pytest.approx(3.0)
    assert float(slate_value(f, c, 'choice')) == pytest.approx(2.5)
    np.testing.assert_allclose(
      self.variant(credit.returns)(jnp.array([[1.0, 2.0, 4.0]]), 0.5),
      [[3.0, 4.0, 4.0]],
    )

  @chex.variants(with_jit=True, without_jit=True)
  def test_what_returns_are_regressed_on(self):
    values = jnp.array([[[1.0, 2.0, 6.0], [1.0, 2.0, 6.0]]])  # [B, T, L]
    choice = jnp.array([[1, -1]])
    credited = self.variant(credit.credited, static_argnums=2)
    assert credited(values, choice, 'mean').tolist() == [[3.0, 3.0]]
    assert credited(values, choice, 'choice').tolist() == [[2.0, 0.0]]
    assert credited(values, choice, 'slate').tolist() == [[6.0, 6.0]]

  @chex.variants(with_jit=True, without_jit=True)
  def test_the_error_counts_prefixes_that_hold_the_choice(self):
    values = np.array([[[[1.0, 2.0, 4.0]]]], np.float32)  # [J, B, T, L]
    target = np.array([[3.0]], np.float32)
    squared_error = self.variant(credit.squared_error, static_argnums=3)

    def error(choice):
      return float(
        squared_error(values, target, np.array([[choice]]), 'slate')[0, 0]
      )

    assert error(0) == (4 + 1 + 1) / 3
    assert error(1) == (1 + 1) / 2
    assert error(2) == 1
