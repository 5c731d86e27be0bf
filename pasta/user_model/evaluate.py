"""How well a user model predicts people whom it has not been fitted on.

`score` is what a fit stops and chooses by, `evaluate` all that is reported.
What sessions are measured by hangs on whole turns; other data have measures of
their kind of feedback.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from pasta import metrics
from pasta.user_model import belief, habits, pair_protocols, predictions
from pasta.user_model.model import UserModel
from pasta.user_model.predictions import ByObservation, ByTurn
from pasta.user_model.sources import Source

_WEIGHT_GRID = (1.0, 0.85, 0.7, 0.5, 0.35, 0.25)
_WIDENING_GRID = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_SCALE_GRID = np.linspace(-0.8, 0.8, 17)  # of log τ, around the fitted one


def score(model: UserModel, source: Source) -> dict[str, float]:
  """What a fit looks at on held-out people while it runs.

  Args:
    model: the user model.
    source: at least one person.

  Returns:
    With others `KIND_log_likelihood`, nats per observation, KIND being the
    source's first: 'choice' of sessions.
  """
  if source.num_places is None:
    return _evaluate_observations(model, source, None, None)
  return _means(predictions.by_turn(model, source))


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
      three-way accuracy of pairs.
    baseline: e.g. a model with K = 1.

  Returns:
    `KIND_log_likelihood` (nats per observation) and its 95 % interval over
    people (`…_low`, `…_high`), the same with another person's belief
    ('mismatched_', left out for one person alone) and of the baseline
    ('baseline_').
    For sessions also 'sequential_accuracy', 'mismatched_accuracy',
    'cross_turn_accuracy', with intervals and of the baseline;
    'calibration_error' of the sequential predictions; 'last_turn_accuracy',
    that of each person's last choice; 'uniform_…', chance; 'effective_types' =
    exp(entropy(η)).
    Of slate choices under a model with habits those of `habits.intervals`.
    For pairs the protocols of `pair_protocols` as 'pair_NAME',
    'pair_NAME_low', 'pair_NAME_high' and 'pair_NAME_num_pairs'; for rankings
    'ranking_spearman'; for ratings 'rating_correlation'.
  """
  if not source.num_users:
    raise ValueError('the source holds nobody, expected at least one person')
  if source.num_places is None:
    found = _evaluate_observations(model, source, validation, baseline)
  else:
    found = _evaluate_turns(model, source, baseline)
  if 'choice' in source.feedback:
    found |= habits.intervals(model, source)
  return found


def calibrate(model: UserModel, held_out: Source) -> UserModel:
  """Sets log τ to what predicts held-out people's choices best.

  One number, so it hardly flatters; without it a model that was fitted on few
  people is too sure of itself and beliefs move too fast.
  """
  scores = []
  for shift in _SCALE_GRID:
    moved = model.replace(choice_log_scale=model.choice_log_scale + shift)
    scores.append(score(moved, held_out)['choice_log_likelihood'])
  shift = float(_SCALE_GRID[int(np.argmax(scores))])
  return model.replace(choice_log_scale=model.choice_log_scale + shift)


def tune_weights(
  model: UserModel, held_out: Source, kinds: Sequence[str]
) -> UserModel:
  """Sets how much kinds of feedback count to what predicts choices best.

  Every session is predicted from the prior, as if its person were new: there
  beliefs are to be quick, and not surer than they may be. One kind after the
  other, twice.
  """
  weights = dict(model.feedback_weights)

  def as_if_new(kind, weight):
    return model.replace(
      feedback_weights={**weights, kind: jnp.asarray(weight, jnp.float32)},
      widening=jnp.ones(()),
    )

  for kind in [*kinds, *kinds]:
    scores = [
      score(as_if_new(kind, weight), held_out)['choice_log_likelihood']
      for weight in _WEIGHT_GRID
    ]
    best = _WEIGHT_GRID[int(np.argmax(scores))]
    weights[kind] = jnp.asarray(best, jnp.float32)
  return model.replace(feedback_weights=weights)


def tune_widening(model: UserModel, held_out: Source) -> UserModel:
  """Sets the widening between sessions to what predicts choices best.

  Of two that predict equally well the smaller: where held-out people have one
  session each, nothing is widened.
  """
  scores = []
  for widening in _WIDENING_GRID:
    moved = model.replace(widening=jnp.asarray(widening, jnp.float32))
    scores.append(score(moved, held_out)['choice_log_likelihood'])
  best = _WIDENING_GRID[int(np.argmax(scores))]
  return model.replace(widening=jnp.asarray(best, jnp.float32))


