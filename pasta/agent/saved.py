"""Fitted value models on disk."""

import functools
import os
from typing import Any

import jax

from pasta import checkpoint, errors, files
from pasta.agent import backbones, value_model
from pasta.agent.settings import NetworkSettings
from pasta.agent.value_model import ValueModel

_INFO_FILE = 'value_model.json'
_VERSION = 6
# Settings that came after version 6 did, and what they were before.
_CAME_LATER = {'item_text': True}


def save(directory: str, model: ValueModel, info: dict[str, Any]) -> None:
  """Writes the model, what it was trained on, and `info`.

  Args:
    directory: made where it does not exist.
    model: the value model.
    info: plain JSON; 'encoder_id' and 'generator_id' are required.
  """
  for name in ('encoder_id', 'generator_id'):
    if name not in info:
      raise ValueError(f'info lacks {name}, where the features come from')
  params = model.replace(frozen=None)
  checkpoint.save_params(os.path.join(directory, 'params'), params)
  of_gemma = model.settings.gemma
  settings = vars(model.settings) | {'gemma': of_gemma and of_gemma.to_json()}
  files.write_json(
    os.path.join(directory, _INFO_FILE),
    {
      'version': _VERSION,
      'score': model.score,
      'predicts': model.predicts,
      'num_members': model.num_members,
      'settings': settings,
      'info': info,
    },
  )


def load(
  directory: str,
  encoder_id: str | None = None,
  generator_id: str | None = None,
) -> ValueModel:
  """Reads what `save` wrote.

  Args:
    directory: given to `save`.
    encoder_id: of the features that the model will see; None to skip the check.
    generator_id: who will write the candidates; None to skip the check. Values
      of candidates unlike all training candidates are guesses.

  Raises:
    PastaError: nothing complete is there, or it belongs to another encoder,
      generator or Gemma.
  """
  path = os.path.join(directory, _INFO_FILE)
  stored = checkpoint.read_info(
    directory, _INFO_FILE, what='value model', stage='train_value'
  )
  if stored.get('version') != _VERSION:
    raise errors.PastaError(
      f'{path}: version {stored.get("version")}, expected {_VERSION}'
    )
  trained_on = stored['info']['encoder_id']
  if encoder_id is not None and encoder_id != trained_on:
    raise errors.PastaError(
      f'{directory}: this value model was trained on features of '
      f'{trained_on}, but the features here are of {encoder_id}'
    )
  generators = stored['info']['generator_id']
  if generator_id is not None and generator_id not in generators.split(' + '):
    raise errors.PastaError(
      f'{directory}: this value function was trained on candidates of '
      f'{generators}, but those here are of {generator_id}; set '
      'allow_unseen_generator = True to see what it does with them'
    )
  fields = _CAME_LATER | stored['settings']
  fields['head_dims'] = tuple(fields['head_dims'])
  frozen = pretrained = None
  base = backbones.of(fields['backbone']).reload(fields['gemma'], path)
  if base is not None:
    fields['gemma'] = base.settings
    frozen, pretrained = base.frozen, base.params
  settings = NetworkSettings(**fields)
  model = checkpoint.load_params(
    os.path.join(directory, 'params'),
    jax.eval_shape(
      functools.partial(
        value_model.blank,
        settings,
        stored['num_members'],
        score=stored['score'],
        predicts=stored['predicts'],
      ),
      pretrained=pretrained,
    ),
  )
  return model.replace(frozen=frozen)
