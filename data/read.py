"""Prepared data sets, read record by record without decoding images."""

import functools
import os
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
from array_record.python import array_record_data_source
from tensorflow_datasets.core import example_parser

from pasta import errors

_BLOCK = 64  # records that are read at once
_MAX_OPEN = 64  # files


class Prepared:
  """A data set in TFDS's layout.

  Attributes:
    directory: where it lies.
    shards: files and their numbers of examples, by split.
  """

  def __init__(self, directory: str):
    """Opens a directory that `launch.prepare_data` or TFDS has written.

    Raises:
      PastaError: there is no complete data set.
    """
    if not os.path.exists(os.path.join(directory, 'dataset_info.json')):
      raise errors.PastaError(
        f'{directory}: holds no prepared data set (no dataset_info.json); run '
        'launch.prepare_data first'
      )
    try:
      info = tfds.builder_from_directory(directory).info
      features = info.features.get_serialized_info()
      self.shards = {
        name: [
          (os.fspath(path), length)
          for path, length in zip(split.filepaths, split.shard_lengths)
        ]
        for name, split in info.splits.items()
      }
    except (OSError, ValueError, KeyError, AttributeError) as e:
      reason = ' '.join(str(e).split())
      raise errors.PastaError(
        f'{directory}: its metadata cannot be read: {reason}'
      ) from e
    self.directory = directory
    # Threads may read from a file that the cache has dropped meanwhile: it is
    # closed when the last of them lets go.
    self._open = functools.lru_cache(_MAX_OPEN)(_open)
    self._parser = example_parser.ExampleParserNp(features)

  def split(self, name: str) -> list[tuple[str, int]]:
    """Files of a split and their numbers of examples."""
    if name not in self.shards:
      raise errors.PastaError(
        f'{self.directory}: has no split {name!r}, expected one of '
        f'{sorted(self.shards)}'
      )
    return self.shards[name]

  def examples(
    self, split: str, shard: int, rows: list[int] | None = None
  ) -> Iterator[dict[str, Any]]:
    """Yields examples of a shard, texts and images as bytes.

    Args:
      split: its name.
      shard: number of the shard.
      rows: which ones, in that order; None = all.

    Raises:
      PastaError: the file is missing, cut short or damaged.
    """
    path, length = self.split(split)[shard]
    if not length:
      return
    try:
      source = self._open(path, length)
      rows = list(range(length)) if rows is None else rows
      for start in range(0, len(rows), _BLOCK):
        for record in source.__getitems__(rows[start : start + _BLOCK]):
          yield self._parser.parse_example(record)
    except errors.PastaError:
      raise
    except (OSError, ValueError, RuntimeError, IndexError) as e:
      reason = ' '.join(str(e).split())[:200]
      raise errors.PastaError(
        f'{path}: not a complete ArrayRecord file: {reason}'
      ) from e


def _open(
  path: str, length: int
) -> array_record_data_source.ArrayRecordDataSource:
  source = array_record_data_source.ArrayRecordDataSource(path)
  if len(source) != length:
    raise errors.PastaError(
      f'{path}: holds {len(source)} records, expected {length}'
    )
  return source
