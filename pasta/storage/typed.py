"""Initial prompts: what people have typed, or a list of one's own."""

import hashlib
import os
from collections.abc import Sequence

from absl import logging

from pasta import errors
from pasta.storage import sessions

MAX_CHARACTERS = 1000


def typed_in(directory: str) -> tuple[str, ...]:
  """Distinct initial prompts of the sessions in a directory, sorted."""
  return tuple(sorted({s.initial_prompt for s in sessions.read_dir(directory)}))


def own_prompts(path: str) -> tuple[str, ...]:
  """Prompts of a stage's config field `prompts`; () where it is empty.

  Raises:
    PastaError: as `read`; or a prompt has more than MAX_CHARACTERS.
  """
  if not path:
    return ()
  found = tuple(read(os.path.expanduser(path)))
  for prompt in found:
    if len(prompt) > MAX_CHARACTERS:
      raise errors.PastaError(
        f'{path}: the prompt {prompt[:30]!r}... has {len(prompt)} characters, '
        f'expected at most {MAX_CHARACTERS}'
      )
  return found


def fingerprints(prompts: Sequence[str]) -> list[str]:
  """What stands for own prompts among a stage's inputs; [] for none."""
  text = '\n'.join(prompts)
  return [hashlib.sha256(text.encode()).hexdigest()[:16]] if prompts else []


def read(path: str) -> list[str]:
  """Distinct prompts of a text file, one a line; blank lines do not count.

  Raises:
    PastaError: it cannot be read, is not UTF-8 or holds no prompt.
  """
  try:
    with open(path, 'rb') as f:
      data = f.read()
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from e
  try:
    text = data.decode('utf-8-sig')
  except UnicodeDecodeError as e:
    line = data[: e.start].count(b'\n') + 1
    raise errors.PastaError(
      f'{path}: line {line} is not UTF-8 ({e.reason})'
    ) from None
  lines = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
  prompts = [line.strip() for line in lines if line.strip()]
  if not prompts:
    raise errors.PastaError(f'{path}: holds no prompt, expected one a line')
  distinct = list(dict.fromkeys(prompts))
  if len(distinct) < len(prompts):
    logging.info(
      '%s: %d prompts, %d of them distinct', path, len(prompts), len(distinct)
    )
  return distinct
