"""What the report says in words and rows."""

import pytest
import report_fabricated

from pasta.report import headline


def _estimate(mean, low, high):
  return {'mean': mean, 'low': low, 'high': high}


def _results(lead, closed=None, **rivals):
  results = {
    'paired': {'pasta-lmm': {'return': _estimate(*lead)}},
    'gap_closed': (
      {'bayes_slate': {'pasta': _estimate(*closed)}} if closed else {}
    ),
  }
  for name, over in rivals.items():
    results['paired'][f'pasta-{name}'] = {'return': _estimate(*over)}
  return results


def test_numbers_have_a_real_minus_and_no_negative_zero():
  assert headline.number(-0.054) == '−0.05'
  assert headline.number(-0.001, signed=True) == '0.00'
  assert headline.number(1.944, signed=True) == '+1.94'
  assert headline.number(None) == headline.MISSING
  assert headline.percent(0.844) == '84\u202f%'
  assert headline.percent(-0.004) == '0\u202f%'


def test_intervals_by_kind():
  estimate = _estimate(0.1, -0.05, 0.25)
  assert headline.interval(estimate) == '[−0.05, 0.25]'
  assert headline.interval(estimate, 'signed') == '[−0.05, +0.25]'
  assert headline.interval(estimate, 'percent') == '[−5, 25]'
  assert headline.interval(_estimate(1.0, 1.0, 1.0)) == ''
  assert headline.interval(_estimate(None, None, None)) == ''
  assert headline.interval(None) == ''


@pytest.mark.parametrize(
  'low, high, expected',
  [
    (0.1, 0.3, 'above'),
    (-0.1, 0.3, 'even'),
    (-0.3, -0.1, 'below'),
    (0.0, 0.3, 'even'),
    (None, None, 'even'),
  ],
)
def test_verdict_needs_the_whole_interval(low, high, expected):
  assert headline.verdict(_estimate(0.1, low, high)) == expected


def test_title_is_no_stronger_than_the_interval():
  closed = (0.84, 0.7, 0.95)
  assert '84\u202f%' in headline.title(_results((1.0, 0.8, 1.2), closed))
  assert 'not distinguishable' in headline.title(
    _results((0.1, -0.1, 0.3), closed)
  )
  assert 'worse' in headline.title(_results((-0.3, -0.4, -0.2), closed))
  assert '+1.00' in headline.title(_results((1.0, 0.8, 1.2)))
  assert headline.title({'paired': {}}) == 'How the policies compare'


@pytest.mark.parametrize(
  ('over', 'in_title', 'in_tile'),
  [
    ((0.1, 0.05, 0.2), ', more than greedy slate, which', 'values add to the'),
    (
      (0.1, -0.05, 0.2),
      '; greedy slate, which learns no values, does as',
      'Eq',
    ),
    ((-0.1, -0.2, -0.05), ', less than greedy slate, which', 'Worse than the'),
  ],
)
def test_the_strongest_rule_stands_beside_the_agent(over, in_title, in_tile):
  greedy = (0.3, 0.2, 0.4)  # says nothing where the stronger rule was run
  results = _results((1.0, 0.8, 1.2), greedy=greedy, greedy_slate=over)
  assert in_title in headline.title(results)
  tile = headline.tiles(results)[-1]
  assert tile['label'] == 'return over greedy slate'
  assert tile['text'].startswith(in_tile) or in_tile in tile['text']
  alone = _results((1.0, 0.8, 1.2), greedy=over)
  assert headline.tiles(alone)[-1]['label'] == 'return over greedy'


def test_people_who_come_back_have_a_tile_and_rows():
  results, _ = report_fabricated.results()
  (tile,) = [t for t in headline.tiles(results) if 'come back' in t['label']]
  assert tile['figure'] == '+0.17' and tile['verdict'] == 'above'
  rows = headline.returning_rows(results)
  assert [r['gain']['figure'] for r in rows] == ['–', '+0.17', '+0.21']
  del results['returning']
  assert headline.returning_rows(results) == []
  assert not [t for t in headline.tiles(results) if 'come back' in t['label']]


def test_rows_hold_each_policys_numbers():
  results, _ = report_fabricated.results(num_people=40)
  rows = {r['name']: r for r in headline.rows(results)}
  assert set(rows) == set(report_fabricated.LEVELS)
  for name, row in rows.items():
    expected = results['policies'][name]['return']['mean']
    assert row['return']['figure'] == f'{expected:.2f}'
  # One share for each end of the gap that was measured.
  assert headline.ceilings(results) == ['bayes_slate', 'bayes_full', 'bayes']
  for name, gap in zip(headline.ceilings(results), rows['pasta']['gaps']):
    expected = results['gap_closed'][name]['pasta']['mean']
    assert gap['figure'] == headline.percent(expected)
  lead = results['paired']['pasta-random']['return']
  assert rows['random']['lead']['figure'] == f'+{lead["mean"]:.2f}'
  assert rows['pasta']['lead']['figure'] == headline.MISSING


def test_undefined_gap_is_left_out():
  levels = {'pasta': 0.5, 'lmm': 0.9, 'bayes_slate': 0.1, 'prior': 0.2}
  results, _ = report_fabricated.results(num_people=200, levels=levels)
  assert headline.gap_closed(results, 'pasta')['mean'] is None
  assert headline.split_sentence(results) == ''
  assert 'worse than the baseline' in headline.title(results)
  assert all('gap' not in t['label'] for t in headline.tiles(results))
  assert [[g['figure'] for g in r['gaps']] for r in headline.rows(results)] == (
    4 * [[headline.MISSING]]
  )


def test_unknown_policy_gets_a_row():
  results, _ = report_fabricated.results(
    num_people=20, levels={'lmm': 0.0, 'pasta': 0.4, 'wizard': 0.2}
  )
  assert [r['label'] for r in headline.rows(results)] == [
    'pasta',
    'wizard',
    'baseline',
  ]
