"""sketch, the embedded text-to-image model: a procedural illustrator."""

from collections.abc import Sequence

import numpy as np

from pasta import processes
from pasta.t2i import arguments
from pasta.t2i.sketch import draw, scene

# Images a worker draws per task: long enough to hide the hand-over.
_CHUNK = 64


def _draw_chunk(
  scenes: np.ndarray, seeds: np.ndarray, size: int, look: str
) -> np.ndarray:
  """Draws int8 [N, S] scenes with uint64 [N] seeds, uint8 [N, H, W, 3]."""
  images = np.empty((len(scenes), size, size, 3), np.uint8)
  for i, seed in enumerate(seeds.tolist()):
    images[i] = draw.draw_scene(scenes[i], seed, size, look)
  return images


class Sketch:
  """Draws prompts; implements pasta.t2i.base.TextToImage.

  Image m of a prompt depends only on (prompt, seed, m, size, look).

  Attributes:
    model_id: names look, size and version of the drawing: 'sketch@64/v1'.
    image_size: width and height of an image, pixels.
  """

  draws_at_any_size = True

  def __init__(
    self, *, size: int = 64, look: str = 'sketch', num_workers: int = 0
  ):
    """Makes the model; worker processes start at the first call.

    Args:
      size: width and height of an image, in [32, 1024] pixels.
      look: one of draw.LOOKS; each is a model of its own.
      num_workers: processes that draw; 0 draws in this process.

    Raises:
      ValueError: an argument is out of range.
    """
    if look not in draw.LOOKS:
      raise ValueError(
        f'look: expected one of {", ".join(draw.LOOKS)}, got {look!r}'
      )
    if not 32 <= size <= 1024:
      raise ValueError(f'size: expected 32 to 1024 pixels, got {size}')
    processes.check_num(num_workers)
    self.image_size = int(size)
    self.model_id = f'{look}@{size}/v{draw.VERSION}'
    self._look = look
    self._num_workers = num_workers
    self._pool = None

  def scenes(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """The scenes that `generate` draws, int8 [P, M, S]; same arguments."""
    seeds = arguments.check(prompts, seeds, images_per_prompt)
    return scene.sample(list(prompts), seeds, images_per_prompt)

  def generate(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """See TextToImage."""
    seeds = arguments.check(prompts, seeds, images_per_prompt)
    prompts, m, size = list(prompts), images_per_prompt, self.image_size
    drawings = scene.sample(prompts, seeds, m).reshape(
      -1, scene.NUM_SLOTS
    )  # [P * M, S]
    image_seeds = scene.image_seeds(prompts, seeds, m).ravel()
    starts = range(0, len(drawings), _CHUNK)
    tasks = [
      (drawings[i : i + _CHUNK], image_seeds[i : i + _CHUNK], size, self._look)
      for i in starts
    ]
    images = np.empty((len(drawings), size, size, 3), np.uint8)
    if self._num_workers and len(tasks) > 1:
      if self._pool is None:
        self._pool = processes.Pool(self._num_workers)
      parts = self._pool.map(_draw_chunk, *zip(*tasks))
    else:
      parts = (_draw_chunk(*task) for task in tasks)
    for i, part in zip(starts, parts):
      images[i : i + _CHUNK] = part
    return images.reshape(len(prompts), m, size, size, 3)

  def close(self):
    """Ends the worker processes; a later `generate` starts new ones."""
    if self._pool is not None:
      self._pool.close()
      self._pool = None
