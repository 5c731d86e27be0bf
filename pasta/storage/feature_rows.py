"""Features on disk: float16 rows in .npy files, read by memory map."""

import hashlib
import io
import mmap
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pasta import errors, files

_SHARD_ROWS = 262_144


def write_shard(
  directory: str, name: str, number: int, block: np.ndarray
) -> dict[str, Any]:
  """Writes one file, whole or not at all.

  Args:
    directory: where to.
    name: of the features, 'text' or 'image'.
    number: of the shard.
    block: float16 [rows, D].

  Returns:
    What a manifest says of it: file, rows, dim and sha256.
  """
  file = f'{name}-{number:05d}.npy'
  buffer = io.BytesIO()
  np.save(buffer, block)
  files.atomic_write(os.path.join(directory, file), buffer.getvalue())
  digest = hashlib.sha256(np.ascontiguousarray(block)).hexdigest()
  return {
    'file': file,
    'rows': len(block),
    'dim': block.shape[1],
    'sha256': digest,
  }


def write_shards(
  directory: str, name: str, blocks: Iterable[np.ndarray] | np.ndarray
) -> list[dict[str, Any]]:
  """Writes features [rows, D], or blocks of them, in shards of one size.

  Raises:
    PastaError: there are none, or a row is not finite (it is named).
  """
  shards, pending, row = [], [], 0

  def flush(block: np.ndarray) -> None:
    shards.append(write_shard(directory, name, len(shards), block))

  for block in [blocks] if isinstance(blocks, np.ndarray) else blocks:
    block = np.asarray(block, np.float16)
    if block.ndim != 2:
      raise errors.PastaError(
        f'{name} features have shape {block.shape}, expected [rows, D]'
      )
    finite = np.isfinite(block).all(1)
    if not finite.all():
      raise errors.PastaError(
        f'{name} features: row {row + int(np.argmin(finite))} is not finite'
      )
    row += len(block)
    pending.append(block)
    while sum(map(len, pending)) >= _SHARD_ROWS:
      whole = np.concatenate(pending)
      flush(whole[:_SHARD_ROWS])
      pending = [whole[_SHARD_ROWS:]]
  rest = np.concatenate(pending) if pending else np.zeros((0, 0), np.float16)
  if len(rest):
    flush(rest)
  if not shards:
    raise errors.PastaError(f'{name} features: there are none')
  return shards


class FeatureRows:
  """Rows of features in several .npy files, by memory map.

  Attributes:
    shape: [rows, D].
  """

  def __init__(self, directory: str, shards: list[Mapping]):
    self._maps = [_map(os.path.join(directory, s['file']), s) for s in shards]
    arrays = [a for a, _ in self._maps]
    self._ends = np.cumsum([len(a) for a in arrays])
    self.shape = (int(self._ends[-1]), arrays[0].shape[1])

  def __getitem__(self, index: np.ndarray) -> np.ndarray:
    """Rows at positions [...] as float16 [..., D]."""
    flat = np.asarray(index).ravel()
    if len(self._maps) == 1:
      out = self._maps[0][0][flat]
    else:
      out = np.empty((len(flat), self.shape[1]), np.float16)
      shard = np.searchsorted(self._ends, flat, 'right')
      for i, (array, _) in enumerate(self._maps):
        (here,) = np.nonzero(shard == i)
        if here.size:
          start = self._ends[i] - len(array)
          out[here] = array[flat[here] - start]
    # Pages that were read stay in the system's cache but not in this process:
    # memory does not grow with the size of the files.
    for _, memory in self._maps:
      memory.madvise(mmap.MADV_DONTNEED)
    return out.reshape(*np.shape(index), self.shape[1])


def _map(path: str, shard: Mapping) -> tuple[np.ndarray, mmap.mmap]:
  """A .npy file as an array on a memory map, checked against the manifest."""
  try:
    with open(path, 'rb') as f:
      version = np.lib.format.read_magic(f)
      read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
      }[version]
      shape, fortran, dtype = read(f)
      offset = f.tell()
      memory = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
  except FileNotFoundError:
    raise errors.PastaError(f'{path}: no such feature file') from None
  except (ValueError, KeyError, OSError) as e:
    raise errors.PastaError(f'{path}: not a .npy file ({e})') from None
  expected = (shard['rows'], shard['dim'])
  if shape != expected or dtype != np.float16 or fortran:
    raise errors.PastaError(
      f'{path}: holds {dtype}{list(shape)}, expected float16{list(expected)}'
    )
  size = offset + 2 * shape[0] * shape[1]
  if len(memory) != size:
    raise errors.PastaError(
      f'{path}: {len(memory)} bytes long, expected {size}: it is not complete'
    )
  memory.madvise(mmap.MADV_RANDOM)
  return np.ndarray(shape, np.float16, memory, offset), memory
