"""Makes images and features, or takes them from a store."""

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import ml_collections
import numpy as np

from pasta import errors
from pasta.encoders import clip
from pasta.encoders import store as feature_store
from pasta.t2i import base as t2i_lib
from pasta.t2i import build as t2i_build
from pasta.t2i import store as image_store

# Columns that are rendered and encoded together: small enough that encoding
# one chunk overlaps with rendering the next.
CHUNK_COLUMNS = 64


class Column(NamedTuple):
  """M images of a prompt.

  Attributes:
    prompt: a text.
    seed: of the images, an unsigned integer.
    num_images: M.
  """

  prompt: str
  seed: int
  num_images: int


class Store:
  """What was made before, by this or another run.

  Attributes:
    images: of columns; None where only features are kept.
    features: of texts and of columns.
  """

  def __init__(self, directory: str, store_images: bool):
    """Opens a store, or begins one.

    Raises:
      PastaError: the directory cannot be written, or holds something else.
    """
    self.images = image_store.ImageStore(directory) if store_images else None
    self.features = feature_store.FeatureStore(directory)
    self._packs = [self.features.packs]
    if self.images:
      self._packs.append(self.images.packs)

  @property
  def num_damaged(self) -> int:
    """Entries that were found to be damaged so far."""
    return sum(p.num_damaged for p in self._packs)

  def refresh(self) -> None:
    """Learns what all processes have written."""
    for packs in self._packs:
      packs.refresh()

  def close(self) -> None:
    """Returns when all is on the disk."""
    for packs in self._packs:
      packs.close()


