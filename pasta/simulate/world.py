"""The world around the agent: images, encoders and candidates, with a cache."""

import concurrent.futures
import dataclasses
import itertools
import os
from collections.abc import Sequence
from typing import TypeVar

import ml_collections
import numpy as np

from pasta import errors
from pasta.candidates import base as candidates_lib
from pasta.encoders import clip
from pasta.t2i import base as t2i_lib

# Columns that are rendered and encoded together: small enough that encoding
# one chunk overlaps with rendering the next.
CHUNK_COLUMNS = 64

T = TypeVar('T')


class World:
  """A text-to-image model, an encoder and a candidate generator.

  Features are cached by prompt, and by (prompt, seed): images are rendered and
  encoded once. All features are float16 rounded, whether fresh, cached or
  read from disk, so that every path computes with the same numbers.

  Attributes:
    t2i: a pasta.t2i.base.TextToImage.
    encoder: a pasta.encoders.clip.ClipEncoder.
    generator: a pasta.candidates.base.CandidateGenerator.
    num_images_made: how many images were rendered and encoded so far.
  """

  def __init__(self, config: ml_collections.ConfigDict):
    self._config = config
    try:
      self.t2i = t2i_lib.build(_with_workers(config.t2i))
      self.generator = candidates_lib.build(config.candidates)
    except ValueError as e:
      raise errors.PastaError(str(e)) from None
    self.encoder = clip.ClipEncoder.load(config.encoder)
    self.num_images_made = 0
    self._text: dict[str, np.ndarray] = {}
    self._image: dict[tuple[str, int, int], np.ndarray] = {}
    self._sizes = {}
    # One thread renders ahead while this one encodes.
    self._ahead = concurrent.futures.ThreadPoolExecutor(1)

  def close(self) -> None:
    self._ahead.shutdown()
    for t2i in (self.t2i, *self._sizes.values()):
      t2i.close()

  def t2i_at(self, size: int) -> t2i_lib.TextToImage:
    """The same text-to-image model at another image size, in pixels."""
    if size not in self._sizes:
      config = _with_workers(self._config.t2i)
      config.size = size
      self._sizes[size] = t2i_lib.build(config)
    return self._sizes[size]

  def text_features(self, prompts: Sequence[str]) -> np.ndarray:
    """Normalised text features, float32 [P, D]."""
    new = [p for p in dict.fromkeys(prompts) if p not in self._text]
    if new:
      features = self.encoder.encode_text(new).astype(np.float16)
      self._text.update(zip(new, features))
    out = np.stack([self._text[p] for p in prompts]).astype(np.float32)
    _trim(self._text, self._config.cache_texts)
    return out

  def image_features(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """Normalised features of each prompt's images, float32 [P, M, D].

    Args:
      prompts: P texts.
      seeds: unsigned integers [P].
      images_per_prompt: M.
    """
    keys = [(p, int(s), images_per_prompt) for p, s in zip(prompts, seeds)]
    new = [k for k in dict.fromkeys(keys) if k not in self._image]
    chunks = [
      new[i : i + CHUNK_COLUMNS] for i in range(0, len(new), CHUNK_COLUMNS)
    ]
    ahead = None
    for i, chunk in enumerate(chunks):
      images = ahead.result() if ahead else self._render(chunk)
      if i + 1 < len(chunks):
        ahead = self._ahead.submit(self._render, chunks[i + 1])
      features = self.encoder.encode_images(
        images.reshape(-1, *images.shape[2:])
      )
      features = features.reshape(*images.shape[:2], -1).astype(np.float16)
      self._image.update(zip(chunk, features))
      self.num_images_made += images.shape[0] * images.shape[1]
    out = np.stack([self._image[k] for k in keys]).astype(np.float32)
    _trim(self._image, self._config.cache_columns)
    return out

  def _render(self, chunk: Sequence[tuple[str, int, int]]) -> np.ndarray:
    return self.t2i.generate(
      [k[0] for k in chunk],
      np.array([k[1] for k in chunk], np.uint64),
      chunk[0][2],
    )

  def scenes(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """What the embedded T2I draws, int8 [P, M, S]: for hidden people only.

    Raises:
      PastaError: this T2I model does not know what it drew.
    """
    if not hasattr(self.t2i, 'scenes'):
      raise errors.PastaError(
        f'hidden people need scene attributes, which {self.t2i.model_id} '
        'does not give; set world.t2i.name to sketch or sketch:ink'
      )
    return self.t2i.scenes(prompts, seeds, images_per_prompt)


def _with_workers(
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """A copy in which -1 workers has become one a core."""
  config = ml_collections.ConfigDict(config.to_dict())
  if config.num_workers < 0:
    config.num_workers = len(os.sched_getaffinity(0))
  return config


def _trim(cache: dict[T, np.ndarray], limit: int) -> None:
  """Drops the oldest entries over the limit."""
  for key in list(itertools.islice(cache, max(len(cache) - limit, 0))):
    del cache[key]


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes of an interaction: T turns, L columns, M images per prompt."""

  num_turns: int
  num_columns: int
  images_per_prompt: int
