"""Accuracy on pairs with ties: three protocols, three different numbers.

"Pick-a-Pic accuracy" is used for all of them; say which, of how many pairs and
how exact.
"""

import numpy as np

from pasta import metrics

_TIE = 0.5


def two_way(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
  """1 where the preferred image was predicted, NaN for ties [N]; chance 1/2.

  Args:
    probability: that the first image is preferred [N].
    label: how much it was [N], in [0, 1]; 0.5 = tie.
  """
  right = (np.asarray(probability) > 0.5) == (np.asarray(label) > _TIE)
  return np.where(np.asarray(label) == _TIE, np.nan, right)


def label_weighted(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
  """The label's weight on the predicted side [N]; a tie gives 0.5."""
  return np.where(np.asarray(probability) > 0.5, label, 1.0 - np.asarray(label))


def three_way(
  probability: np.ndarray, label: np.ndarray, threshold: float
) -> np.ndarray:
  """Credit [N] where ties are predicted as well (PickScore's protocol).

  A tie is predicted where the probabilities of the two differ by at most the
  threshold. Full credit for the right answer of three, half where just one of
  prediction and label is a tie, none for the wrong image.
  """
  difference = 2.0 * np.asarray(probability) - 1.0
  guess = np.where(np.abs(difference) <= threshold, 0.0, np.sign(difference))
  truth = np.sign(np.asarray(label) - _TIE)
  return 1.0 - 0.5 * np.abs(guess - truth)


def tie_threshold(probability: np.ndarray, label: np.ndarray) -> float:
  """The threshold with the highest `three_way` credit, on validation pairs."""
  spread = np.abs(2.0 * np.asarray(probability) - 1.0)
  order = np.argsort(spread)
  # As a pair becomes a predicted tie its credit becomes 1 for a tie, else 0.5.
  before = three_way(probability, label, -1.0)[order]
  after = np.where(np.asarray(label)[order] == _TIE, 1.0, 0.5)
  gain = np.concatenate([[0.0], np.cumsum(after - before)])
  best = int(gain.argmax())
  return float(spread[order[best - 1]]) if best else -1.0


def table(
  probability: np.ndarray,
  label: np.ndarray,
  person: np.ndarray,
  threshold: float | None,
) -> dict[str, dict[str, float]]:
  """All three protocols.

  Args:
    probability: that the first image is preferred [N].
    label: how much it was [N], in [0, 1].
    person: who judged [N], any labels; intervals are over people.
    threshold: of `three_way`, chosen on other pairs (`tie_threshold`); None:
      that protocol is left out.

  Returns:
    By protocol: 'accuracy', 'low' and 'high' of its 95 % interval, and
    'num_pairs'; 'two_way' is left out where all pairs are ties.
  """
  _, who = np.unique(person, return_inverse=True)
  credits = {
    'two_way': two_way(probability, label),
    'label_weighted': label_weighted(probability, label),
  }
  if threshold is not None:
    credits['three_way'] = three_way(probability, label, threshold)
  found = {}
  for name, credit in credits.items():
    counts = np.isfinite(credit)
    if counts.any():
      interval = metrics.bootstrap_ratio(
        np.bincount(who, np.where(counts, credit, 0.0)),
        np.bincount(who, counts),
      )
      found[name] = {
        'accuracy': interval.mean,
        'low': interval.low,
        'high': interval.high,
        'num_pairs': int(counts.sum()),
      }
  return found
