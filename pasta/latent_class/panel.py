"""Choices out of a table: a CSV file, a data frame, or columns by name."""

import csv
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pasta import errors, labels


@dataclasses.dataclass(frozen=True)
class Panel:
  """N choices among up to L alternatives; missing ones are not available.

  Attributes:
    features: [N, L, D], zeros where an alternative is not available.
    choice: chosen alternative [N].
    user: who chose [N].
    available: [N, L], bool.
    names: of the features, D.
    alternatives: labels, L.
  """

  features: np.ndarray
  choice: np.ndarray
  user: np.ndarray
  available: np.ndarray
  names: tuple[str, ...]
  alternatives: tuple[Any, ...]

  @property
  def data(self) -> tuple[np.ndarray, ...]:
    """What `fit`, `infer`, `posterior` and the others take."""
    return self.features, self.choice, self.user, self.available


def from_long(
  table: str | os.PathLike | Mapping[str, Sequence[Any]],
  *,
  user: str,
  choice_set: str,
  alternative: str,
  chosen: str,
  features: Sequence[str],
  constants: bool = False,
) -> Panel:
  """Choices from a table with one row an alternative that could be chosen.

  Args:
    table: path of a CSV file with a header, or columns by name: a dictionary,
      a pandas data frame, or anything that gives a column for its name.
    user: column that says who chose.
    choice_set: column that tells a person's choices apart.
    alternative: column with the alternative's label.
    chosen: column that is 1 where the row was chosen, else 0.
    features: columns of numbers.
    constants: add a constant for each alternative but the first.

  Raises:
    PastaError: no such column; a label that is missing; a value that is no
      number; an alternative twice in a set; a set in which not exactly one was
      chosen. Names the column and the first row, from 0.
  """
  columns = _Columns(table)
  who = columns.labels(user)
  sets = columns.labels(choice_set)
  what = columns.labels(alternative)
  is_chosen = columns.numbers(chosen)
  bad = ~np.isin(is_chosen, (0, 1))
  if bad.any():
    row = int(np.argmax(bad))
    raise errors.PastaError(
      f'{columns.name}: {chosen!r} of row {row} is {is_chosen[row]:g}, '
      'expected 1 or 0'
    )
  people, person = np.unique(who, return_inverse=True)
  _, of_person = np.unique(sets, return_inverse=True)
  # Sets as they come first, alternatives in the order of their labels.
  _, first, at = np.unique(
    person.astype(np.int64) * (of_person.max() + 1) + of_person,
    return_index=True,
    return_inverse=True,
  )
  place = np.argsort(np.argsort(first))
  at = place[at]
  alternatives, column = np.unique(what, return_inverse=True)
  num, width = len(first), len(alternatives)
  count = np.zeros((num, width), int)
  np.add.at(count, (at, column), 1)
  if (count > 1).any():
    twice = count[at, column] > 1
    row = int(np.flatnonzero(twice)[0])
    raise errors.PastaError(
      f'{columns.name}: {alternative!r} of row {row}, {what[row]}, stands '
      f'twice in the set {sets[row]} of {who[row]}'
    )
  times = np.bincount(at, is_chosen, num)
  if (times != 1).any():
    row = int(np.flatnonzero(times[at] != 1)[0])
    raise errors.PastaError(
      f'{columns.name}: in the set {sets[row]} of {who[row]} (row {row}) '
      f'{times[at[row]]:g} alternatives were chosen, expected one'
    )
  values = np.zeros((num, width, len(features)))
  for d, name in enumerate(features):
    values[at, column, d] = columns.numbers(name)
  chosen_rows = is_chosen == 1
  choice = np.zeros(num, np.int64)
  choice[at[chosen_rows]] = column[chosen_rows]
  return _panel(
    values,
    choice,
    who[np.sort(first)],
    count > 0,
    features,
    alternatives,
    constants,
  )


