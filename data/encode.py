"""Distinct images and prompts -> feature files: the second pass of extraction.

Work comes in blocks of one size, each written aside and renamed with a receipt,
so that a restart does only what is missing, and gives the same bytes. Blocks
are dealt to processes by number.
"""

import collections
import dataclasses
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import grain
import numpy as np

from data import base, index, read
from pasta import errors, files, progress
from pasta.encoders import clip, image_encoder, pixels
from pasta.storage import feature_rows

RECEIPTS = 'index'  # their directory, below that of the blocks
# Images that a thread reads at once: a single record costs as much to read as
# several images to decode.
_CHUNK_IMAGES = 32


class Wanted(NamedTuple):
  """Images of a block that one example holds."""

  row: int
  positions: list[int]  # in the example
  numbers: list[int]  # in the block


@dataclasses.dataclass
class Work:
  """Images of a block, in chunks that are read at once.

  Attributes:
    prepared: the data set.
    cls: its builder.
    split: name.
    chunks: shard, and examples in it.
    how: preprocessing; None where nothing is decoded.
  """

  prepared: read.Prepared
  cls: type[base.Builder]
  split: str
  chunks: list[tuple[int, list[Wanted]]]
  how: pixels.Preprocessing | None

  def __len__(self) -> int:
    return len(self.chunks)

  def __getitem__(self, i: int) -> list[tuple[int, np.ndarray | None, str]]:
    """(number in the block, pixels or None, what is wrong) of each image."""
    found = []
    for number, data, where in self.encoded(i):
      try:
        found.append((number, pixels.load(data, self.how), ''))
      except ValueError as e:
        found.append((number, None, f'{where}: {e}'))
    return found

  def encoded(self, i: int) -> Iterator[tuple[int, bytes, str]]:
    """(number in the block, bytes, its name for a person) of each image."""
    shard, wanted = self.chunks[i]
    examples = self.prepared.examples(
      self.split, shard, [w.row for w in wanted]
    )
    for (row, positions, numbers), example in zip(wanted, examples):
      images = self.cls.images(example)
      for position, number in zip(positions, numbers):
        where = f'shard {shard}, example {row}, image {position}'
        yield number, images[position], where


def encode_images(
  directory: str,
  prepared: read.Prepared,
  cls: type[base.Builder],
  split: str,
  found: index.Index,
  encoder: clip.ClipEncoder,
  run: image_encoder.ImageEncoder,
  *,
  block_size: int,
  num_threads: int,
  process: tuple[int, int],
) -> dict[str, float]:
  """Writes the blocks of distinct images that are missing.

  Args:
    directory: of the split's features.
    prepared: the data set.
    cls: its builder.
    split: name.
    found: its index.
    encoder: its preprocessing is used.
    run: its image tower.
    block_size: images of a block.
    num_threads: that decode; 0 = one a core.
    process: this one's number, and of how many.

  Returns:
    'num_encoded' images, and 'seconds', of them 'decoding_seconds' in which
    nothing was left to encode.
  """
  todo = _todo(directory, 'image', len(found.image_at), block_size, process)
  times = collections.Counter(num_encoded=0, seconds=0, decoding_seconds=0)
  started = time.perf_counter()
  total = sum(stop - start for _, start, stop in todo)
  with progress.progress(total=total, unit='image', desc=split) as bar:
    for number, start, stop in todo:
      parts = chunks(found.image_at[start:stop])
      work = Work(prepared, cls, split, parts, encoder.preprocessing)
      features, bad = _encode_block(work, stop - start, run, num_threads, times)
      _save(directory, 'image', number, features, bad)
      times['num_encoded'] += stop - start
      bar.update(stop - start)
  times['seconds'] = time.perf_counter() - started
  return dict(times)


def copy_features(
  directory: str,
  prepared: read.Prepared,
  cls: type[base.Builder],
  split: str,
  found: index.Index,
  *,
  block_size: int,
  process: tuple[int, int],
) -> None:
  """Writes the blocks of a data set that has features itself.

  Args: as of `encode_images`.

  Raises:
    PastaError: they have different widths.
  """
  num_images, num_texts = len(found.image_at), len(found.texts)
  for number, start, stop in _todo(
    directory, 'image', num_images, block_size, process
  ):
    work = Work(prepared, cls, split, chunks(found.image_at[start:stop]), None)
    block = [b''] * (stop - start)
    for i in range(len(work)):
      for row, features, _ in work.encoded(i):
        block[row] = features
    _save(directory, 'image', number, _stacked(block, prepared), {})
  for number, start, stop in _todo(
    directory, 'text', num_texts, block_size, process
  ):
    block = _stacked(found.texts[start:stop], prepared)
    _save(directory, 'text', number, block, {})


