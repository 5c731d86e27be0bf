"""A table that somebody brings: its files, its columns and its rows.

Parquet, CSV, TSV, JSON lines or a JSON array, by the files' endings. Columns
may be nested: `user.id` is a field of an object, `pictures[0]` an entry of a
list.
"""

import difflib
import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from absl import logging

from data.formats import field_paths, raw_directory, raw_files, records
from pasta import errors

BLOCK_ROWS = 500  # of text files; of parquet files a row group is a block
_LOOKED_AT = 100  # records of JSON whose fields count as columns
_TEXT_CELLS = ('.csv', '.tsv')  # in these an empty cell is a missing value

Paths = Mapping[str, tuple[field_paths.Path, ...]]


class Block(NamedTuple):
  """Rows of a file that are read together.

  Attributes:
    start: first byte, in parquet first row.
    stop: last byte + 1, in parquet last row + 1.
    row: number of its first row in the file.
    num_rows: how many.
  """

  start: int
  stop: int
  row: int
  num_rows: int


def locate(raw: str) -> tuple[str, str]:
  """Directory and pattern of what --raw names.

  Args:
    raw: a file, a directory ('' is the pattern then), or a pattern with *.

  Raises:
    PastaError: there is nothing.
  """
  if os.path.isdir(raw):
    return raw, ''
  if os.path.isfile(raw):
    _check_ending(raw)
    directory, name = os.path.split(raw)
    return directory or '.', glob.escape(name)
  if not glob.has_magic(raw):
    raise errors.PastaError(
      f'flag --raw: {raw} does not exist, expected a file, a directory or a '
      'pattern such as DIR/*.parquet'
    )
  directory, pattern = raw, ''
  while glob.has_magic(directory):
    directory, last = os.path.split(directory)
    pattern = os.path.join(last, pattern) if pattern else last
  raw_directory.check(directory or '.')
  return directory or '.', pattern


def find_files(raw: str, patterns: str) -> list[str]:
  """Names of the table's files below RAW, in order.

  Args:
    raw: the directory.
    patterns: of `options.files`, joined by commas; '' = all with a known
      ending.

  Raises:
    PastaError: a pattern fits no file, or a file of another ending.
  """
  raw_directory.check(raw)
  if not patterns:
    found = [n for n in raw_directory.list_files(raw) if records.ending(n)]
    if not found:
      raise errors.PastaError(
        f'{raw}: holds no file that ends in {", ".join(records.ENDINGS)}'
      )
    return found
  found = set()
  for pattern in patterns.split(','):
    # A name that leaves the directory is none of its files.
    names = glob.glob(pattern.strip(), root_dir=raw, recursive=True)
    names = [n for n in names if raw_directory.safe_join(raw, n)]
    names = [n for n in names if os.path.isfile(os.path.join(raw, n))]
    if not names:
      raise errors.PastaError(f'{raw}: no file there fits {pattern.strip()!r}')
    for name in names:
      _check_ending(name)
    found |= set(names)
  return sorted(found)


def _check_ending(name: str) -> None:
  if not records.ending(name):
    raise errors.PastaError(
      f'{name}: expected a file that ends in {", ".join(records.ENDINGS)}'
    )


def open_table(raw: str) -> raw_files.RawFiles:
  """The files of a directory, for the functions below."""
  return raw_files.open_raw(raw, ())


def blocks(files: raw_files.RawFiles, name: str) -> list[Block]:
  """Where a file's rows lie; PastaError where it is damaged or holds none."""
  places = records.all_places(files, name)
  if not places:
    raise errors.PastaError(f'{files.path(name)}: holds no row')
  if records.ending(name) in _TEXT_CELLS and not _ends_whole(files, name):
    logging.warning(
      '%s: does not end with a new line: it may have been cut short',
      files.path(name),
    )
  ends = [*range(0, len(places), BLOCK_ROWS), len(places)]
  if records.ending(name) == '.parquet':
    ends = records.group_ends(files, name)
  return [
    Block(places[a].start, places[b - 1].stop, places[a].row, b - a)
    for a, b in zip(ends, ends[1:])
  ]


def _ends_whole(files: raw_files.RawFiles, name: str) -> bool:
  with files.open(name) as file:
    file.seek(-1, os.SEEK_END)
    return file.read(1) in b'\r\n'


def rows(
  files: raw_files.RawFiles,
  name: str,
  block: Block,
  paths: Paths,
) -> Iterator[tuple[int, dict[str, list[Any]]]]:
  """Yields number and cells of a block's rows, by field.

  Args:
    files: of `open_table`.
    name: of the file.
    block: of `blocks`.
    paths: of `paths`; the cells of a field come in the same order.

  Raises:
    PastaError: the file is damaged.
  """
  wanted = {s for found in paths.values() for p in found for s in _first(p)}
  place = records.Place(block.start, block.stop, block.row)
  is_text = records.ending(name) in _TEXT_CELLS
  for row, record in records.read(files, name, [place], wanted):
    cells = {
      field: [field_paths.find(record, path)[0] for path in found]
      for field, found in paths.items()
    }
    if is_text:
      cells = {k: [None if c == '' else c for c in v] for k, v in cells.items()}
    yield row, cells


def _first(path: field_paths.Path) -> set[str]:
  """Names that the column may have which a path starts in."""
  return {path.text, str(path.steps[0])}


def columns(files: raw_files.RawFiles, name: str) -> list[str]:
  """Names of a file's columns, those of its first records where it is JSON."""
  if records.ending(name) == '.parquet':
    return records.parquet_columns(files, name)
  found = {}
  for place in records.first_places(files, name, _LOOKED_AT):
    for _, record in records.read(files, name, [place]):
      found |= dict.fromkeys(record)
  return list(found)


def paths(
  where: str,
  known: Sequence[str],
  fields: Mapping[str, str],
  several: Sequence[str] = (),
) -> dict[str, tuple[field_paths.Path, ...]]:
  """Where the fields of a map are found in a record.

  Args:
    where: the file, for errors.
    known: its columns.
    fields: name of the column by field; '' = there is none.
    several: fields that may name several columns, joined by commas.

  Raises:
    PastaError: a column is not there (the nearest name is said), or is named
      twice.
  """
  found, taken = {}, {}
  for field, text in fields.items():
    if not text:
      continue
    parts = text.split(',') if field in several else [text]
    for part in parts:
      if part in taken:
        raise errors.PastaError(
          f"config fields 'fields.{taken[part]}' and 'fields.{field}' both "
          f'name the column {part!r}'
        )
      taken[part] = field
    found[field] = tuple(_path(where, known, field, p) for p in parts)
  return found


def _path(
  where: str, known: Sequence[str], field: str, text: str
) -> field_paths.Path:
  if text in known:
    return field_paths.Path(text, (text,))
  try:
    path = field_paths.parse(text)
  except ValueError:
    path = None
  if path is None or path.steps[0] not in known:
    near = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    raise errors.PastaError(
      f'{where}: has no column {text!r} (config field '
      f"'fields.{field}')"
      + (f'; did you mean {near[0]!r}?' if near else '')
      + f'; it has {list(known)}'
    )
  return path
