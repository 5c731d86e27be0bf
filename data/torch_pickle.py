"""Files that torch or joblib have written, read without either of them.

A pickle is a program that may call anything. Here a small machine carries out
what plain values, torch's tensors and numpy's arrays need; it imports nothing,
and refuses every other name and instruction. What a file may cost in time and
memory is in proportion to its size.

Values are None, bool, int, float, str, bytes, tuple, list, dict and read-only
numpy arrays, which tensors become as well. Containers may hold themselves:
whoever gets them looks at their types before going deeper.
"""

import io
import math
import os
import pickletools
import re
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from data import zip_files
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
_CLASSES = ('joblib.numpy_pickle.NumpyArrayWrapper', 'uuid.UUID')
_NAMES = {
  *_STORAGES,
  *_CLASSES,
  'numpy.ndarray',
  'numpy.dtype',
  'numpy.core.multiarray._reconstruct',
  'numpy.core.multiarray.scalar',
  'torch._utils._rebuild_tensor_v2',
  'torch.storage._load_from_bytes',
  'collections.OrderedDict',
  '_codecs.encode',
}
_DTYPE_CODE = re.compile(r'[iu][1248]|f[248]|b1|U\d{1,3}')
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
_MAX_ELEMENTS = 1 << 31
_MAX_DIMENSIONS = 8
_MAX_KEY_BITS = 64

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
  machine = _Machine(data, _Budget(data))
  value = machine.run()
  machine.check_ended()
  return value


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
    return _from_legacy(data, _Budget(data))
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
    return _buffer(stored[name], dtype, (length,))

  data = archive.read(names[0], archive.sizes[names[0]])
  machine = _Machine(data, _Budget(data), storage)
  value = machine.run()
  machine.check_ended()
  return value


def _from_legacy(data: bytes, budget: '_Budget') -> Any:
  """Three pickles, the value, a list of keys, then the storages in that order.

  What a storage holds comes after the tensors that are views of it.
  """
  file = io.BytesIO(data)

  def run(storage: _Storages | None = None) -> Any:
    return _Machine(data, budget, storage, file).run()

  magic = run()
  if type(magic) is not int or magic != _LEGACY_MAGIC:
    raise ValueError('does not begin as a file of torch.save')
  protocol = run()
  if type(protocol) is not int or protocol != _LEGACY_PROTOCOL:
    raise ValueError(f'is not of protocol {_LEGACY_PROTOCOL} of torch.save')
  match run():
    case {'little_endian': True}:
      pass
    case _:
      raise ValueError('is not marked as little endian')
  found = {}

  def storage(key: str, dtype: np.dtype, length: int) -> np.ndarray:
    if key not in found:
      budget.spend(_count((length,)) * dtype.itemsize)
      found[key] = np.zeros(length, dtype)
    if (found[key].dtype, len(found[key])) != (dtype, length):
      raise ValueError(f'has a storage {key!r:.40} of two types or lengths')
    return found[key]

  value = run(storage)
  keys = run()
  if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
    raise ValueError('has a list of storages that is no list of texts')
  if len(set(keys)) != len(keys) or set(keys) != set(found):
    raise ValueError('has a list of storages that does not fit its content')
  for key in keys:
    array = found[key]
    if int.from_bytes(file.read(8), 'little') != len(array):
      raise ValueError(f'has a storage {key!r:.40} of another length')
    array[:] = _buffer(file.read(array.nbytes), array.dtype, array.shape)
  if file.tell() != len(data):
    raise ValueError(f'has {len(data) - file.tell()} bytes after its end')
  return value


class _Global(NamedTuple):
  """The name of a class or function, which stays a name."""

  name: str


class _Storage(NamedTuple):
  """Numbers that tensors are views of, [N]."""

  values: np.ndarray


class _Unfinished:
  """An object before its state.

  Attributes:
    name: of its class.
    content: what it was made with.
    places: where the memo holds it.
  """

  def __init__(self, name: str, content: Any = None):
    self.name, self.content, self.places = name, content, []


