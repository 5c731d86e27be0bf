"""Endpoints that lack something, refuse everything or are not there."""

import json
import socket
import time

import numpy as np
import pytest
from chat_checks import FOX, ask, counters_of
from chat_server import chat_of, content

from pasta import errors


def test_response_formats_fall_back_once(server, tmp_path):
  def behave(handler, body, number):
    kind = body.get('response_format', {}).get('type')
    if kind == 'json_schema':
      return handler.fail(400, "unknown response_format type 'json_schema'")
    if kind == 'json_object':
      return handler.fail(500, 'response_format must be text')
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path)
  assert all('number' in c.text for c in ask(generator)[0])
  assert counters_of(generator) == {
    'sessions': 1,
    'requests': 3,
    'answers': 1,
    'fallbacks': 2,
  }
  ask(generator, [FOX] * 4, seed=1)  # remembered
  assert len(server.requests) == 7
  assert counters_of(generator)['fallbacks'] == 2


def test_many_requests_learn_together(server, tmp_path):
  def behave(handler, body, number):
    if 'response_format' in body:
      time.sleep(0.05)
      return handler.fail(422, 'response_format: extra fields not permitted')
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path)
  pools = ask(generator, [FOX] * 16)
  assert all('number' in c.text for pool in pools for c in pool)
  assert counters_of(generator)['fallbacks'] == 2


@pytest.mark.parametrize('field', ['seed', 'temperature', 'stream'])
def test_fields_that_an_endpoint_lacks_are_left_out(server, tmp_path, field):
  def behave(handler, body, number):
    if field in body:
      return handler.fail(400, f'Unknown name "{field}": Cannot find field.')
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path)
  assert all('number' in c.text for c in ask(generator)[0])
  assert counters_of(generator)['fallbacks'] == 1


def test_the_other_name_of_max_tokens(server, tmp_path):
  def behave(handler, body, number):
    if 'max_tokens' in body:
      return handler.fail(400, "'max_tokens': use 'max_completion_tokens'")
    assert body['max_completion_tokens'] == 4096
    handler.say(content())

  server.behave = behave
  assert all('number' in c.text for c in ask(chat_of(server, tmp_path))[0])


@pytest.mark.parametrize('send_images', [False, True])
def test_models_without_a_system_role(server, tmp_path, send_images):
  def behave(handler, body, number):
    if body['messages'][0]['role'] == 'system':
      return handler.fail(400, 'System role not supported')
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path, send_images=send_images)
  images = np.zeros((1, 2, 8, 8, 3), np.uint8)
  assert all('number' in c.text for c in ask(generator, images=images)[0])
  (message,) = server.requests[1]['messages']
  said = json.dumps(message['content'])
  assert said.index('You write prompts') < said.index('initial_prompt')
  assert ('image_url' in said) == send_images


@pytest.mark.parametrize(
  'status, said, match',
  [
    (401, 'bad key', r"chat.key_env'.* answered 401 \(bad key\)"),
    (403, 'no', "chat.key_env'.*403"),
    (404, 'The model `tiny` does not exist', "chat.model' is 'tiny'.*exist"),
    (405, 'no', "chat.base_url'.*405"),
    (307, 'over there', "chat.base_url'.*307"),
    (400, 'too many messages', 'answered 400 .too many messages'),
    (429, 'insufficient_quota', '429'),
  ],
)
def test_what_can_never_work_is_an_error_at_once(
  server, tmp_path, status, said, match
):
  server.behave = lambda h, b, n: h.fail(status, said, [('Location', '/')])
  generator = chat_of(server, tmp_path)
  with pytest.raises(errors.PastaError, match=match) as e:
    ask(generator, [FOX] * 8)
  assert '\n' not in str(e.value)
  assert server.base_url in str(e.value)
  assert counters_of(generator)['requests'] <= 8


def test_nobody_listens(server, tmp_path):
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    address = f'http://127.0.0.1:{s.getsockname()[1]}/v1'
  generator = chat_of(server, tmp_path, base_url=address, max_retries=1)
  with pytest.raises(errors.PastaError, match=f'{address}.*cannot be reached'):
    ask(generator)
  assert counters_of(generator)['requests'] == 2
