"""Small files: written whole or not at all, and errors that name them.

This module does not import jax.
"""

import json
import os
import uuid
from typing import Any

from pasta import errors


def atomic_write(path: str, data: bytes | str) -> None:
  """Writes a file such that readers see the old or the whole new content."""
  directory, name = os.path.split(os.path.abspath(path))
  # Processes of a pod may have the same number on different hosts.
  temporary = os.path.join(directory, f'.{name}.{uuid.uuid4().hex}.tmp')
  try:
    with open(temporary, 'wb') as f:
      f.write(data.encode() if isinstance(data, str) else data)
      f.flush()
      os.fsync(f.fileno())
    os.replace(temporary, path)
  except BaseException:
    if os.path.exists(temporary):
      os.remove(temporary)
    raise


def write_json(path: str, value: Any) -> None:
  """Writes a value as indented JSON, atomically.

  Raises:
    ValueError: the value holds something JSON has no form for, a non-finite
      number included.
  """
  text = json.dumps(to_plain(value), indent=2, allow_nan=False)
  atomic_write(path, text + '\n')


def read_json(path: str) -> Any:
  """Returns the content of a JSON file.

  Raises:
    PastaError: the file is missing, unreadable, truncated or not JSON.
  """
  try:
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from e
  except ValueError as e:  # Both bad JSON and bad UTF-8.
    raise errors.PastaError(f'{path}: is truncated or not JSON: {e}') from e


def to_plain(value: Any) -> Any:
  """Nested dicts, lists, strings, numbers, booleans and None, as JSON has.

  Takes ConfigDicts (references resolved), tuples and numpy arrays.

  Raises:
    ValueError: a value of another type; names where it is.
  """
  return _to_plain(value, '')


def _to_plain(value: Any, where: str) -> Any:
  if value is None or isinstance(value, str | bool | int | float):
    return value
  if hasattr(value, 'items'):
    return {str(k): _to_plain(v, f'{where}.{k}') for k, v in value.items()}
  if hasattr(value, 'tolist'):
    return value.tolist()
  if isinstance(value, list | tuple):
    return [_to_plain(v, f'{where}[{i}]') for i, v in enumerate(value)]
  raise ValueError(
    f'{where.lstrip(".")} is of type {type(value).__name__}, which JSON has '
    'no form for'
  )


def cache_dir() -> str:
  """The directory for what may be deleted: $PASTA_CACHE or ~/.cache/pasta."""
  return os.path.expanduser(
    os.environ.get('PASTA_CACHE') or os.path.join('~', '.cache', 'pasta')
  )
