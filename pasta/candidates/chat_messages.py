"""What a language model is told: instruction files and a session's history.

The files are plain text that a person can edit; `$name` marks what is filled
in, `$$` a dollar sign. The person's words only ever stand inside JSON.
"""

import base64
import dataclasses
import hashlib
import io
import itertools
import json
import os
import string
from typing import Any

import numpy as np
from PIL import Image

from pasta import errors
from pasta.candidates import base, chat_counters

_SHIPPED = os.path.join(os.path.dirname(__file__), 'instructions')
_FILES = ('system.txt', 'user.txt', 'categories.txt', 'pictures.txt')
# What each file may refer to. The session stays out of the system's text.
_KNOWN = {
  'system.txt': {
    'num_candidates',
    'num_per_category',
    'categories',
    'max_words',
  },
  'user.txt': {
    'num_candidates',
    'num_per_category',
    'categories',
    'max_words',
    'history',
  },
}
_REQUIRED = ('categories', 'max_words', 'num_candidates', 'history')
_MAX_CHARS = 1500  # of one text of the history: about 400 tokens


@dataclasses.dataclass(frozen=True)
class Instructions:
  """The texts of an instruction directory, checked.

  Attributes:
    system: template of the system's message.
    user: template of the user's message.
    categories: one line a category, as it stands in the messages.
    pictures: introduces the attached pictures.
    digest: stands for all of these, eight hexadecimal digits.
  """

  system: string.Template
  user: string.Template
  categories: str
  pictures: str
  digest: str


def load(directory: str) -> Instructions:
  """Reads and checks instruction files.

  Args:
    directory: holds system.txt, user.txt, categories.txt and pictures.txt; ''
      for the shipped ones.

  Raises:
    PastaError: a file is missing or not text, a placeholder is unknown or
      missing, or the categories are not those of base.CATEGORIES.
  """
  directory = directory or _SHIPPED
  texts = {name: _read(os.path.join(directory, name)) for name in _FILES}
  used = set()
  for name, known in _KNOWN.items():
    used |= _check_placeholders(
      os.path.join(directory, name), texts[name], known
    )
  missing = [name for name in _REQUIRED if name not in used]
  if missing:
    raise errors.PastaError(
      f'{directory}: neither system.txt nor user.txt refers to '
      + ', '.join(f'${name}' for name in missing)
    )
  digest = hashlib.sha256('\0'.join(texts.values()).encode()).hexdigest()[:8]
  return Instructions(
    system=string.Template(texts['system.txt']),
    user=string.Template(texts['user.txt']),
    categories=_categories(
      os.path.join(directory, 'categories.txt'), texts['categories.txt']
    ),
    pictures=' '.join(texts['pictures.txt'].split()),
    digest=digest,
  )


def messages(
  instructions: Instructions,
  history: base.PromptHistory,
  *,
  num_candidates: int,
  max_words: int,
  images: np.ndarray | None,
  counters: chat_counters.Counters,
) -> list[dict[str, Any]]:
  """The messages of one request.

  Args:
    instructions: what to say.
    history: the session so far.
    num_candidates: C.
    max_words: longest prompt that is asked for.
    images: pictures of the prompt chosen last, uint8 [M, H, W, 3], or None.
    counters: counts texts that are cut.

  Returns:
    Two messages in OpenAI's form.
  """
  values = {
    'num_candidates': num_candidates,
    'num_per_category': num_candidates // len(base.CATEGORIES),
    'categories': instructions.categories,
    'max_words': max_words,
    'history': _session(history, counters),
  }
  text = instructions.user.substitute(values).strip()
  content: Any = text
  if images is not None:
    content = [
      {'type': 'text', 'text': f'{text}\n\n{instructions.pictures}'},
      {'type': 'image_url', 'image_url': {'url': _data_url(images)}},
    ]
  return [
    {
      'role': 'system',
      'content': instructions.system.substitute(values).strip(),
    },
    {'role': 'user', 'content': content},
  ]


def schema(num_candidates: int) -> dict[str, Any]:
  """The JSON schema of an answer with C candidates."""
  item = {
    'type': 'object',
    'properties': {
      'category': {'type': 'string', 'enum': list(base.CATEGORIES)},
      'text': {'type': 'string'},
    },
    'required': ['category', 'text'],
    'additionalProperties': False,
  }
  return {
    'type': 'object',
    'properties': {
      'candidates': {
        'type': 'array',
        'items': item,
        'minItems': num_candidates,
        'maxItems': num_candidates,
      }
    },
    'required': ['candidates'],
    'additionalProperties': False,
  }


def _read(path: str) -> str:
  try:
    with open(path, encoding='utf-8') as f:
      text = f.read()
  except OSError as e:
    raise errors.PastaError(
      f"{path}: cannot be read: {e.strerror}; 'candidates.chat.instructions' "
      f'names a directory with {", ".join(_FILES)}'
    ) from e
  except UnicodeDecodeError as e:
    raise errors.PastaError(f'{path}: is not UTF-8: {e}') from e
  if not text.strip():
    raise errors.PastaError(f'{path}: is empty')
  return text


def _check_placeholders(path: str, text: str, known: set[str]) -> set[str]:
  template = string.Template(text)
  if not template.is_valid():
    raise errors.PastaError(
      f'{path}: a $ begins no placeholder; write $$ for a dollar sign'
    )
  names = set(template.get_identifiers())
  for name in sorted(names - known):
    raise errors.PastaError(
      f'{path}: refers to ${name}, expected one of '
      + ', '.join(f'${n}' for n in sorted(known))
    )
  return names


def _categories(path: str, text: str) -> str:
  """Checks `name: description` lines; returns them as a list."""
  lines = [line for line in text.splitlines() if line.strip()]
  described = {}
  for line in lines:
    name, colon, description = (part.strip() for part in line.partition(':'))
    if name not in base.CATEGORIES or not colon or not description:
      raise errors.PastaError(
        f'{path}: the line {line!r} is not "category: description" with one '
        f'of {", ".join(base.CATEGORIES)}'
      )
    if name in described:
      raise errors.PastaError(f'{path}: describes {name} twice')
    described[name] = description
  for name in base.CATEGORIES:
    if name not in described:
      raise errors.PastaError(f'{path}: does not describe {name}')
  return '\n'.join(f'- {name}: {text}' for name, text in described.items())


def _session(
  history: base.PromptHistory, counters: chat_counters.Counters
) -> str:
  """The history as JSON, its texts short enough for any model's window."""

  def clip(text: str) -> str:
    # Half a surrogate pair is no text for a server.
    text = text.encode('utf-8', 'replace').decode()
    if len(text) > _MAX_CHARS:
      counters.add('clipped_inputs')
      text = text[:_MAX_CHARS]
    return text

  turns = [
    {
      'chosen': clip(chosen),
      'rejected': [clip(text) for text in rejected],
      'critique': clip(critique),
    }
    for chosen, rejected, critique in itertools.zip_longest(
      history.chosen, history.rejected, history.critiques, fillvalue=''
    )
  ]
  session = {
    'initial_prompt': clip(history.initial_prompt),
    'turns': turns,
    'current_prompt': clip(history.current),
  }
  return json.dumps(session, ensure_ascii=False, indent=1)


def _data_url(images: np.ndarray) -> str:
  """M pictures side by side, as a PNG in a URL."""
  strip = np.concatenate(list(images), axis=1)  # [H, M * W, 3]
  buffer = io.BytesIO()
  Image.fromarray(strip).save(buffer, format='PNG')
  return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode()
