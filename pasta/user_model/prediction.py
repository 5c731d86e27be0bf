"""How well a user model predicts feedback of any kind, person by person.

Each observation is predicted from the person's earlier ones alone, and beside
it from another person's: only the gap between the two is personalisation.
"""

from typing import NamedTuple

import jax
import numpy as np

from pasta import metrics
from pasta.user_model import evidence, observations, pair_protocols
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel
from pasta.user_model.sessions_by_person import chunks
from pasta.user_model.sources import Source

_CHUNK_OBSERVATIONS = 4096
_CHUNK_BYTES = 2**26  # of inputs that are read at once


class Predicted(NamedTuple):
  """Of N observations, in a source's order.

  Attributes:
    log_likelihood: under each type [N, K], less weights.
    utility: R of the columns [N, L, K].
    log_belief: before the observation, from the person's earlier ones [N, K].
    mismatched: the same from another person's [N, K].
    person: position of each observation's person [N].
  """

  log_likelihood: np.ndarray
  utility: np.ndarray
  log_belief: np.ndarray
  mismatched: np.ndarray
  person: np.ndarray


@jax.jit
def _measure(model: UserModel, batch: observations.Observations):
  utility = model_lib.column_utility(model, batch.text, batch.image)
  found = evidence.observation_log_likelihoods(model, batch, utility)
  # What tells types apart first: a choice, not how it compares.
  return utility, next(iter(found.values()))


def predict(model: UserModel, source: Source) -> Predicted:
  """Likelihoods and beliefs of all observations, read chunk by chunk.

  Args:
    model: the user model.
    source: at least one person. Of sessions, the choices alone are used.
  """
  utility, likelihood = [], []
  fits = _CHUNK_BYTES * source.num_observations // max(source.num_bytes, 1)
  size = int(np.clip(fits, 1, _CHUNK_OBSERVATIONS))
  for at, count in chunks(source.num_observations, size):
    batch = source.read(at).replace(
      user=np.zeros(1, np.int32),
      group=np.zeros(len(at), np.int32),
      weight=np.ones(len(at), np.float32),
    )
    found = jax.device_get(_measure(model, batch))
    utility.append(found[0][:count])
    likelihood.append(found[1][:count])
  likelihood = np.concatenate(likelihood)
  person, place = _places(source.first)
  total = np.concatenate(
    [np.zeros((1, likelihood.shape[1])), np.cumsum(likelihood, 0, np.float64)]
  )
  first = np.asarray(source.first)
  log_prior = np.asarray(model.log_prior, np.float64)
  num = np.diff(first)

  def belief(who: np.ndarray, count: np.ndarray) -> np.ndarray:
    seen = total[first[who] + count] - total[first[who]]
    joint = log_prior + seen
    return joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)

  other = (person + 1) % source.num_users
  return Predicted(
    log_likelihood=likelihood,
    utility=np.concatenate(utility),
    log_belief=belief(person, place),
    mismatched=belief(other, np.minimum(place, num[other])),
    person=person,
  )


def _places(first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Person of each observation, and how many of theirs came before."""
  count = np.diff(first)
  person = np.repeat(np.arange(len(count)), count)
  return person, np.arange(first[-1]) - np.repeat(first[:-1], count)


def first_preferred(model: UserModel, found: Predicted) -> np.ndarray:
  """Probability that the first of two columns is preferred [N]."""
  scale = np.exp(np.asarray(model.choice_log_scale, np.float64))
  difference = scale * (found.utility[:, 0] - found.utility[:, 1])
  first = 1.0 / (1.0 + np.exp(-difference))
  return (np.exp(found.log_belief) * first).sum(-1)


def evaluate(
  model: UserModel,
  source: Source,
  validation: Source | None = None,
  baseline: UserModel | None = None,
) -> dict[str, float]:
  """Metrics on people whom a model has not been fitted on.

  Args:
    model: the user model.
    source: at least one person.
    validation: other people, to choose the threshold of ties by; None: no
      three-way accuracy.
    baseline: e.g. a model with K = 1.

  Returns:
    `KIND_log_likelihood` (nats per observation) and its 95 % interval over
    people (`…_low`, `…_high`), the same with another person's belief
    ('mismatched_', left out for one person alone) and of the baseline
    ('baseline_'); for pairs the protocols of `pair_protocols` as 'pair_NAME',
    'pair_NAME_low', 'pair_NAME_high' and 'pair_NAME_num_pairs'; for rankings
    'ranking_spearman'; for ratings 'rating_correlation'.
  """
  found = predict(model, source)
  kind = next(iter(source.feedback))

  def measure(found: Predicted, log_belief: np.ndarray) -> metrics.Interval:
    each = np.logaddexp.reduce(log_belief + found.log_likelihood, axis=1)
    return metrics.bootstrap_ratio(
      np.bincount(found.person, source.weight * each),
      np.bincount(found.person, source.weight),
    )

  name = f'{kind}_log_likelihood'
  own = measure(found, found.log_belief)
  result = {name: own.mean, f'{name}_low': own.low, f'{name}_high': own.high}
  if source.num_users > 1:
    result[f'mismatched_{name}'] = measure(found, found.mismatched).mean
  if baseline is not None:
    other = predict(baseline, source)
    result[f'baseline_{name}'] = measure(other, other.log_belief).mean
  feedback = source.feedback[kind]
  expected = (found.utility * np.exp(found.log_belief)[:, None]).sum(-1)
  if kind == 'pair':
    threshold = None
    if validation is not None and validation.num_users:
      known = predict(model, validation)
      threshold = pair_protocols.tie_threshold(
        first_preferred(model, known), validation.feedback['pair']
      )
    table = pair_protocols.table(
      first_preferred(model, found), feedback, found.person, threshold
    )
    for name, row in table.items():
      result[f'pair_{name}'] = row.pop('accuracy')
      result |= {f'pair_{name}_{k}': v for k, v in row.items()}
  elif kind == 'ranking':
    result['ranking_spearman'] = _spearman(expected, feedback, source.available)
  elif kind == 'rating' and len(feedback) > 1:
    spread = expected[:, 0].std() * feedback.std()
    if spread > 0:
      covariance = np.mean(
        (expected[:, 0] - expected[:, 0].mean()) * (feedback - feedback.mean())
      )
      result['rating_correlation'] = float(covariance / spread)
  return result


def _spearman(
  expected: np.ndarray, order: np.ndarray, available: np.ndarray | None
) -> float:
  """Mean over rankings of Spearman's correlation, ties at their mean rank.

  Columns that a partial ranking does not name share the last places.
  """
  values = []
  for i, row in enumerate(order):
    there = np.ones(len(row), bool) if available is None else available[i]
    place = np.full(len(row), np.inf)
    named = row[row >= 0]
    place[named] = np.arange(len(named))
    value = metrics.spearman(place[there], -expected[i][there])
    if np.isfinite(value):
      values.append(value)
  return float(np.mean(values)) if values else float('nan')
