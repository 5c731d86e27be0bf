"""What the arms of configs/experiments.py are made with."""

from collections.abc import Sequence

import ml_collections

from configs import common, simulate, train_value

ITEM = (('train_value.credit', 'choice'),)  # rivals value single candidates


def paper() -> tuple[tuple[str, object], ...]:
  """What configs/paper.py changes."""
  value = train_value.get_config('paper')
  behaviour = dict(simulate.get_config('paper').behaviour.items())
  return (
    *(
      (f'train_value.{name}', value[name])
      for name in ('base', 'credit', 'reward', 'history')
    ),
    ('simulate.behaviour', behaviour),
  )


def arm(
  label: str,
  policy: str = 'pasta',
  *overrides: tuple[str, object],
  x: float | None = None,
  series: str = '',
  previous: str = '',
  row: str = '',
  column: str = '',
  reference: str = '',
  **policy_fields: object,
) -> ml_collections.ConfigDict:
  """One arm: a policy, and what differs from the base config."""
  c = ml_collections.ConfigDict()
  c.label = label  # in tables and plots
  c.series = series or label  # arms of one line in a plot over x
  c.x = x  # where on that line
  # Where in a table that has one cell an arm and one block a series, in the
  # order of the arms' names; '': none.
  c.row, c.column = row, column
  c.reference = reference  # the arm that it is compared with; '': c.reference
  c.policy = common.policy(policy)
  c.policy.update(policy_fields)
  c.overrides = overrides  # (dotted field of configs/quickstart.py, value)
  # Another arm whose value function is the behaviour behind simulated data.
  c.previous = previous
  return c


def against_greedy(
  c, policies: Sequence[str], name: str, row: str, *overrides
) -> None:
  """A line of a table: greedy, and what each other policy has over it."""
  for policy in ('greedy', *policies):
    column = policy.replace('_', ' ')
    c.arms[f'{name}_{policy}'] = arm(
      f'{column}, {row}',
      policy,
      *overrides,
      series=c.name,
      row=row,
      column=column,
      reference='' if policy == 'greedy' else f'{name}_greedy',
    )
