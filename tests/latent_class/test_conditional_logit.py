"""Conditional logits on a few choices, by hand."""

import chex
import jax.numpy as jnp
import numpy as np

from pasta.latent_class import conditional_logit
from pasta.latent_class.choices import ChoiceData

# Each alternative is its own feature: coefficients are utilities. Weights are
# 1, 2, 5 under the first component, and equal under the second.
COEFFICIENTS = jnp.log(jnp.array([[1.0, 2.0, 5.0], [1.0, 1.0, 1.0]]))
PROBS = np.array([[1 / 8, 2 / 8, 5 / 8], [1 / 3, 1 / 3, 1 / 3]])
# The first of two people chose 2 and then 0, the second 1.
CHOSEN = np.eye(3)[[2, 0, 1]]


def make_data():
  return ChoiceData(
    features=jnp.tile(jnp.eye(3), (3, 1, 1)),
    available=jnp.ones((3, 3), bool),
    choice=jnp.array([2, 0, 1]),
    user=jnp.array([0, 0, 1]),
    num_users=2,
  )


class ByHandTest(chex.TestCase):
  """Each function, compiled and not."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_log_probs(self):
    data = make_data()
    # The second choice is without the alternative of weight 5.
    available = data.available.at[1, 2].set(False)
    found = self.variant(conditional_logit.log_probs)(
      COEFFICIENTS, data.features, available
    )
    expected = np.stack([PROBS, PROBS, PROBS])
    expected[1] = [[1 / 3, 2 / 3, 0], [1 / 2, 1 / 2, 0]]
    np.testing.assert_allclose(
      np.exp(found), np.swapaxes(expected, 1, 2), rtol=1e-5
    )

  @chex.variants(with_jit=True, without_jit=True)
  def test_user_log_likelihoods(self):
    found = self.variant(conditional_logit.user_log_likelihoods)(
      COEFFICIENTS, make_data()
    )
    expected = [[5 / 8 * 1 / 8, 1 / 9], [2 / 8, 1 / 3]]
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_derivatives(self):
    weights = jnp.array([[1.0, 0.5], [3.0, 0.0]])
    gradient, hessian = self.variant(conditional_logit.derivatives)(
      COEFFICIENTS, weights, make_data()
    )
    # One weight for each choice: chosen − p, and the covariance of p.
    of_choice = np.asarray(weights)[[0, 0, 1]]
    for k, p in enumerate(PROBS):
      weight = of_choice[:, k]
      np.testing.assert_allclose(gradient[k], weight @ (CHOSEN - p), atol=1e-5)
      covariance = weight.sum() * (np.diag(p) - np.outer(p, p))
      np.testing.assert_allclose(hessian[k], covariance, atol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_user_scores(self):
    found = self.variant(conditional_logit.user_scores)(
      COEFFICIENTS, make_data()
    )
    score = CHOSEN[:, None] - PROBS  # [N, C, D]
    expected = np.stack([score[:2].sum(0), score[2]])
    np.testing.assert_allclose(found, expected, atol=1e-6)
