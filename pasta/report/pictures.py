"""Pictures for a self-contained page: rendered again, inlined as JPEG."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_QUALITY = 80  # of the JPEGs


def data_uri(image: np.ndarray, size: int) -> str:
  """One image uint8 [H, W, 3] as a JPEG data URI, at most `size` pixels."""
  picture = Image.fromarray(image)
  if max(picture.size) > size:
    picture.thumbnail((size, size), Image.LANCZOS)
  out = io.BytesIO()
  picture.save(out, 'JPEG', quality=_QUALITY, optimize=True)
  return 'data:image/jpeg;base64,' + base64.b64encode(out.getvalue()).decode()


def columns(
  world,
  prompts: Sequence[str],
  seeds: Sequence[int],
  images_per_prompt: int,
  size: int,
  shown_size: int | None = None,
) -> list[list[str]]:
  """Renders columns again and inlines them.

  Args:
    world: has `t2i_at(size)`.
    prompts: P texts.
    seeds: P seeds; with a prompt they determine its images.
    images_per_prompt: M.
    size: edge of an image as it is drawn, pixels.
    shown_size: edge after shrinking, pixels; None leaves it.

  Returns:
    P lists of M data URIs.
  """
  if not prompts:
    return []
  images = world.t2i_at(size).generate(
    list(prompts), np.array(seeds, np.uint64), images_per_prompt
  )
  shown_size = shown_size or size
  return [
    [data_uri(image, shown_size) for image in column] for column in images
  ]
