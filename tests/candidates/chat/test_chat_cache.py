"""Answers are kept, and everything that matters is another question."""

import json

import numpy as np
import pytest
from chat_checks import FOX, LATER, ask, counters_of, own_instructions
from chat_server import chat_of

from pasta import errors


def test_answers_are_kept(server, tmp_path):
  generator = chat_of(server, tmp_path)
  first = ask(generator, [FOX, LATER])
  assert len(server.requests) == 2
  server.behave = lambda h, b, n: h.fail(500, 'no')
  again = chat_of(server, tmp_path, base_url='http://127.0.0.1:9/v1')
  assert ask(again, [FOX, LATER]) == first
  assert counters_of(again) == {'sessions': 2, 'cached': 2}
  assert len(server.requests) == 2
  (path, _) = (tmp_path / 'answers').rglob('*.json')
  assert json.loads(path.read_text())['model'] == 'tiny'


def test_everything_that_matters_is_another_question(server, tmp_path):
  (tmp_path / 'own').mkdir()
  own = own_instructions(tmp_path / 'own')
  with (own / 'system.txt').open('a') as f:
    f.write('Be brief.\n')

  def num_asked(history=FOX, seed=0, **fields):
    ask(chat_of(server, tmp_path, **fields), [history], seed)
    return len(server.requests)

  assert num_asked() == num_asked() == 1
  assert num_asked(seed=1) == 2
  assert num_asked(LATER) == 3
  assert num_asked(model='other') == 4
  assert num_asked(temperature=0.2) == 5
  assert num_asked(num_candidates=10) == 6
  assert num_asked(max_words=30) == 7
  assert num_asked(response_format='none') == 8
  assert num_asked(instructions=str(own)) == 9
  assert num_asked(max_tokens=2000) == 10
  assert (
    num_asked(turn_seconds=3.0, max_retries=0) == 10
  )  # patience does not matter


def test_equal_questions_are_asked_once(server, tmp_path):
  generator = chat_of(server, tmp_path)
  one, two, three = generator.propose([FOX] * 3, np.array([4, 4, 5]))
  assert one == two
  assert len(server.requests) == 2
  assert counters_of(generator)['cached'] == 1


def test_the_cache_can_be_off(server, tmp_path):
  generator = chat_of(server, tmp_path, cache='off')
  ask(generator)
  ask(generator)
  assert len(server.requests) == 2
  assert not (tmp_path / 'answers').exists()


def test_replay(server, tmp_path):
  recorded = ask(chat_of(server, tmp_path))
  generator = chat_of(server, tmp_path, cache='replay', key_env='NOT_SET')
  assert ask(generator) == recorded
  with pytest.raises(
    errors.PastaError, match=r"'replay'.*no recorded answer [0-9a-f]{64} in"
  ):
    ask(generator, seed=1)
  assert len(server.requests) == 1


@pytest.mark.parametrize('text', ['{"answer": "x', '{"answer": 3}', '[]', ''])
def test_damaged_answers_are_named(server, tmp_path, text):
  ask(chat_of(server, tmp_path))
  (path,) = (tmp_path / 'answers').rglob('*.json')
  path.write_text(text)
  with pytest.raises(errors.PastaError, match=path.name):
    ask(chat_of(server, tmp_path))


def test_a_cache_that_cannot_be_written(server, tmp_path):
  (tmp_path / 'file').write_text('')
  generator = chat_of(server, tmp_path, cache_dir=str(tmp_path / 'file'))
  with pytest.raises(errors.PastaError, match='candidates.chat.cache_dir'):
    ask(generator)
