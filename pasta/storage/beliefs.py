"""What is believed of people, kept from session to session: a file a person.

A belief means something to the user model that it was formed with, and to no
other: files say which that was.

Letters: K user types, J values of generosity.
"""

import os
import re
from typing import Any, NamedTuple

import numpy as np

from pasta import errors, files

FORMAT = 'pasta-belief'
VERSION = 1
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}')
_TOLERANCE = 1e-3  # of the sum of probabilities


class Kept(NamedTuple):
  """What is kept of a person.

  Attributes:
    log_joint: over type and generosity, normalised [K, J].
    session_ids: the sessions that it rests on, oldest first.
  """

  log_joint: np.ndarray
  session_ids: tuple[str, ...]


def path(directory: str, person: str) -> str:
  """Where a person's belief lies.

  Raises:
    PastaError: the name cannot be that of a file.
  """
  if not _NAME.fullmatch(person):
    raise errors.PastaError(
      f'{person!r:.80} is no name of a person: expected 1 to 64 letters, '
      "digits, '_', '.' or '-', the first of them none of the last two"
    )
  return os.path.join(directory, f'{person}.json')


def save(
  directory: str, person: str, user_model: str, kept: Kept, before: Kept | None
) -> None:
  """Writes what is believed of a person after one more session.

  Args:
    directory: made where it does not exist.
    person: their name.
    user_model: fingerprint of the user model.
    kept: what is believed now.
    before: what `load` gave when the session began.

  Raises:
    PastaError: somebody of that name has had another session meanwhile; what
      was believed after that one stays.
  """
  where = path(directory, person)
  found = load(directory, person, user_model, kept.log_joint.shape)
  if (found and found.session_ids) != (before and before.session_ids):
    raise errors.PastaError(
      f'{where}: {person!r} has had another session since this one began; is '
      'the name that of two people? The belief after this session is not kept'
    )
  os.makedirs(directory, exist_ok=True)
  files.write_json(
    where,
    {
      'format': FORMAT,
      'version': VERSION,
      'person': person,
      'user_model': user_model,
      'session_ids': list(kept.session_ids),
      'log_joint': np.asarray(kept.log_joint, np.float64),
    },
  )


def load(
  directory: str, person: str, user_model: str, shape: tuple[int, int]
) -> Kept | None:
  """Reads what is believed of a person; None where nothing is kept.

  Args:
    directory: given to `save`.
    person: their name.
    user_model: fingerprint of the user model that goes on with it.
    shape: (K, J) of that user model.

  Raises:
    PastaError: the file is damaged, or the belief another user model's.
  """
  where = path(directory, person)
  if not os.path.exists(where):
    return None
  content = files.read_json(where)
  _check(where, content, person)
  log_joint = np.array(content['log_joint'], np.float64)
  if content['user_model'] != user_model or log_joint.shape != shape:
    raise errors.PastaError(
      f'{where}: this belief is over {log_joint.shape[0]} types of the user '
      f'model {content["user_model"]:.12}, not over the {shape[0]} of '
      f'{user_model:.12}; move the file away to begin anew with {person!r}'
    )
  return Kept(log_joint.astype(np.float32), tuple(content['session_ids']))


def _check(where: str, content: Any, person: str) -> None:
  """Raises PastaError where a file is not what `save` writes."""
  expected = {'format': str, 'version': int, 'person': str, 'user_model': str}
  expected |= {'session_ids': list, 'log_joint': list}
  fits = isinstance(content, dict) and all(
    isinstance(content.get(name), kind) for name, kind in expected.items()
  )
  if not fits or content['format'] != FORMAT or content['version'] != VERSION:
    raise errors.PastaError(
      f'{where}: not the belief about a person, expected {FORMAT} version '
      f'{VERSION}'
    )
  if content['person'] != person:
    raise errors.PastaError(
      f'{where}: is the belief about {content["person"]!r:.80}, expected '
      f'{person!r}'
    )
  try:
    joint = np.exp(np.array(content['log_joint'], np.float64))
  except (TypeError, ValueError):
    joint = np.zeros(0)
  if joint.ndim != 2 or not abs(joint.sum() - 1.0) < _TOLERANCE:
    raise errors.PastaError(
      f"{where}: 'log_joint' is not a table of log probabilities that sum to 1"
    )
