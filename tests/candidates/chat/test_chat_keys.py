"""The key goes into one header and nowhere else."""

import json
import logging

import pytest
from chat_checks import KEY, ask
from chat_server import candidates, chat_of, content

from pasta import errors


@pytest.mark.parametrize(
  'field, value',
  [
    ('key_env', KEY),
    ('key_env', 'AIzaSy' + 'x' * 33),
    ('base_url', f'http://user:{KEY}@localhost/v1'),
    ('base_url', f'http://localhost/v1?key={KEY}'),
  ],
)
def test_keys_in_the_config_are_refused_unseen(server, tmp_path, field, value):
  with pytest.raises(errors.PastaError, match=f'chat.{field}') as e:
    chat_of(server, tmp_path, **{field: value})
  assert value not in str(e.value) and KEY not in str(e.value)


def test_without_a_key(server, tmp_path, monkeypatch):
  monkeypatch.delenv('MY_KEY', raising=False)
  generator = chat_of(server, tmp_path, key_env='MY_KEY')
  with pytest.raises(errors.PastaError, match='MY_KEY, which is not set'):
    ask(generator)
  assert not server.requests


@pytest.mark.parametrize('status', [200, 401, 500])
def test_the_key_goes_into_one_header_and_nowhere_else(
  server, tmp_path, monkeypatch, caplog, status
):
  monkeypatch.setenv('MY_KEY', KEY + '\n')
  for name in (None, 'absl', 'httpx', 'httpcore'):
    caplog.set_level(logging.DEBUG, logger=name)

  def behave(handler, body, number):
    said = handler.headers['Authorization']
    if status == 200:
      items = candidates(24)
      items[0]['text'] = f'a fox, {said}'
      return handler.say(content(items))
    # Messages are cut in the middle of the key.
    handler.fail(status, f'{"x" * 280}{said}')

  server.behave = behave
  generator = chat_of(server, tmp_path, key_env='MY_KEY', max_retries=1)
  seen = ''
  try:
    seen += repr(ask(generator))
  except errors.PastaError as e:
    seen += repr(e) + str(e.__cause__) + str(e.__context__)
    assert status in (401, 500)
  assert server.headers[0]['Authorization'] == f'Bearer {KEY}'
  assert KEY not in json.dumps(server.requests)
  seen += caplog.text + repr(generator.__dict__) + generator.generator_id
  paths = [p for p in tmp_path.rglob('*') if p.is_file()]
  assert len(paths) == (status == 200)
  for path in paths:
    seen += path.read_text()
  assert 'sk-secret' not in seen
  if status != 401:
    assert 'chat: ' in caplog.text


@pytest.mark.parametrize('key', ['sk-se\ncret', 'sk-sécret', 'sk se'])
def test_odd_keys_are_refused_unseen(server, tmp_path, monkeypatch, key):
  monkeypatch.setenv('MY_KEY', key)
  generator = chat_of(server, tmp_path, key_env='MY_KEY')
  with pytest.raises(errors.PastaError, match='MY_KEY') as e:
    ask(generator)
  assert key not in str(e.value)
