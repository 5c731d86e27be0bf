"""The files of instructions."""

import os

import pytest
from chat_checks import ask, own_instructions
from chat_server import chat_of

from pasta import errors
from pasta.types import PromptHistory


@pytest.mark.parametrize(
  'name, text, match',
  [
    ('system.txt', None, 'system.txt: cannot be read'),
    ('user.txt', ' \n', 'user.txt: is empty'),
    ('system.txt', 'Write $number prompts.', r'system.txt: refers to \$number'),
    ('system.txt', '$history', r'system.txt: refers to \$history'),
    ('system.txt', 'It costs 5 $.', r'system.txt: a \$ begins no placeholder'),
    ('user.txt', 'Go on: $num_candidates', r'refers to \$history'),
    ('categories.txt', 'mood: x', "categories.txt: the line 'mood: x'"),
    ('categories.txt', 'style: x', 'does not describe rephrase'),
    ('categories.txt', 'style: x\nstyle: y', 'describes style twice'),
    ('pictures.txt', b'\xff\xfe', 'pictures.txt: is not UTF-8'),
  ],
)
def test_wrong_instructions(server, tmp_path, name, text, match):
  directory = own_instructions(tmp_path)
  if text is None:
    os.remove(directory / name)
  elif isinstance(text, bytes):
    (directory / name).write_bytes(text)
  else:
    (directory / name).write_text(text)
  with pytest.raises(errors.PastaError, match=match):
    chat_of(server, tmp_path, instructions=str(directory))


def test_own_instructions(server, tmp_path):
  directory = own_instructions(tmp_path)
  (directory / 'user.txt').write_text('Only $$5!\n$history')
  generator = chat_of(server, tmp_path, instructions=str(directory))
  plain = chat_of(server, tmp_path)
  assert generator.generator_id != plain.generator_id
  ask(generator, [PromptHistory('a fox for $history ${max_words}')])
  said = server.requests[0]['messages'][1]['content']
  assert said.startswith('Only $5!')
  assert '"a fox for $history ${max_words}"' in said
