"""The pretrained Gemma below a value function: which one, and how it is tuned.

What training does not move is loaded once, is an argument of every compiled
function, and is never written: a value function's files name the Gemma that
they belong to, by its place and a fingerprint.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import ml_collections

from pasta import errors
from pasta.agent import rivals
from pasta.agent.settings import GemmaSettings, Tokeniser
from pasta.gemma import model as gemma_model
from pasta.types import PyTree

TUNINGS = ('lora', 'full', 'head')
_DTYPES = ('bfloat16', 'float32')
_MIN_TOKENS = 8


@dataclasses.dataclass(frozen=True)
class Base:
  """A pretrained Gemma, loaded.

  Attributes:
    settings: which one, and what of it is trained.
    params: where training starts from.
  """

  settings: GemmaSettings
  params: PyTree

  @property
  def frozen(self) -> PyTree:
    """The parameters that training never moves; None where it moves all."""
    return None if self.settings.tuning == 'full' else self.params


def load(config: ml_collections.ConfigDict) -> Base:
  """The Gemma that a config of train_value names.

  Raises:
    PastaError: a field that this backbone cannot have, or a model that cannot
      be loaded (see `gemma_model.load`).
  """
  check(config)
  fields = config.gemma.to_dict()
  del fields['learning_rate']  # The optimiser's.
  fields['targets'] = tuple(fields['targets'])
  return _load(**fields)


def check(config: ml_collections.ConfigDict) -> None:
  """Raises PastaError for fields that the backbone 'gemma' cannot have."""
  c = config.gemma
  if not c.path:
    raise errors.PastaError(
      "config field 'gemma.path' is not set, but backbone is 'gemma': give a "
      "directory or a hub id such as 'google/gemma-2b'"
    )
  for field, known in (('tuning', TUNINGS), ('dtype', _DTYPES)):
    if c[field] not in known:
      raise errors.PastaError(
        f"config field 'gemma.{field}' is {c[field]!r}: expected one of {known}"
      )
  for field, least in (('max_tokens', _MIN_TOKENS), ('chunk_texts', 1)):
    if c[field] < least:
      raise errors.PastaError(
        f"config field 'gemma.{field}' is {c[field]}: expected at least {least}"
      )
  if config.credit == 'slate':
    raise errors.PastaError(
      "config field 'credit' is 'slate', a critic of whole slates, which "
      "backbone 'gemma' does not have: expected 'mean' or 'choice'"
    )
  if config.backup in rivals.NEED_POOL:
    raise errors.PastaError(
      f"config field 'backup' is '{config.backup}', which values all logged "
      "candidates, but backbone 'gemma' reads the shown ones only: expected "
      f'none of {rivals.NEED_POOL}'
    )


def reload(stored: Mapping[str, Any], where: str) -> Base:
  """The Gemma that a value function was trained on.

  Args:
    stored: of `GemmaSettings.to_json`.
    where: the file that holds it, for errors.

  Raises:
    PastaError: it cannot be loaded, or another model is there now.
  """
  fields = dict(stored)
  expected = fields.pop('fingerprint')
  fields['targets'] = tuple(fields['targets'])
  base = _load(**fields)
  if base.settings.fingerprint != expected:
    raise errors.PastaError(
      f'{where}: this value function was trained on the Gemma {expected}, but '
      f'{base.settings.path} holds {base.settings.fingerprint} now'
    )
  return base


def _load(path: str, max_tokens: int, **fields: Any) -> Base:
  expanded = os.path.expanduser(path)
  if os.path.isdir(expanded):
    path = os.path.abspath(expanded)
  # Small steps are lost in bfloat16 where parameters themselves are trained.
  is_trained = fields['tuning'] == 'full'
  architecture, params, tokenizer = gemma_model.load(
    path, jnp.float32 if is_trained else fields['dtype']
  )
  positions = architecture.max_position_embeddings
  if max_tokens > positions:
    raise errors.PastaError(
      f"config field 'gemma.max_tokens' is {max_tokens}, but the Gemma at "
      f'{path} has {positions} positions'
    )
  settings = GemmaSettings(
    path=path,
    fingerprint=gemma_model.fingerprint(path),
    max_tokens=max_tokens,
    architecture=architecture,
    tokeniser=Tokeniser(tokenizer, max_tokens),
    **fields,
  )
  return Base(settings, params)
