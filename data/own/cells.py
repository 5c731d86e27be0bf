"""Cells of somebody's table as values: ValueError says what is wrong with one.

Images come as paths, as bytes, as {'bytes', 'path'} (as Hugging Face writes
them), or as ready features.
"""

import datetime
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.formats import checks, field_paths, raw_directory
from pasta import labels

_MAX_WIDTH = 1 << 16
_SIDES = {
  **dict.fromkeys(('a', 'first', 'left', 'image_a'), 1.0),
  **dict.fromkeys(('b', 'second', 'right', 'image_b'), 0.0),
  **dict.fromkeys(('tie', 'equal', 'same', 'draw', 'both'), 0.5),
}


def person(value: Any, name: str) -> tuple[str, str]:
  """A person's id and its type, 'text' or 'whole number'."""
  if labels.is_missing(value):
    raise ValueError(f'{name} is {value!r}, expected an id')
  if isinstance(value, float) and value.is_integer():
    value = int(value)  # as pandas stores whole numbers where one is missing
  if isinstance(value, float | bool):
    raise ValueError(f'{name} is {value!r}, expected a text or a whole number')
  kind = 'whole number' if isinstance(value, int) else 'text'
  return checks.as_user(value, name), kind


def text(value: Any, name: str) -> str:
  """A text that is there."""
  if value is None:
    raise ValueError(f'{name} is missing')
  return checks.as_text(value, name)


def number(
  value: Any, name: str, low: float = -math.inf, high: float = math.inf
) -> float:
  """A finite number in [low, high], which may be written as text."""
  if isinstance(value, str):
    try:
      value = float(value)
    except ValueError:
      raise ValueError(f'{name} is {value!r:.40}, expected a number') from None
  return checks.as_number(value, name, low, high)


def time(value: Any, name: str) -> float:
  """What grows with time: a number, or a date as ISO 8601 writes it."""
  if isinstance(value, str):
    try:
      return datetime.datetime.fromisoformat(value).timestamp()
    except ValueError:
      pass
  return number(value, name)


def preferred_side(
  value: Any, name: str, first_index: int, images: Sequence[Any]
) -> float:
  """How much the first of two was preferred: 1, 0, or 0.5 for a tie.

  Args:
    value: 'a', 'b', 'tie' or the like, the number of the image, or one of
      `images` itself.
    name: of the cell.
    first_index: number of the first image.
    images: names that the two images go by.
  """
  if isinstance(value, str) and value.strip().lower() in _SIDES:
    return _SIDES[value.strip().lower()]
  return 1.0 - chosen(value, name, first_index, images, "'a', 'b', 'tie', ")


def preference(value: Any, name: str) -> float:
  """The same, given as a number in [0, 1] or as a flag."""
  if isinstance(value, bool):
    return float(value)
  return number(value, name, 0, 1)


def chosen(
  value: Any,
  name: str,
  first_index: int,
  images: Sequence[Any],
  also: str = '',
) -> int:
  """Position of what was chosen among images, from 0.

  Args: as of `preferred_side`, and:
    also: what else the caller takes, for errors.
  """
  if value is None:
    raise ValueError(f'{name} is missing')
  if isinstance(value, bool):
    raise ValueError(f'{name} is a flag, expected which image was chosen')
  last = first_index + len(images) - 1
  expected = f'{also}{first_index} to {last}, or the name of one of the images'
  if isinstance(value, str) and images.count(value) == 1:
    return images.index(value)
  try:
    place = number(value, name)
  except ValueError:
    raise ValueError(f'{name} is {value!r:.60}, expected {expected}') from None
  if place not in range(first_index, last + 1):
    raise ValueError(
      f'{name} is {place:g}, expected {expected} (numbers count from '
      f"'options.first_index')"
    )
  return int(place) - first_index


def reference(cell: Any) -> Any:
  """A cell's image as bytes, path or numbers, whatever it is wrapped in."""
  cell = field_paths.unpack(cell)
  if isinstance(cell, dict):
    cell = cell.get('bytes') or cell.get('path')
  return bytes(cell) if isinstance(cell, bytearray | memoryview) else cell


def image(cell: Any, name: str, folder: str) -> bytes:
  """An encoded image.

  Args:
    cell: of the table.
    name: of the cell.
    folder: what paths start in, and stay in.
  """
  found = reference(cell)
  if isinstance(found, list):
    raise ValueError(
      f'{name} holds a list of {len(found)}; are these features, name who made '
      "them in config field 'options.encoder_id'"
    )
  if isinstance(found, bytes):
    return raw_directory.check_image(found, name)
  if labels.is_missing(found):
    raise ValueError(f'{name} is missing')
  path = text(found, name)
  if os.path.isabs(path):
    path = os.path.relpath(path, os.path.realpath(folder))
  return raw_directory.read_image(folder, path)


def features(cell: Any, name: str, width: int | None) -> np.ndarray:
  """Ready features, float16 [width]; None: of any width."""
  found = reference(cell)
  if not isinstance(found, list) or not 1 <= len(found) <= _MAX_WIDTH:
    what = 'missing' if found is None else f'a {type(found).__name__}'
    raise ValueError(
      f"{name} is {what}, expected a list of numbers, as 'options.encoder_id' "
      'is set'
    )
  if not all(type(x) in (int, float) for x in found):
    raise ValueError(f'{name} holds what is no number')
  with np.errstate(over='ignore'):
    values = np.array(found, np.float64).astype('<f2')
  if not np.isfinite(values).all():
    raise ValueError(f'{name} holds what is not finite in float16')
  if width is not None and len(values) != width:
    raise ValueError(
      f'{name} has {len(values)} numbers, the first row has {width}'
    )
  return values
