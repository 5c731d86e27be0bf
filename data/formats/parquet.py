"""Parquet files, read in row groups and a few rows at a time."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pasta import errors

_BATCH_ROWS = 16  # held in memory at once, images included
_MAX_GROUP_BYTES = 16 << 30  # of a row group, uncompressed


def open_file(
  path: str,
  columns: Mapping[str, Sequence[str]],
  content: bytes | None = None,
) -> pq.ParquetFile:
  """Opens a file and checks its columns.

  Args:
    path: of the file.
    columns: required columns and the Arrow types that each may have, as
      `str(type)` gives them.
    content: of the file; None: PATH is opened.

  Raises:
    PastaError: no parquet file, or a column is missing or of another type.
  """
  try:
    if content is None:
      file = pq.ParquetFile(path, memory_map=True)
    else:
      file = pq.ParquetFile(pa.BufferReader(content))
    found = {f.name: str(f.type) for f in file.schema_arrow}
    sizes = [
      file.metadata.row_group(i).total_byte_size
      for i in range(file.num_row_groups)
    ]
  except (OSError, pa.ArrowException, ValueError, KeyError, MemoryError) as e:
    raise _broken(path, e) from None
  missing = [name for name in columns if name not in found]
  if missing:
    raise errors.PastaError(
      f'{path}: lacks the column {missing[0]!r}; it has {sorted(found)}'
    )
  for name, types in columns.items():
    if found[name] not in types:
      raise errors.PastaError(
        f'{path}: column {name!r} is {found[name]}, expected '
        f'{" or ".join(types)}'
      )
  if sizes and not 0 <= max(sizes) <= _MAX_GROUP_BYTES:
    raise errors.PastaError(
      f'{path}: a row group claims {max(sizes)} bytes, at most '
      f'{_MAX_GROUP_BYTES} are read'
    )
  return file


def rows(
  file: pq.ParquetFile,
  path: str,
  group: int,
  columns: Iterable[str],
  start: int = 0,
  stop: int | None = None,
) -> Iterator[dict[str, Any]]:
  """Yields the rows of one row group as plain values; times as Unix ms.

  Args:
    file: of `open_file`.
    path: its path.
    group: number of the row group.
    columns: those that are read.
    start: first row within the group.
    stop: last row + 1; None = all.

  Raises:
    PastaError: the file is damaged.
  """
  try:
    at = 0  # first row of the batch
    for batch in file.iter_batches(
      _BATCH_ROWS, row_groups=[group], columns=list(columns), use_threads=False
    ):
      first, last = max(start - at, 0), len(batch)
      if stop is not None:
        last = min(last, stop - at)
      at += len(batch)
      if first < last:
        batch = batch.slice(first, last - first)
        batch.validate(full=True)
        yield from _plain_times(batch).to_pylist()
      if stop is not None and at >= stop:
        return
  except (OSError, pa.ArrowException, ValueError, KeyError, MemoryError) as e:
    raise _broken(path, e) from None


def _plain_times(batch: pa.RecordBatch) -> pa.RecordBatch:
  """Times as Unix milliseconds: Python's own have no nanoseconds."""
  columns = [
    c.cast(pa.timestamp('ms'), safe=False).cast(pa.int64())
    if pa.types.is_timestamp(c.type)
    else c
    for c in batch.columns
  ]
  return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _broken(path: str, error: Exception) -> errors.PastaError:
  reason = ' '.join(str(error).split())[:200] or type(error).__name__
  size = os.path.getsize(path) if os.path.exists(path) else 0
  return errors.PastaError(
    f'{path}: not a complete parquet file ({size} bytes): {reason}'
  )
