"""The search for the best optimum of a latent-class conditional logit.

Starts of several kinds, short runs from all of them, the best few to
convergence and split-and-merge moves from the winner: all in one compiled
program, a few runs at a time. What is small happens on the host: compiling it
would take longer than many a fit.
"""

import dataclasses
import math

import jax
import numpy as np

from pasta import errors, progress
from pasta.latent_class import (
  conditional_logit,
  devices,
  full_batch,
  split_merge,
)
from pasta.latent_class.choices import ChoiceData

# Objectives nearer than this share of their size are one optimum.
SAME_OPTIMUM = 1e-6
STARTS = ('clusters', 'partition', 'dirichlet')
_LLOYD_STEPS = 5
# After which share of a short run what share of the starts goes on.
_HALVINGS = ((1 / 3, 1 / 2), (1 / 2, 1 / 4))
# Runs in one program, and the most numbers in its logits.
_RUNS_AT_ONCE = 2
_CALL_SIZE = 2**27
_CALL_ITERATIONS = 50


@dataclasses.dataclass(frozen=True)
class Options:
  """How a model is fitted.

  Attributes:
    num_types: K.
    num_restarts: number of starts.
    starts: their kinds, in turn: 'clusters' of people's scores around centres
      drawn anew, 'partition', a random one, or 'dirichlet' responsibilities.
      The last two end in optima as good but take many more iterations to get
      where clusters begin.
    short_iterations: iterations of a start; half are given up after a third of
      them, half of the rest halfway, and the best few at the end go on to
      convergence.
    max_iterations: of a run to convergence.
    tolerance: converged when an iteration gains less than this share of the
      objective.
    ridge: prior precision of a type's deviation from the pooled coefficients,
      for features with a standard deviation of 1 within choice sets.
    pseudo_count: people added to every type's share.
    anneal_iterations: iterations of a start over which the temperature of
      responsibilities falls to 1; 0 = none.
    start_temperature: where it begins.
    max_rounds: rounds of split-and-merge moves; the first without a gain is
      the last; 0 = none.
    seed: of the starts.
    num_devices: of this host's, to which people are dealt; 0 = all.
    dtype: 'float64', or 'float32' (half the memory; objectives are then exact
      to about 1e-6 of their size).
  """

  num_types: int
  num_restarts: int = 12
  starts: tuple[str, ...] = ('clusters',)
  short_iterations: int = 12
  max_iterations: int = 2000
  tolerance: float = 1e-8
  ridge: float = 1.0
  pseudo_count: float = 1.0
  anneal_iterations: int = 0
  start_temperature: float = 3.0
  max_rounds: int = 20
  seed: int = 0
  num_devices: int = 1
  dtype: str = 'float64'

  def __post_init__(self):
    errors.check_least(
      self,
      num_types=1,
      num_restarts=1,
      short_iterations=1,
      max_iterations=1,
      ridge=0,
      pseudo_count=0,
      tolerance=0,
      anneal_iterations=0,
      start_temperature=1,
      max_rounds=0,
      num_devices=0,
    )
    if not self.starts or not set(self.starts) <= set(STARTS):
      raise errors.PastaError(
        f'starts is {self.starts!r}, expected some of {STARTS}'
      )
    if self.dtype not in ('float32', 'float64'):
      raise errors.PastaError(
        f"dtype is {self.dtype!r}, expected 'float32' or 'float64'"
      )


@dataclasses.dataclass(frozen=True)
class Found:
  """What the search found.

  Attributes:
    state: the best run, R = 1.
    restart_objectives: where each start stood after a third of its short run,
      when half are given up.
    share_at_best: share of the runs to convergence that reached the best.
    num_moves: split-and-merge moves taken.
  """

  state: full_batch.State
  restart_objectives: np.ndarray
  share_at_best: float
  num_moves: int


def search(
  data: ChoiceData, prior: full_batch.Prior, options: Options
) -> Found:
  """Starts, short runs, long runs, moves."""
  num_types = options.num_types
  num_restarts = 1 if num_types == 1 else options.num_restarts
  run = Runner(data, prior, options, num_restarts)
  if num_types == 1:
    gamma = np.ones((1, data.num_users, 1))
  else:
    gamma = _starts(data, prior, options)
  start = np.tile(prior.pooled, (num_restarts, num_types, 1))
  state, done, objectives = full_batch.init(gamma, start), 0, []
  for share_done, share_kept in _HALVINGS:
    end = math.ceil(share_done * run.short_iterations)
    state, done = run.each(state, end - done), end
    objectives.append(state.objective)
    state = _best(state, max(int(share_kept * num_restarts), run.at_once))
  state = run.each(state, run.short_iterations - done)
  long = run.converge(_best(state, run.at_once))
  highest = long.objective.max()
  near = long.objective >= highest - SAME_OPTIMUM * abs(highest)
  best, taken = run.move(_best(long, 1))
  return Found(best, objectives[0], float(near.mean()), taken)


