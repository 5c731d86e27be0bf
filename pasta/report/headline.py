"""The results in words and in table rows: what the numbers do and don't say.

Works on `evaluation/results.json` (see pasta.evaluate.compare). An estimate is
a dict of mean, low and high, the 95 % interval; any of them is None where the
quantity is undefined, and an estimate is absent where a policy was not run.
"""

from typing import Any

from pasta.evaluate import compare
from pasta.report import palette

MISSING = '–'
_THIN = '\u202f'  # narrow no-break space
AGENT, BASELINE = 'pasta', compare.BASELINE
CEILING = compare.CEILINGS[0]
# The strongest rules that learn no values, the stronger first.
RIVALS = ('greedy_slate', 'greedy')


def has_mean(estimate: dict[str, Any] | None) -> bool:
  """Whether there is a number to report."""
  return bool(estimate) and estimate['mean'] is not None


def number(value: float | None, digits: int = 2, signed: bool = False) -> str:
  """'1.94', '−0.05' with a real minus; with a plus sign if signed."""
  if value is None:
    return MISSING
  text = f'{value:+.{digits}f}' if signed else f'{value:.{digits}f}'
  if float(text) == 0:
    text = text.lstrip('+-')
  return text.replace('-', '−')


def percent(value: float | None) -> str:
  """'84 %' for 0.84."""
  return MISSING if value is None else f'{number(100 * value, 0)}{_THIN}%'


def interval(estimate: dict[str, Any] | None, kind: str = 'plain') -> str:
  """'[1.70, 2.18]' as plain, signed or percent; '' where there is none."""
  if not has_mean(estimate) or estimate['low'] is None:
    return ''
  if estimate['low'] == estimate['high']:
    return ''  # exact by definition, as the gap's two ends
  low, high = estimate['low'], estimate['high']
  if kind == 'percent':
    return f'[{number(100 * low, 0)}, {number(100 * high, 0)}]'
  signed = kind == 'signed'
  return f'[{number(low, signed=signed)}, {number(high, signed=signed)}]'


def verdict(estimate: dict[str, Any], zero: float = 0.0) -> str:
  """'above', 'below' or 'even': where the whole interval lies."""
  if estimate['low'] is None or estimate['high'] is None:
    return 'even'
  if estimate['low'] > zero:
    return 'above'
  return 'below' if estimate['high'] < zero else 'even'


def _paired(results: dict[str, Any], other: str, what: str):
  return results['paired'].get(f'{AGENT}-{other}', {}).get(what)


def gap_closed(
  results: dict[str, Any], policy: str, ceiling: str = CEILING
) -> dict[str, Any] | None:
  """The share of the gap up to a ceiling that a policy closes, if measured."""
  return results.get('gap_closed', {}).get(ceiling, {}).get(policy)


def title(results: dict[str, Any]) -> str:
  """The page's first line: one finding, no stronger than the interval."""
  lead = _paired(results, BASELINE, 'return')
  if not has_mean(lead):
    return 'How the policies compare'
  where = verdict(lead)
  if where == 'even':
    return 'pasta is not distinguishable from the baseline'
  if where == 'below':
    return 'pasta does worse than the baseline'
  closed = gap_closed(results, AGENT)
  if has_mean(closed):
    line = f'pasta closes {percent(closed["mean"])} of the gap'
  else:
    line = f'pasta gains {number(lead["mean"], signed=True)} over the baseline'
  return line + _beside_rival(results)


def rival(results: dict[str, Any]) -> str:
  """The strongest policy that learns no values; '' where none was run."""
  ran = [p for p in RIVALS if has_mean(_paired(results, p, 'return'))]
  return ran[0] if ran else ''


def _beside_rival(results: dict[str, Any]) -> str:
  """How the strongest simple rule does, behind what was said of the agent."""
  name = rival(results)
  if not name:
    return ''
  how = {
    'above': ', more than {}, which learns no values',
    'even': '; {}, which learns no values, does as well',
    'below': ', less than {}, which learns no values',
  }[verdict(_paired(results, name, 'return'))]
  return how.format(palette.style(name).label)


