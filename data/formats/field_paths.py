"""Paths to fields of a record: 'turns[].columns[].prompt', 'images[0]'.

`[]` stands for each entry of a list, `[2]` for one. A text that holds JSON, or
a Python literal as pandas writes lists into CSV cells, is taken for what it
holds where a path goes on into it. A path that is itself the name of one of
the record's own fields means that field, dots or not.
"""

import ast
import json
import re
from typing import Any, NamedTuple

_PART = re.compile(r'([^.\[\]]+)((?:\[\d{0,6}\])*)')
_MAX_LITERAL_CHARS = 1 << 16
_MAX_DEPTH = 12


class Path(NamedTuple):
  """A path.

  Attributes:
    text: as it is written.
    steps: names of fields, numbers of entries, None for each entry.
  """

  text: str
  steps: tuple[str | int | None, ...]


def parse(text: str) -> Path:
  """A path; ValueError where it is none."""
  steps, at = [], 0
  while True:
    match = _PART.match(text, at)
    if match is None:
      raise ValueError(
        f'{text!r} is no path to a field, expected one like '
        "'turns[].prompts' or 'columns[].prompt'"
      )
    steps.append(match[1])
    for index in re.findall(r'\[(\d*)\]', match[2]):
      steps.append(int(index) if index else None)
    at = match.end()
    if at == len(text):
      return Path(text, tuple(steps))
    if text[at] != '.':
      raise ValueError(f'{text!r} is no path to a field at {text[at:]!r}')
    at += 1


def find(record: Any, path: Path) -> tuple[Any, bool]:
  """What a path leads to, and whether it leads anywhere.

  What lacks in some entries of a list is None there.
  """
  if isinstance(record, dict) and path.text in record:
    return record[path.text], True
  return _follow(record, path.steps)


def _follow(value: Any, steps: tuple) -> tuple[Any, bool]:
  for i, step in enumerate(steps):
    value = unpack(value)
    if step is None:
      if not isinstance(value, list):
        return None, False
      found = [_follow(v, steps[i + 1 :]) for v in value]
      return [v for v, _ in found], any(known for _, known in found)
    if isinstance(step, int):
      if not isinstance(value, list) or step >= len(value):
        return None, False
    elif not isinstance(value, dict) or step not in value:
      return None, False
    value = value[step]
  return value, True


def unpack(value: Any) -> Any:
  """What a text with JSON or a Python literal holds; other values as is."""
  if not isinstance(value, str) or value.lstrip()[:1] not in ('[', '{'):
    return value
  try:
    return json.loads(value)
  except (ValueError, RecursionError):
    pass
  if len(value) > _MAX_LITERAL_CHARS:
    return value
  try:
    return ast.literal_eval(value.strip())
  except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
    return value


def fields(record: Any, most: int) -> list[str]:
  """Paths to all fields of a record, at most so many."""
  found = {}
  for path, _ in leaves(record):
    found[path] = None
    if len(found) >= most:
      break
  return list(found)


def leaves(value: Any, path: str = '', depth: int = 0):
  """Yields (path, value) of every field, lists and objects included."""
  if path:
    yield path, value
  inner = unpack(value)
  if depth == _MAX_DEPTH:
    return
  if isinstance(inner, dict):
    for name, item in inner.items():
      yield from leaves(item, f'{path}.{name}' if path else name, depth + 1)
  elif isinstance(inner, list):
    for item in inner:
      yield from leaves(item, f'{path}[]', depth + 1)
