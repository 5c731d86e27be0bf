"""Files that torch or joblib have written, read without either of them.

Values are as in `plain_pickle`; tensors become read-only numpy arrays.
"""

import io
import os
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from data.formats import plain_pickle, zip_files
from pasta import errors

_STORAGES = {
  f'torch.{name}Storage': np.dtype(dtype)
  for name, dtype in {
    'Double': '<f8',
    'Float': '<f4',
    'Half': '<f2',
    'BFloat16': ml_dtypes.bfloat16,
    'Long': '<i8',
    'Int': '<i4',
    'Short': '<i2',
    'Char': 'i1',
    'Byte': 'u1',
    'Bool': '?',
  }.items()
}
# Of torch.save before it wrote zip files.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_ZIP_START = b'PK\x03\x04'
_COMPRESSED = (b'\x78', b'\x1f\x8b')  # zlib, gzip
_NOT_READ = {
  b'BZ': 'bzip2',
  b'\xfd7zXZ': 'xz',
  b']\0': 'lzma',
  b'\x04"M\x18': 'lz4',
  b'ZF': 'a joblib before 0.10',
}

_Storages = Callable[[str, np.dtype, int], np.ndarray]


def load_joblib(data: bytes, max_bytes: int) -> Any:
  """The value in a file of joblib.dump.

  Args:
    data: the file's content, as it is or compressed with zlib or gzip.
    max_bytes: that it may have, decompressed.

  Raises:
    ValueError: it is damaged, too large, or holds something else than plain
      values, tensors and arrays.
  """
  data = _decompress(data, max_bytes)
  if len(data) > max_bytes:
    raise ValueError(f'has {len(data)} bytes, at most {max_bytes} are read')
  return _load(data)


def load_torch(path: str, max_bytes: int) -> Any:
  """The value in a file of torch.save, of its present or its legacy kind.

  Args:
    path: of the file.
    max_bytes: that it may have.

  Raises:
    PastaError: as `load_joblib`; names the file.
  """
  try:
    size = os.path.getsize(path)
    if size > max_bytes:
      raise ValueError(f'has {size} bytes, at most {max_bytes} are read')
    with open(path, 'rb') as f:
      data = f.read(max_bytes)
    if data.startswith(_ZIP_START):
      return _from_zip(path, max_bytes)
    return _from_legacy(data, plain_pickle.Budget(data))
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from None
  except errors.PastaError:
    raise
  except ValueError as e:
    raise errors.PastaError(f'{path}: {e}') from None


def _decompress(data: bytes, max_bytes: int) -> bytes:
  for start, name in _NOT_READ.items():
    if data.startswith(start):
      raise ValueError(f'is compressed by {name}; only zlib and gzip are read')
  if not data.startswith(_COMPRESSED):
    return data
  engine = zlib.decompressobj(32 + zlib.MAX_WBITS)  # by its first bytes
  try:
    found = engine.decompress(data, max_bytes + 1)
  except zlib.error as e:
    raise ValueError(f'cannot be decompressed: {e}') from None
  if len(found) <= max_bytes and not engine.eof:
    raise ValueError('is compressed and cut short')
  if engine.unused_data:
    raise ValueError('has something after its compressed content')
  return found


def _from_zip(path: str, max_bytes: int) -> Any:
  archive = zip_files.ZipFile(path)
  names = [n for n in archive.sizes if n.endswith('/data.pkl')]
  if len(names) != 1:
    raise ValueError(f'holds {len(names)} members */data.pkl, expected 1')
  folder = names[0].removesuffix('data.pkl')
  if folder + 'byteorder' in archive.sizes:
    order = archive.read(folder + 'byteorder', 16)
    if order != b'little':
      raise ValueError(f'its byte order is {order!r}, expected little')
  if sum(archive.sizes.values()) > max_bytes:
    raise ValueError(f'its members have more than {max_bytes} bytes')
  stored = {}

  def storage(key: str, dtype: np.dtype, length: int) -> np.ndarray:
    name = f'{folder}data/{key}'
    if name not in stored:
      stored[name] = archive.read(name, archive.sizes.get(name, 0))
    return plain_pickle.array(stored[name], dtype, (length,))

  return _load(archive.read(names[0], archive.sizes[names[0]]), storage)


