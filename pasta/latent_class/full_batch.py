"""Full-batch EM for latent-class conditional logits, many restarts at once.

The objective is the log posterior

  Σ_u log Σ_k η_k exp ℓ_u(k) − ½ Σ_k (b_k − b̄)ᵀ Λ (b_k − b̄) + α Σ_k log η_k

with b̄ the pooled estimate (K = 1), so that types are pulled towards the
population and K = 1 is the ordinary conditional logit. One iteration evaluates
a proposal (E-step), keeps it if the objective has not fallen, else halves the
step, and takes one Newton step of the M-step from what was kept: a generalised
EM (Dempster, Laird and Rubin 1977) whose objective never falls. What it needs
of people are sums, so each device may hold some of them: with an `axis_name`,
sums go over its devices.

Letters: R restarts, K types, D features, U people.
"""

import functools

import chex
import flax
import jax
import jax.numpy as jnp
import numpy as np

from pasta import parallel
from pasta.latent_class import conditional_logit
from pasta.latent_class.choices import ChoiceData

# Iterations that take a start's responsibilities for the posterior.
START_STEPS = 1
# How far an objective may fall by rounding, in units of its own precision.
_ROUNDING = 32.0
_SMALLEST_STEP = 1e-4


@flax.struct.dataclass
class Prior:
  """MAP prior, as the module's docstring writes it.

  Attributes:
    pooled: b̄ [D].
    precision: diagonal of Λ [D].
    pseudo_count: α [].
  """

  pooled: jax.Array
  precision: jax.Array
  pseudo_count: jax.Array


@flax.struct.dataclass
class State:
  """R restarts in lockstep.

  Attributes:
    start: responsibilities of the first `START_STEPS` iterations [R, U, K].
    coefficients: what was kept last [R, K, D].
    log_prior: log η [R, K].
    log_likelihood: ℓ_u(k) there [R, U, K].
    objective: log posterior there [R].
    direction: Newton step of the coefficients from there [R, K, D].
    next_log_prior: the M-step's η from there [R, K].
    step: share of `direction` to be tried next [R].
    is_done: converged [R].
    iteration: number of iterations done [].
  """

  start: jax.Array
  coefficients: jax.Array
  log_prior: jax.Array
  log_likelihood: jax.Array
  objective: jax.Array
  direction: jax.Array
  next_log_prior: jax.Array
  step: jax.Array
  is_done: jax.Array
  iteration: jax.Array


def objective(
  coefficients: jax.Array,
  log_prior: jax.Array,
  log_likelihood: jax.Array,
  prior: Prior,
  temperature: jax.Array | float = 1.0,
  present: jax.Array | None = None,
  axis_name: str | None = None,
) -> jax.Array:
  """Log posterior up to a constant, [R]; at a temperature: the free energy.

  Args:
    coefficients: [R, K, D].
    log_prior: log η [R, K].
    log_likelihood: ℓ_u(k) [R, U, K].
    prior: the MAP prior.
    temperature: of responsibilities (deterministic annealing).
    present: which people count [U], bool; None: all.
    axis_name: of the devices that hold the people.
  """
  joint = (log_prior[:, None] + log_likelihood) / temperature
  marginal = jax.nn.logsumexp(joint, -1)  # [R, U]
  if present is not None:
    marginal = jnp.where(present, marginal, 0.0)
  marginal = temperature * parallel.total(marginal.sum(1), axis_name)
  deviation = coefficients - prior.pooled
  ridge = 0.5 * (prior.precision * deviation**2).sum((1, 2))
  return marginal - ridge + prior.pseudo_count * log_prior.sum(-1)


def responsibilities(
  log_prior: jax.Array,
  log_likelihood: jax.Array,
  temperature: jax.Array | float = 1.0,
) -> jax.Array:
  """γ [R, U, K]: posterior of each person's type (E-step)."""
  joint = log_prior[:, None] + log_likelihood
  return jax.nn.softmax(joint / temperature, axis=-1)


def host_posterior(state: State) -> tuple[np.ndarray, np.ndarray]:
  """Posterior of one run on the host, in float64.

  Args:
    state: R = 1.

  Returns:
    Responsibilities [U, K] and each person's log-likelihood [U].
  """
  joint = np.asarray(state.log_prior[0] + state.log_likelihood[0], np.float64)
  marginal = np.logaddexp.reduce(joint, axis=1)
  return np.exp(joint - marginal[:, None]), marginal


def m_step(
  coefficients: jax.Array,
  gamma: jax.Array,
  data: ChoiceData,
  prior: Prior,
  *,
  axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array]:
  """One Newton step towards the M-step's maximum, and η in closed form.

  Args:
    coefficients: where the step starts [R, K, D].
    gamma: responsibilities [R, U, K].
    data: the choices.
    prior: the MAP prior.
    axis_name: of the devices that hold the people.

  Returns:
    The direction [R, K, D] and log η [R, K].
  """
  restarts, num_types, dim = coefficients.shape
  # Seats that only fill up a device's share count for nothing.
  if data.present is not None:
    gamma = jnp.where(data.present[:, None], gamma, 0.0)
  # With γ fixed, types and restarts part: R·K weighted logits on the same
  # choices, solved side by side.
  flat = coefficients.reshape(-1, dim)
  weights = jnp.moveaxis(gamma, 1, 0).reshape(data.num_users, -1)  # [U, R·K]
  gradient, hessian, share = parallel.total(
    (*conditional_logit.derivatives(flat, weights, data), gamma.sum(1)),
    axis_name,
  )
  # After the sum over devices: the prior counts once.
  gradient = gradient - prior.precision * (flat - prior.pooled)
  hessian = hessian + jnp.diag(prior.precision)
  direction = jnp.linalg.solve(hessian, gradient[..., None])[..., 0]
  # The maximum of Σ γ log η + α Σ log η is exact: no step to be halved.
  share = share + prior.pseudo_count
  log_prior = jnp.log(share) - jnp.log(share.sum(-1, keepdims=True))
  return direction.reshape(restarts, num_types, dim), log_prior


