"""Names and colours of the report, the same in every plot and table.

Plots are drawn once, in the light theme; every colour of that theme is unique,
so that the inline SVG can trade it for the CSS variable of the same name and
follow the reader's light or dark setting. The colours of any two policies
stay at least 0.10 apart in OKLab, also as seen with protanopia, deuteranopia
and tritanopia; marker and dash tell them apart a second time. Ceilings of one
kind share a colour: markers and labels tell them apart.
"""

import dataclasses

LIGHT = {
  'page': '#fbfaf7',
  'card': '#ffffff',
  'ink': '#211f1c',
  'soft': '#5f5a53',
  'faint': '#837d74',
  'line': '#e2ddd3',
  'wash': '#f2efe8',
  'pasta': '#c4330f',
  'lmm': '#4b3b52',
  'random': '#8c8a97',
  'prior': '#bf8420',
  'greedy': '#3696e4',
  'greedy_slate': '#2e0387',
  'optimistic': '#8236b6',
  'bayes': '#3d6b6e',
  'oracle': '#1d1b19',
  'other': '#7d6f64',
  'better': '#2f7ea8',
  'same': '#d9d4c9',
  'worse': '#b98d4a',
  'common': '#efe3c8',
  'adaptation': '#d5e5e3',
  'first': '#2c7464',
  'second': '#6fae9d',
  'third': '#b3d5ca',
  'rest': '#e7e2d9',
}

DARK = {
  'page': '#161618',
  'card': '#1e1e21',
  'ink': '#f0ede6',
  'soft': '#b4afa6',
  'faint': '#918c84',
  'line': '#35343a',
  'wash': '#232327',
  'pasta': '#fa752f',
  'lmm': '#bb9499',
  'random': '#786964',
  'prior': '#e8d246',
  'greedy': '#76a6e5',
  'greedy_slate': '#285eb2',
  'optimistic': '#8b6fed',
  'bayes': '#74dcae',
  'oracle': '#f4f1ea',
  'other': '#a3958a',
  'better': '#5aa6d0',
  'same': '#4a4850',
  'worse': '#cfa25c',
  'common': '#3d3627',
  'adaptation': '#22403d',
  'first': '#4fc2a6',
  'second': '#34806e',
  'third': '#2a564c',
  'rest': '#303036',
}


@dataclasses.dataclass(frozen=True)
class PolicyStyle:
  """How one policy is named and drawn.

  Attributes:
    label: short name in plots.
    description: one line for the table.
    colour: a key of LIGHT.
    marker: matplotlib marker.
    is_ceiling: knows what no agent can know; drawn dashed and hollow.
  """

  label: str
  description: str
  colour: str
  marker: str = 'o'
  is_ceiling: bool = False


# In the order in which plots and tables list them.
POLICIES = {
  'oracle': PolicyStyle(
    'oracle', 'ceiling: knows this very person', 'oracle', 's', True
  ),
  'type_told': PolicyStyle(
    'type told',
    'ceiling: knows the true type, exact posterior of the rest',
    'oracle',
    'h',
    True,
  ),
  'bayes_full': PolicyStyle(
    'bayes full',
    'ceiling: bayes slate that hears all feedback',
    'bayes',
    '*',
    True,
  ),
  'bayes_slate': PolicyStyle(
    'bayes slate',
    'ceiling: true population, exact posterior of choices, the slate of the '
    'best expected pick, no planning',
    'bayes',
    'o',
    True,
  ),
  'bayes': PolicyStyle(
    'bayes',
    'ceiling: the same posterior, the best columns one by one',
    'bayes',
    'd',
    True,
  ),
  'pasta': PolicyStyle(
    'pasta',
    'the agent: learned user model, belief and value function',
    'pasta',
    'o',
  ),
  'greedy_slate': PolicyStyle(
    'greedy slate',
    'the slate of the best expected pick under the belief, nothing learned on '
    'top',
    'greedy_slate',
    'p',
  ),
  'optimistic': PolicyStyle(
    'optimistic',
    'greedy plus a bonus for what the belief is unsure of',
    'optimistic',
    'v',
  ),
  'greedy': PolicyStyle(
    'greedy', 'expected utility under the belief, no planning', 'greedy', '^'
  ),
  'prior': PolicyStyle(
    'prior', 'knows the population, does not adapt to the person', 'prior', 'D'
  ),
  'lmm': PolicyStyle(
    'baseline', 'lmm: the candidate generator’s own order', 'lmm', 's'
  ),
  'random': PolicyStyle(
    'random', 'any of the candidates, one per category', 'random', 'X'
  ),
}


def style(policy: str) -> PolicyStyle:
  """The style of a policy; a neutral one for names the report doesn't know."""
  return POLICIES.get(policy, PolicyStyle(policy, '', 'other', 'P'))


def ordered(policies) -> list[str]:
  """The given policy names in the report's order, unknown ones last."""
  known = [p for p in POLICIES if p in policies]
  return known + sorted(p for p in policies if p not in POLICIES)


def css_variables(theme: dict[str, str]) -> str:
  """One CSS declaration a colour."""
  return ' '.join(f'--{name}: {value};' for name, value in theme.items())
