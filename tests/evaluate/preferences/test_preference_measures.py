"""Protocols of the field, on cases that can be worked out by hand."""

import numpy as np
import pytest
import scipy.stats

from pasta.evaluate.preferences import measures


def test_chains_go_on_from_the_winner():
  uid = np.array(
    [
      ['a', 'b'],  # 0: a wins
      ['a', 'c'],  # 1: c wins, so c beats b
      ['d', 'c'],  # 2: c wins again, over a
      ['c', 'e'],  # 3: tie
      ['c', 'f'],  # 4: after a tie nothing follows
      ['x', 'y'],  # 5: another person on the same prompt
      ['g', 'h'],  # 6: the first person, but the winner (f) is gone
    ]
  )
  label = np.array([1, 0, 0, 0.5, 0, 1, 1.0])
  person = np.array(['u', 'u', 'u', 'u', 'u', 'v', 'u'])
  found = measures.chains(uid, label, np.zeros(7), person, np.arange(7))
  np.testing.assert_array_equal(found, [[1, 1, 0, 1], [2, 1, 1, 0]])
  # Time is what counts, not the order in which rows lie.
  back = measures.chains(
    uid[::-1], label[::-1], np.zeros(7), person[::-1], np.arange(7)[::-1]
  )
  np.testing.assert_array_equal(back, [[5, 1, 6, 1], [4, 1, 5, 0]])
  # Another prompt in between starts anew.
  apart = measures.chains(
    uid[:2], label[:2], np.array([0, 1]), person[:2], np.arange(2)
  )
  assert apart.shape == (0, 4)


def test_cross_turn_counts_equal_scores_half():
  row = measures.cross_turn(
    np.array([1.0, 2.0, 0.0, 5.0]), np.array([0.0, 2.0, 1.0, 4.0]), np.arange(4)
  )['cross_turn_accuracy']
  assert row['mean'] == pytest.approx(2.5 / 4) and row['num'] == 4


def test_rankings_against_scipy():
  rng = np.random.default_rng(0)
  score, rank = (
    rng.normal(size=(12, 9)),
    rng.permuted(np.tile(np.arange(1, 10.0), (12, 1)), axis=1),
  )
  rank[:, 0] = rank[:, 1]  # ties
  row = measures.rankings(score, rank, np.arange(12))
  expected = [
    scipy.stats.spearmanr(s, -r).statistic for s, r in zip(score, rank)
  ]
  assert row['spearman']['mean'] == pytest.approx(np.mean(expected))
  perfect = measures.rankings(-rank, rank, np.arange(12))
  assert perfect['spearman']['mean'] == pytest.approx(1)
  assert perfect['pair_accuracy']['mean'] == 1
  assert perfect['pair_accuracy']['num'] == 12 * 35
  assert measures.rankings(rank, rank, np.arange(12))['pair_accuracy'][
    'mean'
  ] == pytest.approx(0)


def test_rankings_of_one_prompt_are_averaged_and_gaps_left_out():
  rank = np.tile([1.0, 2.0, 3.0, np.nan], (2, 1))
  score = np.array([[3.0, 0.0, 1.0, np.nan], [2.0, 3.0, 0.0, np.nan]])
  row = measures.rankings(score, rank, np.zeros(2))
  assert row['spearman']['mean'] == pytest.approx(1)  # 2.5, 1.5, 0.5
  assert row['pair_accuracy']['num'] == 3


def test_ratings_within_people():
  person = np.array(['a', 'b', 'a', 'b', 'c', 'a', 'd', 'd'])
  rating = np.array([1.0, 5, 2, 4, 3, 3, 2, 2])
  score = np.array([0.1, 9, 0.2, 10, 0, 0.3, 0, 1])
  row = measures.ratings(score, rating, person)
  # a in order, b reversed; c has one rating and d two equal ones.
  assert row['srocc'] == {'mean': 0.0, 'low': -1.0, 'high': 1.0, 'num': 2}
  assert row['pair_accuracy']['mean'] == 0.5
  assert measures.ratings(score[4:5], rating[4:5], person[4:5]) == {}


def test_pairs_has_all_protocols():
  row = measures.pairs(
    np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 0.5]), np.arange(3), 0.3
  )
  assert row['two_way']['mean'] == 1 and row['two_way']['num'] == 2
  assert row['three_way']['mean'] == 1 and row['three_way']['num'] == 3
  assert row['label_weighted']['mean'] == pytest.approx(2.5 / 3)
