"""The tables of `launch.evaluate_preferences`, as the page shows them."""

import os
from typing import Any

from pasta import errors, files
from pasta.report import headline

_TITLES = {
  'two_way': 'right, ties left out',
  'label_weighted': 'right, weighted by label',
  'three_way': 'right of three, with ties',
  'cross_turn_accuracy': 'right across turns',
  'choice_accuracy': 'choices right',
  'comparison_accuracy': 'comparisons right',
  'pair_accuracy': 'pairs right',
  'spearman': 'Spearman',
  'srocc': 'Spearman within people',
}


def read(directory: str) -> list[dict[str, Any]]:
  """Tables in DIRECTORY/preference_tables; none where there is no such file.

  Returns:
    Of each table name, counts, titles of its columns, and rows of cells with
    'figure' and 'interval'; quoted rows have a 'source'.

  Raises:
    PastaError: the file is damaged.
  """
  path = os.path.join(directory, 'preference_tables', 'results.json')
  if not os.path.exists(path):
    return []
  content = files.read_json(path)
  try:
    return [_table(name, table) for name, table in content.items()]
  except (KeyError, TypeError, AttributeError) as e:
    raise errors.PastaError(f'{path}: not preference tables ({e!r})') from e


def _table(name: str, table: dict[str, Any]) -> dict[str, Any]:
  columns = [c for row in table['rows'].values() for c in row]
  columns = list(
    dict.fromkeys([*columns, *(q['column'] for q in table['quoted'])])
  )
  rows = [
    {
      'label': label,
      'source': '',
      'cells': [_cell(row.get(c)) for c in columns],
    }
    for label, row in table['rows'].items()
  ]
  for q in table['quoted']:
    cells = [
      {'figure': headline.percent(q['value']) if c == q['column'] else ''}
      for c in columns
    ]
    rows.append({'label': q['name'], 'source': q['source'], 'cells': cells})
  return {
    'name': name.replace('_', ' '),
    'data': table['data'],
    'num_observations': table['num_observations'],
    'num_people': table['num_people'],
    'columns': [_TITLES.get(c, c.replace('_', ' ')) for c in columns],
    'rows': rows,
  }


def _cell(found: dict[str, float] | None) -> dict[str, str]:
  if found is None:
    return {'figure': ''}
  return {
    'figure': headline.percent(found['mean']),
    'interval': headline.interval(found, 'percent'),
  }
