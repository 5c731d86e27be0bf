"""The directory of the raw files: what lies in it, and nothing outside."""

import os
import stat
from typing import Any

from pasta import errors

MAX_IMAGE_BYTES = 64 << 20
_IMAGE_STARTS = (
  b'\xff\xd8\xff',  # JPEG
  b'\x89PNG\r\n\x1a\n',
  b'RIFF',  # WebP
)


def image_problem(data: Any) -> str | None:
  """What is wrong with an encoded image, by its first bytes; None = nothing."""
  if not isinstance(data, bytes | memoryview) or not len(data):
    return 'has no image'
  if len(data) > MAX_IMAGE_BYTES:
    return (
      f'its image has {len(data)} bytes, at most {MAX_IMAGE_BYTES} are read'
    )
  if not bytes(data[:8]).startswith(_IMAGE_STARTS):
    return 'its image is neither JPEG nor PNG nor WebP'
  return None


def check(raw: str) -> None:
  """Raises PastaError unless the raw files' directory can be listed."""
  if not os.path.isdir(raw):
    what = 'is a file' if os.path.exists(raw) else 'does not exist'
    raise errors.PastaError(
      f'flag --raw: {raw} {what}, expected the directory of the raw files'
    )


def list_files(raw: str) -> list[str]:
  """Regular files below a directory, relative, sorted; no linked folders."""
  check(raw)
  found = []
  for where, _, names in os.walk(raw):
    found += [os.path.relpath(os.path.join(where, n), raw) for n in names]
  return sorted(n for n in found if os.path.isfile(os.path.join(raw, n)))


def safe_join(root: str, relative: Any) -> str | None:
  """ROOT/RELATIVE, or None for what is no path within ROOT.

  Absolute paths, '..' that leaves the root and links out of it are refused.
  """
  if not isinstance(relative, str) or not relative or '\0' in relative:
    return None
  if os.path.isabs(relative) or '\\' in relative:
    return None
  path = os.path.normpath(os.path.join(root, relative))
  real_root = os.path.realpath(root)
  if os.path.commonpath([real_root, os.path.realpath(path)]) != real_root:
    return None
  return path


def read_image(root: str, relative: Any) -> tuple[bytes, str]:
  """Bytes of an image file below ROOT and '', or b'' and what is wrong."""
  path = safe_join(root, relative)
  if path is None:
    return b'', f'image path {relative!r} does not stay within {root}'
  try:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
      return b'', f'image {relative!r} is not a file'
    if status.st_size > MAX_IMAGE_BYTES:
      return b'', f'image {relative!r} has {status.st_size} bytes'
    with open(path, 'rb') as f:
      data = f.read()
  except (OSError, ValueError) as e:
    reason = getattr(e, 'strerror', None) or e
    return b'', f'image {relative!r} cannot be read: {reason}'
  problem = image_problem(data)
  return (b'', f'{relative!r}: {problem}') if problem else (data, '')