class Maker:
  """A text-to-image model, an encoder and, maybe, a store.

  Features are float16 rounded, whether made or read.

  Attributes:
    model: the text-to-image model itself.
    t2i: the same; with a store of images, it renders what that lacks.
    encoder: makes the features; None where only images are wanted.
    store: None where nothing is kept.
    num_images_made: how many images were rendered so far.
  """

  def __init__(
    self,
    model: t2i_lib.TextToImage,
    encoder: clip.ClipEncoder | None,
    store: Store | None,
    *,
    encode_images: Callable[[np.ndarray], np.ndarray] | None = None,
    chunk_columns: int = CHUNK_COLUMNS,
  ):
    """Of its parts.

    Args:
      model: renders.
      encoder: encodes.
      store: where all is kept.
      encode_images: in place of the encoder's own, e.g. over many devices.
      chunk_columns: columns that are rendered, encoded and stored at once.
    """
    self.model, self.encoder, self.store = model, encoder, store
    self.t2i = stored(model, store)
    self.num_images_made = 0
    self._encode_images = encode_images or (encoder and encoder.encode_images)
    self._chunk_columns = chunk_columns
    # One thread renders ahead while this one encodes.
    self._ahead = concurrent.futures.ThreadPoolExecutor(1)

  def close(self) -> None:
    """Ends the model and the store."""
    self._ahead.shutdown()
    self.model.close()
    if self.store:
      self.store.close()

  def text_features(self, texts: Sequence[str]) -> list[np.ndarray]:
    """Of P distinct texts, float16 [D] each."""
    found, keys = {}, {}
    if self.store:
      keys = {t: feature_store.text_key(self.encoder, t) for t in texts}
      for text, key in keys.items():
        rows = self.store.features.get(key, 1)
        if rows is not None:
          found[text] = rows[0]
    missing = [t for t in texts if t not in found]
    if missing:
      features = self.encoder.encode_text(missing).astype(np.float16)
      found.update(zip(missing, features))
      if self.store:
        about = {'encoder_id': self.encoder.encoder_id}
        self.store.features.put(
          [keys[t] for t in missing],
          features[:, None],
          [{**about, 'text': t} for t in missing],
        )
    return [found[t] for t in texts]

  def image_features(
    self, columns: Sequence[Column]
  ) -> Iterator[tuple[Sequence[Column], Sequence[np.ndarray]]]:
    """Yields distinct columns, in any order, and float16 [M, D] of each."""
    found = {}
    if self.store:
      for column in columns:
        rows = self.store.features.get(self._key(column), column.num_images)
        if rows is not None:
          found[column] = rows
    yield list(found), list(found.values())
    yield from self._make([c for c in columns if c not in found])

  def fill(
    self, columns: Sequence[Column], *, verify: bool = False
  ) -> Iterator[int]:
    """Sees to it that the store has what it keeps of distinct columns.

    Args:
      columns: which.
      verify: whether to read what is there.

    Yields:
      Numbers of columns, as they are done.
    """
    missing = []
    for column in columns:
      if self.is_stored(column, verify=verify):
        yield 1
      else:
        missing.append(column)
    for chunk, _ in self._make(missing):
      yield len(chunk)

  def is_stored(self, column: Column, *, verify: bool = False) -> bool:
    """Whether the store has what it keeps of a column."""
    num, is_there = column.num_images, []
    if self.store.images:
      key = self.t2i.key(column.prompt, column.seed)
      images = self.store.images
      is_there.append(
        images.get(key, num) is not None
        if verify
        else images.num_images(key) >= num
      )
    if self.encoder:
      key, features = self._key(column), self.store.features
      is_there.append(
        features.get(key, num) is not None if verify else features.has(key, num)
      )
    return all(is_there)

  def _key(self, column: Column) -> str:
    return feature_store.image_key(
      self.encoder,
      image_store.column_key(self.model.model_id, column.prompt, column.seed),
    )

  def _make(
    self, columns: Sequence[Column]
  ) -> Iterator[tuple[Sequence[Column], Sequence[np.ndarray]]]:
    """Renders, encodes and stores in chunks; yields each with its features."""
    by_size = {}
    for column in columns:
      by_size.setdefault(column.num_images, []).append(column)
    size = self._chunk_columns
    chunks = [
      same[i : i + size]
      for same in by_size.values()
      for i in range(0, len(same), size)
    ]
    ahead = None
    for i, chunk in enumerate(chunks):
      images, num_made = ahead.result() if ahead else self._render(chunk)
      if i + 1 < len(chunks):
        ahead = self._ahead.submit(self._render, chunks[i + 1])
      self.num_images_made += num_made
      yield chunk, self._encode(chunk, images)

  def _render(self, chunk: Sequence[Column]) -> tuple[np.ndarray, int]:
    """Images uint8 [P, M, H, W, 3], and how many were rendered for it."""
    prompts, seeds, (num, *_) = zip(*chunk)
    seeds = np.array(seeds, np.uint64)
    if isinstance(self.t2i, image_store.StoredTextToImage):
      return self.t2i.generate_counted(prompts, seeds, num)
    return self.t2i.generate(prompts, seeds, num), len(chunk) * num

  def _encode(
    self, chunk: Sequence[Column], images: np.ndarray
  ) -> Sequence[np.ndarray]:
    """Features float16 [P, M, D]; empty where there is no encoder."""
    if self.encoder is None:
      return ()
    features = self._encode_images(images.reshape(-1, *images.shape[2:]))
    features = features.reshape(*images.shape[:2], -1).astype(np.float16)
    if self.store:
      about = {
        'encoder_id': self.encoder.encoder_id,
        'model_id': self.model.model_id,
      }
      keys = [self._key(column) for column in chunk]
      num = features.shape[1]
      # Where only the images were missing they are there.
      new = [
        i for i, k in enumerate(keys) if not self.store.features.has(k, num)
      ]
      self.store.features.put(
        [keys[i] for i in new],
        features[new],
        [{**about, **chunk[i]._asdict()} for i in new],
      )
    return features


def stored(
  model: t2i_lib.TextToImage, store: Store | None
) -> t2i_lib.TextToImage:
  """The model, which renders only what a store of images lacks."""
  if store is None or store.images is None:
    return model
  return image_store.StoredTextToImage(model, store.images)


def build_t2i(config: ml_collections.ConfigDict) -> t2i_lib.TextToImage:
  """Makes the model that `world.t2i` names; -1 workers are one a core.

  Raises:
    PastaError: a field is unknown or out of range.
  """
  config = ml_collections.ConfigDict(config.to_dict())
  if config.num_workers < 0:
    config.num_workers = len(os.sched_getaffinity(0))
  try:
    return t2i_build.build(config)
  except ValueError as e:
    raise errors.PastaError(str(e)) from None


def open_store(config: ml_collections.ConfigDict) -> Store | None:
  """The store that `world.t2i` names; None where it names none."""
  return Store(config.store, config.store_images) if config.store else None
