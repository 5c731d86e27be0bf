"""What a language model is told: instruction files and a session's history.

The files are plain text that a person can edit; `$name` marks what is filled
in, `$$` a dollar sign. The person's words only ever stand inside JSON.
"""

import base64
import dataclasses
import io
import itertools
import json
import string
from typing import Any

import numpy as np
from PIL import Image

from pasta.candidates import counters as counters_lib
from pasta.candidates import instruction_files
from pasta.types import CATEGORIES, PromptHistory

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
      missing, or the categories are not those of types.CATEGORIES.
  """
  files = instruction_files.read(
    directory, _FILES, 'candidates.chat.instructions'
  )
  files.check_placeholders(_KNOWN, _REQUIRED)
  described = files.categories()
  return Instructions(
    system=string.Template(files.texts['system.txt']),
    user=string.Template(files.texts['user.txt']),
    categories='\n'.join(f'- {c}: {text}' for c, text in described.items()),
    pictures=' '.join(files.texts['pictures.txt'].split()),
    digest=files.digest,
  )


def messages(
  instructions: Instructions,
  history: PromptHistory,
  *,
  num_candidates: int,
  max_words: int,
  images: np.ndarray | None,
  counters: counters_lib.Counters,
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
    'num_per_category': num_candidates // len(CATEGORIES),
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
      'category': {'type': 'string', 'enum': list(CATEGORIES)},
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


def _session(history: PromptHistory, counters: counters_lib.Counters) -> str:
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
