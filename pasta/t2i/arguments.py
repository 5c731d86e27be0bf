"""The arguments that every text-to-image model's `generate` takes."""

from collections.abc import Sequence

import numpy as np


def check(
  prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
) -> np.ndarray:
  """Checks them; returns the seeds as uint64 [P].

  Raises:
    ValueError: an argument has the wrong type, shape or range.
  """
  if isinstance(prompts, str):
    raise ValueError('prompts: expected a sequence of texts, got one text')
  for i, prompt in enumerate(prompts):
    if not isinstance(prompt, str):
      raise ValueError(
        f'prompts[{i}]: expected a text, got {type(prompt).__name__}'
      )
  seeds = np.asarray(seeds)
  if seeds.shape != (len(prompts),):
    raise ValueError(
      f'seeds: expected shape ({len(prompts)},), one a prompt, '
      f'got {seeds.shape}'
    )
  if seeds.size and (
    not np.issubdtype(seeds.dtype, np.integer) or seeds.min() < 0
  ):
    raise ValueError('seeds: expected non-negative integers')
  if images_per_prompt < 1:
    raise ValueError(
      f'images_per_prompt: expected at least 1, got {images_per_prompt}'
    )
  return seeds.astype(np.uint64)
