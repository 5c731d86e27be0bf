"""Split-and-merge moves against duplicate and lost types.

EM with many types ends with two types that share one group of people while
another type covers two groups. A move gives the people of two like types to
one of them and lets the other take half of a type whose people disagree (Ueda,
Nakano, Ghahramani and Hinton 2000). Here people disagree within a type where
their scores spread wider than the information says, and they are split by the
sign of their score along the direction in which they do so most.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pasta.latent_class import conditional_logit, full_batch
from pasta.latent_class.choices import ChoiceData


@jax.jit
def _disagreement(coefficients, gamma, data, prior):
  """How much people of each type disagree [K], and which way [U, K]."""
  scores = conditional_logit.user_scores(coefficients, data)  # [U, K, D]
  _, information = conditional_logit.derivatives(coefficients, gamma, data)
  information = information + jnp.diag(prior.precision)
  # Scores' covariance within a type, responsibilities as weights.
  spread = jnp.einsum('uk,ukd,uke->kde', gamma, scores, scores)
  root = jnp.linalg.cholesky(information)

  def whiten(root, matrix):
    half = jax.scipy.linalg.solve_triangular(root, matrix, lower=True)
    return jax.scipy.linalg.solve_triangular(root, half.T, lower=True)

  # At equal tastes spread and information are alike (the information
  # equality): eigenvalues near 1, and above it where tastes differ.
  values, vectors = jnp.linalg.eigh(jax.vmap(whiten)(root, spread))
  # Back from whitened coordinates; `eigh` has the largest last.
  direction = jax.vmap(
    lambda r, v: jax.scipy.linalg.solve_triangular(r.T, v, lower=False)
  )(root, vectors[..., -1])
  return values[:, -1], jnp.einsum('ukd,kd->uk', scores, direction)


def propose(
  state: full_batch.State,
  data: ChoiceData,
  prior: full_batch.Prior,
  num_moves: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Responsibilities and coefficients after the most promising moves.

  Args:
    state: one converged run (R = 1) of K ≥ 3 types, on the host.
    data: the choices.
    prior: the MAP prior.
    num_moves: at most so many.

  Returns:
    gamma [P, U, K] and coefficients [P, K, D] of P ≤ num_moves moves.
  """
  coefficients, share = state.coefficients[0], np.exp(state.log_prior[0])
  gamma, _ = full_batch.host_posterior(state)
  gamma = gamma.astype(coefficients.dtype)
  disagreement, side = map(
    np.asarray, _disagreement(coefficients, gamma, data, prior)
  )
  gammas, starts = [], []
  for one, other, split in _rank(gamma, share, disagreement)[:num_moves]:
    # Each half gets the people whose scores pull the same way.
    above = side[:, split] > 0
    new, start = gamma.copy(), coefficients.copy()
    new[:, one] = gamma[:, one] + gamma[:, other]
    new[:, other] = gamma[:, split] * above
    new[:, split] = gamma[:, split] * ~above
    # EM begins near where it will be: the merged at their mean, both halves
    # at what was split, from where their own people pull them apart.
    weight = share[one] / (share[one] + share[other])
    start[one] = weight * coefficients[one] + (1 - weight) * coefficients[other]
    start[other] = coefficients[split]
    gammas.append(new)
    starts.append(start)
  return np.stack(gammas), np.stack(starts)


def _rank(
  gamma: np.ndarray, share: np.ndarray, disagreement: np.ndarray
) -> list[tuple[int, int, int]]:
  """All moves (merge one and other, split a third), the best first.

  A merger costs little where the two share their people or where one of them
  has hardly any; a split gains where many people disagree. Moves are taken
  from a grid of both rankings, corner first.
  """
  # The cosine of two types' responsibilities over people.
  overlap = gamma.T @ gamma
  norm = np.sqrt(np.diag(overlap))
  likeness = overlap / np.maximum(norm[:, None] * norm, 1e-30)
  cost = (1.0 - likeness) * np.minimum(share[:, None], share)
  pairs = [(i, j) for i in range(len(share)) for j in range(i)]
  pairs.sort(key=lambda pair: cost[pair])
  # Of large types first: there most likelihood is to be gained.
  splits = np.argsort(-np.log(np.maximum(disagreement, 1e-30)) * share)
  moves = [
    (a + b, b, (*pair, int(split)))
    for a, split in enumerate(splits)
    for b, pair in enumerate(p for p in pairs if split not in p)
  ]
  return [move for *_, move in sorted(moves)]
