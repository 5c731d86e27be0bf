"""Bytes by key, in files that only grow and that many processes may fill.

A directory holds pairs of files. Each pair has one writer, which is one
process, and readers merge them all:

  NAME.pack    the entries' bytes, one behind another
  NAME.jsonl   the manifest: one line an entry, written after its bytes

So nothing is locked, and a kill at any time leaves at most bytes without a
line or half a last line, neither of which is an entry. Nobody writes behind
half a line: the next process begins a pair of its own. Every read is checked.
An entry that is damaged is named, and a line in the reader's own manifest drops
it for all others, too. A line holds

  key       hexadecimal digest of what the entry stands for
  file      the pack
  offset    where the entry begins, bytes
  bytes     lengths of its parts, which lie one behind another
  sha256    of each part
  time      when it was written
  ...       whatever tells a person what it is

or, in place of the lengths, `dropped`: why the entry there cannot be used.
"""

import errno
import functools
import hashlib
import json
import os
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import logging

from pasta.storage import pack_files

_MAX_PACK_BYTES = 2**32  # a longer pack is followed by another
_MAX_OPEN = 64  # packs that are open for reading
# How long a process may not know of what others have written since.
_REFRESH_SECONDS = 10.0
# Of files that are gone or broken; other errors pass, and drop nothing.
_DAMAGE = (errno.ENOENT, errno.EIO)
_CHECK_BYTES = 8  # of each digest that are kept in memory
_HEAD, _PART = struct.Struct('<IQ'), struct.Struct(f'<I{_CHECK_BYTES}s')


class _Damaged(Exception):
  """Says what is wrong with an entry."""


class Entry(NamedTuple):
  """What is to be written.

  Attributes:
    key: hexadecimal digest.
    parts: the bytes.
    info: what the manifest says of it besides.
  """

  key: str
  parts: Sequence[bytes]
  info: Mapping[str, Any]


class _Place(NamedTuple):
  """Where an entry lies, and the start of each part's digest."""

  pack: int
  offset: int
  sizes: tuple[int, ...]
  checks: tuple[bytes, ...]

  def pack_up(self) -> bytes:
    """As few bytes: an index may have some millions of them."""
    return _HEAD.pack(self.pack, self.offset) + b''.join(
      _PART.pack(*part) for part in zip(self.sizes, self.checks)
    )

  @classmethod
  def unpack(cls, data: bytes) -> '_Place':
    sizes, checks = zip(*_PART.iter_unpack(data[_HEAD.size :]))
    return cls(*_HEAD.unpack_from(data), sizes, checks)


