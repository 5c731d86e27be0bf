"""The directory of the raw files: what lies in it, and nothing outside."""

import os
import pathlib
import stat
from typing import Any

from pasta import errors

MAX_IMAGE_BYTES = 64 << 20
_IMAGE_STARTS = (
  b'\xff\xd8\xff',  # JPEG
  b'\x89PNG\r\n\x1a\n',
  b'RIFF',  # WebP
)


def check_image(data: Any, name: str = '') -> Any:
  """An encoded image as it is; ValueError by its size and first bytes.

  Args:
    data: its bytes.
    name: what the error calls it.
  """
  if not isinstance(data, bytes | memoryview) or not len(data):
    problem = 'has no image'
  elif len(data) > MAX_IMAGE_BYTES:
    problem = (
      f'its image has {len(data)} bytes, at most {MAX_IMAGE_BYTES} are read'
    )
  elif not bytes(data[:8]).startswith(_IMAGE_STARTS):
    problem = 'its image is neither JPEG nor PNG nor WebP'
  else:
    return data
  raise ValueError(f'{name}: {problem}' if name else problem)


def check(raw: str) -> None:
  """Raises PastaError unless the raw files' directory can be listed."""
  if not os.path.isdir(raw):
    what = 'is a file' if os.path.exists(raw) else 'does not exist'
    raise errors.PastaError(
      f'flag --raw: {raw} {what}, expected the directory of the raw files'
    )


def list_files(raw: str) -> list[str]:
  """Regular files below a directory, relative, sorted.

  Linked files and folders count, as in the hub's cache; a folder that holds
  itself does so once.
  """
  check(raw)
  found, above = [], {raw: (os.path.realpath(raw),)}
  for where, folders, names in os.walk(raw, followlinks=True):
    through = above.pop(where)  # where each folder on the way really is
    inner = {f: os.path.realpath(os.path.join(where, f)) for f in folders}
    folders[:] = [f for f in folders if inner[f] not in through]
    for folder in folders:
      above[os.path.join(where, folder)] = (*through, inner[folder])
    found += [os.path.relpath(os.path.join(where, n), raw) for n in names]
  return sorted(n for n in found if os.path.isfile(os.path.join(raw, n)))


def safe_join(root: str, relative: Any) -> str | None:
  """ROOT/RELATIVE, or None for what is no path within ROOT.

  Absolute paths and '..' that leaves the root are refused. Links that lie there
  are followed, wherever they lead: whoever keeps the files has set them.
  """
  if not isinstance(relative, str) or not relative or '\0' in relative:
    return None
  if os.path.isabs(relative) or '\\' in relative:
    return None
  inner = os.path.normpath(relative)
  if inner == os.pardir or inner.startswith(os.pardir + os.sep):
    return None
  return os.path.join(root, inner)


def read_image(root: str, relative: Any) -> bytes:
  """Bytes of an image file below ROOT; ValueError says what is wrong."""
  path = safe_join(root, relative)
  if path is None:
    raise ValueError(f'image path {relative!r} does not stay within {root}')
  try:
    status = os.stat(path)
    is_file = stat.S_ISREG(status.st_mode)
    is_wanted = is_file and status.st_size <= MAX_IMAGE_BYTES
    data = pathlib.Path(path).read_bytes() if is_wanted else b''
  except (OSError, ValueError) as e:
    reason = getattr(e, 'strerror', None) or e
    raise ValueError(f'image {relative!r} cannot be read: {reason}') from None
  if not is_file:
    raise ValueError(f'image {relative!r} is not a file')
  if not is_wanted:
    raise ValueError(f'image {relative!r} has {status.st_size} bytes')
  return check_image(data, repr(relative))