def tiles(results: dict[str, Any]) -> list[dict[str, str]]:
  """The few figures that matter, each with interval, verdict and meaning."""
  out = []
  closed = gap_closed(results, AGENT)
  if has_mean(closed):
    out.append(
      {
        **_cell(closed, 'percent'),
        'label': 'of the gap closed',
        'text': f'of what {palette.style(CEILING).label}, which knows the '
        'population’s true parameters, gains over the baseline.',
        'verdict': verdict(closed),
      }
    )
  lead = _paired(results, BASELINE, 'return')
  if has_mean(lead):
    out.append(
      {
        **_cell(lead, 'signed'),
        'label': 'return over the baseline',
        'text': {
          'above': 'Paired by person. The interval lies above zero.',
          'even': 'Paired by person. The interval includes zero: no measurable '
          'difference.',
          'below': 'Paired by person. The interval lies below zero: a loss.',
        }[verdict(lead)],
        'verdict': verdict(lead),
      }
    )
  wins = _paired(results, BASELINE, 'final_image_win_share')
  if has_mean(wins):
    out.append(
      {
        **_cell(wins, 'percent'),
        'label': 'end with better images',
        'text': 'of people: their last chosen column is worth more to them '
        'with pasta than with the baseline.',
        'verdict': verdict(wins, 0.5),
      }
    )
  sessions = returning(results)
  if len(sessions) > 1 and has_mean(sessions[1]['gain']):
    gain = sessions[1]['gain']
    out.append(
      {
        **_cell(gain, 'signed'),
        'label': 'for people who come back',
        'text': 'return of the second session over that of the same people as '
        'if they were new: what is kept of the first.',
        'verdict': verdict(gain),
      }
    )
  name = rival(results)
  if name:
    over = _paired(results, name, 'return')
    out.append(
      {
        **_cell(over, 'signed'),
        'label': f'return over {palette.style(name).label}',
        'text': {
          'above': 'What learned values add to the strongest rule on the same '
          'beliefs.',
          'even': 'Equal within the interval: learned values add nothing '
          'measurable to the strongest rule on the same beliefs.',
          'below': 'Worse than the strongest rule on the same beliefs: learned '
          'values cost something here.',
        }[verdict(over)],
        'verdict': verdict(over),
      }
    )
  return out


def returning(results: dict[str, Any]) -> list[dict[str, Any]]:
  """pasta's sessions with people who come back; [] where there are none."""
  return results.get('returning', {}).get(AGENT, [])


def returning_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
  """Of each session of people who come back: the plot's numbers."""
  return [
    {
      'session': i + 1,
      'known': _cell(row['return'], 'plain'),
      'fresh': _cell(row.get('fresh'), 'plain'),
      'gain': _cell(row.get('gain'), 'signed'),
    }
    for i, row in enumerate(returning(results))
  ]


def split_sentence(results: dict[str, Any]) -> str:
  """What the gap consists of; '' where it was not measured."""
  split = results.get('split')
  if not split or not has_mean(split['adaptation']):
    return ''
  common, adaptation = split['common_taste'], split['adaptation']
  sentence = (
    f'Common taste alone reaches {percent(common["mean"])} '
    f'{interval(common, "percent")} of the gap; adaptation to the person is '
    f'worth the other {percent(adaptation["mean"])} '
    f'{interval(adaptation, "percent")}.'
  )
  parts = results.get('pasta_split')
  if parts and has_mean(parts.get('belief')):
    prior_only, belief = parts['prior_only'], parts['belief']
    sentence += (
      f' Of pasta’s own share, {percent(prior_only["mean"])} '
      f'{interval(prior_only, "percent")} needs no belief and '
      f'{percent(belief["mean"])} {interval(belief, "percent")} comes from it.'
    )
  return sentence


def _cell(estimate: dict[str, Any] | None, kind: str) -> dict[str, str]:
  if not has_mean(estimate):
    return {'figure': MISSING, 'interval': ''}
  mean = estimate['mean']
  figure = (
    percent(mean)
    if kind == 'percent'
    else number(mean, signed=kind == 'signed')
  )
  return {'figure': figure, 'interval': interval(estimate, kind)}


def ceilings(results: dict[str, Any]) -> list[str]:
  """The ends of the gap that were measured, the headline's first."""
  return [c for c in compare.CEILINGS if c in results.get('gap_closed', {})]


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
  """One row a policy of the headline table, in the plot's order."""
  out = []
  for name in best_first(results):
    policy, style = results['policies'][name], palette.style(name)
    lead = _paired(results, name, 'return')
    out.append(
      {
        'name': name,
        'label': style.label,
        'description': style.description,
        'colour': style.colour,
        'is_ceiling': style.is_ceiling,
        'return': _cell(policy['return'], 'plain'),
        'lead': _cell(lead, 'signed'),
        'lead_verdict': verdict(lead) if has_mean(lead) else '',
        'wins': _cell(
          _paired(results, name, 'final_image_win_share'), 'percent'
        ),
        'gaps': [
          _cell(gap_closed(results, name, ceiling), 'percent')
          for ceiling in ceilings(results)
        ],
        'candidates': policy.get('candidates_per_turn', MISSING),
        'renders': policy.get('renders_per_turn', MISSING),
        'categories': _plain(policy.get('distinct_categories')),
      }
    )
  return out


def best_first(results: dict[str, Any]) -> list[str]:
  """The policies, best mean return first."""
  policies = results['policies']
  return sorted(policies, key=lambda p: -policies[p]['return']['mean'])


def _plain(value: Any) -> str:
  if isinstance(value, dict):
    value = value['mean']
  return number(value, 1)


def satisfaction_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
  """Satisfaction by turn as a table: the plot's numbers."""
  return [
    {
      'label': palette.style(name).label,
      'cells': [
        _cell(e, 'plain') for e in results['policies'][name]['satisfaction']
      ],
    }
    for name in best_first(results)
  ]
