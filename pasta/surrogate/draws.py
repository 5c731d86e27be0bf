"""Draws image features of prompts, each from its own seed.

Letters: P prompts (columns), M images of each, D embedding width.
"""

import jax
import numpy as np

from pasta import seeds
from pasta.surrogate import flow
from pasta.surrogate.columns import CHUNK
from pasta.surrogate.flow import Surrogate

_draw = jax.jit(flow.draw)


def draw(
  model: Surrogate,
  text: np.ndarray,
  column_seeds: np.ndarray,
  num_images: int,
) -> np.ndarray:
  """Image features, rounded to float16 as rendered ones are.

  Args:
    model: the surrogate.
    text: prompts' features [P, D].
    column_seeds: uint64 [P]; images depend on text and seed alone.
    num_images: M.

  Returns:
    float16 [P, M, D].
  """
  parts = []
  dim = model.settings.embedding_dim
  for start in range(0, len(text), CHUNK):
    # Always as many: another shape is another program, which rounds otherwise.
    rows = np.arange(start, start + CHUNK) % len(text)
    normal = noise(column_seeds[rows], num_images, dim)
    found = np.asarray(_draw(model, text[rows], normal), np.float16)
    parts.append(found[: len(text) - start])
  return np.concatenate(parts)


def noise(column_seeds: np.ndarray, num_images: int, dim: int) -> np.ndarray:
  """Standard normal float32 [P, M, D], of each column's seed [P] alone."""
  image_seeds = seeds.derive(
    column_seeds[:, None], 'surrogate', np.arange(num_images)
  )
  return seeds.normal(image_seeds[..., None], np.arange(dim)).astype(np.float32)