def log_likelihoods(coefficients: jax.Array, data: ChoiceData) -> jax.Array:
  """ℓ_u(k) for R sets of coefficients: [R, K, D] -> [R, U, K]."""
  restarts, num_types, dim = coefficients.shape
  found = conditional_logit.user_log_likelihoods(
    coefficients.reshape(-1, dim), data
  )
  return jnp.moveaxis(found.reshape(-1, restarts, num_types), 1, 0)


def init(start: np.ndarray, coefficients: np.ndarray) -> State:
  """R runs at the start, on the host.

  Args:
    start: responsibilities [R, U, K] to depart from.
    coefficients: where the first Newton steps begin [R, K, D].
  """
  chex.assert_rank([start, coefficients], [3, 3])
  restarts, _, num_types = start.shape
  dtype = coefficients.dtype
  log_prior = np.full((restarts, num_types), -np.log(num_types), dtype)
  return State(
    start=start.astype(dtype),
    coefficients=coefficients,
    log_prior=log_prior,
    log_likelihood=np.zeros(start.shape, dtype),
    objective=np.full((restarts,), -np.inf, dtype),
    direction=np.zeros_like(coefficients),
    next_log_prior=log_prior,
    step=np.ones((restarts,), dtype),
    is_done=np.zeros((restarts,), bool),
    iteration=np.zeros((), np.int32),
  )


def iterate(
  state: State,
  data: ChoiceData,
  prior: Prior,
  *,
  tolerance: float,
  temperature: jax.Array | float = 1.0,
  axis_name: str | None = None,
) -> State:
  """One iteration; see the module's docstring.

  Args:
    state: before.
    data: the choices.
    prior: the MAP prior.
    tolerance: a restart is done when a kept proposal gains less than this
      share of the objective.
    temperature: of responsibilities; above 1, nothing counts as done.
    axis_name: of the devices that hold the people; all else is the same on all.
  """

  def value(coefficients, log_prior, log_likelihood, temperature=1.0):
    return objective(
      coefficients,
      log_prior,
      log_likelihood,
      prior,
      temperature,
      data.present,
      axis_name,
    )

  proposal = (
    state.coefficients + state.step[:, None, None] * state.direction,
    state.next_log_prior,
  )
  found = log_likelihoods(proposal[0], data)
  # Both at the temperature of now: what an iteration climbs changes as it
  # falls, and what was kept is measured anew.
  before = value(
    state.coefficients, state.log_prior, state.log_likelihood, temperature
  )
  after = value(*proposal, found, temperature)
  # A step that rounding alone has lowered is no reason to halve it.
  slack = _ROUNDING * jnp.finfo(after.dtype).eps * jnp.abs(before)
  is_start = state.iteration < START_STEPS
  # The last step of a start is judged by nothing: it has no predecessor.
  is_free = state.iteration <= START_STEPS
  keep = (is_free | (after >= before - slack)) & ~state.is_done

  def choose(new, old):
    return jnp.where(keep.reshape(-1, *[1] * (new.ndim - 1)), new, old)

  coefficients = choose(proposal[0], state.coefficients)
  log_prior = choose(proposal[1], state.log_prior)
  log_likelihood = choose(found, state.log_likelihood)
  gamma = responsibilities(log_prior, log_likelihood, temperature)
  gamma = jnp.where(is_start, state.start, gamma)
  direction, next_log_prior = m_step(
    coefficients, gamma, data, prior, axis_name=axis_name
  )
  small = keep & ~is_free & (after - before < tolerance * jnp.abs(before))
  # Halved to nothing: there is no way up from here.
  stuck = ~keep & (state.step < _SMALLEST_STEP)
  return State(
    start=state.start,
    coefficients=coefficients,
    log_prior=log_prior,
    log_likelihood=log_likelihood,
    objective=value(coefficients, log_prior, log_likelihood),
    direction=direction,
    next_log_prior=next_log_prior,
    step=jnp.where(keep, 1.0, 0.5 * state.step),
    is_done=state.is_done | ((small | stuck) & (temperature <= 1.0)),
    iteration=state.iteration + 1,
  )


@functools.partial(jax.jit, static_argnames='axis_name')
def run(
  state: State,
  data: ChoiceData,
  prior: Prior,
  num_iterations: jax.Array,
  tolerance: jax.Array,
  start_temperature: jax.Array,
  anneal_iterations: jax.Array,
  axis_name: str | None = None,
) -> State:
  """Iterates until all restarts are done, or so many times more.

  The temperature falls geometrically from its start to 1 over the first
  `anneal_iterations` iterations after those that take the start's
  responsibilities.
  """
  end = state.iteration + num_iterations

  def is_open(state: State):
    return (state.iteration < end) & ~state.is_done.all()

  def body(state: State):
    done = state.iteration - START_STEPS
    left = 1.0 - done / jnp.maximum(anneal_iterations, 1)
    temperature = start_temperature ** jnp.clip(left, 0.0, 1.0)
    temperature = jnp.where(anneal_iterations > 0, temperature, 1.0)
    return iterate(
      state,
      data,
      prior,
      tolerance=tolerance,
      temperature=temperature,
      axis_name=axis_name,
    )

  return jax.lax.while_loop(is_open, body, state)
