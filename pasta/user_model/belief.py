"""The belief over types: a posterior kept online, in log space.

b_t(k) ∝ b_{t-1}(k) · C_θ(choice_t | k, slate_t), with the same likelihood
function that the user model is fitted with (paper, section 4).
"""

import chex
import jax
import jax.numpy as jnp

from pasta.user_model import likelihoods
from pasta.user_model.model import UserModel


def initial(model: UserModel, batch: int) -> jax.Array:
  """The prior for `batch` people: log belief [B, K]."""
  return jnp.tile(model.log_prior[None], (batch, 1))


def update(
  model: UserModel,
  log_belief: jax.Array,
  utility: jax.Array,
  choice: jax.Array,
) -> jax.Array:
  """The belief after one more choice.

  Args:
    model: the user model.
    log_belief: normalised [B, K].
    utility: R of the slate's columns [B, L, K].
    choice: chosen column [B], int; −1 (no choice) leaves a belief unchanged.

  Returns:
    Normalised log belief [B, K].
  """
  chex.assert_rank([log_belief, utility, choice], [2, 3, 1])
  chex.assert_equal_shape_prefix([log_belief, utility, choice], 1)
  observed = choice >= 0
  log_likelihood = likelihoods.slate_choice(
    utility, choice, observed, model.choice_log_scale
  )
  posterior = jax.nn.log_softmax(log_belief + log_likelihood, -1)
  return jnp.where(observed[:, None], posterior, log_belief)


def trajectory(
  model: UserModel, utility: jax.Array, choice: jax.Array
) -> jax.Array:
  """Beliefs before each of T turns and after the last, from the prior.

  Args:
    model: the user model.
    utility: [B, T, L, K].
    choice: [B, T], int, −1 where none was made.

  Returns:
    Log beliefs [B, T + 1, K].
  """
  chex.assert_rank([utility, choice], [4, 2])
  chex.assert_equal_shape_prefix([utility, choice], 2)
  start = initial(model, utility.shape[0])

  def step(log_belief, turn):
    log_belief = update(model, log_belief, *turn)
    return log_belief, log_belief

  _, later = jax.lax.scan(step, start, (jnp.moveaxis(utility, 1, 0), choice.T))
  return jnp.concatenate([start[:, None], jnp.moveaxis(later, 0, 1)], 1)


def entropy(log_belief: jax.Array) -> jax.Array:
  """Entropy in nats over the last axis of normalised logs, [...]."""
  return -jnp.sum(
    jnp.where(jnp.isfinite(log_belief), jnp.exp(log_belief) * log_belief, 0.0),
    -1,
  )


def effective_types(log_belief: jax.Array) -> jax.Array:
  """exp(entropy): between 1 and K, [...]; of log η, the types in use."""
  return jnp.exp(entropy(log_belief))
