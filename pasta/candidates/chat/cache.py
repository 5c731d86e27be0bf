"""Answers of a language model on disk: reruns and replays are exact.

One small JSON file an answer, named for everything that the model was told
(model, messages, images, schema, seed, temperature, ...). The address of the
server and its key are no part of it.
"""

import hashlib
import json
import os
from typing import Any

from pasta import errors, files

MODES = ('off', 'read_write', 'replay')


def digest(request: dict[str, Any]) -> str:
  """What stands for a request: 64 hexadecimal digits."""
  text = json.dumps(request, sort_keys=True, ensure_ascii=True)
  return hashlib.sha256(text.encode()).hexdigest()


class Cache:
  """Answers by the digest of their request.

  Attributes:
    mode: 'off', 'read_write' or 'replay', one of MODES.
    directory: where the files lie.
  """

  def __init__(self, mode: str, directory: str):
    """Args: as the attributes; '' is a directory among pasta's caches."""
    self.mode = mode
    self.directory = directory or os.path.join(files.cache_dir(), 'chat')

  def read(self, name: str) -> str | None:
    """The answer to the request with this digest, None where there is none.

    Raises:
      PastaError: the file cannot be read; or mode 'replay' has no answer.
    """
    if self.mode == 'off':
      return None
    path = self._path(name)
    if not os.path.exists(path):
      if self.mode == 'replay':
        raise errors.PastaError(
          f"config field 'candidates.chat.cache' is 'replay', but there is no "
          f'recorded answer {name} in {self.directory}'
        )
      return None
    content = files.read_json(path)
    if not isinstance(content, dict) or not isinstance(
      content.get('answer'), str
    ):
      raise errors.PastaError(f"{path}: has no text 'answer'")
    return content['answer']

  def write(self, name: str, answer: str, about: dict[str, Any]) -> None:
    """Keeps an answer.

    Args:
      name: digest of its request.
      answer: what the model wrote.
      about: what a person wants to know who looks into the file.

    Raises:
      PastaError: the directory cannot be written.
    """
    if self.mode != 'read_write':
      return
    path = self._path(name)
    # Half a surrogate pair is no text for a file.
    answer = answer.encode('utf-8', 'replace').decode()
    try:
      os.makedirs(os.path.dirname(path), exist_ok=True)
      files.write_json(path, {**about, 'answer': answer})
    except OSError as e:
      raise errors.PastaError(
        f'{path}: cannot be written: {e.strerror} (config field '
        "'candidates.chat.cache_dir')"
      ) from e

  def _path(self, name: str) -> str:
    return os.path.join(self.directory, name[:2], f'{name}.json')
