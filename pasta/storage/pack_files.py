"""What lies in a store's directory: the mark of a store, and pairs of files.

`packs` says what the pairs hold.
"""

import json
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

from pasta import errors, files

_FORMAT = 'pasta-store'
_VERSION = 1
_READ_BYTES = 2**24  # of a manifest at once


class Writer:
  """A pack and its manifest, which only this process writes."""

  def __init__(self, directory: str):
    # Hosts and restarts have different names.
    stamp = time.strftime('%Y%m%d-%H%M%S', time.gmtime())
    self.name = f'{stamp}-{uuid.uuid4().hex[:12]}'
    self.size = 0  # of the pack
    self._paths = [
      os.path.join(directory, f'{self.name}.{end}') for end in ('pack', 'jsonl')
    ]
    self._files = []
    for path in self._paths:
      try:
        self._files.append(open(path, 'xb', buffering=0))
      except OSError as e:
        self.close()
        raise cannot(path, 'written', e) from e

  def write(self, data: bytes, lines: list[dict[str, Any]]) -> None:
    text = ''.join(
      json.dumps(line, ensure_ascii=False, separators=(',', ':')) + '\n'
      for line in lines
    )
    if data:
      self._append(0, data)
      # Others may see the line before the bytes that it speaks of.
      self._sync(0)
      self.size += len(data)
    # Half a surrogate pair becomes what JSON writes for it.
    self._append(1, text.encode('utf-8', 'backslashreplace'))

  def sync(self) -> None:
    for i in range(len(self._files)):
      self._sync(i)

  def close(self) -> None:
    for file in self._files:
      file.close()

  def _append(self, i: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
      while rest:
        rest = rest[self._files[i].write(rest) :]
    except OSError as e:
      raise cannot(self._paths[i], 'written', e) from e

  def _sync(self, i: int) -> None:
    try:
      os.fsync(self._files[i].fileno())
    except OSError as e:
      raise cannot(self._paths[i], 'written', e) from e


def open_store(directory: str) -> str:
  """Makes a store's directory, or checks that it is one.

  Returns:
    Its path, a leading ~ resolved.

  Raises:
    PastaError: it cannot be written, or holds something else.
  """
  directory = os.path.expanduser(directory)
  make_directory(directory)
  path = os.path.join(directory, 'store.json')
  if not os.path.exists(path):
    # Another process may be writing the file right now.
    found = [n for n in sorted(os.listdir(directory)) if not n.startswith('.')]
    if found and not os.path.exists(path):
      raise errors.PastaError(
        f'{directory}: is no store: it has no store.json but {found[0]}'
      )
    try:
      files.write_json(path, {'format': _FORMAT, 'version': _VERSION})
    except OSError as e:
      raise cannot(path, 'written', e) from e
  content = files.read_json(path)
  if content != {'format': _FORMAT, 'version': _VERSION}:
    raise errors.PastaError(
      f'{path}: holds {json.dumps(content)[:100]}, expected format {_FORMAT}, '
      f'version {_VERSION}'
    )
  return directory


def make_directory(directory: str) -> None:
  """Makes a directory that can be written.

  Raises:
    PastaError: it cannot be made or written.
  """
  try:
    os.makedirs(directory, exist_ok=True)
  except OSError as e:
    raise errors.PastaError(f'{directory}: cannot be made: {e.strerror}') from e
  if not os.access(directory, os.W_OK | os.X_OK):
    raise errors.PastaError(f'{directory}: cannot be written')


def cannot(path: str, what: str, error: OSError) -> errors.PastaError:
  """What to raise where a file cannot be read or written."""
  return errors.PastaError(f'{path}: cannot be {what}: {error.strerror}')


def open_pack(path: str) -> BinaryIO:
  """A pack to read, closed when the last reader has let go of it."""
  return open(path, 'rb', buffering=0)


def size(path: str) -> int:
  """Bytes of a file; 0 where there is none."""
  try:
    # Opened, not only looked at: shared file systems then say the true size.
    with open(path, 'rb') as f:
      return os.fstat(f.fileno()).st_size
  except FileNotFoundError:
    return 0


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
  """Lines with their ends; not the last one where it has none."""
  rest = b''
  while block := file.read(_READ_BYTES):
    *lines, rest = (rest + block).split(b'\n')
    for line in lines:
      yield line + b'\n'


def now() -> str:
  """The local time, as manifests have it."""
  return time.strftime('%Y-%m-%dT%H:%M:%S%z')