def _stacked(features: list[bytes], prepared: read.Prepared) -> np.ndarray:
  """float16 [n, D] from the bytes of each."""
  sizes = {len(f) for f in features}
  if len(sizes) > 1:
    raise errors.PastaError(
      f'{prepared.directory}: features of different widths, '
      f'{sorted(n // 2 for n in sizes)}'
    )
  return np.frombuffer(b''.join(features), '<f2').reshape(len(features), -1)


def _todo(
  directory: str,
  kind: str,
  num: int,
  block_size: int,
  process: tuple[int, int],
) -> list[tuple[int, int, int]]:
  """Number, first row and last row + 1 of this process's missing blocks."""
  return [
    (i, start, min(start + block_size, num))
    for i, start in enumerate(range(0, num, block_size))
    if i % process[1] == process[0]
    and not os.path.exists(_receipt(directory, kind, i))
  ]


def chunks(at: np.ndarray) -> list[tuple[int, list[Wanted]]]:
  """Images [n, 3] by shard and example, in order, some for each chunk."""
  found = {}
  for number, (shard, row, position) in enumerate(at.tolist()):
    wanted = found.setdefault((shard, row), Wanted(row, [], []))
    wanted.positions.append(position)
    wanted.numbers.append(number)
  parts, size = [], 0
  for (shard, _), wanted in found.items():
    if not parts or parts[-1][0] != shard or size >= _CHUNK_IMAGES:
      parts.append((shard, []))
      size = 0
    parts[-1][1].append(wanted)
    size += len(wanted.numbers)
  return parts


def _encode_block(
  work: Work,
  num: int,
  run: image_encoder.ImageEncoder,
  num_threads: int,
  times: collections.Counter,
) -> tuple[np.ndarray, dict[int, str]]:
  """Features float16 [num, D], 0 for broken images, and what broke."""
  out, bad = np.zeros((num, run.dim), np.float16), {}
  pending = None  # One batch behind: decoding and encoding overlap.

  def collect() -> None:
    numbers, result = pending
    out[numbers] = np.asarray(result)[: len(numbers)]

  batches = _batches(work, run.batch_size, num_threads, bad)
  while True:
    waiting = time.perf_counter()
    batch = next(batches, None)
    times['decoding_seconds'] += time.perf_counter() - waiting
    if batch is None:
      break
    numbers, images = batch
    result = run(images)
    if pending is not None:
      collect()
    pending = numbers, result
  if pending is not None:
    collect()
  return out, bad


def _batches(
  work: Work, size: int, num_threads: int, bad: dict[int, str]
) -> Iterator[tuple[list[int], np.ndarray]]:
  """Numbers of at most `size` images, and pixels of exactly so many."""
  num_threads = num_threads or os.cpu_count() or 1
  options = grain.ReadOptions(
    num_threads=num_threads,
    prefetch_buffer_size=max(2 * size // _CHUNK_IMAGES, num_threads),
  )
  numbers, images = [], None
  for group in grain.MapDataset.source(work).to_iter_dataset(options):
    for number, image, problem in group:
      if image is None:
        bad[number] = problem
        continue
      if images is None:
        images = np.zeros((size, *image.shape), np.uint8)
      images[len(numbers)] = image
      numbers.append(number)
      if len(numbers) == size:
        yield numbers, images
        numbers, images = [], np.zeros_like(images)
  if numbers:
    images[len(numbers) :] = images[len(numbers) - 1]
    yield numbers, images


def encode_texts(
  directory: str,
  texts: list[bytes],
  encoder: clip.ClipEncoder,
  *,
  block_size: int,
  process: tuple[int, int],
) -> None:
  """Writes the blocks of distinct texts that are missing; as for images."""
  todo = _todo(directory, 'text', len(texts), block_size, process)
  for number, start, stop in todo:
    block = texts[start:stop]
    features = encoder.encode_text([t.decode() for t in block])
    _save(directory, 'text', number, features.astype(np.float16), {})


def _save(
  directory: str, kind: str, number: int, block: np.ndarray, bad: dict[int, str]
) -> None:
  """Writes a block, then its receipt, which is what the manifest will hold."""
  if not np.isfinite(block).all():
    raise errors.PastaError(
      f'the encoder gives features that are not finite ({kind} block {number})'
    )
  files.write_json(
    _receipt(directory, kind, number),
    {
      'shard': feature_rows.write_shard(directory, kind, number, block),
      'bad': {str(k): v for k, v in sorted(bad.items())},
    },
  )


def receipts(
  directory: str, kind: str, num_blocks: int
) -> list[dict[str, Any]]:
  """What was written of each block.

  Raises:
    PastaError: a block is missing, e.g. because another process has died.
  """
  return [
    files.read_json(_receipt(directory, kind, i)) for i in range(num_blocks)
  ]


def _receipt(directory: str, kind: str, number: int) -> str:
  return os.path.join(directory, RECEIPTS, f'{kind}-{number:05d}.json')
