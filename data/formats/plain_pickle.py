"""Pickles of plain values and numpy's arrays, read without running anything.

A pickle is a program that may call anything. Here Python's own unpickler finds
names, never what they name, and refuses every name and instruction that plain
values and arrays do without. What a file may cost in time and memory is in
proportion to its size.

Values are None, bool, int, float, str, bytes, tuple, list, dict and read-only
numpy arrays. Containers may hold themselves: whoever gets them looks at their
types before going deeper.
"""

import io
import math
import os
import pickle
import pickletools
import re
import struct
import uuid
from typing import Any, NamedTuple

import numpy as np

# As Python carries them out; `Unpickler` has five of its own.
_INSTRUCTIONS = frozenset(
  """
  PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET
  NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
  BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8
  TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_TUPLE EMPTY_LIST APPEND APPENDS
  EMPTY_DICT GLOBAL STACK_GLOBAL BINPERSID
  """.split()
)
_NAMES = frozenset(
  """
  _codecs.encode collections.OrderedDict uuid.UUID numpy.ndarray numpy.dtype
  numpy.core.multiarray._reconstruct numpy.core.multiarray.scalar
  joblib.numpy_pickle.NumpyArrayWrapper
  """.split()
)
_DTYPE_CODE = re.compile(r'[iu][1248]|f[248]|b1|U[1-9]\d{0,2}')
_MAX_ELEMENTS = 1 << 31
_MAX_DIMENSIONS = 8
_MAX_KEY_BITS = 64
_COPIES = 4  # that may be made of a file's bytes


class Name(NamedTuple):
  """Of a class or function; it stays a name."""

  text: str


class Budget:
  """Bytes that may still be copied.

  A file that wants more uses some of it again and again, and has been made to.
  """

  def __init__(self, data: bytes):
    self._left = _COPIES * len(data)

  def spend(self, amount: int) -> None:
    self._left -= amount
    if self._left < 0:
      raise ValueError('asks for more work than its size accounts for')


class _Unfinished:
  """An object before its state.

  Attributes:
    name: of its class.
    content: what it was made with.
    value: what its state has made of it.
  """

  def __init__(self, name: str, content: Any = None):
    self.name, self.content, self.value = name, content, self


class _Memo(dict):
  """What a pickle refers to again: objects as what they have become."""

  def __getitem__(self, place: int) -> Any:
    found = super().__getitem__(place)
    return found.value if isinstance(found, _Unfinished) else found