def calibration_error(
  confidence: np.ndarray, is_correct: np.ndarray, num_bins: int = 15
) -> float:
  """Expected calibration error (Guo et al. 2017): 0 is perfect.

  Args:
    confidence: probability of the predicted column [N], in [0, 1].
    is_correct: whether it was chosen [N].
    num_bins: of equal width.
  """
  place = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
  count = np.bincount(place, minlength=num_bins)
  gap = np.bincount(place, confidence - is_correct, minlength=num_bins)
  return float(np.abs(gap).sum() / count.sum())


def _evaluate_turns(
  model: UserModel, source: Source, baseline: UserModel | None
) -> dict[str, float]:
  """`evaluate` for sessions."""
  found = predictions.by_turn(model, source)
  result = _means(found) | _intervals(found)
  made = found.choice_mask.astype(bool)
  if made.any():
    result['calibration_error'] = calibration_error(
      found.confidence[made], found.is_correct[made]
    )
  last = made.shape[1] - 1 - made[:, ::-1].argmax(1)
  people = np.arange(len(last))
  has_any = made.any(1)
  if has_any.any():
    result['last_turn_accuracy'] = float(
      found.is_correct[people, last][has_any].mean()
    )
  result['uniform_log_likelihood'] = -float(np.log(source.num_columns))
  result['uniform_accuracy'] = 1.0 / source.num_columns
  result['effective_types'] = float(belief.effective_types(model.log_prior))
  if baseline is not None:
    other = _means(predictions.by_turn(baseline, source))
    result |= {f'baseline_{name}': value for name, value in other.items()}
  return result


def _measures(found: ByTurn) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Values and masks [U, O] of what is averaged over observations."""
  others = found.choice_mask if len(found.choice_mask) > 1 else np.zeros((1, 1))
  measures = {
    'choice_log_likelihood': (found.log_prob, found.choice_mask),
    'sequential_accuracy': (found.is_correct, found.choice_mask),
    'mismatched_log_likelihood': (found.mismatched_log_prob, others),
    'mismatched_accuracy': (found.mismatched_is_correct, others),
    'cross_turn_accuracy': (found.comparison_correct, found.comparison_mask),
  }
  return {
    name: (value, mask.astype(bool))
    for name, (value, mask) in measures.items()
    if mask.any()
  }


def _means(found: ByTurn) -> dict[str, float]:
  """Means over observations; a mean over nothing is left out."""
  return {
    name: float(value[mask].mean())
    for name, (value, mask) in _measures(found).items()
  }


def _intervals(found: ByTurn) -> dict[str, float]:
  """95 % intervals over people of `_means`: NAME_low and NAME_high."""
  result = {}
  for name, (value, mask) in _measures(found).items():
    interval = metrics.bootstrap_ratio(
      np.where(mask, value, 0.0).sum(1), mask.sum(1)
    )
    result |= {f'{name}_low': interval.low, f'{name}_high': interval.high}
  return result


def _evaluate_observations(
  model: UserModel,
  source: Source,
  validation: Source | None,
  baseline: UserModel | None,
) -> dict[str, float]:
  """`evaluate` for data of any kind."""
  found = predictions.by_observation(model, source)
  kind = next(iter(source.feedback))

  def measure(found: ByObservation, log_belief: np.ndarray) -> metrics.Interval:
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
    other = predictions.by_observation(baseline, source)
    result[f'baseline_{name}'] = measure(other, other.log_belief).mean
  expected = (found.utility * np.exp(found.log_belief)[:, None]).sum(-1)
  if kind == 'pair':
    result |= _pairs(model, source, found, validation)
  elif kind == 'ranking':
    result['ranking_spearman'] = _spearman(
      expected, source.feedback[kind], source.available
    )
  elif kind == 'rating':
    result |= _ratings(expected[:, 0], source.feedback[kind])
  return result


def _pairs(
  model: UserModel,
  source: Source,
  found: ByObservation,
  validation: Source | None,
) -> dict[str, float]:
  """All protocols of `pair_protocols`, one flat dict."""
  threshold = None
  if validation is not None and validation.num_users:
    known = predictions.by_observation(model, validation)
    threshold = pair_protocols.tie_threshold(
      predictions.first_preferred(model, known), validation.feedback['pair']
    )
  table = pair_protocols.table(
    predictions.first_preferred(model, found),
    source.feedback['pair'],
    found.person,
    threshold,
  )
  result = {}
  for name, row in table.items():
    result[f'pair_{name}'] = row.pop('accuracy')
    result |= {f'pair_{name}_{k}': v for k, v in row.items()}
  return result


def _ratings(expected: np.ndarray, rating: np.ndarray) -> dict[str, float]:
  """Correlation of expected utilities [N] with ratings [N], if there is one."""
  spread = expected.std() * rating.std()
  if len(rating) < 2 or not spread > 0:
    return {}
  covariance = np.mean((expected - expected.mean()) * (rating - rating.mean()))
  return {'rating_correlation': float(covariance / spread)}


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
