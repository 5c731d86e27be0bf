"""How well a user model predicts people whom it has not been fitted on.

Predictions are sequential: each choice is predicted from the person's earlier
choices alone, as the agent would at that moment.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pasta import metrics
from pasta.user_model import belief, likelihoods
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel
from pasta.user_model.sessions_by_person import UserData, chunks, feedback_masks

_CHUNK_USERS = 128
_SCALE_GRID = np.linspace(-0.8, 0.8, 17)  # of log τ, around the fitted one


class Predictions(NamedTuple):
  """Per observation, [U, O] each; meaningless where a mask is 0.

  Attributes:
    log_prob: of the choice that was made, given earlier choices.
    is_correct: the most probable column was chosen, float in {0, 1}.
    confidence: probability of the most probable column.
    mismatched_log_prob: as log_prob, but given another person's earlier
      choices: only what own ones add to that is personalisation.
    mismatched_is_correct: as is_correct, with that belief.
    comparison_correct: the most probable of worse / same / better was said,
      given the choices up to this turn.
    choice_mask: 1 = a choice.
    comparison_mask: 1 = a comparison.
  """

  log_prob: np.ndarray
  is_correct: np.ndarray
  confidence: np.ndarray
  mismatched_log_prob: np.ndarray
  mismatched_is_correct: np.ndarray
  comparison_correct: np.ndarray
  choice_mask: np.ndarray
  comparison_mask: np.ndarray


def sequential_predictions(model: UserModel, data: UserData) -> Predictions:
  """Predictions for U people with O observations, pure; see `Predictions`."""
  utility = model_lib.column_utility(model, data.text, data.image)
  masks = feedback_masks(data)
  choice = jnp.where(masks.choice, data.choice, -1)
  beliefs = belief.trajectory(model, utility, choice)  # [U, O + 1, K]
  per_type = model_lib.choice_log_probs(model, utility)  # [U, O, L, K]
  before = beliefs[:, :-1, None]
  log_probs = jax.nn.logsumexp(per_type + before, -1)  # [U, O, L]
  # The next person's belief at the same turn, the first's for the last.
  mismatched = jax.nn.logsumexp(per_type + jnp.roll(before, -1, 0), -1)
  picked = jax.nn.one_hot(choice, utility.shape[2])  # [U, O, L]
  chosen = jnp.einsum('uolk,uol->uok', utility, picked)
  difference = jnp.diff(chosen, axis=1, prepend=chosen[:, :1])
  compared = likelihoods.cross_turn_log_probs(difference, model.comparison)
  compared = jax.nn.logsumexp(compared + beliefs[:, 1:, :, None], 2)
  return Predictions(
    log_prob=(log_probs * picked).sum(-1),
    is_correct=(jnp.argmax(log_probs, -1) == choice).astype(jnp.float32),
    confidence=jnp.exp(log_probs.max(-1)),
    mismatched_log_prob=(mismatched * picked).sum(-1),
    mismatched_is_correct=(jnp.argmax(mismatched, -1) == choice).astype(
      jnp.float32
    ),
    comparison_correct=(jnp.argmax(compared, -1) - 1 == data.comparison).astype(
      jnp.float32
    ),
    choice_mask=masks.choice,
    comparison_mask=masks.comparison,
  )


_predict = jax.jit(sequential_predictions)


def predict(model: UserModel, data: UserData) -> Predictions:
  """`sequential_predictions` in chunks of people, on the host."""
  parts = []
  for index, count in chunks(data.num_users, _CHUNK_USERS):
    part = jax.device_get(_predict(model, data.select(index)))
    parts.append([x[:count] for x in part])
  return Predictions(*(np.concatenate(x) for x in zip(*parts)))


def _measures(
  found: Predictions,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
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


def summarise(found: Predictions, prefix: str = '') -> dict[str, float]:
  """Means over observations; a mean over nothing is left out.

  Returns:
    `choice_log_likelihood` (nats per choice), `sequential_accuracy`, the same
    two given another person's choices (`mismatched_…`; left out for one person
    alone), `cross_turn_accuracy`, each with the prefix.
  """
  return {
    prefix + name: float(value[mask].mean())
    for name, (value, mask) in _measures(found).items()
  }


def intervals(found: Predictions) -> dict[str, float]:
  """95 % intervals over people of `summarise`: NAME_low and NAME_high."""
  result = {}
  for name, (value, mask) in _measures(found).items():
    interval = metrics.bootstrap_ratio(
      np.where(mask, value, 0.0).sum(1), mask.sum(1)
    )
    result |= {f'{name}_low': interval.low, f'{name}_high': interval.high}
  return result


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


def evaluate(
  model: UserModel, data: UserData, baseline: UserModel | None = None
) -> dict[str, float]:
  """Metrics on held-out people, next to what knows nothing.

  Args:
    model: the user model.
    data: at least one person.
    baseline: e.g. a model with K = 1.

  Returns:
    See `summarise` and `intervals`; 'calibration_error' is that of the
    sequential predictions; 'uniform_…' is chance, 'baseline_…' the baseline;
    'last_turn_accuracy' that of each person's last choice;
    'effective_types' = exp(entropy(η)).
  """
  if not data.num_users:
    raise ValueError('data holds nobody, expected at least one person')
  result = judge(model, predict(model, data), data.text.shape[2])
  if baseline is not None:
    result |= summarise(predict(baseline, data), 'baseline_')
  return result


def judge(
  model: UserModel, found: Predictions, num_columns: int
) -> dict[str, float]:
  """`evaluate` for predictions that have been made, of slates of L columns."""
  result = summarise(found) | intervals(found)
  made = found.choice_mask.astype(bool)
  if made.any():
    result['calibration_error'] = calibration_error(
      found.confidence[made], found.is_correct[made]
    )
  last = found.choice_mask.shape[1] - 1 - found.choice_mask[:, ::-1].argmax(1)
  people = np.arange(len(last))
  has_any = found.choice_mask.any(1)
  if has_any.any():
    result['last_turn_accuracy'] = float(
      found.is_correct[people, last][has_any].mean()
    )
  result['uniform_log_likelihood'] = -float(np.log(num_columns))
  result['uniform_accuracy'] = 1.0 / num_columns
  result['effective_types'] = float(belief.effective_types(model.log_prior))
  return result


def calibrate(model: UserModel, held_out: UserData) -> UserModel:
  """Sets log τ to what predicts held-out people's choices best.

  One number, so it hardly flatters; without it a model that was fitted on few
  people is too sure of itself and beliefs move too fast.
  """
  scores = []
  for shift in _SCALE_GRID:
    moved = model.replace(choice_log_scale=model.choice_log_scale + shift)
    found = summarise(predict(moved, held_out))
    scores.append(found['choice_log_likelihood'])
  shift = float(_SCALE_GRID[int(np.argmax(scores))])
  return model.replace(choice_log_scale=model.choice_log_scale + shift)
