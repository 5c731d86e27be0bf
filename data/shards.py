"""One unit of raw files -> one ArrayRecord shard, with a receipt.

The receipt comes last: it says what the shard was made from and what was
skipped, so that a restart knows whether it is whole. Runs in workers.
"""

import collections
import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import example_serializer

from data import base
from pasta import errors, files, seeds

RECEIPTS = 'receipts'  # their directory, within the data set's
SUFFIX = 'array_record'
_SHOWN = 20  # skipped records that a receipt names
_MAX_REASON = 120  # characters of a reason that records are counted by
_VALUE = re.compile(r"'[^']*'|\b[-+]?\d[\d.e+-]*")


def write_unit(
  name: str,
  raw: str,
  directory: str,
  options: Mapping[str, Any],
  max_skipped_share: float,
  job: tuple[str, int, int, base.Unit],
) -> int:
  """One unit -> its shard and receipt, unless they are there; returns 1."""
  split, index, num, unit = job
  receipt_path = _receipt_path(directory, split, index, num)
  sources = {f: _stamp(os.path.join(raw, f)) for f in unit.files}
  shard = _shard_path(directory, name, split, index, num)
  if os.path.exists(receipt_path):
    receipt = files.read_json(receipt_path)
    if (
      receipt['unit'] == unit.name
      and receipt['sources'] == sources
      and os.path.exists(shard)
      and os.path.getsize(shard) == receipt['shard_bytes']
    ):
      return 1
  cls = base.builder_class(name)
  features = tfds.features.FeaturesDict(cls.feature_spec(options))
  serializer = example_serializer.ExampleSerializer(
    features.get_serialized_info()
  )
  temporary = f'{shard}.{os.getpid()}.tmp'
  keys, skipped, num_bytes = [], [], 0
  with contextlib.ExitStack() as stack:
    stack.callback(_remove, temporary)
    writer = array_record_module.ArrayRecordWriter(temporary, 'group_size:1')
    stack.callback(_close, writer)
    for item in cls.read(raw, unit, options):
      if isinstance(item, base.Skipped):
        skipped.append(item)
        continue
      key, example = item
      # TFDS's own way leaves the order of the fields to chance.
      record = serializer.get_tf_example(
        features.encode_example(example)
      ).SerializeToString(deterministic=True)
      with _writing(shard):
        writer.write(record)
      num_bytes += len(record)
      keys.append(seeds.text_hash(key))
    with _writing(shard):
      writer.close()
    if not keys and skipped and max_skipped_share < 1:
      first = skipped[0]
      raise errors.PastaError(
        f'{unit.name}: none of {len(skipped)} records can be used; '
        f'{first.key}: {first.reason}'
      )
    os.replace(temporary, shard)
  receipt = {
    'unit': unit.name,
    'sources': sources,
    'num_examples': len(keys),
    'num_bytes': num_bytes,
    'shard_bytes': os.path.getsize(shard),
    'num_skipped': len(skipped),
    'skipped': [f'{s.key}: {s.reason}' for s in skipped[:_SHOWN]],
    'reasons': dict(collections.Counter(_group(s.reason) for s in skipped)),
  }
  with open(f'{receipt_path}.{os.getpid()}.tmp', 'wb') as f:
    np.save(f, np.array(keys, np.uint64))
  os.replace(f.name, _keys_path(receipt_path))
  files.write_json(receipt_path, receipt)
  return 1


@contextlib.contextmanager
def _writing(shard: str) -> Iterator[None]:
  """Errors of the writer, which are of no kind, as one that names the file."""
  try:
    yield
  except RuntimeError as e:
    reason = str(e).split(';')[0]
    raise errors.PastaError(f'{shard}: cannot be written: {reason}') from e


def _group(reason: str) -> str:
  """A reason without the values that tell one record from another."""
  return _VALUE.sub('…', reason)[:_MAX_REASON]


def remove_temporaries(directory: str) -> None:
  """Removes what runs that were killed had begun to write."""
  for parent in (directory, os.path.join(directory, RECEIPTS)):
    for name in os.listdir(parent):
      if name.endswith('.tmp'):
        _remove(os.path.join(parent, name))


def _close(writer: Any) -> None:
  if writer.is_open():
    writer.close()


def _remove(path: str) -> None:
  with contextlib.suppress(FileNotFoundError):
    os.remove(path)


def _stamp(path: str) -> list[int]:
  """Size and time of change of a raw file."""
  try:
    status = os.stat(path)
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from None
  return [status.st_size, status.st_mtime_ns]


def checksum(raw: str, directory: str, file: str) -> int:
  """Notes a raw file's SHA-256, unless that is there; returns 0."""
  path = os.path.join(raw, file)
  stamp = _stamp(path)
  receipt = _file_path(directory, file)
  if os.path.exists(receipt):
    if files.read_json(receipt)['stamp'] == stamp:
      return 0
  with open(path, 'rb') as f:
    digest = hashlib.file_digest(f, 'sha256').hexdigest()
  files.write_json(receipt, {'stamp': stamp, 'sha256': digest})
  return 0


def _file_path(directory: str, file: str) -> str:
  name = f'file-{seeds.text_hash(file):016x}.json'
  return os.path.join(directory, RECEIPTS, name)


def file_receipt(directory: str, file: str) -> dict[str, Any]:
  """What is known of a raw file: 'stamp' and 'sha256'."""
  return files.read_json(_file_path(directory, file))


def _shard_path(
  directory: str, name: str, split: str, index: int, num: int
) -> str:
  """The file of a split's shard, named as TFDS does."""
  file = f'{name}-{split}.{SUFFIX}-{index:05d}-of-{num:05d}'
  return os.path.join(directory, file)


def _receipt_path(directory: str, split: str, index: int, num: int) -> str:
  name = f'{split}-{index:05d}-of-{num:05d}.json'
  return os.path.join(directory, RECEIPTS, name)


def _keys_path(receipt_path: str) -> str:
  return receipt_path.removesuffix('.json') + '.keys.npy'


def read_receipt(
  directory: str, split: str, index: int, num: int
) -> dict[str, Any]:
  """A shard's receipt, and 'keys', the file of its examples' hashed keys."""
  path = _receipt_path(directory, split, index, num)
  return {**files.read_json(path), 'keys': _keys_path(path)}
