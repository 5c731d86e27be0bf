"""Raw files in a directory, also those that are still packed in zip files.

A zip file counts as unpacked where it lies: a/b.json in part/x.zip is called
part/a/b.json. Nothing is ever unpacked to disk.
"""

import fnmatch
import functools
import os
import posixpath
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

from data.formats import raw_directory, zip_files
from pasta import errors

_ZIP = '.zip'


class RawFiles:
  """Files below a directory and in zip files there, by name.

  Attributes:
    raw: the directory.
    zips: the zip files, relative to it.
  """

  def __init__(self, raw: str, zips: Sequence[str]):
    """Opens the zip files.

    Raises:
      PastaError: see `zip_files.ZipFile`; or a name leaves the zip file's
        folder.
    """
    self.raw, self.zips = raw, tuple(zips)
    self._zips = [_Zip(raw, name) for name in zips]

  def sizes(self) -> dict[str, int]:
    """Bytes of each file by its name, in order of names; no zip files.

    Raises:
      PastaError: a name is there twice.
    """
    found = {
      name: os.path.getsize(os.path.join(self.raw, name))
      for name in raw_directory.list_files(self.raw)
      if name not in self.zips
    }
    return self._with_packed(found)

  def packed_sizes(self) -> dict[str, int]:
    """The same of what lies in zip files only."""
    return self._with_packed({})

  def _with_packed(self, found: dict[str, int]) -> dict[str, int]:
    for packed in self._zips:
      for name, size in packed.sizes().items():
        if name in found:
          raise errors.PastaError(
            f'{self.raw}: {name!r} is there twice, the second time in '
            f'{packed.name}; move the unpacked files or a zip file away'
          )
        found[name] = size
    return dict(sorted(found.items()))

  def holder(self, name: str) -> str:
    """The file, relative to the directory, that holds what a name stands for.

    That is a zip file for what lies in one.
    """
    packed = self._packed(name)
    return packed.name if packed else name

  def path(self, name: str) -> str:
    """The same as a path for people, which goes on into a zip file."""
    packed = self._packed(name)
    parts = (packed.name, packed.member(name)) if packed else (name,)
    return os.path.join(self.raw, *parts)

  def open(self, name: str) -> BinaryIO:
    """A file as a stream, which may raise zip_files.READ_ERRORS.

    Raises:
      PastaError: it cannot be read, or is a zip bomb.
    """
    packed = self._packed(name)
    try:
      if packed:
        return packed.file.open(packed.member(name))
      return open(os.path.join(self.raw, name), 'rb')
    except (OSError, ValueError) as e:
      reason = getattr(e, 'strerror', None) or e
      raise errors.PastaError(
        f'{self.path(name)}: cannot be read: {reason!s:.300}'
      ) from None

  def image(self, name: Any) -> bytes:
    """Bytes of an image; ValueError says what is wrong."""
    safe = safe_name(name)
    if safe is None:
      where = os.path.join(self.raw, *self.zips[:1])
      raise ValueError(f'image path {name!r:.200} does not stay within {where}')
    packed = self._packed(safe)
    if packed is None:
      return raw_directory.read_image(self.raw, safe)
    try:
      data = packed.file.read(
        packed.member(safe), raw_directory.MAX_IMAGE_BYTES
      )
    except ValueError as e:
      raise ValueError(f'image {e}') from None
    return raw_directory.check_image(data, f'{name!r:.200}')

  def _packed(self, name: str) -> '_Zip | None':
    return next((z for z in self._zips if z.member(name) is not None), None)


class _Zip:
  """A zip file and the names of its members as seen from the directory."""

  def __init__(self, raw: str, name: str):
    self.name = name
    self.file = zip_files.ZipFile(os.path.join(raw, name))
    folder = os.path.dirname(name)
    self._members = {}
    for member in self.file.sizes:
      safe = safe_name(member)
      if safe is None:
        raise errors.PastaError(
          f'{self.file.path}: the name {member!r:.200} does not stay within '
          'its folder'
        )
      seen = posixpath.join(folder, safe)
      if seen in self._members:
        raise errors.PastaError(
          f'{self.file.path}: two of its files have the name {safe!r:.200}'
        )
      self._members[seen] = member

  def member(self, name: str) -> str | None:
    return self._members.get(name)

  def sizes(self) -> dict[str, int]:
    return {n: self.file.sizes[m] for n, m in self._members.items()}


def open_raw(raw: str, zips: Sequence[str]) -> RawFiles:
  """The files of a directory; zip files stay open until they change."""
  try:
    stamps = tuple(
      (s.st_size, s.st_mtime_ns)
      for s in (os.stat(os.path.join(raw, z)) for z in zips)
    )
  except OSError as e:
    raise errors.PastaError(
      f'{e.filename}: cannot be read: {e.strerror}'
    ) from None
  return _open(raw, tuple(zips), stamps)


@functools.lru_cache(2)
def _open(raw: str, zips: tuple[str, ...], stamps: tuple) -> RawFiles:
  del stamps  # They only tell one state of the files from another.
  return RawFiles(raw, zips)


def find_zips(raw: str) -> list[str]:
  """Zip files below a directory, relative to it, in order."""
  return [n for n in raw_directory.list_files(raw) if n.lower().endswith(_ZIP)]


def matching(names: Iterable[str], pattern: str) -> list[str]:
  """Names that a pattern such as 'sessions/*.json' fits; * also fits '/'."""
  return [n for n in names if fnmatch.fnmatchcase(n, pattern)]


def safe_name(name: Any) -> str | None:
  """A relative path, normalised; None for what is none or leaves its folder."""
  if not isinstance(name, str) or not name or '\0' in name or '\\' in name:
    return None
  safe = posixpath.normpath(name)
  if posixpath.isabs(safe) or safe.split('/')[0] in ('..', '.'):
    return None
  return safe