class Packs:
  """Entries of one directory.

  An entry never changes. Of several with one key, that of most parts counts;
  the others are used where it turns out to be damaged.
  Threads may share an object.

  Attributes:
    directory: where they lie.
    num_damaged: entries and lines that this object found to be damaged.
  """

  def __init__(self, directory: str):
    """Reads all manifests.

    Raises:
      PastaError: the directory cannot be made, read or written.
    """
    self.directory = directory
    self.num_damaged = 0
    self._lock = threading.RLock()
    self._index: dict[bytes, bytes] = {}  # key -> place
    self._spare: dict[bytes, list[bytes]] = {}  # others of the same key
    self._names: list[str] = []  # of pairs, by number
    self._numbers: dict[str, int] = {}
    self._read: dict[str, tuple[int, int]] = {}  # bytes and lines of manifests
    self._dropped: set[tuple[int, int]] = set()  # pack and offset
    self._own: set[str] = set()
    self._writer: pack_files.Writer | None = None
    self._open = functools.lru_cache(_MAX_OPEN)(pack_files.open_pack)
    pack_files.make_directory(directory)
    self.refresh()

  def __len__(self) -> int:
    return len(self._index)

  def num_parts(self, key: str) -> int:
    """How many parts the key's entry has; 0 where there is none."""
    place = self._find(key)
    return len(place.sizes) if place else 0

  def get(self, key: str, num_parts: int) -> list[bytes] | None:
    """The first parts of a key's entry; None where it has not so many."""
    with self._lock:
      while (place := self._find(key)) and len(place.sizes) >= num_parts:
        try:
          return self._read_parts(place, num_parts)
        except _Damaged as e:
          self.drop(key, str(e))
      return None

  def put(self, entries: Sequence[Entry]) -> None:
    """Writes entries; in the manifest are only those that are written whole.

    Raises:
      PastaError: they cannot be written, e.g. because the disk is full.
    """
    if not entries:
      return
    with self._lock:
      writer = self._writing()
      data, lines, places = [], [], []
      offset = writer.size
      for key, parts, info in entries:
        digests = [hashlib.sha256(part).digest() for part in parts]
        sizes = tuple(map(len, parts))
        lines.append(
          {
            'key': key,
            **info,
            'file': f'{writer.name}.pack',
            'offset': offset,
            'bytes': sizes,
            'sha256': [d.hex() for d in digests],
            'time': pack_files.now(),
          }
        )
        checks = tuple(d[:_CHECK_BYTES] for d in digests)
        number = self._number(writer.name)
        places.append((key, _Place(number, offset, sizes, checks)))
        data += parts
        offset += sum(sizes)
      self._write(b''.join(data), lines)
      for key, place in places:
        self._add(key, place)

  def drop(self, key: str, reason: str) -> None:
    """Forgets an entry that cannot be used, here and for all later readers."""
    with self._lock:
      place = self._find(key)
      if place is not None:
        self._drop_all([(key, place)], reason)

  def refresh(self) -> None:
    """Reads what all processes have written since the last time."""
    with self._lock:
      self._refreshed = time.monotonic()
      try:
        names = sorted(
          e.name.removesuffix('.jsonl')
          for e in os.scandir(self.directory)
          if e.name.endswith('.jsonl')
        )
      except OSError as e:
        raise pack_files.cannot(self.directory, 'read', e) from e
      beyond = []
      for name in names:
        if name not in self._own:
          beyond += self._read_manifest(name)
      # All drops are known only now.
      beyond = [
        (k, p) for k, p in beyond if (p.pack, p.offset) not in self._dropped
      ]
      if beyond:
        self._drop_all(beyond, 'its pack ends before it')

  def close(self) -> None:
    """Ends this process's files, on the disk; a later `put` begins others."""
    with self._lock:
      if self._writer:
        self._writer.sync()
        self._writer.close()
        self._writer = None
      self._open.cache_clear()

  def _find(self, key: str) -> _Place | None:
    with self._lock:
      short = _short(key)
      found = self._index.get(short)
      if found is None and (
        time.monotonic() - self._refreshed > _REFRESH_SECONDS
      ):
        self.refresh()
        found = self._index.get(short)
      return _Place.unpack(found) if found else None

  def _read_parts(self, place: _Place, num: int) -> list[bytes]:
    """The first parts of an entry; _Damaged where they are."""
    sizes = place.sizes[:num]
    try:
      file = self._open(self._path(place.pack))
      data = os.pread(file.fileno(), sum(sizes), place.offset)
    except OSError as e:
      if e.errno not in _DAMAGE:
        raise pack_files.cannot(self._path(place.pack), 'read', e) from e
      raise _Damaged(f'cannot be read: {e.strerror}') from e
    parts, start = [], 0
    for size, check in zip(sizes, place.checks):
      parts.append(data[start : start + size])
      start += size
      if hashlib.sha256(parts[-1]).digest()[:_CHECK_BYTES] != check:
        raise _Damaged('its bytes have another checksum')
    return parts

  def _add(self, key: str, place: _Place) -> None:
    if (place.pack, place.offset) in self._dropped:
      return
    short, new = _short(key), place.pack_up()
    old = self._index.get(short)
    if old is not None:
      new, other = (new, old) if len(new) > len(old) else (old, new)
      self._spare.setdefault(short, []).append(other)
    self._index[short] = new

  def _forget(self, key: str, pack: int, offset: int) -> None:
    """Takes one entry of a key out of the index, for good."""
    self._dropped.add((pack, offset))
    short = _short(key)
    if short not in self._index:
      return
    left = [
      place
      for place in (self._index.pop(short), *self._spare.pop(short, ()))
      if _HEAD.unpack_from(place) != (pack, offset)
    ]
    if left:
      left.sort(key=len, reverse=True)
      self._index[short], *others = left
      if others:
        self._spare[short] = others

  def _drop_all(self, found: list[tuple[str, _Place]], reason: str) -> None:
    lines = []
    for key, place in found:
      path = self._path(place.pack)
      if not lines:
        more = f' and {len(found) - 1} more' if len(found) > 1 else ''
        logging.warning(
          '%s: entry %s at byte %d%s: %s; dropped, to be made again',
          *(path, key[:16], place.offset, more, reason),
        )
      self._forget(key, place.pack, place.offset)
      lines.append(
        {
          'key': key,
          'file': os.path.basename(path),
          'offset': place.offset,
          'dropped': reason,
          'time': pack_files.now(),
        }
      )
    self.num_damaged += len(found)
    self._writing()
    self._write(b'', lines)

  def _read_manifest(self, name: str) -> list[tuple[str, _Place]]:
    """Indexes a manifest's new lines; gives entries that its pack lacks."""
    path = os.path.join(self.directory, f'{name}.jsonl')
    pack = os.path.join(self.directory, f'{name}.pack')
    start, line_number = self._read.get(name, (0, 0))
    size, beyond, bad = -1, [], []
    try:
      with open(path, 'rb') as f:
        if os.fstat(f.fileno()).st_size == start:
          return []
        f.seek(start)
        for line in pack_files.whole_lines(f):
          start += len(line)
          line_number += 1
          try:
            found = self._read_line(name, line)
          except (ValueError, KeyError, TypeError, AttributeError) as e:
            bad.append((line_number, ' '.join(str(e).split())))
            continue
          if found is None:
            continue
          key, place = found
          end = place.offset + sum(place.sizes)
          if end > size:  # The pack may have grown with the manifest.
            size = pack_files.size(pack)
          if end > size:
            beyond.append((key, place))
          else:
            self._add(key, place)
    except OSError as e:
      raise pack_files.cannot(path, 'read', e) from e
    self._read[name] = start, line_number
    if bad:
      self.num_damaged += len(bad)
      logging.warning(
        '%s: %d of %d lines are damaged and left out, e.g. line %d: %s',
        *(path, len(bad), line_number, *bad[0]),
      )
    return beyond

  def _read_line(self, name: str, line: bytes) -> tuple[str, _Place] | None:
    """An entry; or None, and an entry of any manifest is dropped."""
    content = json.loads(line)
    key, offset = content['key'], content['offset']
    if len(bytes.fromhex(key)) != 32 or not 0 <= offset < 2**63:
      raise ValueError('expected a key of 64 digits and an offset')
    if 'dropped' in content:
      name = content['file'].removesuffix('.pack')
      self._forget(key, self._number(name), offset)
      return None
    sizes = tuple(content['bytes'])
    digests = tuple(bytes.fromhex(d) for d in content['sha256'])
    if not sizes or len(sizes) != len(digests):
      raise ValueError(f'{len(sizes)} lengths and {len(digests)} checksums')
    if any(len(d) != 32 for d in digests) or not all(
      0 <= s < 2**32 for s in sizes
    ):
      raise ValueError('expected checksums of 64 digits, lengths below 4 GiB')
    checks = tuple(d[:_CHECK_BYTES] for d in digests)
    return key, _Place(self._number(name), offset, sizes, checks)

  def _number(self, name: str) -> int:
    if name not in self._numbers:
      self._numbers[name] = len(self._names)
      self._names.append(name)
    return self._numbers[name]

  def _path(self, pack: int) -> str:
    return os.path.join(self.directory, f'{self._names[pack]}.pack')

  def _writing(self) -> pack_files.Writer:
    """The pair that this process writes."""
    if self._writer and self._writer.size >= _MAX_PACK_BYTES:
      self.close()
    if self._writer is None:
      self._writer = pack_files.Writer(self.directory)
      self._own.add(self._writer.name)
    return self._writer

  def _write(self, data: bytes, lines: list[dict[str, Any]]) -> None:
    try:
      self._writer.write(data, lines)
    except BaseException:
      # It may end in the middle of a line: nothing more is written to it.
      self._writer.close()
      self._writer = None
      raise


def digest(*parts: Any) -> str:
  """A key: the SHA-256 of what JSON writes for the parts, hexadecimal."""
  return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _short(key: str) -> bytes:
  """As much of a key as tells all entries apart."""
  return bytes.fromhex(key)[:16]
