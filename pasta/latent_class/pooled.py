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
_BLOCK_CHOICES = 2**16  # whose variance is summed at a time


@dataclasses.dataclass(frozen=True)
class Pooled:
  """The model without types, and the prior around it.

  Attributes:
    prior: of the types' coefficients and shares.
    precision: what held the pooled coefficients themselves [D]; next to
      nothing, unless `is_separable`.
    constant_features: those that never differ within a choice set.
    is_separable: the pooled model predicts every choice, so that there is no
      finite estimate and a ridge alone holds it.
  """

  prior: full_batch.Prior
  precision: np.ndarray
  constant_features: tuple[int, ...]
  is_separable: bool


def within_variance(data: ChoiceData) -> np.ndarray:
  """Variance of each feature within choice sets [D]; exactly 0 if constant."""
  total, size = 0.0, 0.0
  for start in range(0, data.num_choices, _BLOCK_CHOICES):
    rows = slice(start, start + _BLOCK_CHOICES)
    x = np.asarray(data.features[rows])
    available = np.asarray(data.available[rows])[..., None]
    mean = x.sum(1, keepdims=True) / available.sum(1, keepdims=True)
    deviation = np.where(available, x - mean, 0.0)
    total = total + np.einsum('nld,nld->d', deviation, deviation)
    size = np.maximum(size, np.abs(x).max((0, 1)))
  variance = total / np.asarray(data.available).sum()
  # Of a constant only rounding is left.
  rounding = 8.0 * np.finfo(data.features.dtype).eps * size
  return np.where(variance > rounding**2, variance, 0.0)


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
  pooled, log_likelihood = _pooled(data, precision)
  is_separable = bool(np.exp(log_likelihood / data.num_choices) > _SEPARABLE)
  if is_separable:
    logging.warning(
      'the features predict every choice: coefficients have no finite estimate '
      'and are held by the prior alone'
    )
    precision = (max(options.ridge, 1e-3) * scale).astype(dtype)
    pooled, _ = _pooled(data, precision)
  # Rounding alone would move what no choice speaks of.
  pooled = np.where(variance > 0, pooled, 0).astype(dtype)
  prior = full_batch.Prior(
    pooled=pooled,
    precision=(max(options.ridge, tiny) * scale).astype(dtype),
    pseudo_count=np.asarray(options.pseudo_count, dtype),
  )
  constant = tuple(np.flatnonzero(variance == 0).tolist())
  return Pooled(prior, precision, constant, is_separable)


@jax.jit
def _pooled_pass(coefficients, data):
  found = conditional_logit.user_log_likelihoods(coefficients[None], data)
  ones = jnp.ones((data.num_users, 1), coefficients.dtype)
  gradient, hessian = conditional_logit.derivatives(
    coefficients[None], ones, data
  )
  return found.sum(), gradient[0], hessian[0]


def _pooled(data: ChoiceData, precision: np.ndarray):
  """Conditional logit by damped Newton steps: estimate [D], log-likelihood."""
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
  return at, float(log_likelihood)
