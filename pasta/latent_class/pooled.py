"""The conditional logit without types, and the prior around it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from pasta.latent_class import conditional_logit, full_batch, search
from pasta.latent_class.choices import ChoiceData

_SEPARABLE = 1.0 - 1e-3  # mean fitted probability of what was chosen
_POOLED_STEPS = 60
# Information on a feature with a standard deviation of 1 within choice sets,
# below which choices say nothing: a standard error of 10 log-odds.
_LEAST_INFORMATION = 1e-2
_LEAST_SHARE = 1e-3  # of a feature in a direction, squared
_BLOCK_CHOICES = 2**16  # whose variance is summed at a time


@dataclasses.dataclass(frozen=True)
class Pooled:
  """The model without types, and the prior around it.

  Attributes:
    prior: of the types' coefficients and shares.
    precision: what held the pooled coefficients themselves [D]; next to
      nothing, unless `is_separable`.
    constant_features: those that never differ within a choice set.
    unidentified_features: others of which the choices say nothing: collinear
      ones, and those by which nobody or everybody chose.
    is_separable: the pooled model predicts every choice, so that there is no
      finite estimate and a ridge alone holds it.
  """

  prior: full_batch.Prior
  precision: np.ndarray
  constant_features: tuple[int, ...]
  unidentified_features: tuple[int, ...]
  is_separable: bool


def unidentified(information: np.ndarray, variance: np.ndarray) -> np.ndarray:
  """Of which parameters the data alone say nothing [P], bool.

  Args:
    information: of the data, without a prior [P, P].
    variance: of each parameter's feature within choice sets [P], above 0.
  """
  deviation = np.sqrt(variance)
  scaled = information / deviation[:, None] / deviation
  values, vectors = np.linalg.eigh(0.5 * (scaled + scaled.T))
  empty = vectors[:, values < _LEAST_INFORMATION]
  return (empty**2).sum(1) > _LEAST_SHARE


def within_variance(data: ChoiceData) -> np.ndarray:
  """Variance of each feature within choice sets [D]; exactly 0 if constant."""
  total = 0.0
  for start in range(0, data.num_choices, _BLOCK_CHOICES):
    x = np.asarray(data.features[start : start + _BLOCK_CHOICES], np.float64)
    total = total + np.einsum('nld,nld->d', x, x)
  return total / np.asarray(data.available).sum()


def one_sided(data: ChoiceData, weights: np.ndarray) -> np.ndarray:
  """By which features nobody, or everybody, chose [K, D], bool.

  An estimate of such a one has no end. Of people whose type is in doubt, some
  choices to the contrary are everywhere: fewer than two in all, and none of
  people who most likely have the type, count as none.

  Args:
    data: the choices.
    weights: of each person in each type [U, K].
  """
  x = np.asarray(data.features)
  there = np.asarray(data.available)[..., None]
  at = np.asarray(data.choice)[:, None, None]
  chosen = np.take_along_axis(x, at, 1)[:, 0]
  for_it = chosen > np.where(there, x, np.inf).min(1)
  against = chosen < np.where(there, x, -np.inf).max(1)

  def count(of_people: np.ndarray) -> np.ndarray:
    weight = of_people[np.asarray(data.user)].T  # [K, N]
    return np.minimum(weight @ for_it, weight @ against)

  likeliest = np.eye(weights.shape[1])[weights.argmax(1)]
  return (count(likeliest) == 0) & (count(weights) < 2)


def fit_pooled(data: ChoiceData, options: search.Options) -> Pooled:
  """The conditional logit (K = 1), and the MAP prior around it.

  Args:
    data: the choices, on the device.
    options: ridge and pseudo_count count.
  """
  variance = within_variance(data)
  dtype = data.features.dtype
  scale = np.where(variance > 0, variance, 1.0).astype(dtype)
  # Holds what choices say nothing about; far below what they say otherwise.
  tiny = np.finfo(dtype).eps ** 0.5
  precision = (tiny * scale).astype(dtype)
  pooled, log_likelihood, hessian = _pooled(data, precision)
  varies = variance > 0
  unclear = np.zeros(len(varies), bool)
  unclear[varies] = unidentified(
    hessian[np.ix_(varies, varies)], variance[varies]
  )
  unclear |= varies & one_sided(data, np.ones((data.num_users, 1)))[0]
  is_separable = bool(np.exp(log_likelihood / data.num_choices) > _SEPARABLE)
  if is_separable:
    logging.warning(
      'the features predict every choice: coefficients have no finite estimate '
      'and are held by the prior alone'
    )
    precision = (max(options.ridge, 1e-3) * scale).astype(dtype)
    pooled, *_ = _pooled(data, precision)
  elif unclear.any():
    logging.warning(
      'the choices say nothing of features %s, which the prior alone holds: '
      'they follow from others, or nobody, or everybody, chose by them',
      np.flatnonzero(unclear).tolist(),
    )
  # Rounding alone would move what no choice speaks of.
  pooled = np.where(variance > 0, pooled, 0).astype(dtype)
  prior = full_batch.Prior(
    pooled=pooled,
    precision=(max(options.ridge, tiny) * scale).astype(dtype),
    pseudo_count=np.asarray(options.pseudo_count, dtype),
  )
  constant = tuple(np.flatnonzero(variance == 0).tolist())
  return Pooled(
    prior,
    precision,
    constant,
    tuple(np.flatnonzero(unclear).tolist()),
    is_separable,
  )


@jax.jit
def _pooled_pass(coefficients, data):
  found = conditional_logit.user_log_likelihoods(coefficients[None], data)
  ones = jnp.ones((data.num_users, 1), coefficients.dtype)
  gradient, hessian = conditional_logit.derivatives(
    coefficients[None], ones, data
  )
  return found.sum(), gradient[0], hessian[0]


def _pooled(data: ChoiceData, precision: np.ndarray):
  """Conditional logit by damped Newton steps.

  Returns:
    The estimate [D], its log-likelihood, and the information there, without
    the prior's [D, D].
  """
  at = np.zeros_like(precision)
  direction, step, best = np.zeros_like(at), 1.0, -np.inf
  log_likelihood = 0.0
  for _ in range(_POOLED_STEPS):
    proposal = at + step * direction
    found, gradient, hessian = map(np.asarray, _pooled_pass(proposal, data))
    value = found - 0.5 * (precision * proposal**2).sum()
    if not value >= best:
      step *= 0.5
      if step < 1e-6:
        break
      continue
    at, best, log_likelihood = proposal, value, found
    gradient = gradient - precision * at
    direction = np.linalg.solve(hessian + np.diag(precision), gradient)
    # What the next step would gain, by the quadratic; then rounding rules.
    if 0.5 * gradient @ direction < np.finfo(at.dtype).eps * abs(value):
      at = at + direction
      break
    step = 1.0
  _, _, hessian = map(np.asarray, _pooled_pass(at, data))
  return at, float(log_likelihood), hessian
