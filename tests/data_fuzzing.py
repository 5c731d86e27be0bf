"""Broken files by the thousand, and what reading one may lead to."""

import collections
import signal
from collections.abc import Callable, Iterator

import numpy as np

from data import base
from pasta import errors

_MOST_SECONDS = 20  # to read one broken file


def mutations(content: bytes, num: int, seed: int = 0) -> Iterator[bytes]:
  """Yields `num` damaged versions: flipped, cut, repeated, zeroed, swapped."""
  rng = np.random.default_rng(seed)
  for _ in range(num):
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
      if not data:
        break
      at = int(rng.integers(len(data)))
      span = int(rng.integers(1, 1 + min(64, len(data) - at)))
      kind = rng.integers(6)
      if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
      elif kind == 1:
        data[at : at + span] = rng.bytes(span)
      elif kind == 2:
        del data[at:]
      elif kind == 3:
        data[at:at] = data[at : at + span]
      elif kind == 4:
        data[at : at + span] = bytes(span)
      else:
        del data[at : at + span]
    yield bytes(data)


def survey(
  cls: type[base.Builder], raw: str, options=None
) -> collections.Counter:
  """Reads all units of a directory of raw files; how that ended, counted.

  What ends in anything but examples, skips or a PastaError raises, as does
  reading for too long.
  """
  found = collections.Counter()

  def late(*_):
    raise AssertionError(f'reading {raw} takes more than {_MOST_SECONDS} s')

  old = signal.signal(signal.SIGALRM, late)
  signal.alarm(_MOST_SECONDS)
  try:
    options = cls.check_options(options or {})
    for units in cls.units(raw, options).values():
      for unit in units:
        for item in cls.read(raw, unit, options):
          kind = 'skipped' if isinstance(item, base.Skipped) else 'read'
          found[kind] += 1
  except errors.PastaError as e:
    assert str(e) and len(str(e)) < 2000
    found['refused'] += 1
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)
  return found


def fuzz(
  cls: type[base.Builder],
  raw: str,
  path: str,
  num: int,
  *,
  options=None,
  seed: int = 0,
  change: Callable[[bytes], bytes] = lambda x: x,
) -> collections.Counter:
  """Surveys RAW with `num` damaged versions of one of its files in turn."""
  with open(path, 'rb') as f:
    content = f.read()
  total = collections.Counter()
  try:
    for data in mutations(content, num, seed):
      with open(path, 'wb') as f:
        f.write(change(data))
      total += survey(cls, raw, options)
  finally:
    with open(path, 'wb') as f:
      f.write(content)
  return total
