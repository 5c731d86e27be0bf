"""A world whose images are never rendered: a surrogate draws their features."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from pasta import errors, seeds, workdir
from pasta.candidates.base import CandidateGenerator
from pasta.surrogate import draws, flow, saved
from pasta.world import world as world_lib


@dataclasses.dataclass(frozen=True)
class Unrendered:
  """Stands in for a text-to-image model.

  Attributes:
    model_id: says that there are no images, and what they would be of.
  """

  model_id: str


class SurrogateWorld:
  """Stands in for `world.World` where nobody looks at pixels or scenes.

  Texts, candidates and the encoder are the real world's. Features of images
  depend on (prompt, seed, index) alone and are float16 rounded, like its own.

  Attributes:
    t2i: has nothing but a model_id.
    encoder: the real world's.
    generator: the real world's.
  """

  def __init__(
    self,
    world: world_lib.World,
    model: flow.Surrogate,
    fingerprint: str,
  ):
    """Takes the images' place in a world.

    Args:
      world: the real world, which stays the owner of what it holds.
      model: draws features.
      fingerprint: of the stage that made the surrogate; sessions carry it.
    """
    self.encoder, self.generator = world.encoder, world.generator
    self.t2i = Unrendered(f'surrogate:{fingerprint}({world.t2i.model_id})')
    self._world, self._model = world, model

  def generator_of(self, num_candidates: int) -> CandidateGenerator:
    """See `world.World`."""
    return self._world.generator_of(num_candidates)

  @property
  def num_images_made(self) -> int:
    """How many images the real world has rendered: none on our account."""
    return self._world.num_images_made

  def text_features(self, prompts: Sequence[str]) -> np.ndarray:
    """Normalised text features, float32 [P, D]."""
    return self._world.text_features(prompts)

  def image_features(
    self,
    prompts: Sequence[str],
    image_seeds: np.ndarray,
    images_per_prompt: int,
  ) -> np.ndarray:
    """Normalised features of images that could be, float32 [P, M, D].

    Args:
      prompts: P texts.
      image_seeds: unsigned integers [P].
      images_per_prompt: M.
    """
    hashes = np.array([seeds.text_hash(p) for p in prompts], np.uint64)
    return draws.draw(
      self._model,
      self.text_features(prompts),
      seeds.derive(hashes, image_seeds),
      images_per_prompt,
    ).astype(np.float32)

  def scenes(
    self,
    prompts: Sequence[str],
    image_seeds: np.ndarray,
    images_per_prompt: int,
  ) -> np.ndarray:
    """Refuses: there are no scenes.

    Raises:
      PastaError: always.
    """
    raise errors.PastaError(
      f'hidden people need scene attributes, which {self.t2i.model_id} does '
      'not give'
    )


def load(world: world_lib.World, root: str, name: str) -> SurrogateWorld:
  """A world with the images of the surrogate in the directory ROOT/NAME.

  Args:
    world: the real world.
    root: the working directory.
    name: what the stage train_surrogate has left, relative to it.

  Raises:
    PastaError: the stage has not finished there, or its surrogate stands for
      another encoder or text-to-image model.
  """
  model = saved.load(
    os.path.join(root, name), world.encoder.encoder_id, world.t2i.model_id
  )
  return SurrogateWorld(
    world, model, workdir.upstream(root, name, 'train_surrogate')
  )
