"""What a directory of raw files, or one of them, holds: for a person to read.

Prints files by their endings, and of those that may hold records the fields
that their first records have, as `field_paths` writes them; for a table of
one's own also the commands that come next. Little is read, nothing is unpacked,
and what is broken is named and passed over.
"""

import collections
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from data.formats import (
  field_paths,
  raw_directory,
  raw_files,
  records,
  zip_files,
)
from data.own import propose, table
from pasta import errors

_MAX_RECORDS = 20  # that are looked at, of each file
_MAX_LEAVES = 20_000  # of each record
_MAX_FIELDS = 150  # of each file
_MAX_FILES = 12  # whose fields are shown
_MAX_FILES_OF_FOLDER = 3
_MAX_ENDINGS = 40
_SHOWN_CHARS = 60
_NAMES = 3  # that are shown, of files with the same ending
_NUMBER = re.compile(r'[+-]?\d{1,15}(\.\d{1,15})?')


def run(raw: str) -> None:
  """Prints what RAW holds.

  Args:
    raw: a directory, a zip file, or a file of records.

  Raises:
    PastaError: there is neither.
  """
  for line in report(os.path.expanduser(raw)):
    print(line)


def report(raw: str) -> Iterator[str]:
  """Yields the lines that `run` prints."""
  given = raw
  if os.path.isfile(raw) and raw.lower().endswith('.zip'):
    raw, name = os.path.split(raw)
    raw, zips, unpacked = raw or '.', [name], {}
  elif os.path.isfile(raw):
    table.locate(raw)  # Refuses endings that hold no records.
    raw, name = os.path.split(raw)
    raw, zips, unpacked = raw or '.', [], {name: _size(given)}
    yield from _files(_shown(given), unpacked)
  else:
    zips = raw_files.find_zips(raw)
    unpacked = {
      n: _size(os.path.join(raw, n)) for n in raw_directory.list_files(raw)
    }
    yield from _files(_shown(raw), unpacked)
  sound = []
  for name in zips:
    path = os.path.join(raw, name)
    try:
      yield from _files(_shown(path), zip_files.ZipFile(path).sizes)
      raw_files.RawFiles(raw, [name])
      sound.append(name)
    except errors.PastaError as e:
      yield f'  BROKEN {_shown(str(e), 300)}'
  try:
    files = raw_files.RawFiles(raw, sound)
    names = list(unpacked)
    if zips:
      names = list(files.sizes()) if unpacked else list(files.packed_sizes())
  except errors.PastaError as e:
    yield f'BROKEN {_shown(str(e), 300)}'
    return
  may_hold = [n for n in names if records.ending(n)]
  shown = _some_of_each_folder(may_hold)
  for name in shown:
    yield ''
    yield from _fields(files, name)
  if len(shown) < len(may_hold):
    yield ''
    yield (
      f'{len(may_hold) - len(shown)} more files that may hold records are not '
      'shown'
    )
  tables = [n for n in unpacked if records.ending(n)]
  if tables and not zips:
    yield ''
    try:
      yield from propose.lines(given, tables[:_MAX_FILES])
    except errors.PastaError as e:
      yield f'No command to propose: {_shown(str(e), 300)}'


def _size(path: str) -> int:
  try:
    return os.path.getsize(path)
  except OSError:
    return 0


def _shown(value: Any, most: int = 200) -> str:
  """On one line, and without what a terminal would obey."""
  text = value if isinstance(value, str) else repr(value)
  plain = repr(text[: most + 1])[1:-1]
  return plain if len(plain) <= most else f'{plain[: most - 3]}...'


def _files(where: str, sizes: Mapping[str, int]) -> Iterator[str]:
  """The files of a directory or zip file by their endings."""
  yield f'{where}: {len(sizes)} files, {_bytes(sum(sizes.values()))}'
  groups = collections.defaultdict(list)
  for name in sizes:
    groups[os.path.splitext(name)[1].lower()].append(name)
  ordered = sorted(groups.items(), key=lambda g: -len(g[1]))
  for ending, names in ordered[:_MAX_ENDINGS]:
    total = _bytes(sum(sizes[n] for n in names))
    examples = ', '.join(_shown(n, _SHOWN_CHARS) for n in names[:_NAMES])
    more = ', ...' if len(names) > _NAMES else ''
    yield (
      f'  {_shown(ending, 20) or "no ending"}: {len(names)} files, {total}: '
      f'{examples}{more}'
    )
  if len(ordered) > _MAX_ENDINGS:
    yield f'  and {len(ordered) - _MAX_ENDINGS} more endings'


