"""The latent-class conditional logit: fitted, asked and kept on disk.

`fit` is full-batch EM (`full_batch`) from many starts, the best few to
convergence, then split-and-merge moves (`search`).
"""

import dataclasses
import os
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors, files
from pasta.latent_class import choices as choices_lib
from pasta.latent_class import conditional_logit, devices, full_batch, search
from pasta.latent_class import pooled as pooled_lib

Options = search.Options
_INFO = 'latent_class.json'


@flax.struct.dataclass
class LatentClass:
  """Parameters.

  Attributes:
    coefficients: b [K, D], in units of log-odds per unit of the feature.
    log_prior: log η [K].
  """

  coefficients: jax.Array
  log_prior: jax.Array


@dataclasses.dataclass(frozen=True)
class Fit:
  """What `fit` found.

  Attributes:
    model: the parameters.
    users: the people's labels [U], in the order of `responsibilities`.
    responsibilities: posterior of each person's type [U, K], of these very
      parameters.
    pooled: the coefficients without types (K = 1) [D].
    precision: of the prior that held the coefficients [D].
    log_likelihood: of all choices, nats.
    objective: log posterior, what was maximised.
    num_choices: N.
    restart_objectives: where each start stood halfway through its short run
      [R].
    share_at_best: share of the runs to convergence that reached the best of
      them (before moves).
    num_moves_taken: split-and-merge moves that raised the objective.
    num_iterations: of the last run to convergence.
    is_converged: the last run met the tolerance, and is no worse than chance.
    effective_types: exp(entropy(η)).
    responsibility_entropy: mean over people, nats.
    constant_features: features that never differ within a choice set; their
      coefficients are not identified and stay at zero.
    unidentified_features: others of which the choices say nothing, so that the
      prior alone holds them: collinear ones, and those by which nobody or
      everybody chose.
    is_separable: the pooled model predicts every choice: coefficients have no
      finite maximum-likelihood estimate and are held by the prior alone.
    options: as given.
  """

  model: LatentClass
  users: np.ndarray
  responsibilities: np.ndarray
  pooled: np.ndarray
  precision: np.ndarray
  log_likelihood: float
  objective: float
  num_choices: int
  restart_objectives: np.ndarray
  share_at_best: float
  num_moves_taken: int
  num_iterations: int
  is_converged: bool
  effective_types: float
  responsibility_entropy: float
  constant_features: tuple[int, ...]
  unidentified_features: tuple[int, ...]
  is_separable: bool
  options: Options


def fit(
  features: np.ndarray,
  choice: np.ndarray,
  user: np.ndarray | None = None,
  available: np.ndarray | None = None,
  **options: Any,
) -> Fit:
  """Fits a latent-class conditional logit.

  Args:
    features: of the alternatives [N, L, D].
    choice: chosen alternative [N].
    user: who chose [N], any labels; None: each choice a person of its own.
    available: [N, L], true where an alternative could be chosen; None: all.
    **options: fields of `Options`; num_types is needed.

  Returns:
    The fit; with K = 1 the ordinary conditional logit.

  Raises:
    PastaError: arrays that don't fit together (see `choices.make`), or an
      option out of range, e.g. more types than people.
  """
  settings = Options(**options)
  with jax.enable_x64(settings.dtype == 'float64'):
    data, users = choices_lib.make(
      features, choice, user, available, dtype=np.dtype(settings.dtype).type
    )
    return fit_data(data, settings, users)


def fit_data(
  data: choices_lib.ChoiceData, options: Options, users: np.ndarray
) -> Fit:
  """`fit` on checked data, of the dtype in effect; scales its features."""
  if options.num_types > data.num_users:
    raise errors.PastaError(
      f'num_types is {options.num_types}, expected at most the number of '
      f'people, {data.num_users}'
    )
  devices.resolve_num_devices(options.num_devices, data.num_users)
  # Powers of two: no digit is lost. Squares of any unit stay in range.
  deviation = np.sqrt(pooled_lib.within_variance(data))
  scale = np.exp2(np.round(np.log2(np.where(deviation > 0, deviation, 1.0))))
  np.divide(data.features, scale.astype(data.features.dtype), out=data.features)
  data = jax.tree.map(jnp.asarray, data)
  pooled = pooled_lib.fit_pooled(data, options)
  found = search.search(data, pooled.prior, options)
  gamma, marginal = full_batch.host_posterior(found.state)
  log_prior = np.asarray(found.state.log_prior[0], np.float64)
  order = np.argsort(-log_prior)  # the largest type first
  gamma, log_prior = gamma[:, order], log_prior[order]
  log_gamma = np.log(np.maximum(gamma, np.finfo(np.float64).tiny))
  coefficients = np.asarray(found.state.coefficients[0][order], np.float64)
  coefficients[:, list(pooled.constant_features)] = 0.0
  log_likelihood = float(marginal.sum())
  chance = -float(np.log(np.asarray(data.available).sum(1)).sum())
  if not np.isfinite(log_likelihood):
    raise errors.PastaError(
      f'the log-likelihood is {log_likelihood}: features are too large or too '
      f'unlike for dtype {options.dtype!r}'
    )
  return Fit(
    model=LatentClass(coefficients=coefficients / scale, log_prior=log_prior),
    users=users,
    responsibilities=gamma,
    pooled=np.asarray(pooled.prior.pooled, np.float64) / scale,
    precision=scale**2
    * (pooled.precision if options.num_types == 1 else pooled.prior.precision),
    log_likelihood=log_likelihood,
    objective=float(found.state.objective[0]),
    num_choices=data.num_choices,
    restart_objectives=found.restart_objectives,
    share_at_best=found.share_at_best,
    num_moves_taken=found.num_moves,
    num_iterations=int(found.state.iteration),
    # No estimate is worse than none.
    is_converged=bool(found.state.is_done[0]) and log_likelihood >= chance,
    effective_types=float(np.exp(-(np.exp(log_prior) * log_prior).sum())),
    responsibility_entropy=float(-(gamma * log_gamma).sum(1).mean()),
    constant_features=pooled.constant_features,
    unidentified_features=pooled.unidentified_features,
    is_separable=pooled.is_separable,
    options=options,
  )