class _Budget:
  """Instructions and copied bytes that are left.

  Each takes a byte of the file at least; a file that wants more uses some of
  it again and again, and has been made to.
  """

  def __init__(self, data: bytes):
    self._left = len(data)

  def spend(self, amount: int) -> None:
    self._left -= amount
    if self._left < 0:
      raise ValueError('asks for more work than its size accounts for')


class _Machine:
  """Carries out one pickle."""

  def __init__(
    self,
    data: bytes,
    budget: _Budget,
    storage: _Storages | None = None,
    file: io.BytesIO | None = None,
  ):
    self._size, self._budget, self._find = len(data), budget, storage
    self._file = io.BytesIO(data) if file is None else file
    self._stack, self._marks, self._memo = [], [], {}

  def run(self) -> Any:
    """The value; the file then stands behind it."""
    if self._file.read(1) != b'\x80':
      raise ValueError('is no pickle of protocol 2 or later')
    self._file.seek(-1, os.SEEK_CUR)
    for opcode, argument, _ in _instructions(self._file):
      self._budget.spend(1)
      self._step(opcode.name, argument)
    value = self._pop()
    if self._stack or self._marks:
      raise ValueError('is a pickle that leaves values behind')
    return value

  def check_ended(self) -> None:
    left = self._size - self._file.tell()
    if left:
      raise ValueError(f'has {left} bytes after its end')

  def _step(self, name: str, argument: Any) -> None:
    stack = self._stack
    match name:
      case 'MEMOIZE':
        self._remember(len(self._memo))
      case 'BINPUT' | 'LONG_BINPUT':
        self._remember(argument)
      case 'BINGET' | 'LONG_BINGET':
        if argument not in self._memo:
          raise ValueError(f'refers to value {argument}, which is not there')
        stack.append(self._memo[argument])
      case (
        ('BININT' | 'BININT1' | 'BININT2' | 'LONG1' | 'LONG4' | 'BINFLOAT')
        | ('BINUNICODE' | 'SHORT_BINUNICODE' | 'BINUNICODE8')
        | ('BINBYTES' | 'SHORT_BINBYTES' | 'BINBYTES8')
      ):
        stack.append(argument)
      case 'NONE':
        stack.append(None)
      case 'NEWTRUE' | 'NEWFALSE':
        stack.append(name == 'NEWTRUE')
      case 'MARK':
        self._marks.append(len(stack))
      case 'TUPLE1' | 'TUPLE2' | 'TUPLE3':
        values = [self._pop() for _ in range(int(name[-1]))]
        stack.append(tuple(reversed(values)))
      case 'TUPLE':
        stack.append(tuple(self._pop_mark()))
      case 'EMPTY_TUPLE':
        stack.append(())
      case 'EMPTY_LIST':
        stack.append([])
      case 'EMPTY_DICT':
        stack.append({})
      case 'APPEND' | 'APPENDS':
        values = [self._pop()] if name == 'APPEND' else self._pop_mark()
        self._top(list).extend(values)
      case 'SETITEM' | 'SETITEMS':
        if name == 'SETITEM':
          values = [self._pop(), self._pop()][::-1]
        else:
          values = self._pop_mark()
        self._set_items(values)
      case 'GLOBAL':
        stack.append(_name(*argument.split(' ', 1)))
      case 'STACK_GLOBAL':
        attribute, module = self._pop(), self._pop()
        stack.append(_name(module, attribute))
      case 'REDUCE':
        arguments, function = self._pop(), self._pop()
        stack.append(self._call(function, arguments))
      case 'NEWOBJ':
        arguments, found = self._pop(), self._pop()
        match found, arguments:
          case _Global(kind), () if kind in _CLASSES:
            stack.append(_Unfinished(kind))
          case _:
            raise ValueError('makes an object of a class that is not admitted')
      case 'BUILD':
        state, target = self._pop(), self._pop()
        stack.append(self._build(target, state))
      case 'BINPERSID':
        stack.append(self._persistent(self._pop()))
      case 'PROTO' | 'FRAME' | 'STOP':
        pass
      case _:
        raise ValueError(f'holds the instruction {name}, which is not admitted')

  def _pop(self) -> Any:
    if len(self._stack) <= (self._marks[-1] if self._marks else 0):
      raise ValueError('is a pickle that takes more values than there are')
    return self._stack.pop()

  def _pop_mark(self) -> list[Any]:
    if not self._marks:
      raise ValueError('is a pickle that takes a mark where there is none')
    start = self._marks.pop()
    values = self._stack[start:]
    del self._stack[start:]
    return values

  def _top(self, kind: type) -> Any:
    value = self._pop()
    if not isinstance(value, kind):
      raise ValueError(f'adds items to a {type(value).__name__}')
    self._stack.append(value)
    return value

  def _set_items(self, values: list[Any]) -> None:
    found = self._top(dict)
    if len(values) % 2:
      raise ValueError('has a key without a value')
    for key, value in zip(values[::2], values[1::2]):
      # To hash other keys may take for ever.
      small = type(key) is int and key.bit_length() <= _MAX_KEY_BITS
      if not small and type(key) is not str:
        raise ValueError(f'has a {type(key).__name__} as a key')
      found[key] = value

  def _remember(self, place: int) -> None:
    value = self._pop()
    self._stack.append(value)
    self._memo[place] = value
    if isinstance(value, _Unfinished):
      value.places.append(place)

  def _call(self, function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Global):
      raise ValueError(f'calls a {type(function).__name__}')
    match function.name, arguments:
      case 'collections.OrderedDict', ():
        return {}
      case '_codecs.encode', (str(text), 'latin1'):
        self._budget.spend(len(text))
        return text.encode('latin1')
      case 'torch.storage._load_from_bytes', (bytes(data),):
        value = _from_legacy(data, self._budget)
        if isinstance(value, _Storage):
          return value
        raise ValueError('has a storage without numbers')
      case (
        'torch._utils._rebuild_tensor_v2',
        (_Storage(values), offset, tuple(size), tuple(stride), *rest),
      ) if len(rest) == 2:  # whether it has gradients, and hooks
        return _tensor(values, offset, size, stride)
      case 'numpy.dtype', (str(code), _, _):
        return _Unfinished('numpy.dtype', code)
      case (
        'numpy.core.multiarray._reconstruct',
        (_Global('numpy.ndarray'), (0,), b'b'),
      ):
        return _Unfinished('numpy.ndarray')
      case 'numpy.core.multiarray.scalar', (np.dtype() as dtype, bytes(data)):
        return _buffer(data, dtype, ()).item()
    raise ValueError(f'calls {function.name} in a way that is not admitted')

  def _build(self, target: Any, state: Any) -> Any:
    """Gives an object its state, here and in the memo."""
    if not isinstance(target, _Unfinished):
      raise ValueError(f'gives a {type(target).__name__} a state')
    match target.name, state:
      case 'numpy.dtype', (
        int(),
        '<' | '>' | '|' as order,
        None,
        None,
        None,
        *_,
      ):
        if not _DTYPE_CODE.fullmatch(target.content):
          raise ValueError(f'has numbers of type {target.content!r:.20}')
        value = np.dtype(order + target.content)
      case (
        'numpy.ndarray',
        (int(), tuple(shape), np.dtype() as dtype, bool(fortran), bytes(data)),
      ):
        value = _buffer(data, dtype, shape, 'F' if fortran else 'C')
      case 'uuid.UUID', {'int': int(number)} if 0 <= number < 1 << 128:
        value = str(uuid.UUID(int=number))
      case (
        'joblib.numpy_pickle.NumpyArrayWrapper',
        {
          'subclass': _Global('numpy.ndarray'),
          'shape': tuple(shape),
          'order': 'C' | 'F' as order,
          'dtype': np.dtype() as dtype,
        },
      ):
        aligned = state.get('numpy_array_alignment_bytes') is not None
        value = self._inline(dtype, shape, order, aligned)
      case _:
        raise ValueError(f'gives a {target.name} a state that is not admitted')
    for place in target.places:
      self._memo[place] = value
    return value

  def _inline(
    self, dtype: np.dtype, shape: tuple, order: str, aligned: bool
  ) -> np.ndarray:
    """An array whose bytes joblib has put between two instructions."""
    if aligned:
      self._file.read(int.from_bytes(self._file.read(1), 'little'))
    size = _count(shape) * dtype.itemsize
    if size > self._size - self._file.tell():
      raise ValueError('is cut short within an array')
    return _buffer(self._file.read(size), dtype, shape, order)

  def _persistent(self, value: Any) -> _Storage:
    match value:
      case ('storage', _Global(name), str(key), str(), int(length)) | (
        'storage',
        _Global(name),
        str(key),
        str(),
        int(length),
        None,
      ) if name in _STORAGES and self._find is not None:
        return _Storage(self._find(key, _STORAGES[name], length))
    raise ValueError('refers to what is no storage of numbers')


