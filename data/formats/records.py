"""Records in files of four formats, found once and then read in parts.

JSON is an array of objects, or objects one after the other (JSON lines, or one
object a file); CSV has its names in the first row; parquet is parquet. A part
is a range of bytes, in parquet of rows. All but parquet files that are packed
in a zip file are read in bounded memory.
"""

import contextlib
import csv
import functools
import io
import itertools
import os
from collections.abc import Collection, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import pyarrow.parquet as pq

from data.formats import json_stream, parquet, raw_files, zip_files
from pasta import errors

ENDINGS = ('.json', '.jsonl', '.ndjson', '.csv', '.tsv', '.parquet')
MAX_RECORDS = 10_000_000  # of one file
_DELIMITERS = {'.csv': ',', '.tsv': '\t'}
_MAX_PACKED_PARQUET_BYTES = 1 << 30


class Place(NamedTuple):
  """Where one record, or several that follow each other, lie in a file.

  Attributes:
    start: first byte, in parquet first row.
    stop: last byte + 1, in parquet last row + 1.
    row: number of the first record in the file.
  """

  start: int
  stop: int
  row: int


def ending(name: str) -> str:
  """Of ENDINGS, the one that a file's name has; '' for none."""
  found = os.path.splitext(name)[1].lower()
  return found if found in ENDINGS else ''


def places(files: raw_files.RawFiles, name: str) -> Iterator[Place]:
  """Yields where each record of a file lies.

  Raises:
    PastaError: the file is damaged, or is not what its ending says.
  """
  path, kind = files.path(name), ending(name)
  with _named(path):
    if kind == '.parquet':
      for row in range(_parquet(files, name).metadata.num_rows):
        yield Place(row, row + 1, row)
    elif kind in _DELIMITERS:
      with files.open(name) as file:
        for row, (start, stop, _) in enumerate(_cells(path, file, kind)):
          yield Place(start, stop, row)
    else:
      found = json_stream.objects(path, files.open(name), lines=True)
      for row, (start, stop) in enumerate(found):
        yield Place(start, stop, row)


def all_places(files: raw_files.RawFiles, name: str) -> list[Place]:
  """The same, all at once; PastaError for more than are taken."""
  found = list(itertools.islice(places(files, name), MAX_RECORDS + 1))
  if len(found) > MAX_RECORDS:
    raise errors.PastaError(
      f'{files.path(name)}: holds more than the {MAX_RECORDS} records that are '
      'taken from one file'
    )
  return found


def first_places(
  files: raw_files.RawFiles, name: str, most: int
) -> list[Place]:
  """The first of `places`; what comes after them is not looked at."""
  return list(itertools.islice(places(files, name), most))


def parquet_columns(files: raw_files.RawFiles, name: str) -> list[str]:
  """Names of a parquet file's columns; PastaError where it is damaged."""
  return _parquet(files, name).schema_arrow.names


def group_ends(files: raw_files.RawFiles, name: str) -> list[int]:
  """Where a parquet file's row groups begin, and the end of the last one.

  A part within a row group costs as much to read as all before it.
  """
  metadata = _parquet(files, name).metadata
  sizes = (
    metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)
  )
  return [0, *itertools.accumulate(n for n in sizes if n)]


