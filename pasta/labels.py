"""Who is who: labels of people, sets or alternatives, before they are grouped.

A label that is missing would make one person of many, or many of one; labels
of several types cannot be told apart by their text.
"""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from pasta import errors

# What programs write into a text where there was no value.
_MISSING = ('', 'nan', 'none', 'null', '<na>', 'nat')


def is_missing(value: Any) -> bool:
  """Whether there is nothing, or what programs write for nothing."""
  if value is None or type(value).__name__ in ('NAType', 'NaTType'):
    return True
  if isinstance(value, str):
    return value.strip().lower() in _MISSING
  return isinstance(value, numbers.Number) and value != value


def check(values: Sequence[Any] | np.ndarray, name: str) -> np.ndarray:
  """Labels as an array of one type.

  Args:
    values: [N]: texts, whole numbers, dates, or anything else of one type.
    name: what they are, for errors.

  Returns:
    [N], the same labels.

  Raises:
    PastaError: one is missing (None, NaN, NaT, pandas' NA, or a text that
      stands for it) or of another type than the first; names its row.
  """
  # Lists are looked at as they are: numpy would make texts of all.
  array = values if isinstance(values, np.ndarray) else _array(values)
  if array.ndim != 1:
    return array  # Its shape is the caller's to refuse.
  if array.dtype.kind in 'biu':
    return array
  if array.dtype.kind in 'fcmM':
    _refuse(
      np.isnat(array) if array.dtype.kind in 'mM' else array != array,
      array,
      name,
    )
    return array
  if array.dtype.kind == 'O':
    _refuse(np.array([is_missing(x) for x in array], bool), array, name)
    kinds = [_kind(x) for x in array]
    for row, kind in enumerate(kinds):
      if kind != kinds[0]:
        raise errors.PastaError(
          f'{name} of row {row} is {kind} ({_shown(array[row])}), that of row '
          f'0 {kinds[0]} ({_shown(array[0])}); expected labels of one type'
        )
    if kinds and kinds[0] in ('a text', 'a whole number'):
      array = np.array(array.tolist())
    return array
  text = np.char.lower(np.char.strip(array.astype(str)))
  _refuse(np.isin(text, _MISSING), array, name)
  return array


def _array(values: Sequence[Any]) -> np.ndarray:
  """[N], of objects where values are not of one type already."""
  found = np.asarray(values) if hasattr(values, '__array__') else None
  if found is not None:
    return found
  objects = np.empty(len(values), object)
  objects[:] = list(values)
  return objects


def _refuse(missing: np.ndarray, array: np.ndarray, name: str) -> None:
  if missing.any():
    row = int(np.argmax(missing))
    raise errors.PastaError(
      f'{name} of row {row} is missing ({_shown(array[row])}), expected a label'
    )


def _shown(value: Any) -> str:
  """A label in a message: numpy's as Python's own."""
  return f'{value.item() if isinstance(value, np.generic) else value!r}'[:40]


def _kind(value: Any) -> str:
  if isinstance(value, str):
    return 'a text'
  if isinstance(value, numbers.Integral) and not isinstance(value, bool):
    return 'a whole number'
  return f'a {type(value).__name__}'