def from_wide(
  table: str | os.PathLike | Mapping[str, Sequence[Any]],
  *,
  user: str,
  chosen: str,
  alternatives: Sequence[Any],
  features: Mapping[str, Sequence[str]],
  available: Sequence[str] = (),
  constants: bool = False,
) -> Panel:
  """Choices from a table with one row a choice.

  Args:
    table: as for `from_long`.
    user: column that says who chose.
    chosen: column with the label of what was chosen.
    alternatives: all labels, L.
    features: for each feature its L columns, one an alternative; '' where an
      alternative has none of it (0).
    available: L columns that are 1 where the alternative could be chosen;
      empty: all could.
    constants: add a constant for each alternative but the first.

  Raises:
    PastaError: as `from_long`; or as many columns as alternatives are not
      given; or what was chosen is none of them.
  """
  columns = _Columns(table)
  who, picked = columns.labels(user), columns.labels(chosen)
  num, width = len(who), len(alternatives)
  position = {str(label): l for l, label in enumerate(alternatives)}
  choice = np.zeros(num, np.int64)
  for row, label in enumerate(picked.tolist()):
    if str(label) not in position:
      raise errors.PastaError(
        f'{columns.name}: {chosen!r} of row {row} is {label!r:.40}, expected '
        f'one of {list(alternatives)!r:.200}'
      )
    choice[row] = position[str(label)]

  def of(names: Sequence[str], what: str) -> np.ndarray:
    if isinstance(names, str) or len(names) != width:
      raise errors.PastaError(
        f'{what} names {names!r:.80}, expected {width} columns, one an '
        'alternative'
      )
    return np.stack(
      [columns.numbers(n) if n else np.zeros(num) for n in names], 1
    )

  values = [of(names, f'features[{n!r}]') for n, names in features.items()]
  there = of(available, 'available') if available else np.ones((num, width))
  bad = ~np.isin(there, (0, 1))
  if bad.any():
    row, l = np.argwhere(bad)[0]
    raise errors.PastaError(
      f'{columns.name}: {available[l]!r} of row {row} is {there[row, l]:g}, '
      'expected 1 or 0'
    )
  return _panel(
    np.stack(values, -1) if values else np.zeros((num, width, 0)),
    choice,
    who,
    there > 0,
    list(features),
    alternatives,
    constants,
  )


def _panel(values, choice, user, available, names, alternatives, constants):
  """The panel; with constants for all alternatives but the first."""
  names = list(names)
  if constants:
    width = len(alternatives)
    eye = np.broadcast_to(np.eye(width)[:, 1:], (len(values), width, width - 1))
    values = np.concatenate([values, eye], -1)
    names += [f'constant {a}' for a in alternatives[1:]]
  return Panel(
    features=np.where(available[..., None], values, 0.0),
    choice=choice,
    user=user,
    available=available,
    names=tuple(names),
    alternatives=tuple(alternatives),
  )


class _Columns:
  """A table's columns, checked as they are asked for."""

  def __init__(self, table: str | os.PathLike | Mapping[str, Sequence[Any]]):
    self.name = 'table'
    if isinstance(table, str | os.PathLike):
      self.name = os.fspath(table)
      table = _read_csv(self.name)
    self._table = table
    self._known = [str(name) for name in table]
    self._num = len(self._column(self._known[0])) if self._known else 0
    if not self._num:
      raise errors.PastaError(f'{self.name}: has no rows')

  def _column(self, name: str) -> Any:
    errors.check_known(f'{self.name}: column', name, self._known)
    return self._table[name]

  def labels(self, name: str) -> np.ndarray:
    """[N] labels; PastaError where one is missing."""
    found = labels.check(self._column(name), f'{self.name}: {name!r}')
    return self._checked(found, name)

  def numbers(self, name: str) -> np.ndarray:
    """[N] float64; PastaError where one is no finite number."""
    column = self._column(name)
    try:
      found = np.asarray(column, np.float64)
    except (TypeError, ValueError):
      found = np.array([_number(value) for value in column])
    found = self._checked(found, name)
    if not np.isfinite(found).all():
      row = int(np.argmax(~np.isfinite(found)))
      raise errors.PastaError(
        f'{self.name}: {name!r} of row {row} is {list(column)[row]!r:.40}, '
        'expected a finite number'
      )
    return found

  def _checked(self, found: np.ndarray, name: str) -> np.ndarray:
    if found.shape != (self._num,):
      raise errors.PastaError(
        f'{self.name}: {name!r} has shape {found.shape}, expected '
        f'{(self._num,)}'
      )
    return found


def _number(value: Any) -> float:
  try:
    return float(value)
  except (TypeError, ValueError):
    return float('nan')


def _read_csv(path: str) -> dict[str, list[str]]:
  """Columns of a CSV file by name; PastaError where it is none."""
  try:
    with open(path, newline='', encoding='utf-8-sig') as f:
      reader = csv.reader(f)
      header = next(reader, [])
      rows = [row for row in reader if row]
  except (OSError, UnicodeDecodeError, csv.Error) as e:
    raise errors.PastaError(f'{path}: cannot be read as CSV ({e})') from e
  if len(set(header)) < len(header):
    twice = next(n for n in header if header.count(n) > 1)
    raise errors.PastaError(f'{path}: the header names {twice!r} twice')
  for number, row in enumerate(rows):
    if len(row) != len(header):
      raise errors.PastaError(
        f'{path}: row {number} has {len(row)} fields, the header {len(header)}'
      )
  return dict(zip(header, map(list, zip(*rows)), strict=False)) or {
    name: [] for name in header
  }
