"""Members of zip files, read in bounded memory; nothing is unpacked to disk."""

import functools
import os
import struct
import zipfile
import zlib
from typing import BinaryIO

from pasta import errors

# What reading a member may raise.
READ_ERRORS = (
  zipfile.BadZipFile,
  zlib.error,
  struct.error,
  EOFError,
  OSError,
  RuntimeError,
  ValueError,
  NotImplementedError,
)

_MAX_MEMBERS = 20_000_000
_ENCRYPTED = 0x1  # flag bit of a member
# Of the streams: tables and texts shrink to a thirtieth at best, bombs to a
# thousandth.
_MAX_RATIO = 250
_MIN_BOMB_BYTES = 16 << 20


class ZipFile:
  """A zip file whose members are read one by one.

  Attributes:
    path: of the file.
    sizes: unpacked bytes of each regular member, by name, in order of names.
  """

  def __init__(self, path: str):
    """Opens a file.

    Raises:
      PastaError: missing, no complete zip file, a name stands in it twice, or
        a member is encrypted.
    """
    self.path = path
    try:
      self._file = zipfile.ZipFile(path)
    except FileNotFoundError:
      raise errors.PastaError(f'{path}: no such file') from None
    except READ_ERRORS as e:
      size = os.path.getsize(path) if os.path.isfile(path) else 0
      raise errors.PastaError(
        f'{path}: not a complete zip file ({size} bytes): {e!s:.200}'
      ) from None
    # is_dir() of CPython 3.11 fails on a name that is empty.
    members = [m for m in self._file.infolist() if not m.filename.endswith('/')]
    if len(members) > _MAX_MEMBERS:
      raise errors.PastaError(
        f'{path}: holds {len(members)} files, at most {_MAX_MEMBERS} are read'
      )
    for member in members:
      if member.flag_bits & _ENCRYPTED:
        raise errors.PastaError(
          f'{path}: {member.filename!r:.200} is encrypted'
        )
    self.sizes = {
      m.filename: m.file_size for m in sorted(members, key=lambda m: m.filename)
    }
    if len(self.sizes) < len(members):
      raise errors.PastaError(f'{path}: two of its files have the same name')

  def read(self, name: str, max_bytes: int) -> bytes:
    """The content of a member.

    Raises:
      ValueError: not there, larger than `max_bytes` (also where it claims to
        be smaller), or damaged.
    """
    self._check_name(name)
    try:
      with self._file.open(name) as f:
        data = f.read(max_bytes + 1)
    except READ_ERRORS as e:
      raise ValueError(f'{name!r} cannot be read: {e!s:.200}') from None
    if len(data) > max_bytes:
      raise ValueError(
        f'{name!r} has more than the {max_bytes} bytes that are read'
      )
    return data

  def open(self, name: str) -> BinaryIO:
    """A member as a stream of any size, with `seek`; it raises READ_ERRORS.

    Raises:
      ValueError: not there, damaged, or packed as only a zip bomb is.
    """
    self._check_name(name)
    member = self._file.getinfo(name)
    most = max(_MAX_RATIO * member.compress_size, _MIN_BOMB_BYTES)
    if member.file_size > most:
      raise ValueError(
        f'{name!r} is a zip bomb: {member.file_size} bytes in '
        f'{member.compress_size}'
      )
    try:
      return self._file.open(name)
    except READ_ERRORS as e:
      raise ValueError(f'{name!r} cannot be read: {e!s:.200}') from None

  def _check_name(self, name: str) -> None:
    if name not in self.sizes:
      raise ValueError(f'{name!r} is not in {os.path.basename(self.path)}')


def open_zip(path: str) -> ZipFile:
  """A zip file that stays open: its list of members is read once a process."""
  try:
    status = os.stat(path)
  except OSError:
    return ZipFile(path)  # Says what is wrong.
  return _open(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(4)
def _open(path: str, unused_size: int, unused_time: int) -> ZipFile:
  return ZipFile(path)