def _instructions(file: io.BytesIO) -> Iterator[tuple]:
  """Those of one pickle; `file` stands behind the one that is yielded."""
  try:
    yield from pickletools.genops(file)
  except ValueError as e:
    raise ValueError(f'is a damaged pickle: {e}') from None


def _name(module: Any, attribute: Any) -> _Global:
  """A name that is admitted."""
  if not isinstance(module, str) or not isinstance(attribute, str):
    raise ValueError('names something by what is no text')
  name = f'{module}.{attribute}'.replace('numpy._core.', 'numpy.core.')
  if name not in _NAMES:
    raise ValueError(f'wants {name!r:.100}, which is not admitted')
  return _Global(name)


def _count(shape: tuple) -> int:
  """Elements of an array of that shape."""
  if len(shape) > _MAX_DIMENSIONS:
    raise ValueError(f'has an array of {len(shape)} dimensions')
  if not all(type(n) is int and 0 <= n <= _MAX_ELEMENTS for n in shape):
    raise ValueError('has an array whose shape is not whole numbers')
  count = math.prod(shape)
  if count > _MAX_ELEMENTS:
    raise ValueError(f'has an array of {count} elements')
  return count


def _buffer(
  data: bytes, dtype: np.dtype, shape: tuple, order: str = 'C'
) -> np.ndarray:
  """Bytes as an array, without a copy."""
  count = _count(shape)
  if len(data) != count * dtype.itemsize:
    raise ValueError(
      f'has {len(data)} bytes for an array of {count} elements of type {dtype}'
    )
  if not count:
    return np.zeros(shape, dtype)
  return np.frombuffer(data, dtype).reshape(shape, order=order)


def _tensor(
  values: np.ndarray, offset: Any, size: tuple, stride: tuple
) -> np.ndarray:
  """A view of a storage; strides are in elements."""
  count = _count(size)
  if len(stride) != len(size):
    raise ValueError('has a tensor with more or fewer strides than dimensions')
  if not all(type(n) is int and n >= 0 for n in (offset, *stride)):
    raise ValueError('has a tensor whose offset or strides are below 0')
  if not count:
    return np.zeros(size, values.dtype)
  steps = [s if n > 1 else 0 for n, s in zip(size, stride)]
  if offset + sum((n - 1) * s for n, s in zip(size, steps)) >= len(values):
    raise ValueError(
      f'has a tensor that goes beyond its storage of {len(values)} numbers'
    )
  return np.lib.stride_tricks.as_strided(
    values[offset:],
    size,
    [s * values.dtype.itemsize for s in steps],
    writeable=False,
  )
