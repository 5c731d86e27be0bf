"""The search for the best optimum of a latent-class conditional logit.

Starts of three kinds, short runs from all of them, the best few to convergence
and split-and-merge moves from the winner: all in one compiled program, a few
runs at a time. What is small happens on the host: compiling it would take
longer than many a fit.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from pasta import progress
from pasta.user_model import conditional_logit, full_batch, split_merge
from pasta.user_model.choices import ChoiceData

# Objectives nearer than this share of their size are one optimum.
SAME_OPTIMUM = 1e-6
_SEPARABLE = 1.0 - 1e-3  # mean fitted probability of what was chosen
_LLOYD_STEPS = 5
_POOLED_STEPS = 60
# Runs in one program, and the most numbers in its logits.
_RUNS_AT_ONCE = 2
_CALL_SIZE = 2**27
_CALL_ITERATIONS = 50


@dataclasses.dataclass(frozen=True)
class Found:
  """What the search found.

  Attributes:
    state: the best run, R = 1.
    restart_objectives: where each start stood halfway through its short run,
      when two thirds are given up.
    share_at_best: share of the runs to convergence that reached the best.
    num_moves: split-and-merge moves taken.
  """

  state: full_batch.State
  restart_objectives: np.ndarray
  share_at_best: float
  num_moves: int


def within_variance(data: ChoiceData) -> np.ndarray:
  """Variance of each feature within choice sets [D]; exactly 0 if constant."""
  x, available = np.asarray(data.features), np.asarray(data.available)
  count = available.sum(1)[:, None]
  mean = x.sum(1) / count  # Features are 0 where not available.
  square = np.einsum('nld,nld->d', x, x) - np.einsum(
    'n,nd->d', count[:, 0], mean**2
  )
  variance = square / available.sum()
  # Constant within sets: what is left is rounding of the squares.
  size = np.einsum('nld,nld->d', x, x) / available.sum()
  rounding = 100.0 * np.finfo(x.dtype).eps * size
  return np.where(variance > rounding, variance, 0.0)


def fit_prior(
  data: ChoiceData, ridge: float, pseudo_count: float
) -> tuple[full_batch.Prior, bool]:
  """The MAP prior around the pooled estimate.

  Args:
    data: the choices, on the device.
    ridge: precision for features of variance 1 within choice sets.
    pseudo_count: people added to every type.

  Returns:
    The prior, and whether the pooled model separates: predicts every choice,
    so that there is no finite estimate and the ridge alone holds it.
  """
  variance = within_variance(data)
  dtype = variance.dtype
  scale = np.where(variance > 0, variance, 1.0)
  # Holds what choices say nothing about; far below what they say otherwise.
  tiny = np.finfo(dtype).eps ** 0.5
  pooled, log_likelihood = _pooled(data, tiny * scale)
  is_separable = np.exp(log_likelihood / data.num_choices) > _SEPARABLE
  if is_separable:
    logging.warning(
      'the features predict every choice: coefficients have no finite estimate '
      'and are held by the prior alone'
    )
    pooled, _ = _pooled(data, max(ridge, 1e-3) * scale)
  prior = full_batch.Prior(
    pooled=pooled,
    precision=max(ridge, tiny) * scale,
    pseudo_count=np.asarray(pseudo_count, dtype),
  )
  return prior, bool(is_separable)


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


def search(
  data: ChoiceData,
  prior: full_batch.Prior,
  *,
  num_types: int,
  num_restarts: int,
  short_iterations: int,
  max_iterations: int,
  tolerance: float,
  anneal_iterations: int,
  start_temperature: float,
  max_rounds: int,
  seed: int,
) -> Found:
  """Starts, short runs, long runs, moves; see `latent_class.Options`."""
  run = _Runner(
    data, prior, tolerance, start_temperature, anneal_iterations, max_iterations
  )
  num_restarts = 1 if num_types == 1 else num_restarts
  at_once = _at_once(data, num_types, num_restarts)
  short_iterations += anneal_iterations
  rng = np.random.default_rng(seed)
  points = _whitened_scores(data, prior.pooled) if num_restarts > 1 else None
  start = np.tile(prior.pooled, (num_restarts, num_types, 1))
  gamma = np.stack(
    [
      start_responsibilities(rng, i, points, data.num_users, num_types)
      for i in range(num_restarts)
    ]
  )
  # Successive halving: poor starts show early.
  early = (short_iterations + 1) // 2
  shorts = run.each(full_batch.init(gamma, start), at_once, early)
  order = np.argsort(-shorts.objective)[: max(num_restarts // 3, at_once)]
  better = run.each(_pick(shorts, order), at_once, short_iterations - early)
  order = np.argsort(-better.objective)[:at_once]
  long = run.converge(_pick(better, order))
  highest = long.objective.max()
  near = long.objective >= highest - SAME_OPTIMUM * abs(highest)
  best, taken = _pick(long, [np.argmax(long.objective)]), 0
  if num_types > 2:
    best, taken = _moves(run, best, at_once, short_iterations, max_rounds)
  return Found(best, shorts.objective, float(near.mean()), taken)


def _moves(run, best, at_once, short_iterations, max_rounds):
  """Split-and-merge moves until none helps: the best state, moves taken."""
  for taken in range(max_rounds):
    proposals = split_merge.propose(best, run.data, run.prior, 2 * at_once)
    trial = run.each(full_batch.init(*proposals), at_once, short_iterations)
    leader = np.resize(np.argsort(-trial.objective)[:1], at_once)
    leader = _pick(run.converge(_pick(trial, leader)), [0])
    gain = leader.objective[0] - best.objective[0]
    if not gain > SAME_OPTIMUM * abs(best.objective[0]):
      return best, taken
    best = leader
  return best, max_rounds


def climb(
  data: ChoiceData,
  prior: full_batch.Prior,
  gamma: np.ndarray,
  *,
  max_iterations: int = 2000,
  tolerance: float = 1e-8,
) -> full_batch.State:
  """EM from given responsibilities [U, K] to convergence, without moves."""
  run = _Runner(data, prior, tolerance, 1.0, 0, max_iterations)
  start = np.tile(prior.pooled, (1, gamma.shape[1], 1))
  return run.converge(full_batch.init(gamma[None], start))


def move(
  data: ChoiceData,
  prior: full_batch.Prior,
  state: full_batch.State,
  *,
  short_iterations: int,
  max_iterations: int = 2000,
  tolerance: float = 1e-8,
  max_rounds: int = 20,
) -> Found:
  """Split-and-merge moves from a converged state of one run."""
  run = _Runner(data, prior, tolerance, 1.0, 0, max_iterations)
  at_once = _at_once(data, state.coefficients.shape[1], _RUNS_AT_ONCE)
  best, taken = _moves(run, state, at_once, short_iterations, max_rounds)
  return Found(best, state.objective, 1.0, taken)


class _Runner:
  """Calls the compiled program on states that live on the host."""

  def __init__(
    self, data, prior, tolerance, start_temperature, anneal, max_iterations
  ):
    dtype = prior.pooled.dtype
    self.data, self.prior = data, prior
    self._max_iterations = max_iterations
    self._options = (
      np.asarray(tolerance, dtype),
      np.asarray(start_temperature, dtype),
      np.asarray(anneal, np.int32),
    )

  def __call__(self, state, num_iterations) -> full_batch.State:
    found = full_batch.run(
      state,
      self.data,
      self.prior,
      np.asarray(num_iterations, np.int32),
      *self._options,
    )
    return jax.device_get(found)

  def each(self, state, at_once, num_iterations) -> full_batch.State:
    """So many iterations more of P runs, `at_once` in a call."""
    num = len(state.objective)
    parts = []
    for first in range(0, num, at_once):
      # The last call is filled up: one compilation.
      rows = np.minimum(first + np.arange(at_once), num - 1)
      part = self(_pick(state, rows), num_iterations)
      parts.append(_pick(part, np.arange(min(at_once, num - first))))
    return jax.tree.map(
      lambda *x: np.concatenate(x) if x[0].ndim else x[0], *parts
    )

  def converge(self, state: full_batch.State) -> full_batch.State:
    """Until all runs are done, a call at a time."""
    bar = progress.progress(
      total=self._max_iterations, unit='iteration', desc='latent class'
    )
    with bar:
      bar.update(int(state.iteration))
      while not state.is_done.all() and state.iteration < self._max_iterations:
        before = int(state.iteration)
        state = self(
          state, min(_CALL_ITERATIONS, self._max_iterations - before)
        )
        bar.update(int(state.iteration) - before)
        bar.set_postfix_str(f'objective {state.objective.max():.6g}')
    return state


def _pick(state: full_batch.State, rows) -> full_batch.State:
  rows = np.asarray(rows)
  return jax.tree.map(lambda x: x[rows] if x.ndim else x, state)


def _at_once(data: ChoiceData, num_types: int, num_restarts: int) -> int:
  """How many runs share a call."""
  size = data.features.shape[0] * data.features.shape[1] * num_types
  most = min(_RUNS_AT_ONCE, num_restarts)
  return int(np.clip(_CALL_SIZE // size, 1, most))


def start_responsibilities(
  rng: np.random.Generator,
  index: int,
  points: np.ndarray | None,
  num_users: int,
  num_types: int,
) -> np.ndarray:
  """Responsibilities [U, K] of a start; three kinds take turns.

  0: clusters of people's scores by k-means from spread-out centres (where
  there are scores); 1: a random partition; 2: Dirichlet(1).

  Args:
    rng: draws them.
    index: number of the start.
    points: people's whitened scores [U, D], or None.
    num_users: U.
    num_types: K.
  """
  if index % 3 == 0 and points is not None:
    return _clusters(rng, points, num_types)
  if index % 3 == 2:
    draw = rng.exponential(size=(num_users, num_types))
    return draw / draw.sum(1, keepdims=True)
  return np.eye(num_types)[rng.integers(num_types, size=num_users)]


_user_scores = jax.jit(conditional_logit.user_scores)


def _whitened_scores(data: ChoiceData, pooled: np.ndarray) -> np.ndarray:
  """Each person's score at the pooled estimate, of unit covariance [U, D]."""
  scores = np.asarray(_user_scores(pooled[None], data))[:, 0]
  values, vectors = np.linalg.eigh(scores.T @ scores / len(scores))
  keep = values > 1e-6 * values.max()
  return scores @ (vectors[:, keep] / np.sqrt(values[keep]))


def _clusters(rng, points, num_types) -> np.ndarray:
  """k-means from spread-out centres, one-hot [U, K]."""
  centres = points[rng.integers(len(points))][None]
  distance = ((points - centres[0]) ** 2).sum(-1)
  while len(centres) < num_types:
    total = distance.sum()
    chance = distance / total if total > 0 else None
    centre = points[rng.choice(len(points), p=chance)]
    centres = np.concatenate([centres, centre[None]])
    distance = np.minimum(distance, ((points - centre) ** 2).sum(-1))

  def assign() -> np.ndarray:
    square = (centres**2).sum(-1) - 2 * points @ centres.T
    return np.eye(num_types)[square.argmin(-1)]

  for _ in range(_LLOYD_STEPS):
    member = assign()
    count = member.sum(0)[:, None]
    means = member.T @ points / np.maximum(count, 1.0)
    centres = np.where(count > 0, means, centres)
  return assign()