def posterior(
  model: LatentClass,
  features: np.ndarray,
  choice: np.ndarray,
  user: np.ndarray | None = None,
  available: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Posterior of each person's type given their choices.

  Args:
    model: fitted parameters.
    features: [N, L, D].
    choice: [N].
    user: [N] or None, as for `fit`.
    available: [N, L] or None.

  Returns:
    The people's labels [U] and their beliefs [U, K].
  """
  with jax.enable_x64(True):
    users, joint = _joint(model, features, choice, user, available)
    return users, np.asarray(jax.nn.softmax(joint, -1))


def log_likelihood(
  model: LatentClass,
  features: np.ndarray,
  choice: np.ndarray,
  user: np.ndarray | None = None,
  available: np.ndarray | None = None,
) -> float:
  """Log-likelihood of people's choices, their types unknown; nats.

  Args: as for `posterior`.
  """
  with jax.enable_x64(True):
    _, joint = _joint(model, features, choice, user, available)
    return float(jax.nn.logsumexp(joint, -1).sum())


def _joint(model, features, choice, user, available):
  """People's labels [U] and log P(type, their choices) [U, K]."""
  data, users = choices_lib.make(features, choice, user, available)
  _check_width(model, data.num_features)
  found = conditional_logit.user_log_likelihoods(
    jnp.asarray(model.coefficients, jnp.float64), data
  )
  return users, jnp.asarray(model.log_prior, jnp.float64) + found


def predict(
  model: LatentClass,
  features: np.ndarray,
  belief: np.ndarray | None = None,
  available: np.ndarray | None = None,
) -> np.ndarray:
  """Choice probabilities [N, L]: a mixture over types.

  Args:
    model: fitted parameters.
    features: [N, L, D].
    belief: over types, of the person of each choice [N, K]; None: the prior.
    available: [N, L] or None.

  Raises:
    PastaError: wrong shapes, features that are not finite, a set without
      alternatives, or beliefs that are negative or don't sum to 1.
  """
  with jax.enable_x64(True):
    features, available = choices_lib.centred(features, available)
    _check_width(model, features.shape[2])
    num_types = len(model.log_prior)
    if belief is None:
      belief = np.exp(np.asarray(model.log_prior))[None]
    belief = np.asarray(belief, np.float64)
    expected = len(features), num_types
    if belief.shape not in (expected, (1, num_types)):
      raise errors.PastaError(
        f'belief has shape {belief.shape}, expected {expected}'
      )
    if not ((belief >= 0).all() and (np.abs(belief.sum(-1) - 1) < 1e-3).all()):
      raise errors.PastaError(
        'belief does not hold probabilities: rows must '
        'be at least 0 and sum to 1'
      )
    log_probs = conditional_logit.log_probs(
      jnp.asarray(model.coefficients, jnp.float64),
      features,
      jnp.asarray(available),
    )
    return np.asarray(jnp.einsum('nlk,nk->nl', jnp.exp(log_probs), belief))


def _check_width(model: LatentClass, num_features: int) -> None:
  if model.coefficients.shape[1] != num_features:
    raise errors.PastaError(
      f'features have {num_features} columns, the model was fitted on '
      f'{model.coefficients.shape[1]}'
    )


def save(directory: str, model: LatentClass) -> None:
  """Writes a model; atomic."""
  arrays = {
    'coefficients': np.asarray(model.coefficients).tolist(),
    'log_prior': np.asarray(model.log_prior).tolist(),
  }
  os.makedirs(directory, exist_ok=True)
  files.write_json(os.path.join(directory, _INFO), arrays)


def load(directory: str) -> LatentClass:
  """Reads a model.

  Raises:
    PastaError: no model there, or a damaged one.
  """
  path = os.path.join(directory, _INFO)
  content = files.read_json(path)
  try:
    model = LatentClass(
      coefficients=np.array(content['coefficients'], np.float64),
      log_prior=np.array(content['log_prior'], np.float64),
    )
  except (KeyError, TypeError, ValueError) as e:
    raise errors.PastaError(f'{path}: is not a latent-class model') from e
  if model.coefficients.shape[:1] != model.log_prior.shape:
    raise errors.PastaError(f'{path}: coefficients and types do not fit')
  return model
