"""Values of raw records, checked: ValueError says what is wrong with one."""

import math
from typing import Any


def as_text(value: Any, name: str) -> str:
  """A text field; ValueError where it is no text or cannot be stored."""
  if not isinstance(value, str):
    raise ValueError(f'{name} is {_kind(value)}, expected a text')
  try:
    value.encode()
  except UnicodeEncodeError:
    raise ValueError(f'{name} is not valid Unicode') from None
  return value


def as_number(
  value: Any, name: str, low: float = -math.inf, high: float = math.inf
) -> float:
  """A finite number in [low, high]; ValueError where it is not."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise ValueError(f'{name} is {_kind(value)}, expected a number')
  try:
    number = float(value)
  except OverflowError:
    number = math.inf
  if not (math.isfinite(number) and low <= number <= high):
    raise ValueError(f'{name} is {value!r:.40}, expected {low:g} to {high:g}')
  return number


def as_integer(
  value: Any, name: str, low: int = -(2**63), high: int = 2**63 - 1
) -> int:
  """A whole number in [low, high]; ValueError where it is not."""
  if isinstance(value, bool) or not isinstance(value, int):
    raise ValueError(f'{name} is {_kind(value)}, expected a whole number')
  if not low <= value <= high:
    raise ValueError(f'{name} is {value!r:.40}, expected {low} to {high}')
  return value


def as_user(value: Any, name: str) -> str:
  """A person's id, given as text or whole number; ValueError otherwise."""
  if isinstance(value, int) and not isinstance(value, bool):
    return str(value)
  if not as_text(value, name):
    raise ValueError(f'{name} is empty')
  return value


def _kind(value: Any) -> str:
  return 'missing' if value is None else f'a {type(value).__name__}'
