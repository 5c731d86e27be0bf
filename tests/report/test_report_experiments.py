"""The page of experiments: tables, curves and matrices."""

import json
import os

import pytest

from configs import report as report_config
from pasta import errors
from pasta.report import build, palette
from pasta.report import experiments as experiments_page


@pytest.fixture
def curve():
  """Results with two points of one series and a line of another."""

  def row(series, x, mean):
    value = {'mean': mean, 'low': mean - 0.1, 'high': mean + 0.1}
    return {
      'arm': f'{series}{x}', 'label': series, 'series': series, 'x': x,
      'share': value, 'renders_per_turn': 16,
    }  # fmt: skip

  return {
    'name': 'curve', 'title': 'A curve', 'question': '', 'axis': 'sessions',
    'figure': 'share', 'reference': '', 'seeds': [0], 'num_people': 5,
    'rows': [row('a', 10.0, 0.2), row('a', 1000.0, 0.6), row('b', None, 0.4)],
  }  # fmt: skip


@pytest.fixture
def matrix():
  """Results of two policies on two models; one cell has no figure."""

  def row(series, trained, used, mean):
    value = dict.fromkeys(('mean', 'low', 'high'))
    if mean is not None:
      value = {'mean': mean, 'low': mean - 0.01, 'high': mean + 0.01}
    return {
      'arm': f'{series}_{trained}_{used}', 'label': series, 'series': series,
      'x': None, 'row': trained, 'column': f'used with {used}',
      'relative_gain': value,
    }  # fmt: skip

  rows = [
    row('greedy', 'b', 'a', 0.05),
    row('pasta', 'a', 'a', 0.2),
    row('pasta', 'a', 'b', 0.1),
    row('pasta', 'b', 'a', 0.15),
    row('pasta', 'b', 'b', 0.25),
    row('greedy', 'a', 'a', None),
    row('greedy', 'b', 'b', 0.02),
  ]
  rows[2]['difference'] = {'mean': -0.3, 'low': -0.4, 'high': -0.2}
  return {
    'name': 'curve', 'title': 'Pairs', 'question': '', 'axis': '',
    'figure': 'relative_gain', 'reference': '', 'seeds': [0], 'num_people': 5,
    'rows': rows,
  }  # fmt: skip


def test_a_matrix_is_shown_as_one(matrix, tmp_path):
  titles, lines = experiments_page.cells(matrix)
  assert titles == ['% more return than lmm', '', 'used with a', 'used with b']
  # In the order in which they come.
  assert lines == [
    ['greedy', 'b', '5.0 [4.0, 6.0]', '2.0 [1.0, 3.0]'],
    ['greedy', 'a', '–', '–'],
    ['pasta', 'b', '15.0 [14.0, 16.0]', '25.0 [24.0, 26.0]'],
    [
      'pasta',
      'a',
      '20.0 [19.0, 21.0]',
      '10.0 [9.0, 11.0]; −0.300 [−0.400, −0.200]',
    ],
  ]
  greedy, pasta = experiments_page.plot(matrix).axes
  assert greedy.get_title(loc='left') == 'greedy'
  assert [t.get_text() for t in pasta.get_yticklabels()] == ['b', 'a']
  # A line and a point for each cell that has a figure.
  assert len(pasta.lines) == 8 and len(greedy.lines) == 4
  for ax in (greedy, pasta):
    assert ax.get_tightbbox().x0 >= 0
  _write(matrix, tmp_path)
  text = open(experiments_page.build(str(tmp_path))).read()
  assert '<td>25.0 [24.0, 26.0]</td>' in text


def test_a_matrix_of_one_series_does_not_name_it(matrix):
  matrix['rows'] = [r for r in matrix['rows'] if r['series'] == 'pasta']
  titles, lines = experiments_page.cells(matrix)
  assert titles == ['% more return than lmm', 'used with a', 'used with b']
  assert [line[0] for line in lines] == ['a', 'b']
  (ax,) = experiments_page.plot(matrix).axes
  assert not ax.get_title(loc='left')


def test_columns_of_policies_have_their_colours(matrix):
  matrix['rows'] = [
    {
      **r,
      'column': r['series'].replace('greedy', 'greedy slate'),
      'series': 'all',
    }
    for r in matrix['rows']
  ]
  (ax,) = experiments_page.plot(matrix).axes
  handles = ax.get_legend().legend_handles
  found = {h.get_label(): h.get_color() for h in handles}
  assert found == {
    'greedy slate': palette.LIGHT['greedy_slate'],
    'pasta': palette.LIGHT['pasta'],
  }


def test_a_policy_has_its_colour_among_curves_of_others(curve):
  for row in curve['rows']:
    row['series'] = {'a': 'myopic', 'b': 'pasta'}[row['series']]
  (ax,) = experiments_page.plot(curve).axes
  found = {line.get_label(): line.get_color() for line in ax.lines}
  assert found['pasta'] == palette.LIGHT['pasta']
  assert found['myopic'] not in (None, found['pasta'])


def _write(results, directory):
  os.makedirs(directory / 'curve')
  (directory / 'curve' / 'results.json').write_text(json.dumps(results))


def test_curves_are_drawn_over_x(curve, tmp_path):
  (ax,) = experiments_page.plot(curve).axes
  assert ax.get_xscale() == 'log'
  _write(curve, tmp_path)
  assert experiments_page.build(str(tmp_path)) == str(tmp_path / 'index.html')
  (tmp_path / 'curve' / 'results.json').write_text('{"rows": []}')
  with pytest.raises(errors.PastaError, match='not the results'):
    experiments_page.build(str(tmp_path))


@pytest.mark.parametrize('label', ['a', 'random behaviour', 'W' * 20])
def test_labels_have_room(curve, label):
  for row in curve['rows']:
    row.update(label=label, x=None)
  figure = experiments_page.plot(curve)
  (ax,) = figure.axes
  assert ax.get_tightbbox().x0 >= 0
  assert ax.get_position().x0 < 0.6  # and no more than they need


def test_experiments_join_a_report(curve, tmp_path):
  _write(curve, tmp_path)
  run = tmp_path / 'run'
  run.mkdir()
  config = report_config.get_config('smoke')
  config.experiments = str(tmp_path)
  with open(build.build(str(run), config, world=None)) as f:
    text = f.read()
  assert '<h3>A curve</h3>' in text and '60 [50, 70]' in text
  assert 'href="#experiments"' in text and text.count('<svg') == 1
  config.experiments = str(tmp_path / 'nowhere')
  with pytest.raises(errors.PastaError, match='nowhere.*no such'):
    build.build(str(run), config, world=None)