def _from_legacy(data: bytes, budget: plain_pickle.Budget) -> Any:
  """Three pickles, the value, a list of keys, then the storages in that order.

  What a storage holds comes after the tensors that are views of it.
  """
  file, found = io.BytesIO(data), {}

  def storage(key: str, dtype: np.dtype, length: int) -> np.ndarray:
    if key not in found:
      budget.spend(plain_pickle.count((length,)) * dtype.itemsize)
      found[key] = np.zeros(length, dtype)
    if (found[key].dtype, len(found[key])) != (dtype, length):
      raise ValueError(f'has a storage {key!r:.40} of two types or lengths')
    return found[key]

  def run() -> Any:
    return _Unpickler(file, budget, storage).load()

  for expected, reason in (
    (_LEGACY_MAGIC, 'does not begin as a file of torch.save'),
    (_LEGACY_PROTOCOL, f'is not of protocol {_LEGACY_PROTOCOL} of torch.save'),
  ):
    number = run()
    if type(number) is not int or number != expected:
      raise ValueError(reason)
  match run():
    case {'little_endian': True}:
      pass
    case _:
      raise ValueError('is not marked as little endian')
  value, keys = run(), run()
  if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
    raise ValueError('has a list of storages that is no list of texts')
  if len(set(keys)) != len(keys) or set(keys) != set(found):
    raise ValueError('has a list of storages that does not fit its content')
  for key in keys:
    array = found[key]
    if int.from_bytes(file.read(8), 'little') != len(array):
      raise ValueError(f'has a storage {key!r:.40} of another length')
    array[:] = plain_pickle.array(
      file.read(array.nbytes), array.dtype, array.shape
    )
  plain_pickle.check_ended(file)
  return value


class _Storage(NamedTuple):
  """Numbers that tensors are views of, [N]."""

  values: np.ndarray


class _Unpickler(plain_pickle.Unpickler):
  """Reads tensors as well.

  Within a file of torch.save, `find` gives the storages. In one of joblib there
  is none: each storage stands in it as a file of torch.save of its own.
  """

  names = plain_pickle.Unpickler.names | {
    *_STORAGES,
    'torch._utils._rebuild_tensor_v2',
    'torch.storage._load_from_bytes',
  }

  def __init__(
    self,
    file: io.BytesIO,
    budget: plain_pickle.Budget,
    find: _Storages | None = None,
  ):
    super().__init__(file, budget)
    self._find = find

  def persistent_load(self, pid: Any) -> _Storage:
    match pid:
      case (
        'storage',
        plain_pickle.Name(name),
        str(key),
        str(),
        int(length),
        *rest,
      ) if name in _STORAGES and self._find and rest in ([], [None]):
        return _Storage(self._find(key, _STORAGES[name], length))
    raise ValueError('refers to what is no storage of numbers')

  def call(self, name: str, arguments: Any) -> Any:
    match name, arguments:
      case (
        'torch._utils._rebuild_tensor_v2',
        (_Storage(values), offset, tuple(size), tuple(stride), _, _),
      ):  # whether it has gradients, and hooks
        return _tensor(values, offset, size, stride)
      case 'torch.storage._load_from_bytes', (bytes(data),) if not self._find:
        self.budget.spend(len(data))
        value = _from_legacy(data, self.budget)
        if isinstance(value, _Storage):
          return value
        raise ValueError('has a storage without numbers')
    return super().call(name, arguments)


def _load(data: bytes, find: _Storages | None = None) -> Any:
  """The value of what is one pickle and nothing else."""
  file = io.BytesIO(data)
  value = _Unpickler(file, plain_pickle.Budget(data), find).load()
  plain_pickle.check_ended(file)
  return value


def _tensor(
  values: np.ndarray, offset: Any, size: tuple, stride: tuple
) -> np.ndarray:
  """A view of a storage; strides are in elements."""
  count = plain_pickle.count(size)
  if len(stride) != len(size):
    raise ValueError('has a tensor with more or fewer strides than dimensions')
  if not all(type(n) is int and n >= 0 for n in (offset, *stride)):
    raise ValueError('has a tensor whose offset or strides are below 0')
  if not count:
    return np.zeros(size, values.dtype)
  last = offset + sum((n - 1) * s for n, s in zip(size, stride))
  # By strides of 0 a small file could have a tensor of any size.
  if max(last, count - 1) >= len(values):
    raise ValueError(
      f'has a tensor that goes beyond its storage of {len(values)} numbers'
    )
  strides = [s * values.dtype.itemsize for s in stride]
  return np.lib.stride_tricks.as_strided(
    values[offset:], size, strides, writeable=False
  )
