"""Parts of shards of sessions, found once and then read on their own."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from pasta import errors
from pasta.storage import sessions

_MAX_LINE_BYTES = 16 << 20


def groups(raw: str, num: int) -> Iterator[list[dict[str, Any]]]:
  """Yields parts of shards that make a unit of at most `num` sessions.

  What is recorded at a terminal has one session a shard, simulations hundreds.
  """
  group, size = [], 0
  for path in sessions.shards(raw):
    for part in _parts(path, num):
      if size + part['count'] > num:
        yield group
        group, size = [], 0
      group.append(part)
      size += part['count']
  if group:
    yield group


def _parts(path: str, num: int) -> Iterator[dict[str, Any]]:
  """Yields parts of a shard: first byte, first row and number of sessions."""
  found, row = [], 0
  with _open(path) as f:
    header = line = _line(f, path)
    while line.endswith(b'\n'):
      if row % num == 0:
        found.append((f.tell(), row))
      line = _line(f, path)
      row += line.endswith(b'\n')
  sessions.check_complete(path, header, row, not line)
  for start, first in found:
    count = min(row - first, num)
    if count:
      file = os.path.basename(path)
      yield {'file': file, 'start': start, 'row': first, 'count': count}


def read(
  raw: str, parts: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, sessions.Session]]:
  """Yields (where, session) of parts that `groups` has found."""
  for part in parts:
    path = os.path.join(raw, part['file'])
    with _open(path) as f:
      f.seek(part['start'])
      for row in range(part['row'], part['row'] + part['count']):
        where = f'{path}:{row + 2}'
        try:
          line = _line(f, path).decode()
        except UnicodeDecodeError as e:
          raise errors.PastaError(f'{where}: not a session ({e})') from None
        yield where, sessions.from_json(line, where)


def _open(path: str) -> BinaryIO:
  try:
    return open(path, 'rb')
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from None


def _line(f: BinaryIO, path: str) -> bytes:
  line = f.readline(_MAX_LINE_BYTES)
  if len(line) == _MAX_LINE_BYTES:
    raise errors.PastaError(
      f'{path}: a line has {_MAX_LINE_BYTES} bytes or more'
    )
  return line
