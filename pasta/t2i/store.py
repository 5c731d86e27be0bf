"""Images on disk, by what they were rendered from.

Image m of a column depends on (model, prompt, seed, m) only. So an entry is a
column, (model, prompt, seed), with its images 0..M-1 as PNGs: a request for
fewer images is served from it, and one for more takes its place.
"""

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pasta.storage import pack_files, packs

if TYPE_CHECKING:
  from pasta.t2i import base

# The fastest: higher levels save a few percent in several times the time.
_PNG_LEVEL = 1


def column_key(model_id: str, prompt: str, seed: int) -> str:
  """What a column's images are found by."""
  return packs.digest('images', model_id, prompt, int(seed))


class ImageStore:
  """Images of columns, without loss.

  Attributes:
    packs: the files.
  """

  def __init__(self, directory: str):
    """Opens the store that a directory holds, or begins one.

    Raises:
      PastaError: the directory cannot be written, or holds something else.
    """
    directory = pack_files.open_store(directory)
    self.packs = packs.Packs(os.path.join(directory, 'images'))

  def num_images(self, key: str) -> int:
    """How many images of a column are there."""
    return self.packs.num_parts(key)

  def get(self, key: str, num: int) -> np.ndarray | None:
    """The first images of a column, uint8 [num, H, W, 3]; None if not there."""
    parts = self.packs.get(key, num)
    if parts is None:
      return None
    try:
      return np.stack([_decode(part) for part in parts])
    except ValueError as e:
      self.packs.drop(key, f'its images cannot be used: {e}')
      return None

  def put(
    self,
    model_id: str,
    prompts: Sequence[str],
    seeds: Sequence[int],
    images: np.ndarray,
  ) -> None:
    """Writes the images uint8 [P, M, H, W, 3] of P columns.

    Raises:
      PastaError: they cannot be written.
    """
    size = images.shape[2]
    self.packs.put(
      [
        packs.Entry(
          column_key(model_id, prompt, seed),
          [_encode(image) for image in column],
          {
            'model_id': model_id,
            'prompt': prompt,
            'seed': int(seed),
            'images': len(column),
            'size': size,
          },
        )
        for prompt, seed, column in zip(prompts, seeds, images, strict=True)
      ]
    )


class StoredTextToImage:
  """A model that renders only what the store lacks.

  Implements pasta.t2i.base.TextToImage.

  Attributes:
    model_id: the model's, as all else.
    image_size: in pixels.
    draws_at_any_size: see base.TextToImage.
  """

  def __init__(self, model: 'base.TextToImage', store: ImageStore):
    """Of a model, and the store that its images go to."""
    self.model_id, self.image_size = model.model_id, model.image_size
    self.draws_at_any_size = model.draws_at_any_size
    self._model, self._store = model, store

  def generate(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """As of the model."""
    return self.generate_counted(prompts, seeds, images_per_prompt)[0]

  def generate_counted(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> tuple[np.ndarray, int]:
    """As `generate`, and how many images were rendered for it."""
    columns = list(zip(prompts, np.asarray(seeds).tolist(), strict=True))
    shape = images_per_prompt, self.image_size, self.image_size, 3
    found = {}
    for column in dict.fromkeys(columns):
      found[column] = self._store.get(self.key(*column), images_per_prompt)
      if found[column] is not None and found[column].shape != shape:
        self._store.packs.drop(
          self.key(*column),
          f'its images are {list(found[column].shape)}, expected {list(shape)}',
        )
        found[column] = None
    missing = [c for c, images in found.items() if images is None]
    if missing:
      new, new_seeds = zip(*missing)
      images = self._model.generate(
        new, np.array(new_seeds, np.uint64), images_per_prompt
      )
      self._store.put(self.model_id, new, new_seeds, images)
      found.update(zip(missing, images))
    out = np.empty((len(columns), *shape), np.uint8)
    for row, column in zip(out, columns):
      row[:] = found[column]
    return out, len(missing) * images_per_prompt

  def key(self, prompt: str, seed: int) -> str:
    """What a column's images are found by."""
    return column_key(self.model_id, prompt, seed)

  def close(self) -> None:
    self._model.close()


def _encode(image: np.ndarray) -> bytes:
  """The PNG of uint8 [H, W, 3]."""
  out = io.BytesIO()
  Image.fromarray(image).save(out, 'PNG', compress_level=_PNG_LEVEL)
  return out.getvalue()


def _decode(data: bytes) -> np.ndarray:
  """uint8 [H, W, 3]; ValueError where it is no such image."""
  try:
    with Image.open(io.BytesIO(data), formats=('PNG',)) as image:
      pixels = np.asarray(image)
  except Exception as e:  # Decoders raise all kinds of errors.
    raise ValueError(f'{type(e).__name__}: {" ".join(str(e).split())}') from e
  if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
    raise ValueError(f'{pixels.dtype}{list(pixels.shape)}')
  return pixels
