"""The world around the agent: images, encoders and candidates, with a cache."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TypeVar

import ml_collections
import numpy as np

from pasta import errors
from pasta.candidates import build as candidates_build
from pasta.candidates.base import CandidateGenerator
from pasta.encoders import clip
from pasta.t2i import base as t2i_lib
from pasta.t2i import resized
from pasta.world import maker

T = TypeVar('T')


class World:
  """A text-to-image model, an encoder and a candidate generator.

  Features are cached by prompt, and by (prompt, seed): images are rendered and
  encoded once; with a store, once in all runs that share it. All features are
  float16 rounded, whether fresh, cached or read from disk, so that every path
  computes with the same numbers.

  Attributes:
    t2i: a pasta.t2i.base.TextToImage.
    encoder: a pasta.encoders.clip.ClipEncoder.
    generator: a pasta.candidates.base.CandidateGenerator.
  """

  def __init__(self, config: ml_collections.ConfigDict):
    self._config = config
    model = maker.build_t2i(config.t2i)
    self.encoder = clip.ClipEncoder.load(config.encoder)
    self.generator = self._build_generator(config.candidates)
    self._generators = {}
    self._store = maker.open_store(config.t2i)
    self._maker = maker.Maker(model, self.encoder, self._store)
    self.t2i = self._maker.t2i
    self._text: dict[str, np.ndarray] = {}
    self._image: dict[maker.Column, np.ndarray] = {}
    self._sizes = {}

  def generator_of(self, num_candidates: int) -> CandidateGenerator:
    """The generator with pools of C candidates; 0: of the config's size.

    Raises:
      PastaError: it cannot make pools of this size.
    """
    if num_candidates in (0, self.generator.num_candidates):
      return self.generator
    if num_candidates not in self._generators:
      config = ml_collections.ConfigDict(self._config.candidates.to_dict())
      config.num_candidates = num_candidates
      self._generators[num_candidates] = self._build_generator(config)
    return self._generators[num_candidates]

  def _build_generator(
    self, config: ml_collections.ConfigDict
  ) -> CandidateGenerator:
    try:
      return candidates_build.build(
        config,
        # What text-to-image models read of a prompt is as long, or longer.
        count_tokens=lambda text: int(self.encoder.num_tokens([text])[0]),
        max_prompt_tokens=self.encoder.max_tokens,
      )
    except ValueError as e:
      raise errors.PastaError(str(e)) from None

  def close(self) -> None:
    self._maker.close()
    for t2i in self._sizes.values():
      t2i.close()

  @property
  def num_images_made(self) -> int:
    """How many images were rendered for their features so far."""
    return self._maker.num_images_made

  def t2i_at(self, size: int) -> t2i_lib.TextToImage:
    """The same pictures at another image size, in pixels."""
    if size == self.t2i.image_size:
      return self.t2i
    if not self.t2i.draws_at_any_size:
      return resized.Resized(self.t2i, size)
    if size not in self._sizes:
      config = ml_collections.ConfigDict(self._config.t2i.to_dict())
      config.size = size
      model = maker.build_t2i(config)
      self._sizes[size] = maker.stored(model, self._store)
    return self._sizes[size]

  def text_features(self, prompts: Sequence[str]) -> np.ndarray:
    """Normalised text features, float32 [P, D]."""
    new = [p for p in dict.fromkeys(prompts) if p not in self._text]
    if new:
      self._text.update(zip(new, self._maker.text_features(new)))
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
    columns = [
      maker.Column(p, int(s), images_per_prompt) for p, s in zip(prompts, seeds)
    ]
    new = [c for c in dict.fromkeys(columns) if c not in self._image]
    for chunk, features in self._maker.image_features(new):
      self._image.update(zip(chunk, features))
    out = np.stack([self._image[c] for c in columns]).astype(np.float32)
    _trim(self._image, self._config.cache_columns)
    return out

  def scenes(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """What the embedded T2I draws, int8 [P, M, S]: for hidden people only.

    Raises:
      PastaError: this T2I model does not know what it drew.
    """
    if not hasattr(self._maker.model, 'scenes'):
      raise errors.PastaError(
        f'hidden people need scene attributes, which {self.t2i.model_id} '
        'does not give; set world.t2i.name to sketch or sketch:ink'
      )
    return self._maker.model.scenes(prompts, seeds, images_per_prompt)


def _trim(cache: dict[T, np.ndarray], limit: int) -> None:
  """Drops the oldest entries over the limit."""
  for key in list(itertools.islice(cache, max(len(cache) - limit, 0))):
    del cache[key]


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes of an interaction: T turns, L columns, M images per prompt.

  Raises:
    PastaError: one of them is below 1.
  """

  num_turns: int
  num_columns: int
  images_per_prompt: int

  def __post_init__(self):
    errors.check_least(
      self,
      "config field 'sizes.{}'",
      num_turns=1,
      num_columns=1,
      images_per_prompt=1,
    )
