"""Who said what in a table, and who of them is left to test on."""

from collections.abc import Iterable

from data.own import cells
from pasta import errors, seeds

SPLITS = ('train', 'test')


class People:
  """Collects the ids of all rows, and refuses what is no id."""

  def __init__(self, column: str, field: str = 'person'):
    """Ids of one column, of a field; '' = every row is one of its own."""
    self._column, self._field = column, field
    self._kind = ''
    self._names = set()

  def add(self, value, where: str) -> str:
    """A row's person.

    Args:
      value: the cell; not looked at where people are not known.
      where: file and row.

    Raises:
      PastaError: it is no id, or one of another type than those before.
    """
    name = where
    if self._column:
      try:
        name, kind = cells.person(value, f'column {self._column!r}')
      except ValueError as e:
        hint = 'drop such rows'
        if self._field == 'person':
          hint += ', or set --config.fields.person= to know of no people'
        raise errors.PastaError(f'{where}: {e}; {hint}') from None
      self._kind = self._kind or kind
      if kind != self._kind:
        raise errors.PastaError(
          f'{where}: column {self._column!r} holds {value!r}, a {kind}, the '
          f'rows before each a {self._kind}: ids of one type are expected'
        )
    self._names.add(name)
    return name

  def limit(self, test_share: float) -> int:
    """Up to which hash of their name people are tested on.

    Args:
      test_share: of all people; at least one is in each split.

    Raises:
      PastaError: there is one person alone.
    """
    if len(self._names) < 2:
      only = next(iter(self._names))
      raise errors.PastaError(
        f'{only!r:.60} is the only person, so nobody is left to test on; '
        "config field 'fields.person' names the people"
      )
    hashes = sorted(seeds.text_hash(n) for n in self._names)
    num = min(max(round(test_share * len(hashes)), 1), len(hashes) - 1)
    return hashes[num - 1]


def by_split(names: Iterable[str], limit: int) -> dict[str, list[int]]:
  """Positions of names by the split that their people are in."""
  found = {split: [] for split in SPLITS}
  for i, name in enumerate(names):
    is_test = seeds.text_hash(name) <= limit
    found['test' if is_test else 'train'].append(i)
  return found
