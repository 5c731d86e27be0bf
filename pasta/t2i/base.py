"""What every text-to-image model offers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


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

    Raises:
      ValueError: an argument has the wrong type, shape or range.
    """
    ...

  def close(self) -> None:
    """Gives back workers and memory; the model can still be used."""
    ...
