"""What tests of the chat generator ask, and check in each answer."""

import collections
import json
import pathlib
import shutil

import numpy as np
from chat_server import content

from pasta.candidates import english, instruction_files
from pasta.types import CATEGORIES, PromptHistory

KEY = 'sk-secret-1234567890'
FOX = PromptHistory('a fox')
LATER = PromptHistory(
  'a fox',
  ('a fox in snow', 'a red fox in snow'),
  (('a fox at night',), ('a blue fox in snow', 'a fox cub')),
  ('', 'warmer "light"\nplease'),
)


def ask(generator, histories=(FOX,), seed=0, **options):
  return generator.propose(
    histories, np.arange(len(histories)) + seed, **options
  )


def check_pool(pool, history=FOX):
  """25 valid candidates."""
  assert collections.Counter(c.category for c in pool) == dict.fromkeys(
    CATEGORIES, 5
  )
  assert len({' '.join(c.text.lower().split()) for c in pool}) == 25
  assert history.current not in {c.text for c in pool}
  assert len({c.category for c in pool[:5]}) == 5
  for candidate in pool:
    assert candidate.text.strip() and '\n' not in candidate.text
    assert english.cost(candidate.text) <= 36


def counters_of(generator):
  return {k: v for k, v in generator.counters.as_dict().items() if v}


def wrong_length(handler, body, number):
  """Half of an answer, with the length of the whole."""
  handler.close_connection = True
  data = json.dumps({'choices': [{'message': {'content': content()}}]})
  handler.send_response(200)
  handler.send_header('Content-Type', 'application/json')
  handler.send_header('Content-Length', str(len(data)))
  handler.end_headers()
  handler.wfile.write(data[: len(data) // 2].encode())


def own_instructions(directory):
  """The shipped instructions, copied into a directory: to change."""
  for path in pathlib.Path(instruction_files.SHIPPED).iterdir():
    shutil.copy(path, directory)
  return directory