class Unpickler(pickle._Unpickler):
  """Reads one pickle; the file then stands behind it.

  It is the one in Python, which joblib builds on as well: the one in C takes
  the memory that a file claims to need, and can neither be kept from an
  instruction nor give way to the arrays that joblib puts between two of them.

  Nothing that gets on its stack can be called or takes a state by itself.
  """

  names = _NAMES

  def __init__(self, file: io.BytesIO, budget: Budget):
    super().__init__(file)
    self.memo = _Memo()
    self._file, self.budget = file, budget

  def load(self) -> Any:
    """The value.

    Raises:
      ValueError: the pickle is damaged or holds what is not admitted.
    """
    if self._file.read(1) != pickle.PROTO:
      raise ValueError('is no pickle of protocol 2 or later')
    self._file.seek(-1, os.SEEK_CUR)
    try:
      value = super().load()
    except KeyError as e:
      raise ValueError(_not_admitted(e.args[0])) from None
    except IndexError:
      raise ValueError(
        'is a damaged pickle, which takes more values than there are'
      ) from None
    except (
      *(pickle.UnpicklingError, EOFError, struct.error, UnicodeError),
      *(AttributeError, TypeError, OverflowError),
      *(RecursionError, MemoryError),
    ) as e:
      raise ValueError(f'is a damaged pickle: {e!r:.200}') from None
    if self.stack or self.metastack:
      raise ValueError('is a pickle that leaves values behind')
    return value

  def find_class(self, module: str, name: str) -> Name:
    text = f'{module}.{name}'.replace('numpy._core.', 'numpy.core.')
    if text not in self.names:
      raise ValueError(f'wants {text!r:.100}, which is not admitted')
    return Name(text)

  def persistent_load(self, pid: Any) -> Any:
    raise ValueError('refers to something outside of it')

  def call(self, name: str, arguments: Any) -> Any:
    """What a function gives; subclasses add theirs."""
    match name, arguments:
      case 'collections.OrderedDict', ():
        return {}
      case '_codecs.encode', (str(text), 'latin1'):
        self.budget.spend(len(text))
        return text.encode('latin1')
      case 'numpy.dtype', (str(code), _, _):
        if not _DTYPE_CODE.fullmatch(code):
          raise ValueError(f'has numbers of type {code!r:.20}')
        return _Unfinished(name, code)
      case (
        'numpy.core.multiarray._reconstruct',
        (Name('numpy.ndarray'), (0,), b'b'),
      ):
        return _Unfinished('numpy.ndarray')
      case 'numpy.core.multiarray.scalar', (np.dtype() as dtype, bytes(data)):
        self.budget.spend(len(data))
        return array(data, dtype, ()).item()
    raise ValueError(f'calls {name} in a way that is not admitted')

  def _finish(self, target: _Unfinished, state: Any) -> Any:
    """What an object becomes by its state."""
    match target.name, state:
      case 'numpy.dtype', (
        int(),
        '<' | '>' | '|' as order,
        None,
        None,
        None,
        *_,
      ):
        return np.dtype(order + target.content)
      case (
        'numpy.ndarray',
        (int(), tuple(shape), np.dtype() as dtype, bool(fortran), bytes(data)),
      ):
        return array(data, dtype, shape, 'F' if fortran else 'C')
      case 'uuid.UUID', {'int': int(number)} if 0 <= number < 1 << 128:
        return str(uuid.UUID(int=number))
      case (
        'joblib.numpy_pickle.NumpyArrayWrapper',
        {
          'subclass': Name('numpy.ndarray'),
          'shape': tuple(shape),
          'order': 'C' | 'F' as order,
          'dtype': np.dtype() as dtype,
        },
      ):
        # Its bytes are what comes next, maybe after some that align them.
        if state.get('numpy_array_alignment_bytes') is not None:
          self._file.read(int.from_bytes(self._file.read(1), 'little'))
        data = self._file.read(count(shape) * dtype.itemsize)
        return array(data, dtype, shape, order)
    raise ValueError(f'gives a {target.name} a state that is not admitted')

  def _reduce(self) -> None:
    arguments, function = self.stack.pop(), self.stack.pop()
    if not isinstance(function, Name):
      raise ValueError(f'calls a {type(function).__name__}')
    self.append(self.call(function.text, arguments))

  def _new_object(self) -> None:
    match self.stack.pop(), self.stack.pop():
      case (), Name(
        'joblib.numpy_pickle.NumpyArrayWrapper' | 'uuid.UUID' as name
      ):
        self.append(_Unfinished(name))
      case _:
        raise ValueError('makes an object of a class that is not admitted')

  def _build(self) -> None:
    state, target = self.stack.pop(), self.stack.pop()
    if not isinstance(target, _Unfinished):
      raise ValueError(f'gives a {type(target).__name__} a state')
    target.value = self._finish(target, state)
    self.append(target.value)

  def _set_item(self) -> None:
    _check_items(self.stack[-3], self.stack[-2:-1])
    self.load_setitem()

  def _set_items(self) -> None:
    _check_items(self.metastack[-1][-1], self.stack[::2])
    self.load_setitems()

  dispatch = {
    ord(code.code): pickle._Unpickler.dispatch[ord(code.code)]
    for code in pickletools.opcodes
    if code.name in _INSTRUCTIONS
  } | {
    pickle.REDUCE[0]: _reduce,
    pickle.NEWOBJ[0]: _new_object,
    pickle.BUILD[0]: _build,
    pickle.SETITEM[0]: _set_item,
    pickle.SETITEMS[0]: _set_items,
  }


def _not_admitted(code: int) -> str:
  for known in pickletools.opcodes:
    if ord(known.code) == code:
      return f'holds the instruction {known.name}, which is not admitted'
  return f'is a damaged pickle: there is no instruction {code}'


def _check_items(target: Any, keys: list[Any]) -> None:
  if not isinstance(target, dict):
    raise ValueError(f'adds items to a {type(target).__name__}')
  for key in keys:
    # To hash other keys may take for ever.
    small = type(key) is int and key.bit_length() <= _MAX_KEY_BITS
    if not small and type(key) is not str:
      raise ValueError(f'has a {type(key).__name__} as a key')


def check_ended(file: io.BytesIO) -> None:
  """Raises ValueError where something is left in a file."""
  left = len(file.read())
  if left:
    raise ValueError(f'has {left} bytes after its end')


def count(shape: tuple) -> int:
  """Elements of an array of that shape; ValueError where it is none."""
  if len(shape) > _MAX_DIMENSIONS:
    raise ValueError(f'has an array of {len(shape)} dimensions')
  if not all(type(n) is int and 0 <= n <= _MAX_ELEMENTS for n in shape):
    raise ValueError('has an array whose shape is not whole numbers')
  return math.prod(shape)


def array(
  data: bytes, dtype: np.dtype, shape: tuple, order: str = 'C'
) -> np.ndarray:
  """Bytes as an array, without a copy; ValueError where they do not fit."""
  if len(data) != count(shape) * dtype.itemsize:
    raise ValueError(
      f'has {len(data)} bytes for an array of {count(shape)} elements of type '
      f'{dtype}'
    )
  return np.ndarray(shape, dtype, data, order=order)
