"""What the stage render has left, column by column."""

import json
import os
from typing import Any

import numpy as np

from pasta import errors
from pasta import workdir as workdir_lib
from pasta.encoders import store as feature_store
from pasta.t2i import store as image_store

FORMAT = 'pasta-rendered'
VERSION = 1


class Rendered:
  """The columns of a request, in order.

  Attributes:
    model_id: what drew the images.
    encoder_id: what made the features; '' where nothing did.
    columns: of each, 'prompt', 'seed', 'num_images' and the keys 'images',
      'image_features' and 'text_features'; of sessions also 'session_id',
      'turn' and 'candidate'.
  """

  def __init__(self, workdir: str):
    """Opens WORKDIR/rendered.

    Raises:
      PastaError: the stage has not finished there, or a file is broken.
    """
    directory = os.path.join(workdir, 'rendered')
    store = workdir_lib.read_done(directory, 'render')['info']['store']
    path = os.path.join(directory, 'request.jsonl')
    header, *self.columns = _read_lines(path)
    if header.get('format') != FORMAT or header.get('version') != VERSION:
      raise errors.PastaError(
        f'{path}: its first line is no header of {FORMAT}, version {VERSION}'
      )
    if len(self.columns) != header['num_columns']:
      raise errors.PastaError(
        f'{path}: truncated: header promises {header["num_columns"]} columns, '
        f'{len(self.columns)} found'
      )
    self.model_id = header['model_id']
    self.encoder_id = header['encoder_id']
    store = os.path.join(directory, store)
    self._images = image_store.ImageStore(store)
    self._features = feature_store.FeatureStore(store)
    self._store = store

  def __len__(self) -> int:
    return len(self.columns)

  def images(self, i: int) -> np.ndarray:
    """Images of column i, uint8 [M, H, W, 3]; PastaError if not there."""
    column = self.columns[i]
    found = self._images.get(column['images'], column['num_images'])
    return self._checked(found, i, 'images')

  def image_features(self, i: int) -> np.ndarray:
    """Their features, float16 [M, D]; PastaError if not there."""
    column = self.columns[i]
    key, num = column.get('image_features'), column['num_images']
    found = self._features.get(key, num) if key else None
    return self._checked(found, i, 'image features')

  def text_features(self, i: int) -> np.ndarray:
    """Features of the prompt of column i, float16 [D]; PastaError likewise."""
    key = self.columns[i].get('text_features')
    found = self._features.get(key, 1) if key else None
    return self._checked(found, i, 'text features')[0]

  def _checked(self, found: np.ndarray | None, i: int, what: str) -> np.ndarray:
    if found is None:
      raise errors.PastaError(
        f'{self._store}: lacks the {what} of column {i}, '
        f'{self.columns[i]["prompt"][:80]!r}: run launch.render again'
      )
    return found


def _read_lines(path: str) -> list[dict[str, Any]]:
  try:
    with open(path, encoding='utf-8') as f:
      lines = [json.loads(line) for line in f]
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from e
  except ValueError as e:
    raise errors.PastaError(f'{path}: is truncated or not JSON: {e}') from e
  if not lines or not isinstance(lines[0], dict):
    raise errors.PastaError(f'{path}: holds no request')
  return lines
