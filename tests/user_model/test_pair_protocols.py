"""Three protocols for pairs, by hand."""

import numpy as np

from pasta.user_model import pair_protocols

PROBABILITY = np.array([0.9, 0.6, 0.4, 0.52, 0.48])
LABEL = np.array([1.0, 0.0, 0.5, 0.5, 0.0])


def test_credits_by_hand():
  two = pair_protocols.two_way(PROBABILITY, LABEL)
  np.testing.assert_array_equal(two, [1, 0, np.nan, np.nan, 1])
  np.testing.assert_array_equal(
    pair_protocols.label_weighted(PROBABILITY, LABEL), [1, 0, 0.5, 0.5, 1]
  )
  # |p0 − p1| = .8, .2, .2, .04, .04; ties up to .1: first, first, second, tie,
  # tie, where the truth is first, second, tie, tie, second.
  np.testing.assert_array_equal(
    pair_protocols.three_way(PROBABILITY, LABEL, 0.1), [1, 0, 0.5, 1, 0.5]
  )


def test_threshold_is_the_best_of_all():
  rng = np.random.default_rng(0)
  probability = rng.random(300)
  label = rng.choice([0, 0.5, 1], size=300)
  label[np.abs(probability - 0.5) < 0.1] = 0.5
  found = pair_protocols.tie_threshold(probability, label)
  score = pair_protocols.three_way(probability, label, found).mean()
  for other in np.append(np.abs(2 * probability - 1), -1):
    rival = pair_protocols.three_way(probability, label, other).mean()
    assert score >= rival - 1e-12
  # Without ties nothing is gained by predicting them.
  sure = np.array([0.9, 0.2])
  assert pair_protocols.tie_threshold(sure, np.array([1.0, 0.0])) < 0


def test_table_counts_pairs_and_resamples_people():
  person = np.array(['a', 'a', 'b', 'b', 'c'])
  table = pair_protocols.table(PROBABILITY, LABEL, person, 0.1)
  assert table['two_way']['num_pairs'] == 3
  assert table['two_way']['accuracy'] == 2 / 3
  assert table['three_way']['accuracy'] == 3 / 5
  assert table['label_weighted']['accuracy'] == 3 / 5
  for row in table.values():
    assert row['low'] <= row['accuracy'] <= row['high']
  ties = pair_protocols.table(PROBABILITY, np.full(5, 0.5), person, None)
  assert set(ties) == {'label_weighted'}
