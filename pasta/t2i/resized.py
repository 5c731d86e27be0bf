"""A text-to-image model's pictures at another size."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pasta.t2i import base


class Resized:
  """Shrinks or enlarges what a model draws (see base.TextToImage).

  For models that would draw another picture at another size.
  """

  draws_at_any_size = False

  def __init__(self, model: base.TextToImage, size: int):
    """Of a model, which stays its owner's to close; size in pixels."""
    self._model = model
    self.image_size = size
    self.model_id = f'{model.model_id}>{size}'

  def generate(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """As the model's, resampled to uint8 [P, M, size, size, 3]."""
    images = self._model.generate(prompts, seeds, images_per_prompt)
    size = self.image_size, self.image_size
    out = np.empty((*images.shape[:2], *size, 3), np.uint8)
    for place in np.ndindex(images.shape[:2]):
      picture = Image.fromarray(images[place])
      out[place] = picture.resize(size, Image.Resampling.LANCZOS)
    return out

  def close(self) -> None:
    """Nothing to give back: see the model."""
