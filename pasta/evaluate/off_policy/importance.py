"""Importance sampling and doubly robust estimates of a policy's return.

Plain numpy in float64. Weights are cumulative over turns, made in logs and
never clipped: where they rest on too few sessions, the estimate is refused.

Letters: N sessions, T turns, J terms, U people, R resamples.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

NUM_RESAMPLES = 2000
_CHUNK_ELEMENTS = 4_000_000  # resampled counts held at once


@dataclasses.dataclass(frozen=True)
class Estimate:
  """An estimated return with its 95 % interval, or why there is none.

  Attributes:
    value: in units of return; None where refused.
    low: of the interval.
    high: of the interval.
    effective_sessions: how many equally weighted sessions the weights are
      worth; None where there are no weights.
    refusal: '' or what is missing.
  """

  value: float | None = None
  low: float | None = None
  high: float | None = None
  effective_sessions: float | None = None
  refusal: str = ''


class Terms(NamedTuple):
  """An estimate in parts: Σ_j (Σ_i numerator_ij) / (Σ_i denominator_ij).

  Attributes:
    numerator: [N, J].
    denominator: [N, J]; ones for plain means over sessions.
  """

  numerator: np.ndarray
  denominator: np.ndarray


def cumulative_weights(
  log_target: np.ndarray, log_behaviour: np.ndarray, valid: np.ndarray
) -> np.ndarray:
  """ρ_{0:t} = Π_{i≤t} π(a_i | h_i) / μ(a_i | h_i), [N, T].

  Args:
    log_target: log π of what was logged [N, T]; -inf for never.
    log_behaviour: log μ of it [N, T], finite where valid.
    valid: bool [N, T]; other turns leave the weight as it is.

  Raises:
    ValueError: a log μ that is not finite, or a log π that is NaN or +inf.
  """
  target = np.where(valid, log_target, 0.0).astype(np.float64)
  behaviour = np.where(valid, log_behaviour, 0.0).astype(np.float64)
  if not np.isfinite(behaviour).all():
    raise ValueError('log_behaviour is not finite at a valid turn')
  if np.isnan(target).any() or (target == np.inf).any():
    raise ValueError('log_target is not a log probability at a valid turn')
  return np.exp(np.cumsum(target - behaviour, 1))


def effective_sessions(weights: np.ndarray) -> float:
  """(Σ ρ)² / Σ ρ² at the turn where it is least (Kish); 0 without weight.

  Args:
    weights: cumulative [N, T].
  """
  top = weights.max(0)
  scaled = weights / np.where(top > 0, top, 1.0)  # squares stay in range
  total = scaled.sum(0) ** 2
  square = (scaled**2).sum(0)
  return float(
    np.where(square > 0, total / np.where(square > 0, square, 1), 0).min()
  )


def _discounts(num_turns: int, discount: float) -> np.ndarray:
  return discount ** np.arange(num_turns)


def per_decision(
  weights: np.ndarray,
  reward: np.ndarray,
  *,
  discount: float,
  self_normalised: bool = False,
) -> Terms:
  """Per-decision importance sampling (Precup et al. 2000).

  Σ_t γ^t mean_i ρ_{0:t} r_t; self-normalised, each turn's weights sum to 1,
  which trades a little bias for much variance.

  Args:
    weights: cumulative [N, T].
    reward: [N, T]; zero where a turn is not valid.
    discount: γ.
    self_normalised: whether to weigh.
  """
  numerator = _discounts(reward.shape[1], discount) * weights * reward
  return Terms(
    numerator, weights if self_normalised else np.ones_like(numerator)
  )


def doubly_robust(
  weights: np.ndarray,
  reward: np.ndarray,
  q: np.ndarray,
  v: np.ndarray,
  *,
  discount: float,
  self_normalised: bool = False,
) -> Terms:
  """Per-decision doubly robust (Jiang & Li 2016; weighted: Thomas 2016).

  Σ_t γ^t mean_i (ρ_{0:t} (r_t − q_t) + ρ_{0:t−1} v_t): right where either the
  weights or the values are, if the values were fitted on other sessions.

  Args:
    weights: cumulative [N, T].
    reward: [N, T].
    q: value of what was logged [N, T].
    v: value of the state under the target policy [N, T].
    discount: γ.
    self_normalised: whether each turn's weights are made to sum to 1.

  All but weights are zero where a turn is not valid.
  """
  gamma = _discounts(reward.shape[1], discount)
  before = np.concatenate([np.ones_like(weights[:, :1]), weights[:, :-1]], 1)
  numerator = np.concatenate(
    [gamma * weights * (reward - q), gamma * before * v], 1
  )
  if not self_normalised:
    return Terms(numerator, np.ones_like(numerator))
  return Terms(numerator, np.concatenate([weights, before], 1))


def estimate(
  terms: Terms,
  weights: np.ndarray,
  users: np.ndarray,
  *,
  min_effective_sessions: float,
  seed: int,
) -> Estimate:
  """The terms' estimate with its interval over people.

  Args:
    terms: of N sessions.
    weights: cumulative [N, T], that the terms were made with.
    users: int [N], who each session belongs to; people are resampled with all
      their sessions.
    min_effective_sessions: below, the estimate is refused: a mean over a
      handful of sessions, whose interval would be too short.
    seed: of the resampling.
  """
  size = effective_sessions(weights)
  if size < min_effective_sessions:
    return Estimate(
      effective_sessions=size,
      refusal=f'effective sample size {size:.1f} of {len(weights)}, expected '
      f'at least {min_effective_sessions:g}',
    )
  top, bottom = terms
  value = float((top.sum(0) / bottom.sum(0)).sum())
  resampled = bootstrap(terms, users, seed=seed)
  low, high = np.percentile(resampled, (2.5, 97.5))
  return Estimate(value, float(low), float(high), size)


def bootstrap(terms: Terms, users: np.ndarray, *, seed: int) -> np.ndarray:
  """The estimate on resampled people, [R].

  Resamples without any weight at a turn have no value and are left out.
  """
  _, person = np.unique(users, return_inverse=True)
  num = person.max() + 1

  def per_person(x):
    out = np.zeros((num, x.shape[1]))
    np.add.at(out, person, x)
    return out

  top, bottom = map(per_person, terms)
  rng = np.random.default_rng(seed)
  chunk = max(1, _CHUNK_ELEMENTS // num)
  values = []
  for start in range(0, NUM_RESAMPLES, chunk):
    size = min(chunk, NUM_RESAMPLES - start)
    drawn = rng.integers(num, size=(size, num)) + num * np.arange(size)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=size * num).reshape(size, num)
    above, below = counts @ top, counts @ bottom  # [R, J]
    has_weight = (below > 0).all(1)
    values.append((above[has_weight] / below[has_weight]).sum(1))
  return np.concatenate(values)
