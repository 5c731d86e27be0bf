"""Experiments from their arms to their results."""

import json
import os

import numpy as np
import pytest

from configs import experiments as experiments_config
from pasta import errors
from pasta.evaluate import compare
from pasta.experiments import summary
from pasta.stages import experiments


def _outcome(returns, final=0.0, predicted=np.nan):
  returns = np.asarray(returns, float)
  num = len(returns)
  return compare.Outcome(
    policy_id='p',
    satisfaction=returns[:, None] / 2 * np.ones((1, 2)),
    comparison=np.zeros((num, 1), int),
    final_utility=np.full(num, final),
    num_categories=np.full(num, 4.0),
    renders_per_turn=16,
    candidates_per_turn=25,
    predicted=np.full((num, 2), predicted),
  )


def _arm(label, x=None, reference=''):
  place = {'x': x, 'row': '', 'column': '', 'reference': reference}
  return {'label': label, 'series': label, **place}


def test_shares_and_differences_are_paired_over_seeds():
  # Gaps of 2 and 4; the arm gains 1 and 2 (one half), the other 0.
  ends = [
    {'lmm': _outcome([1.0, 1.0]), 'bayes_slate': _outcome([3.0, 3.0])},
    {'lmm': _outcome([1.0, 3.0]), 'bayes_slate': _outcome([5.0, 7.0])},
  ]
  for end in ends:  # 0.1.0's end of the gap: half as far
    middle = (end['lmm'].returns + end['bayes_slate'].returns) / 2
    end['bayes'] = _outcome(middle)
  half = [_outcome([2.0, 2.0], 1.0, 2.5), _outcome([3.0, 5.0], 1.0, 4.5)]
  outcomes = {
    'half': [{'arm': o, 'diversity': 0.5, **e} for o, e in zip(half, ends)],
    'lmm': [{'arm': e['lmm'], 'diversity': 0.1, **e} for e in ends],
  }
  rows = summary.summarise(
    outcomes, {'half': _arm('half'), 'lmm': _arm('lmm')}, 'lmm'
  )
  assert rows[0]['share']['mean'] == pytest.approx(0.5)
  # Each seed's own share is one half, so no resample can say otherwise.
  assert rows[0]['share']['low'] == pytest.approx(0.5)
  assert rows[0]['share_of_bayes']['mean'] == pytest.approx(1.0)
  assert rows[0]['difference']['mean'] == pytest.approx(1.5)
  assert rows[0]['difference']['low'] == pytest.approx(1.0)
  assert rows[0]['overestimate']['mean'] == pytest.approx(0.5)
  assert rows[0]['final_win_share']['mean'] == 1.0
  assert rows[1]['share']['mean'] == 0.0
  assert 'overestimate' not in rows[1] and 'difference' not in rows[1]
  own = {'half': _arm('half', reference='lmm'), 'lmm': _arm('lmm')}
  own = summary.summarise(outcomes, own, '')
  assert own[0] == rows[0] and own[1] == rows[1]
  # Seeds are resampled, too: returns differ by seed far more than by person.
  interval = rows[0]['return']
  assert interval['low'] == pytest.approx(2.0)
  assert interval['high'] > 3.9


def test_no_gap_has_no_share():
  same = _outcome([1.0, 1.0])
  outcomes = {
    'a': [{'arm': same, 'diversity': 0.0, **dict.fromkeys(summary.ENDS, same)}]
  }
  row = summary.summarise(outcomes, {'a': _arm('a')}, '')[0]
  assert row['share'] == {'mean': None, 'low': None, 'high': None}


def _tiny(tmp_path):
  """Arms that need no training."""
  config = experiments_config.get_config('single_turn,smoke')
  for name in ('pasta', 'greedy_slate'):
    del config.arms[name]
  return config, str(tmp_path / 'experiments')


def test_an_experiment_end_to_end(tmp_path, capsys):
  config, directory = _tiny(tmp_path)
  experiments.run(config, directory)
  assert '80 from the prompt' in capsys.readouterr().out
  path = os.path.join(directory, 'single_turn', 'results.json')
  first = json.load(open(path))
  rows = {r['arm']: r for r in first['rows']}
  assert rows['at_once']['renders_per_turn'] == 80
  assert rows['one_turn']['renders_per_turn'] == 75
  assert rows['lmm']['renders_per_turn'] == 16
  assert 'return' not in rows['at_once'] and 'return' in rows['lmm']
  assert rows['one_turn']['final_difference']['mean'] is not None
  # Five turns' return and one image's utility are not to be subtracted.
  assert 'difference' not in rows['lmm'] | rows['one_turn']
  html = open(os.path.join(directory, 'index.html')).read()
  assert 'Five turns against one' in html and '<svg' in html
  assert os.path.getsize(os.path.join(directory, 'single_turn', 'plot.png'))
  # The same command again plays nothing again and finds the same.
  store = os.path.join(directory, 'store')
  before = {
    f: os.stat(os.path.join(store, f)).st_mtime for f in os.listdir(store)
  }
  experiments.run(config, directory)
  assert json.load(open(path)) == first
  assert before == {
    f: os.stat(os.path.join(store, f)).st_mtime for f in os.listdir(store)
  }


def test_a_bad_experiment_is_named(tmp_path):
  config, directory = _tiny(tmp_path)
  config.reference = 'nobody'
  with pytest.raises(errors.PastaError, match="'reference' is 'nobody'"):
    experiments.run(config, directory)
  config.reference = ''
  arm = next(iter(config.arms))
  config.arms[arm].reference = 'nobody'
  with pytest.raises(errors.PastaError, match=f"'arms.{arm}.reference' is"):
    experiments.run(config, directory)
  config.seeds = ()
  with pytest.raises(errors.PastaError, match='seeds and arms'):
    experiments.run(config, directory)
  with pytest.raises(ValueError, match='unknown variant'):
    experiments_config.get_config('everything')
