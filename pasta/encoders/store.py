"""Features on disk, by what was encoded and by which encoder."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pasta.encoders import clip
from pasta.storage import pack_files, packs


def image_key(encoder: clip.ClipEncoder, column_key: str) -> str:
  """What the features of a column's images are found by."""
  how = dataclasses.asdict(encoder.preprocessing)
  return packs.digest('image', *_identity(encoder), how, column_key)


def text_key(encoder: clip.ClipEncoder, text: str) -> str:
  """What a text's features are found by."""
  return packs.digest('text', *_identity(encoder), text)


def _identity(encoder: clip.ClipEncoder) -> tuple[str, str]:
  return encoder.encoder_id, encoder.dtype


class FeatureStore:
  """Rows of float16 features.

  Attributes:
    packs: the files.
  """

  def __init__(self, directory: str):
    """Opens the store that a directory holds, or begins one.

    Raises:
      PastaError: the directory cannot be written, or holds something else.
    """
    directory = pack_files.open_store(directory)
    self.packs = packs.Packs(os.path.join(directory, 'features'))

  def has(self, key: str, num: int) -> bool:
    """Whether a key has that many rows; none is read."""
    return self.packs.num_parts(key) >= num

  def get(self, key: str, num: int) -> np.ndarray | None:
    """A key's first rows, float16 [num, D]; None if they are not there."""
    parts = self.packs.get(key, num)
    if parts is None:
      return None
    return np.stack([np.frombuffer(part, '<f2') for part in parts])

  def put(
    self,
    keys: Sequence[str],
    features: np.ndarray,
    info: Sequence[Mapping[str, Any]],
  ) -> None:
    """Writes features float16 [N, rows, D] of N keys.

    Args:
      keys: from `image_key` or `text_key`.
      features: of each.
      info: what tells a person what each is.

    Raises:
      PastaError: they cannot be written.
    """
    self.packs.put(
      [
        packs.Entry(key, [row.astype('<f2').tobytes() for row in rows], about)
        for key, rows, about in zip(keys, features, info, strict=True)
      ]
    )
