"""Fitted surrogates on disk."""

import dataclasses
import os
from typing import Any

import jax
import numpy as np

from pasta import checkpoint, errors, files
from pasta.surrogate import flow
from pasta.surrogate.flow import Surrogate

_INFO_FILE = 'surrogate.json'


def save(directory: str, model: Surrogate, info: dict[str, Any]) -> None:
  """Writes a fitted surrogate.

  Args:
    directory: where to.
    model: the surrogate.
    info: plain values; must hold 'encoder_id' and 't2i_id'.
  """
  for name in ('encoder_id', 't2i_id'):
    if name not in info:
      raise errors.PastaError(
        f'info lacks {name}, which says what the surrogate stands for'
      )
  checkpoint.save_params(os.path.join(directory, 'model'), model)
  files.write_json(
    os.path.join(directory, _INFO_FILE),
    {'settings': dataclasses.asdict(model.settings), 'info': info},
  )


def load(directory: str, encoder_id: str, t2i_id: str) -> Surrogate:
  """Reads a fitted surrogate.

  Args:
    directory: as given to `save`.
    encoder_id: the encoder whose text features it will read.
    t2i_id: the text-to-image model that it is to stand for.

  Raises:
    PastaError: none there, a damaged one, or one of another encoder or
      text-to-image model.
  """
  content = checkpoint.read_info(
    directory, _INFO_FILE, what='surrogate', stage='train_surrogate'
  )
  try:
    settings = flow.Settings(**content['settings'])
    made_by = content['info']['encoder_id'], content['info']['t2i_id']
  except (KeyError, TypeError) as e:
    raise errors.PastaError(
      f'{directory}: its {_INFO_FILE} does not describe a surrogate ({e!r})'
    ) from e
  if made_by != (encoder_id, t2i_id):
    raise errors.PastaError(
      f'{directory}: the surrogate stands for {made_by[1]} as seen by encoder '
      f'{made_by[0]}, not for {t2i_id} and {encoder_id}; train it on sessions '
      'of those'
    )
  dim = settings.embedding_dim
  one, square = np.zeros(dim, np.float32), np.zeros((dim, dim), np.float32)
  constants = {
    'text_mean': one,
    'text_std': one,
    'image_mean': one,
    'image_whiten': square,
    'image_colour': square,
  }
  abstract = jax.eval_shape(
    lambda key: flow.init(key, settings, constants), jax.random.key(0)
  )
  return checkpoint.load_params(os.path.join(directory, 'model'), abstract)
