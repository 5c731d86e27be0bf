"""What choice modellers ask of a latent-class fit: errors, criteria, tables.

Standard errors are those of the coefficients and of the types' log-odds
together, from the observed information (Louis 1982: complete information less
what not knowing the types costs), or from the sandwich with scores clustered
by person, which stays right when a person's choices hang together in ways the
model leaves out. Letters: U people, K types, D features, P parameters, which
are K · D coefficients and then K − 1 log-odds of types against the last.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors, labels
from pasta.latent_class import choices as choices_lib
from pasta.latent_class import conditional_logit, pooled
from pasta.latent_class import model as model_lib

CRITERIA = ('cross_validation', 'bic')


@dataclasses.dataclass(frozen=True)
class Inference:
  """Uncertainty of a fit.

  Attributes:
    hessian_errors: standard errors of the coefficients [K, D]; NaN where the
      choices alone say nothing of one: a constant feature, one that follows
      from others, or what nobody (or everybody) of a type chose.
    sandwich_errors: the same, clustered by person [K, D].
    share_errors: of η, by the delta method from the sandwich [K].
    covariance: sandwich covariance of all parameters [P, P].
    num_parameters: P.
    aic: Akaike's criterion, lower is better.
    bic: Schwarz's criterion, with the number of people as sample size.
  """

  hessian_errors: np.ndarray
  sandwich_errors: np.ndarray
  share_errors: np.ndarray
  covariance: np.ndarray
  num_parameters: int
  aic: float
  bic: float


def infer(
  fit: model_lib.Fit,
  features: np.ndarray,
  choice: np.ndarray,
  user: np.ndarray | None = None,
  available: np.ndarray | None = None,
) -> Inference:
  """Standard errors and criteria of a fit, on the data it was fitted to.

  The ridge counts as information, as it did in the fit.

  Raises:
    PastaError: other data than the fit's, or an information matrix that is
      not positive definite (too many types, or no convergence).
  """
  with jax.enable_x64(True):
    data, users = choices_lib.make(features, choice, user, available)
    if len(users) != len(fit.users) or data.num_choices != fit.num_choices:
      raise errors.PastaError(
        f'the data hold {data.num_choices} choices of {len(users)} people, the '
        f'fit was on {fit.num_choices} of {len(fit.users)}'
      )
    coefficients = jnp.asarray(fit.model.coefficients, jnp.float64)
    log_prior = jnp.asarray(fit.model.log_prior, jnp.float64)
    information, outer, gamma = map(
      np.asarray, _information(coefficients, log_prior, data)
    )
  num_types, dim = fit.model.coefficients.shape
  varies = ~np.isin(np.arange(dim), fit.constant_features)
  varying = np.concatenate(
    [np.tile(varies, num_types), np.ones(num_types - 1, bool)]
  )
  prior = np.concatenate(
    [np.tile(fit.precision, num_types), np.zeros(num_types - 1)]
  )
  variance = np.ones(len(varying))
  variance[: num_types * dim] = np.tile(pooled.within_variance(data), num_types)
  unclear = np.zeros(len(varying), bool)
  unclear[varying] = pooled.unidentified(
    information[np.ix_(varying, varying)], variance[varying]
  )
  unclear[: num_types * dim] |= pooled.one_sided(data, gamma).ravel()
  unclear[num_types * dim :] = False
  information = (information + np.diag(prior))[np.ix_(varying, varying)]
  outer = outer[np.ix_(varying, varying)]
  try:
    np.linalg.cholesky(information)
  except np.linalg.LinAlgError:
    raise errors.PastaError(
      'the information matrix is not positive definite: the fit has not '
      'converged, or has more types than the data can tell apart'
    ) from None
  inverse = np.linalg.inv(information)
  correction = len(fit.users) / max(len(fit.users) - 1, 1)
  sandwich = correction * inverse @ outer @ inverse

  def spread(matrix: np.ndarray) -> np.ndarray:
    """Back to all parameters, NaN where the choices say nothing."""
    full = np.full((len(varying), len(varying)), np.nan)
    full[np.ix_(varying, varying)] = matrix
    full[unclear], full[:, unclear] = np.nan, np.nan
    return full

  def of_coefficients(matrix: np.ndarray) -> np.ndarray:
    diagonal = np.sqrt(np.diag(spread(matrix)))
    return diagonal[: num_types * dim].reshape(num_types, dim)

  covariance = spread(sandwich)
  share = np.exp(fit.model.log_prior)
  # dη / d log-odds, against the last type.
  slope = (np.diag(share) - np.outer(share, share))[:, :-1]
  of_odds = covariance[num_types * dim :, num_types * dim :]
  num_parameters = int(varying.sum())
  return Inference(
    hessian_errors=of_coefficients(inverse),
    sandwich_errors=of_coefficients(sandwich),
    share_errors=np.sqrt(np.einsum('ki,ij,kj->k', slope, of_odds, slope)),
    covariance=covariance,
    num_parameters=num_parameters,
    aic=-2 * fit.log_likelihood + 2 * num_parameters,
    bic=-2 * fit.log_likelihood + num_parameters * np.log(len(fit.users)),
  )


@jax.jit
def _information(coefficients, log_prior, data):
  """Observed information, outer product of people's scores, and posteriors.

  Returns:
    [P, P], [P, P] and [U, K].
  """
  num_types, dim = coefficients.shape
  found = conditional_logit.user_log_likelihoods(coefficients, data)
  gamma = jax.nn.softmax(log_prior + found, -1)  # [U, K]
  scores = conditional_logit.user_scores(coefficients, data)  # [U, K, D]
  _, complete = conditional_logit.derivatives(coefficients, gamma, data)
  share = jnp.exp(log_prior)
  # Complete-data score of the log-odds if the type is k: e_k − η.
  of_odds = (jnp.eye(num_types) - share)[:, :-1]  # [K, K − 1]
  num_coefficients = num_types * dim
  total = num_coefficients + num_types - 1
  information = jnp.zeros((total, total))
  for k in range(num_types):
    block = slice(k * dim, (k + 1) * dim)
    weighted = gamma[:, k, None] * scores[:, k]
    missing = weighted.T @ scores[:, k]
    information = information.at[block, block].add(complete[k] - missing)
    cross = jnp.outer(weighted.sum(0), of_odds[k])
    information = information.at[block, num_coefficients:].add(-cross)
    information = information.at[num_coefficients:, block].add(-cross.T)
  odds = (jnp.diag(share) - jnp.outer(share, share))[:-1, :-1]
  missing = jnp.einsum('uk,ki,kj->ij', gamma, of_odds, of_odds)
  information = information.at[num_coefficients:, num_coefficients:].add(
    len(gamma) * odds - missing
  )
  mean = jnp.concatenate(
    [
      (gamma[..., None] * scores).reshape(len(gamma), -1),
      gamma @ of_odds,
    ],
    axis=1,
  )  # [U, P]: the score of the marginal likelihood.
  outer = mean.T @ mean
  return information + outer, outer, gamma


def table(
  fit: model_lib.Fit,
  inference: Inference | None = None,
  names: Sequence[str] | None = None,
) -> str:
  """Types side by side: shares, coefficients, standard errors, z-values.

  Args:
    fit: the fit.
    inference: from `infer`; None: no errors.
    names: of the D features; None: x0, x1, …

  Returns:
    Both standard errors of each coefficient, the sandwich's and the Hessian's,
    with '–' where the choices say nothing; and below what to beware of.
  """
  num_types, dim = fit.model.coefficients.shape
  names = [f'x{d}' for d in range(dim)] if names is None else list(names)
  if len(names) != dim:
    raise errors.PastaError(f'{len(names)} names for {dim} features')
  width = max(12, *(len(n) + 2 for n in names))
  share = np.exp(fit.model.log_prior)

  def line(name: str, cells: Sequence[str]) -> str:
    cells = ''.join(f'{c:>28}' for c in cells)
    return f'{name:<{width}}{cells}'.rstrip()

  def cell(k: int, d: int) -> str:
    value = fit.model.coefficients[k, d]
    if inference is None:
      return f'{value:.3f}'
    sandwich = inference.sandwich_errors[k, d]
    if np.isnan(sandwich):
      return f'{value:.3f} (–, –)     –'
    hessian = inference.hessian_errors[k, d]
    return (
      f'{value:.3f} ({sandwich:.3f}, {hessian:.3f}) {value / sandwich:5.1f}'
    )

  of_shares = [f'{x:.3f}' for x in share]
  if inference is not None:
    of_shares = [
      f'{x:.3f} ({e:.3f})      ' for x, e in zip(share, inference.share_errors)
    ]
  rows = [line('', [f'type {k}' for k in range(num_types)])]
  rows.append(line('share', of_shares))
  rows += [
    line(name, [cell(k, d) for k in range(num_types)])
    for d, name in enumerate(names)
  ]
  criteria = ''
  if inference is not None:
    rows.append(
      'coefficient (standard error clustered by person, from the Hessian) '
      'z-value'
    )
    criteria = f', AIC {inference.aic:.2f}, BIC {inference.bic:.2f}'
  rows.append(
    f'{len(fit.users)} people, {fit.num_choices} choices, log-likelihood '
    f'{fit.log_likelihood:.2f}{criteria}'
  )
  return '\n'.join([*rows, *_caveats(fit, inference, names)])


def _caveats(fit, inference, names) -> list[str]:
  """Lines on what a reader of the table has to know."""
  lines = []
  if len(fit.model.log_prior) > 1 and fit.options.ridge > 0:
    lines.append(
      'penalised (MAP): types are pulled towards the estimate without types, '
      f'ridge = {fit.options.ridge:g}; errors count that as information'
    )
  if fit.constant_features:
    named = ', '.join(names[d] for d in fit.constant_features)
    lines.append(f'the same for all alternatives, so at 0: {named}')
  if not fit.is_converged:
    lines.append('not converged: raise max_iterations')
  if inference is None:
    return lines
  unclear = np.isnan(inference.sandwich_errors)
  unclear[:, list(fit.constant_features)] = False
  if unclear.any():
    named = ', '.join(names[d] for d in np.flatnonzero(unclear.any(0)))
    lines.append(
      f'not identified by the choices alone, held by the prior (–): {named}'
    )
  ratio = inference.sandwich_errors / inference.hessian_errors
  apart = (np.nan_to_num(np.abs(np.log10(ratio))) >= 1).any(0)
  if apart.any():
    named = ', '.join(names[d] for d in np.flatnonzero(apart))
    lines.append(f'the two errors disagree tenfold, trust neither: {named}')
  return lines


@dataclasses.dataclass(frozen=True)
class Selection:
  """How many types.

  Attributes:
    num_types: the chosen K.
    candidates: the K that were tried.
    scores: of each: held-out log-likelihood per choice (higher is better) or
      BIC (lower is better).
    errors: standard error of each score over folds; NaN for BIC.
  """

  num_types: int
  candidates: tuple[int, ...]
  scores: tuple[float, ...]
  errors: tuple[float, ...]


def choose_num_types(
  features: np.ndarray,
  choice: np.ndarray,
  user: np.ndarray | None = None,
  available: np.ndarray | None = None,
  *,
  candidates: Sequence[int],
  criterion: str = 'cross_validation',
  num_folds: int = 5,
  **options: Any,
) -> Selection:
  """Chooses K by held-out people or by BIC.

  Cross-validation takes the smallest K whose held-out log-likelihood falls
  short of the best by no more than one standard error of the difference over
  folds: more types than that are not worth their reading.

  Args:
    features: [N, L, D].
    choice: [N].
    user: [N] or None.
    available: [N, L] or None.
    candidates: values of K to try.
    criterion: 'cross_validation' over people, or 'bic'.
    num_folds: of the cross-validation.
    **options: of `fit`, without num_types.

  Raises:
    PastaError: an unknown criterion, no candidates, more folds than people.
  """
  errors.check_known('criterion', criterion, CRITERIA)
  if not candidates:
    raise errors.PastaError('candidates is empty, expected values of K')
  if criterion == 'bic':
    scores = []
    for k in candidates:
      found = model_lib.fit(
        features, choice, user, available, num_types=k, **options
      )
      scores.append(infer(found, features, choice, user, available).bic)
    best = int(np.argmin(scores))
    deviations = [float('nan')] * len(scores)
  else:
    folds = _folds(user, len(choice), num_folds, options.get('seed', 0))
    held_out = np.array(
      [
        [
          _held_out(features, choice, user, available, fold, k, options)
          for fold in folds
        ]
        for k in candidates
      ]
    )
    scores = held_out.mean(1).tolist()
    deviations = _standard_error(held_out).tolist()
    lead = held_out[np.argmax(scores)] - held_out
    level = np.flatnonzero(lead.mean(1) <= _standard_error(lead))
    best = int(min(level, key=lambda i: candidates[i]))
  return Selection(
    num_types=int(candidates[best]),
    candidates=tuple(candidates),
    scores=tuple(scores),
    errors=tuple(deviations),
  )


def _standard_error(folds: np.ndarray) -> np.ndarray:
  """Of the means of [..., folds]."""
  return folds.std(-1, ddof=1) / np.sqrt(folds.shape[-1])


def _folds(user, num_choices, num_folds, seed) -> list[np.ndarray]:
  """Masks [N] of held-out choices; all of a person's are in one fold."""
  user = np.arange(num_choices) if user is None else labels.check(user, 'user')
  people, position = np.unique(user, return_inverse=True)
  if not 2 <= num_folds <= len(people):
    raise errors.PastaError(
      f'num_folds is {num_folds}, expected 2 to the number of people, '
      f'{len(people)}'
    )
  order = np.random.default_rng(seed).permutation(len(people))
  return [order[position] % num_folds == fold for fold in range(num_folds)]


def _held_out(features, choice, user, available, fold, num_types, options):
  """Log-likelihood per choice of the people in a fold."""

  def part(array, mask):
    return None if array is None else np.asarray(array)[mask]

  arrays = (features, choice, user, available)
  found = model_lib.fit(
    *(part(a, ~fold) for a in arrays), num_types=num_types, **options
  )
  return model_lib.log_likelihood(
    found.model, *(part(a, fold) for a in arrays)
  ) / int(fold.sum())