def read(
  files: raw_files.RawFiles,
  name: str,
  parts: Iterable[Place],
  columns: Collection[str] | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields number and content of the records of some parts of a file.

  Args:
    files: the raw files.
    name: of the file.
    parts: from `places`, in rising order.
    columns: of parquet files, those that are wanted; None = all. Those that
      the file lacks are left out.

  Raises:
    PastaError: the file is damaged, or has changed meanwhile.
  """
  path, kind = files.path(name), ending(name)
  with _named(path):
    if kind == '.parquet':
      yield from _parquet_rows(files, name, parts, columns)
      return
    with files.open(name) as file:
      header = _header(path, file, kind) if kind in _DELIMITERS else None
      for part in parts:
        file.seek(part.start)
        content = file.read(part.stop - part.start)
        if header:
          found = (
            dict(zip(header, cells))
            for _, _, cells in _rows(path, io.BytesIO(content), kind)
          )
        else:
          found = json_stream.parse(path, content, part.start)
        yield from enumerate(found, part.row)


def merged(parts: Iterable[Place]) -> list[Place]:
  """Places of single records, with those that follow each other made one."""
  found, rows = [], 0
  for part in sorted(parts):
    if found and found[-1].row + rows == part.row:
      found[-1] = found[-1]._replace(stop=part.stop)
      rows += 1
    else:
      found.append(part)
      rows = 1
  return found


@contextlib.contextmanager
def _named(path: str):
  """Turns what reading a damaged file raises into a PastaError."""
  try:
    yield
  except errors.PastaError:
    raise
  except (*zip_files.READ_ERRORS, csv.Error) as e:
    reason = ' '.join(str(e).split())[:200] or type(e).__name__
    raise errors.PastaError(f'{path}: cannot be read: {reason}') from None


def _cells(
  path: str, file: BinaryIO, kind: str
) -> Iterator[tuple[int, int, list[str]]]:
  """First byte, last byte + 1 and cells of the rows below the header."""
  width = len(_header(path, file, kind))
  for row, (start, stop, cells) in enumerate(_rows(path, file, kind)):
    if len(cells) != width:
      raise errors.PastaError(
        f'{path}: record {row} has {len(cells)} cells, expected {width} as in '
        'the first row'
      )
    yield start, stop, cells


def _header(path: str, file: BinaryIO, kind: str) -> list[str]:
  """Names of the columns; the file stands behind them then."""
  for _, _, names in _rows(path, file, kind):
    names[0] = names[0].removeprefix('\ufeff')
    double = next((n for n in names if names.count(n) > 1), None)
    if double is not None:
      raise errors.PastaError(
        f'{path}: two columns have the name {double!r:.100}'
      )
    return names
  raise errors.PastaError(f'{path}: is empty, expected names in its first row')


def _rows(
  path: str, file: BinaryIO, kind: str
) -> Iterator[tuple[int, int, list[str]]]:
  """First byte, last byte + 1 and cells of all rows that are not blank."""
  most = json_stream.MAX_ITEM_BYTES
  csv.field_size_limit(most)
  start = position = file.tell()

  def lines():
    nonlocal position
    while line := file.readline(most + 1):
      position += len(line)
      if position - start > most:
        raise errors.PastaError(
          f'{path}: the row at byte {start} has more than {most} bytes'
        )
      yield line.decode('utf-8')

  # The reader takes no line before it needs it, so positions are exact.
  for cells in csv.reader(lines(), delimiter=_DELIMITERS[kind], strict=True):
    if cells:
      yield start, position, cells
    start = position


def _parquet(files: raw_files.RawFiles, name: str) -> pq.ParquetFile:
  path = files.path(name)
  if files.holder(name) == name:
    return parquet.open_file(path, {})
  return _packed_parquet(files, name)


@functools.lru_cache(1)
def _packed_parquet(files: raw_files.RawFiles, name: str) -> pq.ParquetFile:
  """A parquet file in a zip file: it is read from its end, so all at once."""
  path = files.path(name)
  with files.open(name) as file:
    content = file.read(_MAX_PACKED_PARQUET_BYTES + 1)
  if len(content) > _MAX_PACKED_PARQUET_BYTES:
    raise errors.PastaError(
      f'{path}: has more than the {_MAX_PACKED_PARQUET_BYTES} bytes that are '
      'read within a zip file; unpack it'
    )
  return parquet.open_file(path, {}, content)


def _parquet_rows(
  files: raw_files.RawFiles,
  name: str,
  parts: Iterable[Place],
  columns: Collection[str] | None,
) -> Iterator[tuple[int, dict[str, Any]]]:
  file, path = _parquet(files, name), files.path(name)
  names = [
    n for n in file.schema_arrow.names if columns is None or n in columns
  ]
  if not names:
    raise errors.PastaError(
      f'{path}: has none of the columns {sorted(columns or ())}; it has '
      f'{file.schema_arrow.names}'
    )
  for part in parts:
    first = 0  # row of the group
    for group in range(file.num_row_groups):
      num = file.metadata.row_group(group).num_rows
      start, stop = max(part.start - first, 0), min(part.stop - first, num)
      if start < stop:
        rows = parquet.rows(file, path, group, names, start, stop)
        yield from enumerate(rows, first + start)
      first += num
