"""Large JSON arrays of objects, found and read in parts, in bounded memory."""

import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from data import base
from pasta import errors

MAX_ITEM_BYTES = 16 << 20
_WINDOW_BYTES = 1 << 20
_SPACES = (' ', '\t', '\r', '\n')
_BETWEEN = (*_SPACES, ',')
# A stray byte spoils the text that it is in, which its reader refuses. So do
# NaN and Infinity, which Python's own writer puts where a table has gaps.
_ENCODING = 'utf-8', 'surrogateescape'


def objects(
  path: str, file: BinaryIO | None = None, *, lines: bool = False
) -> Iterator[tuple[int, int]]:
  """Finds the objects of an array.

  Args:
    path: a file that holds one JSON array of objects.
    file: the file, open at its start; None: PATH is opened.
    lines: whether objects one after the other, as in JSON lines, are taken as
      well.

  Yields:
    First byte and last byte + 1 of each object.

  Raises:
    PastaError: it holds something else, is cut short, or one of its objects
      has more than MAX_ITEM_BYTES.
  """
  decoder = json.JSONDecoder()
  with _Window(path, file, lines) as window:
    if lines and window.peek() == '{':
      while window.peek():
        yield window.decode(decoder)
      return
    window.expect('[')
    if window.peek() == ']':
      window.expect(']')
    else:
      while True:
        yield window.decode(decoder)
        if window.expect(',]') == ']':
          break
    if window.peek():
      raise window.wrong('something after the array')


def chunks(path: str, size: int) -> Iterator[tuple[int, int, int]]:
  """Finds the parts of an array.

  Args:
    path: a file that holds one JSON array of objects.
    size: objects of a part.

  Yields:
    First byte, last byte + 1 and number of objects of each part.

  Raises:
    PastaError: as `objects`.
  """
  start = stop = count = 0
  for first, last in objects(path):
    start = start if count else first
    stop, count = last, count + 1
    if count == size:
      yield start, stop, count
      count = 0
  if count:
    yield start, stop, count


def units(raw: str, name: str, size: int) -> list[base.Unit]:
  """Units of `size` objects of RAW/NAME; PastaError for an empty array."""
  found, row = [], 0
  for start, stop, count in chunks(os.path.join(raw, name), size):
    spec = {'start': start, 'stop': stop, 'row': row}
    found.append(base.Unit(f'{name}#{row}', (name,), spec))
    row += count
  if not found:
    raise errors.PastaError(f'{os.path.join(raw, name)}: the array is empty')
  return found


def rows(raw: str, unit: base.Unit) -> Iterator[tuple[int, dict[str, Any]]]:
  """Place in the array and content of each object of one of `units`."""
  spec = unit.spec
  path = os.path.join(raw, unit.files[0])
  return enumerate(items(path, spec['start'], spec['stop']), spec['row'])


def items(path: str, start: int, stop: int) -> list[dict[str, Any]]:
  """The objects of a part that `chunks` has found."""
  with _open(path) as file:
    file.seek(start)
    content = file.read(stop - start)
  try:
    return json.loads('[' + content.decode(*_ENCODING) + ']')
  except (ValueError, RecursionError) as e:
    raise _wrong(path, start, f'no JSON ({e})', False) from None


def parse(path: str, content: bytes, start: int) -> Iterator[dict[str, Any]]:
  """The objects in a part of a file, whatever stands between them.

  Args:
    path: of the file.
    content: from the first byte of an object to the last of another, as
      `objects` has found them.
    start: the content's first byte in the file.
  """
  decoder = json.JSONDecoder()
  try:
    text, at = content.decode(*_ENCODING), 0
    while at < len(text):
      value, at = decoder.raw_decode(text, at)
      yield value
      while text[at : at + 1] in _BETWEEN:
        at += 1
  except (ValueError, RecursionError) as e:
    raise _wrong(path, start, f'no JSON ({e})', True) from None


class _Window:
  """The part of a file that is looked at, as text.

  Structure is ASCII, so read as Latin-1 every character is one byte.
  """

  def __init__(self, path: str, file: BinaryIO | None, lines: bool):
    self._path, self._file, self._lines = path, file or _open(path), lines
    self._text, self._position = '', 0  # looked at, and up to where
    self._offset, self._ended = 0, False  # of the text in the file

  def __enter__(self) -> '_Window':
    return self

  def __exit__(self, *unused_exception) -> None:
    self._file.close()

  def peek(self) -> str:
    """The next character that is no space; '' at the end."""
    while True:
      while self._text[self._position : self._position + 1] in _SPACES:
        self._position += 1
      if self._position < len(self._text) or self._ended:
        return self._text[self._position : self._position + 1]
      self._read()

  def expect(self, characters: str) -> str:
    """Takes the next character, one of several."""
    found = self.peek()
    if not found or found not in characters:
      raise self.wrong(f'{found or "its end"} instead of {characters[0]}')
    self._position += 1
    return found

  def decode(self, decoder: json.JSONDecoder) -> tuple[int, int]:
    """Takes an object; its first byte, and its last one + 1."""
    if self.peek() != '{':
      raise self.wrong(f'{self.peek() or "its end"} instead of {{')
    while True:
      try:
        _, end = decoder.raw_decode(self._text, self._position)
        break
      except (ValueError, RecursionError) as e:
        too_long = len(self._text) - self._position > MAX_ITEM_BYTES
        if self._ended or too_long:
          raise self.wrong(f'no object ({e})') from None
        self._read()
    first, self._position = self._position, end
    return self._offset + first, self._offset + end

  def _read(self) -> None:
    """Drops what has been taken, and reads as much as is left, or more."""
    rest = self._text[self._position :]
    self._offset, self._position = self._offset + self._position, 0
    more = self._file.read(max(len(rest), _WINDOW_BYTES))
    self._text, self._ended = rest + more.decode('latin-1'), not more

  def wrong(self, what: str) -> errors.PastaError:
    return _wrong(self._path, self._offset + self._position, what, self._lines)


def _open(path: str) -> BinaryIO:
  try:
    return open(path, 'rb')
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from None


def _wrong(path: str, byte: int, what: str, lines: bool) -> errors.PastaError:
  expected = 'JSON objects, one after the other or in an array'
  return errors.PastaError(
    f'{path}: expected {expected if lines else "a JSON array of objects"}, '
    f'found at byte {byte} {what:.200}'
  )
