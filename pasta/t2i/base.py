"""What every text-to-image model offers, and how a config names one."""

from collections.abc import Sequence
from typing import Protocol

import ml_collections
import numpy as np

from pasta.t2i.sketch import draw, sketch


class TextToImage(Protocol):
  """A text-to-image model.

  Attributes:
    model_id: names the model and everything that changes its images; caches
      and feature files carry it.
    image_size: width and height of an image, pixels.
    draws_at_any_size: whether it draws the same picture at any size; others
      are made for one.
  """

  model_id: str
  image_size: int
  draws_at_any_size: bool

  def generate(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """Renders M images of each of P prompts.

    Each image depends only on (model, prompt, seed, index), never on its
    batch.

    Args:
      prompts: P texts.
      seeds: non-negative integers [P]; the seed is what a JAX implementation
        turns into `jax.random.key(seed)`.
      images_per_prompt: M, at least 1.

    Returns:
      uint8 [P, M, image_size, image_size, 3].
    """
    ...

  def close(self) -> None:
    """Gives back workers and memory; the model can still be used."""
    ...


def build(config: ml_collections.ConfigDict) -> TextToImage:
  """Makes the model that a config names.

  Args:
    config: fields `name` ('sketch', 'sketch:ink', 'sdxl' or 'flux'), `size`
      (pixels), `num_workers` (of sketch: processes; 0 draws in this one), and
      `sdxl` and `flux`, as in configs/common.py.

  Raises:
    ValueError: the name is unknown, or a field is out of range.
  """
  if config.name in draw.LOOKS:
    return sketch.Sketch(
      size=config.size, look=config.name, num_workers=config.num_workers
    )
  # Imported here: takes seconds, which sketch and its workers do without.
  if config.name == 'sdxl':
    from pasta.t2i.sdxl import model as sdxl

    return sdxl.from_config(config)
  if config.name == 'flux':
    from pasta.t2i.flux import model as flux

    return flux.from_config(config)
  raise ValueError(
    f't2i.name: unknown model {config.name!r}; known: '
    + ', '.join([*draw.LOOKS, 'sdxl', 'flux'])
  )
