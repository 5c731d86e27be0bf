"""Renders of random scenes, in one memory-mapped file.

Written once by a pool of processes, in chunks that a restart does not repeat.
Nothing here imports jax: render workers load this module on their own.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator

import numpy as np

from pasta import errors, files, processes, progress, seeds
from pasta.encoders.training import captions
from pasta.t2i.sketch import draw

_CHUNK = 256


def render_scenes(
  path: str,
  scenes: np.ndarray,
  *,
  seed: int,
  size: int,
  ink_fraction: float,
  num_workers: int,
) -> np.ndarray:
  """Renders each scene, or opens what an earlier call has rendered.

  Args:
    path: .npy file for the images; `path + '.json'` counts finished chunks.
    scenes: int8 [N, S].
    seed: of the drawings and of each image's look.
    size: height and width, in pixels.
    ink_fraction: share of the images in the look 'sketch:ink'.
    num_workers: processes; 0 renders in this one.

  Returns:
    uint8 [N, size, size, 3], memory-mapped, read-only.

  Raises:
    PastaError: the file holds another data set, or a number below 0.
  """
  processes.check_num(num_workers)
  recipe = {
    'seed': seed,
    'size': size,
    'ink_fraction': ink_fraction,
    'num_images': len(scenes),
  }
  done = _chunks_done(path, recipe)
  if not done:
    shape = (len(scenes), size, size, 3)
    np.lib.format.open_memmap(path, 'w+', np.uint8, shape).flush()
  drawing_seeds = seeds.derive(seed, 'drawing', np.arange(len(scenes)))
  ink = seeds.uniform(seed, 'look', np.arange(len(scenes))) < ink_fraction
  starts = range(done * _CHUNK, len(scenes), _CHUNK)
  tasks = [
    (path, i, scenes[i : i + _CHUNK], drawing_seeds[i : i + _CHUNK],
     ink[i : i + _CHUNK], size)
    for i in starts
  ]  # fmt: skip
  if tasks:
    bar = progress.progress(total=len(scenes), unit='images', desc='render')
    bar.update(done * _CHUNK)
    with bar, _mapper(num_workers) as run:
      for count in run(_render_chunk, tasks):
        done += 1
        state = {'chunks': done, 'recipe': recipe}
        files.atomic_write(path + '.json', json.dumps(state))
        bar.update(count)
  return np.load(path, mmap_mode='r')


def make_scenes(num: int, seed: int, *, held_out: bool) -> np.ndarray:
  """Scenes on one side of the split by combinations, int8 [num, S]."""
  rng = np.random.default_rng([seed, held_out])
  kept = []
  while sum(map(len, kept)) < num:
    scenes = captions.sample_scenes(2 * num, rng)
    kept.append(scenes[captions.is_held_out(scenes) == held_out])
  return np.concatenate(kept)[:num]


def _chunks_done(path: str, recipe: dict) -> int:
  if not os.path.exists(path + '.json'):
    return 0
  state = files.read_json(path + '.json')
  if state['recipe'] != recipe:
    raise errors.PastaError(
      f'{path} was rendered with {state["recipe"]}, expected {recipe}; use '
      'another --workdir'
    )
  return state['chunks']


@contextlib.contextmanager
def _mapper(num_workers: int) -> Iterator[Callable[..., Iterator]]:
  """An ordered map, in processes or not."""
  if not num_workers:
    yield map
    return
  with processes.Pool(num_workers) as pool:
    yield pool.map


def _render_chunk(task) -> int:
  path, start, scenes, drawing_seeds, ink, size = task
  images = np.load(path, mmap_mode='r+')
  for i, values in enumerate(scenes):
    look = 'sketch:ink' if ink[i] else 'sketch'
    images[start + i] = draw.draw_scene(
      values, int(drawing_seeds[i]), size, look
    )
  images.flush()
  return len(scenes)
