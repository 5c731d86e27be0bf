"""How well scores agree with what people said, by the field's protocols.

All take scores of columns, so that a user model, CLIP's cosine and any other
scorer stand in one table.
"""

import numpy as np

from pasta import metrics
from pasta.user_model import pair_protocols

Row = dict[str, dict[str, float]]  # measure -> mean, low, high, num
_FEWEST = 2  # ratings of a person, to be ordered


def pairs(
  first_preferred: np.ndarray,
  label: np.ndarray,
  person: np.ndarray,
  threshold: float | None,
) -> Row:
  """The three protocols of `pair_protocols`.

  Args:
    first_preferred: probability [N].
    label: how much the first was preferred [N].
    person: who judged [N].
    threshold: below which a tie is predicted; None: without that protocol.
  """
  found = pair_protocols.table(first_preferred, label, person, threshold)
  return {
    name: {
      'mean': row['accuracy'],
      'low': row['low'],
      'high': row['high'],
      'num': row['num_pairs'],
    }
    for name, row in found.items()
  }


def chains(
  image_uid: np.ndarray,
  label: np.ndarray,
  text: np.ndarray,
  person: np.ndarray,
  order: np.ndarray,
) -> np.ndarray:
  """Turns of one person on one prompt that go on from the last winner.

  Whoever keeps the winner w of a turn on screen and then prefers w', has said
  that w' is at least as good as w, and so better than the loser l of the turn
  before: two images that were never shown together. That w' beats l is what a
  cross-turn prediction has to find.

  Args:
    image_uid: names of both images [N, 2].
    label: how much the first was preferred [N]; 0.5 = tie.
    text: the prompt [N].
    person: who judged [N].
    order: growing with time [N].

  Returns:
    [n, 4]: observation and column of w', observation and column of l.
  """
  found = []
  last = {}
  for i in np.argsort(order, kind='stable'):
    key = person[i], text[i]
    tie = label[i] == 0.5
    before = last.get(key)
    if before is not None and not tie:
      winner, loser = (0, 1) if label[before] > 0.5 else (1, 0)
      new = 0 if label[i] > 0.5 else 1
      kept = image_uid[before, winner]
      if kept in image_uid[i] and image_uid[i, new] != image_uid[before, loser]:
        found.append((i, new, before, loser))
    last[key] = None if tie else i
  return np.array(found, np.int64).reshape(-1, 4)


def cross_turn(
  better: np.ndarray, worse: np.ndarray, person: np.ndarray
) -> Row:
  """Share of chains [n] whose later winner has the higher score."""
  right = (better > worse) + 0.5 * (better == worse)
  return {'cross_turn_accuracy': over_people(right, person)}


def choices(
  probability: np.ndarray, choice: np.ndarray, person: np.ndarray
) -> Row:
  """Share of choices whose column was the most probable one.

  Args:
    probability: of each column [N, L], 0 where there is none.
    choice: the chosen column [N].
    person: who chose [N].
  """
  best = probability == probability.max(1, keepdims=True)
  # Of several that are equally probable one is as good a guess as another.
  right = best[np.arange(len(choice)), choice] / best.sum(1)
  return {'choice_accuracy': over_people(right, person)}


def rankings(
  score: np.ndarray, mean_rank: np.ndarray, prompt: np.ndarray
) -> Row:
  """Order of a prompt's images against their mean rank over people.

  Args:
    score: of the images [N, L], NaN = no such image; several rows of one
      prompt are averaged.
    mean_rank: lower is better [N, L], the same for all rows of a prompt.
    prompt: number of the prompt [N].

  Returns:
    'spearman' and 'pair_accuracy' (equal mean ranks left out), each within a
    prompt and then averaged; intervals over prompts.
  """
  correlations, right, count = [], [], []
  for value in np.unique(prompt):
    rows = np.flatnonzero(prompt == value)
    there = ~np.isnan(mean_rank[rows[0]])
    guess = score[rows].mean(0)[there]
    truth = -mean_rank[rows[0]][there]
    correlations.append(metrics.spearman(guess, truth))
    hits, num = _ordered(guess, truth)
    right.append(hits)
    count.append(num)
  correlations = np.array(correlations)
  correlations = correlations[np.isfinite(correlations)]
  found = {}
  if len(correlations):
    found['spearman'] = _interval(
      metrics.bootstrap_mean(correlations), len(correlations)
    )
  if sum(count):
    interval = metrics.bootstrap_ratio(np.array(right), np.array(count))
    found['pair_accuracy'] = _interval(interval, int(sum(count)))
  return found


def ratings(score: np.ndarray, rating: np.ndarray, person: np.ndarray) -> Row:
  """Order of each person's ratings, averaged over people.

  Args:
    score: of the rated image [N].
    rating: [N].
    person: who rated [N].

  Returns:
    'srocc' and 'pair_accuracy' (equal ratings left out) within a person;
    intervals over people. People with fewer than two different ratings say
    nothing of order and are left out.
  """
  correlations, accuracies = [], []
  order = np.argsort(person, kind='stable')
  _, starts = np.unique(np.asarray(person)[order], return_index=True)
  for rows in np.split(order, starts[1:]):
    if len(rows) < _FEWEST or np.ptp(rating[rows]) == 0:
      continue
    hits, num = _ordered(score[rows], rating[rows])
    accuracies.append(hits / num)
    correlations.append(
      np.nan_to_num(metrics.spearman(score[rows], rating[rows]))
    )
  if not accuracies:
    return {}
  return {
    name: _interval(metrics.bootstrap_mean(np.array(x)), len(x))
    for name, x in (('srocc', correlations), ('pair_accuracy', accuracies))
  }


def _ordered(guess: np.ndarray, truth: np.ndarray) -> tuple[float, int]:
  """Pairs of different truth in the right order (ties half), and all such."""
  first, second = np.triu_indices(len(truth), 1)
  sign = np.sign(truth[first] - truth[second])
  agreed = np.sign(guess[first] - guess[second]) * sign
  known = sign != 0
  return float((0.5 * (agreed[known] + 1)).sum()), int(known.sum())


def over_people(value: np.ndarray, person: np.ndarray) -> dict[str, float]:
  """Mean of values [n] with its interval over people, who said them [n]."""
  _, who = np.unique(person, return_inverse=True)
  interval = metrics.bootstrap_ratio(np.bincount(who, value), np.bincount(who))
  return _interval(interval, len(value))


def unit(x: np.ndarray) -> np.ndarray:
  """Features [..., D] as float32 of length 1."""
  x = x.astype(np.float32)
  return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _interval(interval: metrics.Interval, num: int) -> dict[str, float]:
  return {**interval._asdict(), 'num': num}
