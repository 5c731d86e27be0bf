"""The comparison's arithmetic, on numbers that can be checked by hand."""

import numpy as np
import pytest

from pasta.evaluate import compare


def make(satisfaction, final=None, predicted=None):
  satisfaction = np.asarray(satisfaction, float)
  num, turns = satisfaction.shape
  return compare.Outcome(
    policy_id='p',
    satisfaction=satisfaction,
    comparison=np.ones((num, turns - 1), int),
    final_utility=np.zeros(num) if final is None else np.asarray(final),
    num_categories=np.full(num, 4.0),
    renders_per_turn=16,
    candidates_per_turn=25,
    predicted=np.full((num, turns), np.nan) if predicted is None else predicted,
  )


def test_gap_shares_by_hand():
  # Means 1, 3 and 5: the middle one closes (3 − 1) / (5 − 1) = 1/2.
  returns = {
    'lmm': np.array([0.0, 2.0]),
    'pasta': np.array([2.0, 4.0]),
    'bayes': np.array([4.0, 6.0]),
  }
  shares = compare.gap_shares(returns, 'lmm', 'bayes', seed=0)
  assert shares['pasta'].mean == pytest.approx(0.5)
  # Every person gains 2 of 4: no resample can say otherwise.
  assert shares['pasta'].low == pytest.approx(0.5)
  assert shares['lmm'].mean == 0 and shares['bayes'].mean == 1


def test_no_gap_gives_no_share():
  returns = {'lmm': np.ones(4), 'bayes': np.zeros(4)}
  shares = compare.gap_shares(returns, 'lmm', 'bayes', seed=0)
  assert np.isnan(shares['bayes'].mean)


def test_ties_count_half():
  x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, 4.0, 4.0])
  # tie, win, loss, tie: (0.5 + 1 + 0 + 0.5) / 4.
  assert compare.win_share(x, y).mean() == 0.5


def test_compare_pairs_the_same_people():
  rng = np.random.default_rng(0)
  level = rng.normal(size=(200, 1))  # people differ far more than policies
  outcomes = {
    'lmm': make(np.tile(level, (1, 5))),
    'pasta': make(np.tile(level, (1, 5)) + 0.01, final=np.ones(200)),
    'prior': make(np.tile(level, (1, 5)) + 0.01),
    'bayes': make(np.tile(level, (1, 5)) + 0.02),
    'bayes_slate': make(np.tile(level, (1, 5)) + 0.04),
  }
  result = compare.compare(outcomes, seed=0)
  difference = result['paired']['pasta-lmm']['return']
  assert difference['low'] == pytest.approx(0.05)
  assert result['paired']['pasta-lmm']['final_image_win_share']['mean'] == 1
  assert set(result['gap_closed']) == {'bayes', 'bayes_slate'}
  closed = {c: r['pasta']['mean'] for c, r in result['gap_closed'].items()}
  assert closed == pytest.approx({'bayes': 0.5, 'bayes_slate': 0.25})
  assert result['split']['common_taste']['mean'] == pytest.approx(0.25)
  assert result['split']['adaptation']['mean'] == pytest.approx(0.75)
  assert result['policies']['lmm']['comparison'][0]['better'] == 1.0


def test_overestimates_are_of_the_whole_session():
  # Predicted 3 and 1 from the first turn on, realised 1.5 and 0.5.
  satisfaction = [[0.5, 1.0], [0.25, 0.25]]
  outcomes = {
    'pasta': make(satisfaction, predicted=np.array([[3.0, 9.0], [1.0, 9.0]])),
    'lmm': make(satisfaction),
  }
  found = compare.compare(outcomes, seed=0)['policies']
  assert found['pasta']['overestimate']['mean'] == pytest.approx(1.0)
  assert 'overestimate' not in found['lmm']