def _bytes(size: int) -> str:
  return f'{size:,} bytes' if size < 10_000_000 else f'{size / 2**20:,.0f} MiB'


def _some_of_each_folder(names: Iterable[str]) -> list[str]:
  """A few files of each folder; folders told apart only by numbers are one."""
  found, taken = [], collections.Counter()
  for name in names:
    folder = re.sub(r'\d+', '#', os.path.dirname(name))
    folder += os.path.splitext(name)[1].lower()
    taken[folder] += 1
    if taken[folder] <= _MAX_FILES_OF_FOLDER:
      found.append(name)
  return found[:_MAX_FILES]


def _fields(files: raw_files.RawFiles, name: str) -> Iterator[str]:
  """The fields of a file's first records."""
  found, problem, num, left_out = {}, '', 0, False
  try:
    for place in itertools.islice(records.places(files, name), _MAX_RECORDS):
      for _, record in records.read(files, name, [place]):
        num += 1
        leaves = field_paths.leaves(record)
        for path, value in itertools.islice(leaves, _MAX_LEAVES):
          if path not in found and len(found) == _MAX_FIELDS:
            left_out = True
            continue
          found.setdefault(path, _Field()).add(value)
  except errors.PastaError as e:
    problem = str(e)
  yield f'{_shown(files.path(name))}: fields of the first {num} records'
  width = min(max(map(len, found), default=0), 40)
  for path, field in found.items():
    yield f'  {_shown(path):<{width}}  {field.describe()}'
  if left_out:
    yield f'  and more than the {_MAX_FIELDS} fields that are shown'
  if problem:
    yield f'  BROKEN {_shown(problem, 300)}'


class _Field:
  """What a field of several records holds."""

  def __init__(self):
    self._kinds = collections.Counter()
    self._lengths, self._numbers = None, None
    self._example = ''

  def add(self, value: Any) -> None:
    """Takes note of a value."""
    inner = field_paths.unpack(value)
    kind, number = 'empty text' if inner == '' else _kind(inner), None
    if isinstance(inner, list):
      self._lengths = _wider(self._lengths, len(inner))
    elif isinstance(inner, int | float) and not isinstance(inner, bool):
      number = inner
    elif isinstance(inner, str) and _NUMBER.fullmatch(inner):
      number = float(inner)
    if isinstance(value, str) and (inner is not value or number is not None):
      kind = f'text with a {"number" if number is not None else kind}'
    if number is not None:
      self._numbers = _wider(self._numbers, number)
    self._kinds[kind] += 1
    simple = not isinstance(inner, list | dict | None)
    if simple and inner != '' and not self._example:
      self._example = (
        f'{len(inner)} bytes' if isinstance(inner, bytes) else _quoted(inner)
      )

  def describe(self) -> str:
    """One line."""
    total = sum(self._kinds.values())
    parts = [
      kind if num == total else f'{kind} ({num} of {total})'
      for kind, num in self._kinds.most_common(4)
    ]
    line = ' or '.join(parts)
    if self._lengths is not None:
      line += f' of {_range(self._lengths)}'
    if self._numbers is not None:
      line += f', {_range(self._numbers)}'
    return line + (f', e.g. {self._example}' if self._example else '')


def _quoted(value: Any) -> str:
  text = _shown(value, _SHOWN_CHARS)
  return f"'{text}'" if isinstance(value, str) else text


def _kind(value: Any) -> str:
  names = {
    type(None): 'nothing',
    bool: 'flag',
    int: 'whole number',
    float: 'number',
    str: 'text',
    bytes: 'bytes',
    list: 'list',
    dict: 'object',
  }
  return names.get(type(value), type(value).__name__)


def _wider(limits: tuple | None, value: float) -> tuple:
  low, high = limits or (value, value)
  return min(low, value), max(high, value)


def _range(limits: tuple) -> str:
  low, high = limits
  return f'{low:g}' if low == high else f'{low:g} to {high:g}'
