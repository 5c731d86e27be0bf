"""Fitted user models on disk."""

import dataclasses
import json
import os
from typing import Any

import jax
import numpy as np

from pasta import checkpoint, errors, files
from pasta.user_model import heads as heads_lib
from pasta.user_model import scores
from pasta.user_model.model import UserModel

ONE_TYPE = 'one_type'  # directory of the fit with K = 1, in the other's
_INFO = 'user_model.json'


def save(directory: str, model: UserModel, info: dict[str, Any]) -> None:
  """Writes a fitted model.

  Args:
    directory: where to.
    model: the user model.
    info: plain values; must hold 'encoder_id'.
  """
  if 'encoder_id' not in info:
    raise errors.PastaError(
      'info lacks encoder_id, which says what the model reads'
    )
  checkpoint.save_params(os.path.join(directory, 'model'), model)
  scorer = model.scorer
  content = {
    'scorer': type(scorer).__name__,
    'settings': (
      vars(scorer.settings) if type(scorer) is heads_lib.Heads else None
    ),
    'shapes': jax.tree.map(
      lambda x: {'shape': x.shape, 'dtype': str(x.dtype)}, _arrays(model)
    ),
    'info': dict(info),
  }
  files.atomic_write(
    os.path.join(directory, _INFO), json.dumps(content, indent=2) + '\n'
  )


def _arrays(model: UserModel) -> dict[str, Any]:
  """All arrays of a model, by field."""
  return {k: v for k, v in vars(model).items() if k != 'scorer'}


def load(
  directory: str,
  encoder_id: str | None = None,
  scorer: scores.Scorer | None = None,
) -> UserModel:
  """Reads a fitted model.

  Args:
    directory: as given to `save`.
    encoder_id: the encoder that will make its inputs; None checks nothing.
    scorer: the form of its scores; None: the heads that it was saved with.

  Raises:
    PastaError: no model there, a damaged one, one of another encoder, or one
      whose scores are not the default heads', without a scorer.
  """
  content = _read(directory)
  made_by = content['info']['encoder_id']
  if encoder_id is not None and encoder_id != made_by:
    raise errors.PastaError(
      f'{directory}: the user model reads features of encoder {made_by}, not '
      f'of {encoder_id}; train it again on features of that encoder'
    )
  if scorer is None:
    if content['settings'] is None:
      raise errors.PastaError(
        f'{directory}: the user model was fitted with the scorer '
        f'{content["scorer"]}; hand that over to load it'
      )
    scorer = heads_lib.Heads(heads_lib.HeadSettings(**content['settings']))
  elif type(scorer).__name__ != content['scorer']:
    raise errors.PastaError(
      f'{directory}: the user model was fitted with the scorer '
      f'{content["scorer"]}, not {type(scorer).__name__}'
    )
  fields = {f.name for f in dataclasses.fields(UserModel)} - {'scorer'}
  if set(content['shapes']) != fields:
    raise errors.PastaError(
      f'{directory}: the user model was saved by another version of pasta (it '
      f'has not, or alone, {sorted(fields ^ set(content["shapes"]))}); train '
      'it again in a new directory'
    )
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x['shape'], np.dtype(x['dtype'])),
    content['shapes'],
    is_leaf=lambda x: isinstance(x, dict) and set(x) == {'shape', 'dtype'},
  )
  return checkpoint.load_params(
    os.path.join(directory, 'model'), UserModel(**abstract, scorer=scorer)
  )


def encoder_id(directory: str) -> str:
  """Whose features a model reads; PastaError as `load`."""
  return _read(directory)['info']['encoder_id']


def load_one_type(directory: str, encoder_id: str) -> UserModel | None:
  """The fit with one type beside a model; None where none was made."""
  where = os.path.join(directory, ONE_TYPE)
  if not os.path.exists(os.path.join(where, _INFO)):
    return None
  return load(where, encoder_id)


def _read(directory: str) -> dict[str, Any]:
  path = os.path.join(directory, _INFO)
  content = checkpoint.read_info(
    directory, _INFO, what='user model', stage='train_user_model'
  )
  missing = {'scorer', 'settings', 'shapes', 'info'} - set(content)
  if missing or 'encoder_id' not in content['info']:
    raise errors.PastaError(
      f'{path}: lacks {sorted(missing) or "info.encoder_id"}'
    )
  return content