def climb(
  data: ChoiceData,
  prior: full_batch.Prior,
  options: Options,
  gamma: np.ndarray,
) -> full_batch.State:
  """EM from given responsibilities [U, K] to convergence, without moves."""
  start = np.tile(prior.pooled, (1, gamma.shape[1], 1))
  run = Runner(data, prior, options, 1)
  return run.converge(full_batch.init(gamma[None], start))


class Runner:
  """Calls the compiled program on states that live on the host.

  Attributes:
    at_once: runs in a call.
    short_iterations: of a start or a move, annealing included.
  """

  def __init__(
    self,
    data: ChoiceData,
    prior: full_batch.Prior,
    options: Options,
    num_restarts: int,
  ):
    dtype = prior.pooled.dtype
    size = data.features.shape[0] * data.features.shape[1] * options.num_types
    most = min(_RUNS_AT_ONCE, num_restarts)
    self.at_once = int(np.clip(_CALL_SIZE // size, 1, most))
    self.short_iterations = options.short_iterations + options.anneal_iterations
    self._data, self._prior = data, prior
    self._run = devices.spread(
      data,
      prior,
      devices.resolve_num_devices(options.num_devices, data.num_users),
    )
    self._max_iterations = options.max_iterations
    self._max_rounds = options.max_rounds if options.num_types > 2 else 0
    self._schedule = (
      np.asarray(options.tolerance, dtype),
      np.asarray(options.start_temperature, dtype),
      np.asarray(options.anneal_iterations, np.int32),
    )

  def __call__(
    self, state: full_batch.State, num_iterations: int
  ) -> full_batch.State:
    """So many iterations more, or fewer if all runs are done."""
    num_iterations = np.asarray(num_iterations, np.int32)
    return jax.device_get(self._run(state, num_iterations, *self._schedule))

  def each(
    self, state: full_batch.State, num_iterations: int
  ) -> full_batch.State:
    """The same for P runs, `at_once` in a call."""
    num = len(state.objective)
    parts = []
    for first in range(0, num, self.at_once):
      # The last call is filled up: one compilation.
      rows = np.minimum(first + np.arange(self.at_once), num - 1)
      part = self(_pick(state, rows), num_iterations)
      parts.append(_pick(part, np.arange(min(self.at_once, num - first))))
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
        bar.set_postfix_str(
          f'objective {state.objective.max():.6g}', refresh=False
        )
      if state.is_done.all():
        progress.end_early(bar, 'converged')
    return state

  def move(self, best: full_batch.State) -> tuple[full_batch.State, int]:
    """Split-and-merge moves from one converged run until none helps.

    Returns:
      The best state and the number of moves taken.
    """
    for taken in range(self._max_rounds):
      proposals = split_merge.propose(
        best, self._data, self._prior, 2 * self.at_once
      )
      trial = self.each(full_batch.init(*proposals), self.short_iterations)
      leader = np.resize(np.argsort(-trial.objective)[:1], self.at_once)
      leader = _pick(self.converge(_pick(trial, leader)), [0])
      gain = leader.objective[0] - best.objective[0]
      if not gain > SAME_OPTIMUM * abs(best.objective[0]):
        return best, taken
      best = leader
    return best, self._max_rounds


def _pick(state: full_batch.State, rows) -> full_batch.State:
  rows = np.asarray(rows)
  return jax.tree.map(lambda x: x[rows] if x.ndim else x, state)


def _best(state: full_batch.State, num: int) -> full_batch.State:
  return _pick(state, np.argsort(-state.objective, kind='stable')[:num])


_user_scores = jax.jit(conditional_logit.user_scores)


def _whitened_scores(data: ChoiceData, pooled: np.ndarray) -> np.ndarray:
  """Each person's score at the pooled estimate, of unit covariance [U, D]."""
  scores = np.asarray(_user_scores(pooled[None], data))[:, 0]
  values, vectors = np.linalg.eigh(scores.T @ scores / len(scores))
  keep = values > 1e-6 * values.max()
  return scores @ (vectors[:, keep] / np.sqrt(values[keep]))


def _starts(
  data: ChoiceData, prior: full_batch.Prior, options: Options
) -> np.ndarray:
  """Responsibilities of all starts [R, U, K]."""
  rng = np.random.default_rng(options.seed)
  shape = data.num_users, options.num_types
  points = None
  if 'clusters' in options.starts:
    points = _whitened_scores(data, prior.pooled)

  def start(kind: str) -> np.ndarray:
    if kind == 'clusters':
      return clusters(rng, points, options.num_types)
    if kind == 'partition':
      return np.eye(shape[1])[rng.integers(shape[1], size=shape[0])]
    return rng.dirichlet(np.ones(shape[1]), shape[0])

  kinds = options.starts
  return np.stack(
    [start(kinds[i % len(kinds)]) for i in range(options.num_restarts)]
  )


def clusters(
  rng: np.random.Generator, points: np.ndarray, num_types: int
) -> np.ndarray:
  """Responsibilities of a start: k-means from spread-out centres.

  Args:
    rng: draws the centres.
    points: [U, D].
    num_types: K.

  Returns:
    [U, K], one-hot.
  """
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
