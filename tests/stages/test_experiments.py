import json
import os

import ml_collections
import numpy as np
import pytest

from configs import experiment_worlds, quickstart
from configs import experiments as experiments_config
from configs import report as report_config
from pasta import errors
from pasta.evaluate import compare
from pasta.experiments import summary
from pasta.report import build, palette
from pasta.report import experiments as experiments_page
from pasta.stages import arms, experiments, registry


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
    predicted=np.full((num, 2), predicted),
  )


def _arm(label, x=None, reference=''):
  place = {'x': x, 'row': '', 'column': '', 'reference': reference}
  return {'label': label, 'series': label, **place}


def test_shares_and_differences_are_paired_over_seeds():
  # Gaps of 2 and 4; the arm gains 1 and 2 (one half), the other 0.
  ends = [
    {'lmm': _outcome([1.0, 1.0]), 'bayes': _outcome([3.0, 3.0])},
    {'lmm': _outcome([1.0, 3.0]), 'bayes': _outcome([5.0, 7.0])},
  ]
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
    'a': [{'arm': same, 'lmm': same, 'bayes': same, 'diversity': 0.0}]
  }
  row = summary.summarise(outcomes, {'a': _arm('a')}, '')[0]
  assert row['share'] == {'mean': None, 'low': None, 'high': None}


def test_arms_move_seeds_and_set_fields():
  base = quickstart.get_config('smoke')
  config = arms.configured(
    base,
    (
      ('population.num_types', 3),
      ('evaluate.world.t2i.name', 'sketch:ink'),
      ('train_value.credit', 'mean'),
    ),
    seed=7,
  )
  assert config.collect.population.num_types == 3
  assert config.evaluate.population.num_types == 3
  assert config.evaluate.population.seed == base.population.seed + 7
  assert config.collect.seed == base.collect.seed + 7
  assert config.evaluate.seed == base.evaluate.seed + 7
  assert config.evaluate.world.t2i.name == 'sketch:ink'
  assert config.collect.world.t2i.name == 'sketch'
  assert config.train_value.credit == 'mean'
  assert base.train_value.credit != 'mean'
  assert base.population.num_types != 3
  with pytest.raises(errors.PastaError, match="'train_value.credits'"):
    arms.configured(base, (('train_value.credits', 'mean'),), seed=0)


def test_what_a_policy_needs():
  config = quickstart.get_config('smoke')
  assert arms.needed_stages(config, 'bayes') == ()
  assert arms.needed_stages(config, 'at_once') == ()
  assert arms.needed_stages(config, 'greedy')[-1] == 'train_user_model'
  assert 'simulate' in arms.needed_stages(config, 'pasta')
  config.simulate.surrogate = 'surrogate'
  needed = arms.needed_stages(config, 'pasta')
  assert needed.index('train_surrogate') == needed.index('simulate') - 1
  assert 'train_surrogate' not in arms.needed_stages(config, 'greedy')
  config.train_value.data = 'human'
  needed = arms.needed_stages(config, 'pasta')
  assert 'simulate' not in needed and 'train_surrogate' not in needed


@pytest.mark.parametrize('name', experiments_config.NAMES)
def test_every_experiment_sets_fields_that_exist(name):
  config = experiments_config.get_config(f'{name},smoke')
  assert config.arms and config.title and config.question
  assert not config.reference or config.reference in config.arms
  for arm in config.arms.values():
    arms.configured(config.base, arm.overrides, seed=1)
    assert not arm.previous or arm.previous in config.arms
    assert not arm.reference or arm.reference in config.arms


def test_a_matrix_has_all_pairs_of_models():
  config = experiments_config.get_config('matrix,smoke')
  models = experiment_worlds.MATRIX_MODELS
  cells = {(a.series, a.row, a.column) for a in config.arms.values()}
  assert len(cells) == len(config.arms) == 3 * len(models) ** 2
  arm = config.arms['pasta_sketch_ink_sketch']
  found = arms.configured(config.base, arm.overrides, seed=1)
  for stage in ('collect', 'extract_features', 'train_surrogate', 'simulate'):
    assert found[stage].world.t2i.name == 'sketch:ink'
  assert found.evaluate.world.t2i.name == 'sketch'
  assert arm.reference == 'pasta_sketch_sketch'
  assert not config.arms[arm.reference].reference
  # Each column's lmm is of the model in use, whoever was trained with what.
  assert {a.overrides[1][1] for a in config.arms.values()} == set(models)


def test_arms_of_a_surrogate_differ_in_their_simulated_data_alone():
  config = experiments_config.get_config('surrogate,smoke')
  found = {
    name: arms.configured(config.base, arm.overrides, seed=1)
    for name, arm in config.arms.items()
  }
  for data in ('simulated', 'mixed'):
    rendered = found[f'{data}_rendered_600']
    drawn = found[f'{data}_surrogate_600']
    assert not rendered.simulate.surrogate
    assert drawn.simulate.surrogate == 'surrogate'
    assert 'train_surrogate' in arms.needed_stages(drawn, 'pasta')
    drawn.simulate.surrogate = ''
    assert drawn.to_dict() == rendered.to_dict()


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


def test_settings_are_in_order():
  found = experiments_config.get_config('personalisation').arms.values()
  rows = list(dict.fromkeys(a.row for a in found))
  numbers = [int(r.split()[-1]) for r in rows if r.startswith('num_types')]
  assert numbers == [1, 4, 24, 96]


@pytest.mark.parametrize('name', ['sizes', 'personalisation'])
def test_policies_are_compared_with_greedy_of_the_same_setting(name):
  found = experiments_config.get_config(name).arms.values()
  rows = {a.row for a in found}
  assert {a.row for a in found if a.column == 'pasta'} == rows
  others = [a for a in found if a.column != 'greedy']
  assert len(found) == len(others) + len(rows)
  for arm in others:
    other = experiments_config.get_config(name).arms[arm.reference]
    assert (other.row, other.overrides) == (arm.row, arm.overrides)
    assert other.column == 'greedy' and not other.reference


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


def test_stages_are_shared_between_arms(tmp_path, monkeypatch):
  config = arms.configured(quickstart.get_config('smoke'), (), seed=0)
  ran = []
  needed = ('collect', 'extract_features')
  for stage in needed:
    recorder = lambda c, w, worlds, s=stage: ran.append((s, w))  # noqa: E731
    monkeypatch.setitem(
      registry.LOOP, stage, registry.LOOP[stage]._replace(run=recorder)
    )
  first = arms.prepare(config, str(tmp_path), needed, None)
  other = ml_collections.ConfigDict(config.to_dict())
  other.extract_features.with_pool = True
  second = arms.prepare(other, str(tmp_path), needed, None)
  assert first != second
  same = [
    os.path.realpath(os.path.join(r, 'sessions')) for r in (first, second)
  ]
  assert same[0] == same[1]
  apart = [
    os.path.realpath(os.path.join(r, 'features')) for r in (first, second)
  ]
  assert apart[0] != apart[1]
