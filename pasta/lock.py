"""One run at a time in a stage's directory, and who it is that runs there.

A run holds the operating system's lock on DIR/.lock, which falls with its
process however that ends: what a kill has left behind is taken over by the next
run. The file says who holds it, for the message to whoever comes second.
"""

import contextlib
import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator

from absl import logging

from pasta import errors

NAME = '.lock'
# What file systems say that have no such locks.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def hold(directory: str) -> Iterator[None]:
  """Within it no other run can hold the directory, on this or another host.

  Args:
    directory: exists.

  Raises:
    PastaError: somebody else holds it; says who, and since when.
  """
  path = os.path.join(directory, NAME)
  descriptor = _acquire(path)
  if descriptor is None:
    yield
    return
  try:
    yield
  finally:
    # First the name, then the lock: nobody gets a lock on a file that goes.
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)
    os.close(descriptor)


def _acquire(path: str) -> int | None:
  """The descriptor of a file that is locked; None where there are no locks."""
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
      holder = _describe(os.pread(descriptor, 1000, 0))
      os.close(descriptor)
      raise errors.PastaError(
        f'{os.path.dirname(path)}: {holder} works there: wait until it is '
        'done, end it, or use another --workdir'
      ) from e
    except OSError as e:
      os.close(descriptor)
      if e.errno not in _NO_LOCKS:
        raise
      logging.warning('%s: %s: two runs at once are not told', path, e.strerror)
      return None
    if _is_at(descriptor, path):
      os.truncate(descriptor, 0)
      os.pwrite(descriptor, _holder(), 0)
      return descriptor
    os.close(descriptor)  # The one before has just removed it.


def _is_at(descriptor: int, path: str) -> bool:
  """Whether the open file is the one that has the name now."""
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def _holder() -> bytes:
  record = {
    'host': platform.node(),
    'pid': os.getpid(),
    'since': time.strftime('%Y-%m-%d %H:%M:%S %z'),
  }
  return json.dumps(record).encode()


def _describe(content: bytes) -> str:
  """Who holds a lock, from what they have written."""
  try:
    record = json.loads(content)
    return (
      f'process {record["pid"]} on host {record["host"]}, since '
      f'{record["since"]},'
    )
  except (ValueError, KeyError, TypeError):  # It is just about to write it.
    return 'another run'
