"""Conditional logits in bulk: C coefficient vectors on the same choices.

Everything that full-batch EM needs of the data comes from two passes: the
log-probability of each choice under every component, and the gradient and
Hessian of the weighted log-likelihood, block by block, so that memory does not
grow with the number of choices. Letters: N choices, L alternatives, D
features, C components, U people.
"""

import chex
import jax
import jax.numpy as jnp

from pasta.latent_class.choices import ChoiceData

# Numbers in the largest temporary of a block: fits a core's cache.
_BLOCK_SIZE = 2**20


def log_probs(
  coefficients: jax.Array, features: jax.Array, available: jax.Array
) -> jax.Array:
  """Log-probability of every alternative under every component.

  Args:
    coefficients: [C, D].
    features: [N, L, D].
    available: [N, L], bool; alternatives that are not get -inf.

  Returns:
    [N, L, C].
  """
  return jax.nn.log_softmax(_logits(coefficients, features, available), axis=1)


def _logits(coefficients, features, available):
  """Utilities [N, L, C]; -inf where not available."""
  chex.assert_rank([coefficients, features, available], [2, 3, 2])
  chex.assert_equal(coefficients.shape[1], features.shape[2])
  logits = jnp.einsum('nld,cd->nlc', features, coefficients)
  return jnp.where(available[..., None], logits, -jnp.inf)


def user_log_likelihoods(
  coefficients: jax.Array, data: ChoiceData
) -> jax.Array:
  """Log-likelihood of each person's choices, [C, D] -> [U, C]."""
  logits = _logits(coefficients, data.features, data.available)
  # Only the chosen alternative is needed: no [N, L, C] of log-probabilities.
  normaliser = jax.nn.logsumexp(logits, axis=1)  # [N, C]
  chosen = jnp.take_along_axis(
    data.features, data.choice[:, None, None], axis=1
  )[:, 0]  # [N, D]
  return jax.ops.segment_sum(
    chosen @ coefficients.T - normaliser,
    data.user,
    data.num_users,
    indices_are_sorted=True,
  )


def derivatives(
  coefficients: jax.Array, weights: jax.Array, data: ChoiceData
) -> tuple[jax.Array, jax.Array]:
  """Gradient and negative Hessian of Σ_u w_uc ℓ_u(c).

  Args:
    coefficients: [C, D].
    weights: of each person in each component [U, C].
    data: the choices.

  Returns:
    [C, D] and [C, D, D], positive semi-definite.
  """
  num, num_alternatives, dim = data.features.shape
  num_components = coefficients.shape[0]
  chex.assert_shape(weights, (data.num_users, num_components))
  # Second moments come from one product, of whichever operand is cheaper.
  is_wide = 3 * num_components <= 2 * dim
  width = (num_components if is_wide else dim) * dim
  block = min(num, max(_BLOCK_SIZE // (num_alternatives * width), 16))

  def of(start, size):
    def cut(array):
      return jax.lax.dynamic_slice_in_dim(array, start, size)

    x, choice = cut(data.features), cut(data.choice)
    weight = weights[cut(data.user)]  # [n, C]
    logits = _logits(coefficients, x, cut(data.available))
    probs = jax.nn.softmax(logits, axis=1)
    # Alternative by alternative: XLA's small batched products and its sums over
    # an axis are several times slower.
    mean = sum(
      probs[:, l, :, None] * x[:, l, None, :] for l in range(num_alternatives)
    )  # [n, C, D]
    chosen = jnp.take_along_axis(x, choice[:, None, None], axis=1)[:, 0]
    weighted = (probs * weight[:, None]).reshape(-1, num_components)
    flat = x.reshape(-1, dim)
    # Products are fast where the first factor's rows are summed over, and the
    # barrier keeps XLA from undoing its transposition.
    if is_wide:  # [D, n L] with [n L, C D]
      rows = jax.lax.optimization_barrier(flat.T)
      mean_sum = (rows @ weighted).T
      wide = (weighted[:, :, None] * flat[:, None, :]).reshape(len(flat), -1)
      second = (rows @ wide).reshape(dim, num_components, dim)
      second = jnp.swapaxes(second, 0, 1)
    else:  # [C, n L] with [n L, D D]
      rows = jax.lax.optimization_barrier(weighted.T)
      mean_sum = rows @ flat
      square = (flat[:, :, None] * flat[:, None, :]).reshape(len(flat), -1)
      second = (rows @ square).reshape(num_components, dim, dim)
    root = jnp.swapaxes(mean * jnp.sqrt(weight)[..., None], 0, 1)
    outer = jnp.einsum('cnd,cne->cde', root, root)
    return weight.T @ chosen - mean_sum, second - outer

  total = (
    jnp.zeros((num_components, dim), coefficients.dtype),
    jnp.zeros((num_components, dim, dim), coefficients.dtype),
  )
  num_blocks, rest = divmod(num, block)
  total = jax.lax.fori_loop(
    0,
    num_blocks,
    lambda i, t: jax.tree.map(jnp.add, t, of(i * block, block)),
    total,
  )
  if rest:
    total = jax.tree.map(jnp.add, total, of(num_blocks * block, rest))
  return total


def user_scores(coefficients: jax.Array, data: ChoiceData) -> jax.Array:
  """Gradient of each person's log-likelihood, [C, D] -> [U, C, D]."""
  probs = jnp.exp(log_probs(coefficients, data.features, data.available))
  chosen = jnp.take_along_axis(
    data.features, data.choice[:, None, None], axis=1
  )  # [N, 1, D]
  score = chosen - jnp.einsum('nlc,nld->ncd', probs, data.features)
  return jax.ops.segment_sum(
    score, data.user, data.num_users, indices_are_sorted=True
  )
