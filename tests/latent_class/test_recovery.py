"""The recovery experiment, and what it measures with."""

import numpy as np
import pytest

from configs import recover_types
from pasta import files, latent_class
from pasta.latent_class import recovery
from pasta.stages import recover_types as recover_types_stage


def test_adjusted_rand_index_by_hand():
  # Names of labels do not matter.
  same = recovery.adjusted_rand_index(
    np.array([0, 0, 1, 1]), np.array(['b', 'b', 'a', 'a'])
  )
  assert same == 1.0
  # {0,0,0,1,1} against
  # {0,0,1,1,1}: table [[2, 1], [0, 2]]: both 2, rows 3 + 1, columns 1 + 3,
  # of 10 pairs: (2 − 4 · 4 / 10) / (4 − 1.6) = 1/6.
  found = recovery.adjusted_rand_index(
    np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
  )
  np.testing.assert_allclose(found, 1 / 6)


def test_chance_agreement_is_about_zero():
  rng = np.random.default_rng(0)
  found = recovery.adjusted_rand_index(
    rng.integers(4, size=5000), rng.integers(4, size=5000)
  )
  assert abs(found) < 0.01


def test_types_are_matched_one_to_one_whatever_their_order():
  true = np.random.default_rng(0).normal(size=(5, 3))
  order = np.array([3, 0, 4, 1, 2])
  match = recovery.match_types(true, true[order] + 0.01)
  np.testing.assert_array_equal(order[match], np.arange(5))


def test_the_truth_correlates_perfectly_with_itself():
  config = recover_types.get_config('smoke')
  planted = recovery.plant(30, config, 0)
  order = np.array([2, 3, 0, 1])
  shuffled = latent_class.LatentClass(
    2.0 * planted.model.coefficients[order], planted.model.log_prior
  )
  # Twice the utilities are the same ones in other units.
  np.testing.assert_allclose(
    recovery.utility_correlations(planted, shuffled), 1.0
  )


def test_the_experiment_runs_once_and_prints(tmp_path, capsys):
  config = recover_types.get_config('smoke')
  config.num_types = 2
  recover_types_stage.run(config, str(tmp_path))
  first = capsys.readouterr().out
  rows = files.read_json(str(tmp_path / 'recovery' / 'recovery.json'))
  assert [r['num_users'] for r in rows] == [60, 120]
  for row in rows:
    assert row['rand_index'] > row['bayes_rand_index'] - 0.2
    assert row['worst_utility_correlation'] > 0.9
    assert row['largest_coefficient'] < 2 * row['largest_true_coefficient']
  recover_types_stage.run(
    config, str(tmp_path)
  )  # Done already: the same table.
  assert capsys.readouterr().out == first
  assert '120' in first


def test_more_people_recover_types_better():
  config = recover_types.get_config('smoke')
  options = {'num_types': 4, 'num_restarts': 4}
  few = recovery.measure(recovery.plant(60, config, 1), options)
  many = recovery.measure(recovery.plant(600, config, 1), options)
  worst = 'worst_utility_correlation'
  assert many[worst] > max(few[worst], 0.99)
  assert many['rand_index'] == pytest.approx(many['bayes_rand_index'], abs=0.03)
