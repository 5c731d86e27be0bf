"""The chat generator against a server that behaves and misbehaves."""

import base64
import collections
import concurrent.futures
import gc
import io
import json
import logging
import os
import pathlib
import shutil
import socket
import threading
import time

import ml_collections
import numpy as np
import pytest
from chat_server import (
  candidates,
  chat_of,
  config_of,
  content,
  running_server,  # noqa: F401
)
from PIL import Image

from configs import common
from pasta import errors
from pasta.candidates import build as candidates_build
from pasta.candidates import counters as chat_counters
from pasta.candidates import english, pools
from pasta.candidates.chat import generator as chat
from pasta.candidates.chat import messages
from pasta.candidates.grammar import generator as grammar
from pasta.types import CATEGORIES, PromptHistory

_KEY = 'sk-secret-1234567890'
_FOX = PromptHistory('a fox')
_LATER = PromptHistory(
  'a fox',
  ('a fox in snow', 'a red fox in snow'),
  (('a fox at night',), ('a blue fox in snow', 'a fox cub')),
  ('', 'warmer "light"\nplease'),
)


def _ask(generator, histories=(_FOX,), seed=0, **options):
  return generator.propose(
    histories, np.arange(len(histories)) + seed, **options
  )


def _check_pool(pool, history=_FOX):
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


def _counts(generator):
  return {k: v for k, v in generator.counters.as_dict().items() if v}


# Good answers.


def test_a_good_answer_is_taken_as_it_is(server, tmp_path):
  generator = chat_of(server, tmp_path)
  (pool,) = _ask(generator)
  _check_pool(pool)
  assert [(c.text, c.category) for c in pool] == [
    (c['text'], c['category']) for c in candidates()
  ]
  assert _counts(generator) == {'sessions': 1, 'requests': 1, 'answers': 1}
  assert generator.counters.summary() == ''
  assert server.paths == ['/v1/chat/completions']


def test_events_are_read_as_they_come(server, tmp_path):
  def behave(handler, body, number):
    assert body['stream'] is True
    handler.begin_events()
    text = content()
    for i in range(0, len(text), 100):
      handler.event(text[i : i + 100])
    handler.wfile.write(b'data: [DONE]\n\n')

  server.behave = behave
  (pool,) = _ask(chat_of(server, tmp_path))
  assert [c.text for c in pool] == [c['text'] for c in candidates()]


def test_what_is_sent(server, tmp_path):
  generator = chat_of(server, tmp_path, temperature=0.4, max_tokens=999)
  generator.propose([_LATER], np.array([2**64 - 1], np.uint64))
  (body,) = server.requests
  assert body['model'] == 'tiny'
  assert body['temperature'] == 0.4 and body['max_tokens'] == 999
  assert 0 <= body['seed'] < 2**31
  held_to = body['response_format']
  assert held_to['type'] == 'json_schema'
  array = held_to['json_schema']['schema']['properties']['candidates']
  assert array['minItems'] == array['maxItems'] == 25
  assert array['items']['properties']['category']['enum'] == list(CATEGORIES)
  system, user = body['messages']
  assert [system['role'], user['role']] == ['system', 'user']
  for words in ('25 prompts', '5 of each', '36 words', *CATEGORIES):
    assert words in system['content']
  assert '$' not in system['content'] + user['content']
  # The person's words stand in the user's message alone, as JSON.
  assert 'fox' not in system['content']
  start, end = user['content'].index('{'), user['content'].rindex('}') + 1
  assert json.loads(user['content'][start:end]) == {
    'initial_prompt': 'a fox',
    'turns': [
      {
        'chosen': 'a fox in snow',
        'rejected': ['a fox at night'],
        'critique': '',
      },
      {
        'chosen': 'a red fox in snow',
        'rejected': ['a blue fox in snow', 'a fox cub'],
        'critique': 'warmer "light"\nplease',
      },
    ],
    'current_prompt': 'a red fox in snow',
  }


def test_chosen_images_are_sent(server, tmp_path):
  generator = chat_of(server, tmp_path, send_images=True)
  assert generator.sees_images
  _ask(generator, images=None)
  assert isinstance(server.requests[0]['messages'][1]['content'], str)
  images = np.random.default_rng(0).integers(0, 256, (1, 4, 8, 8, 3), np.uint8)
  _ask(generator, [_LATER], images=images)
  text, picture = server.requests[1]['messages'][1]['content']
  assert 'side by side' in text['text']
  kind, data = picture['image_url']['url'].split(',')
  assert kind == 'data:image/png;base64'
  strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
  for m in range(4):
    np.testing.assert_array_equal(strip[:, 8 * m : 8 * m + 8], images[0, m])
  # Other images are another question.
  _ask(generator, [_LATER], images=images)
  assert len(server.requests) == 2
  _ask(generator, [_LATER], images=255 - images)
  assert len(server.requests) == 3


def test_images_stay_here_unless_asked_for(server, tmp_path):
  generator = chat_of(server, tmp_path)
  assert not generator.sees_images
  _ask(generator, [_LATER], images=np.zeros((1, 4, 8, 8, 3), np.uint8))
  assert 'image_url' not in json.dumps(server.requests)


def test_ids():
  config = common.world().candidates
  config.name = 'chat'
  config.chat.model = 'google/gemma 2 + more'
  generator = candidates_build.build(config)
  assert generator.generator_id.startswith('chat-1-google/gemma_2_+_more-t0.9')
  assert generator.generator_id.endswith('-c25-w36')
  assert ' + ' not in generator.generator_id
  ids = {generator.generator_id}
  for field, value in (
    ('num_candidates', 50),
    ('max_words', 30),
    ('chat.model', 'other'),
    ('chat.temperature', 0.1),
    ('chat.send_images', True),
  ):
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict({field: value})
    ids.add(candidates_build.build(changed).generator_id)
  assert len(ids) == 6
  # Where the model is, and how patient we are, changes nothing.
  config.chat.base_url = 'http://elsewhere:1/v1'
  config.chat.turn_seconds = 1.0
  assert candidates_build.build(config).generator_id == generator.generator_id


# Bad answers: each turn ends soon, with 25 valid candidates.


def _ten_megabytes(handler, body, number):
  handler.say(content(candidates(12))[:-2] + ', ' + '"x", ' * 2_000_000)


def _endless_events(handler, body, number):
  handler.begin_events()
  handler.event(content(candidates(12))[:-2])
  while True:
    handler.event('x' * 10_000)


def _wrong_length(handler, body, number):
  handler.close_connection = True
  data = json.dumps({'choices': [{'message': {'content': content()}}]})
  handler.send_response(200)
  handler.send_header('Content-Type', 'application/json')
  handler.send_header('Content-Length', str(len(data)))
  handler.end_headers()
  handler.wfile.write(data[: len(data) // 2].encode())


def _trickle(handler, body, number):
  handler.close_connection = True
  handler.wfile.write(b'HTTP/1.1 200 OK\r\n')
  for i in range(200):
    handler.wfile.write(f'X-Header-{i}: slow\r\n'.encode())
    handler.wfile.flush()
    time.sleep(0.02)


def _wrong_categories(handler, body, number):
  items = candidates(25, ('mood', 'style', 'Lighting'))
  handler.say(content(items))


def _same_again(handler, body, number):
  handler.say(content(candidates(1) * 25))


def _of_history(handler, body, number):
  items = candidates(5)
  items[0]['text'] = 'A  Fox'
  handler.say(content(items))


@pytest.mark.parametrize('behave', [lambda h, b, n: time.sleep(2.0), _trickle])
def test_an_endpoint_that_is_too_slow(server, tmp_path, behave):
  server.behave = behave
  generator = chat_of(server, tmp_path, timeout_seconds=0.3, turn_seconds=0.7)
  started = time.monotonic()
  (pool,) = _ask(generator)
  assert time.monotonic() - started < 1.7
  _check_pool(pool)
  counts = _counts(generator)
  assert counts['timeouts'] == counts['requests'] >= 1
  assert counts['out_of_time'] == counts['without_answer'] == 1
  assert counts['topped_up'] == 25


@pytest.mark.parametrize(
  'behave, expected',
  [
    # Nothing arrives.
    (lambda h, b, n: h.reset(), {'requests': 3, 'connection_errors': 3}),
    (
      lambda h, b, n: h.fail(500, 'oh no'),
      {'requests': 3, 'server_errors': 3},
    ),
    (
      lambda h, b, n: h.fail(429, 'slow down'),
      {'requests': 3, 'rate_limited': 3},
    ),
    (
      # Longer than the turn: no use in waiting.
      lambda h, b, n: h.fail(429, 'slow down', [('Retry-After', '60')]),
      {'requests': 1, 'rate_limited': 1, 'out_of_time': 1},
    ),
    # Something arrives that is of no use.
    (lambda h, b, n: h.say('I am sorry.'), {'requests': 3, 'unusable': 3}),
    (lambda h, b, n: h.say(None), {'requests': 3, 'unusable': 3}),
    (lambda h, b, n: h.reply('<html>'), {'requests': 3, 'unusable': 3}),
    (lambda h, b, n: h.reply('{}'), {'requests': 3, 'unusable': 3}),
    (
      lambda h, b, n: h.reply(b'\xff' * 10_000_000),
      {'requests': 3, 'unusable': 3, 'oversized': 3},
    ),
  ],
)
def test_without_an_answer_all_come_from_grammar(
  server, tmp_path, behave, expected
):
  server.behave = behave
  generator = chat_of(server, tmp_path, max_retries=2)
  (pool,) = _ask(generator)
  _check_pool(pool)
  counts = _counts(generator)
  retries = counts.pop('retries', 0)
  assert retries == expected['requests'] - 1
  assert counts == {
    'sessions': 1,
    'topped_up': 25,
    'without_answer': 1,
    **expected,
  }
  assert sorted(c.text for c in pool) == sorted(
    c.text for c in grammar.Grammar().propose([_FOX], np.array([0]))[0]
  )
  assert not list((tmp_path / 'answers').rglob('*'))


@pytest.mark.parametrize(
  'behave, num_kept, expected',
  [
    (
      lambda h, b, n: h.say('Sure:\n```json\n' + content() + '\n```\nEnjoy.'),
      25,
      {'repaired': 1},
    ),
    (
      lambda h, b, n: h.say(content()[: content().index('number 13')]),
      13,
      {'repaired': 1, 'topped_up': 12},
    ),
    (lambda h, b, n: h.say(content(candidates(7))), 7, {'topped_up': 18}),
    (
      _wrong_categories,
      13,  # five in style, and five of the sixteen strays
      {'wrong_category': 17, 'surplus': 15, 'topped_up': 15},
    ),
    (_same_again, 1, {'duplicates': 24, 'topped_up': 24}),
    (_of_history, 4, {'duplicates': 1, 'topped_up': 21}),
    (
      lambda h, b, n: h.say(content(candidates(60))),
      25,
      {'surplus': 35},
    ),
    (
      _ten_megabytes,
      12,
      {'oversized': 1, 'repaired': 1, 'topped_up': 13},
    ),
    (
      _endless_events,
      12,
      {'oversized': 1, 'repaired': 1, 'topped_up': 13},
    ),
  ],
)
def test_what_is_good_is_kept(server, tmp_path, behave, num_kept, expected):
  server.behave = behave
  generator = chat_of(server, tmp_path, max_answer_bytes=200_000)
  (pool,) = _ask(generator)
  _check_pool(pool)
  written = {c['text'] for c in candidates(60)}
  if 'wrong_category' not in expected:
    assert sum(c.text in written for c in pool) == num_kept
  counts = _counts(generator)
  assert counts == {'sessions': 1, 'requests': 1, 'answers': 1, **expected}


def test_what_has_come_when_the_time_is_over_is_used(server, tmp_path):
  def behave(handler, body, number):
    handler.begin_events()
    handler.event(content(candidates(9))[:-3])
    time.sleep(2.0)

  server.behave = behave
  generator = chat_of(server, tmp_path, timeout_seconds=1.0)
  (pool,) = _ask(generator)
  _check_pool(pool)
  assert sum('number' in c.text for c in pool) == 8
  assert _counts(generator) == {
    'sessions': 1,
    'requests': 1,
    'answers': 1,
    'timeouts': 1,
    'partial': 1,
    'repaired': 1,
    'topped_up': 17,
  }
  assert not list((tmp_path / 'answers').rglob('*.json'))


def test_of_broken_answers_the_longest_is_kept(server, tmp_path):
  def behave(handler, body, number):
    handler.begin_events()
    handler.event(content(candidates((5, 10, 3)[number]))[:-3])
    time.sleep(0.05)
    handler.reset()

  server.behave = behave
  generator = chat_of(server, tmp_path, max_retries=2)
  (pool,) = _ask(generator)
  _check_pool(pool)
  assert sum('number' in c.text for c in pool) == 9
  counts = _counts(generator)
  assert counts['connection_errors'] == 3 and counts['partial'] == 1
  assert not list((tmp_path / 'answers').rglob('*.json'))


def test_a_broken_answer_is_asked_for_again(server, tmp_path):
  server.behave = lambda h, b, n: (
    _wrong_length(h, b, n) if n == 0 else h.say(content())
  )
  generator = chat_of(server, tmp_path)
  (pool,) = _ask(generator)
  assert all('number' in c.text for c in pool)
  assert _counts(generator) == {
    'sessions': 1,
    'requests': 2,
    'answers': 1,
    'retries': 1,
    'connection_errors': 1,
  }
  first, second = server.requests
  assert second['seed'] == first['seed'] + 1


def test_errors_inside_of_a_stream(server, tmp_path):
  def behave(handler, body, number):
    if number:
      return handler.say(content())
    handler.begin_events()
    handler.wfile.write(b'data: {"error": {"message": "out of memory"}}\n\n')

  server.behave = behave
  generator = chat_of(server, tmp_path)
  assert all('number' in c.text for c in _ask(generator)[0])
  assert _counts(generator)['server_errors'] == 1


def test_pauses_that_are_asked_for_hold_for_all(server, tmp_path):
  times = []

  def behave(handler, body, number):
    times.append(time.monotonic())
    if number == 0:
      return handler.fail(429, 'slow', [('Retry-After', '0.4')])
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path, max_retries=0)
  assert not any('number' in c.text for c in _ask(generator)[0])
  assert all('number' in c.text for c in _ask(generator, seed=1)[0])
  assert times[1] - times[0] >= 0.4
  # A limit that is used up is respected before it is broken.
  server.behave = lambda h, b, n: h.say(
    content(),
    headers=[
      ('x-ratelimit-remaining-requests', '0'),
      ('x-ratelimit-reset-requests', '300ms'),
    ],
  )
  _ask(generator, seed=10)
  started = time.monotonic()
  _ask(generator, seed=11)
  assert time.monotonic() - started > 0.25
  assert _counts(generator)['rate_limited'] == 1


# Endpoints that lack something.


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
  assert all('number' in c.text for c in _ask(generator)[0])
  assert _counts(generator) == {
    'sessions': 1,
    'requests': 3,
    'answers': 1,
    'fallbacks': 2,
  }
  _ask(generator, [_FOX] * 4, seed=1)  # remembered
  assert len(server.requests) == 7
  assert _counts(generator)['fallbacks'] == 2


def test_many_requests_learn_together(server, tmp_path):
  def behave(handler, body, number):
    if 'response_format' in body:
      time.sleep(0.05)
      return handler.fail(422, 'response_format: extra fields not permitted')
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path)
  pools = _ask(generator, [_FOX] * 16)
  assert all('number' in c.text for pool in pools for c in pool)
  assert _counts(generator)['fallbacks'] == 2


@pytest.mark.parametrize('field', ['seed', 'temperature', 'stream'])
def test_fields_that_an_endpoint_lacks_are_left_out(server, tmp_path, field):
  def behave(handler, body, number):
    if field in body:
      return handler.fail(400, f'Unknown name "{field}": Cannot find field.')
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path)
  assert all('number' in c.text for c in _ask(generator)[0])
  assert _counts(generator)['fallbacks'] == 1


def test_the_other_name_of_max_tokens(server, tmp_path):
  def behave(handler, body, number):
    if 'max_tokens' in body:
      return handler.fail(400, "'max_tokens': use 'max_completion_tokens'")
    assert body['max_completion_tokens'] == 4096
    handler.say(content())

  server.behave = behave
  assert all('number' in c.text for c in _ask(chat_of(server, tmp_path))[0])


@pytest.mark.parametrize('send_images', [False, True])
def test_models_without_a_system_role(server, tmp_path, send_images):
  def behave(handler, body, number):
    if body['messages'][0]['role'] == 'system':
      return handler.fail(400, 'System role not supported')
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path, send_images=send_images)
  images = np.zeros((1, 2, 8, 8, 3), np.uint8)
  assert all('number' in c.text for c in _ask(generator, images=images)[0])
  (message,) = server.requests[1]['messages']
  said = json.dumps(message['content'])
  assert said.index('You write prompts') < said.index('initial_prompt')
  assert ('image_url' in said) == send_images


# Wrong configurations.


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
    _ask(generator, [_FOX] * 8)
  assert '\n' not in str(e.value)
  assert server.base_url in str(e.value)
  assert _counts(generator)['requests'] <= 8


def test_once_it_has_worked_a_rejection_ends_no_session(server, tmp_path):
  server.behave = lambda h, b, n: (
    # Not to be taken for a lack of response_format and seed.
    h.fail(400, 'policy: no schema for a seed') if n == 1 else h.say(content())
  )
  generator = chat_of(server, tmp_path, max_concurrency=1)
  pools = _ask(generator, [_FOX] * 3)
  for pool in pools:
    _check_pool(pool)
  assert _counts(generator) == {
    'sessions': 3,
    'requests': 3,
    'answers': 2,
    'refused': 1,
    'topped_up': 25,
    'without_answer': 1,
  }


def test_nobody_listens(server, tmp_path):
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    address = f'http://127.0.0.1:{s.getsockname()[1]}/v1'
  generator = chat_of(server, tmp_path, base_url=address, max_retries=1)
  with pytest.raises(errors.PastaError, match=f'{address}.*cannot be reached'):
    _ask(generator)
  assert _counts(generator)['requests'] == 2


def test_it_stops_listening(server, tmp_path):
  generator = chat_of(server, tmp_path, max_retries=1)
  _ask(generator)
  server.shutdown()
  server.server_close()
  server.behave = lambda h, b, n: h.reset()
  (pool,) = _ask(generator, seed=1)
  _check_pool(pool)
  assert _counts(generator)['connection_errors'] == 2


@pytest.mark.parametrize(
  'field, value, match',
  [
    ('model', ' ', "chat.model' is empty"),
    ('base_url', 'localhost:8000', "chat.base_url' is 'localhost:8000'"),
    ('base_url', 'ftp://x/v1', "chat.base_url' is 'ftp://x/v1'"),
    ('base_url', '', "chat.base_url' is ''"),
    ('response_format', 'xml', "response_format' is 'xml', expected one of"),
    ('cache', 'on', "chat.cache' is 'on', expected one of"),
    ('timeout_seconds', 0.0, "timeout_seconds' is 0.0, expected more than 0"),
    ('max_concurrency', 0, "max_concurrency' is 0, expected more than 0"),
    ('max_retries', -1, "max_retries' is -1, expected at least 0"),
    ('temperature', float('nan'), "temperature' is nan"),
  ],
)
def test_fields_that_cannot_be_used(server, tmp_path, field, value, match):
  with pytest.raises(errors.PastaError, match=match):
    chat_of(server, tmp_path, **{field: value})


@pytest.mark.parametrize(
  'field, value',
  [
    ('key_env', _KEY),
    ('key_env', 'AIzaSy' + 'x' * 33),
    ('base_url', f'http://user:{_KEY}@localhost/v1'),
    ('base_url', f'http://localhost/v1?key={_KEY}'),
  ],
)
def test_keys_in_the_config_are_refused_unseen(server, tmp_path, field, value):
  with pytest.raises(errors.PastaError, match=f'chat.{field}') as e:
    chat_of(server, tmp_path, **{field: value})
  assert value not in str(e.value) and _KEY not in str(e.value)


def test_without_a_key(server, tmp_path, monkeypatch):
  monkeypatch.delenv('MY_KEY', raising=False)
  generator = chat_of(server, tmp_path, key_env='MY_KEY')
  with pytest.raises(errors.PastaError, match='MY_KEY, which is not set'):
    _ask(generator)
  assert not server.requests


def test_other_bad_input(server, tmp_path):
  generator = chat_of(server, tmp_path)
  with pytest.raises(ValueError, match='initial_prompt is empty'):
    _ask(generator, [PromptHistory(' ')])
  with pytest.raises(ValueError, match='2 seeds'):
    generator.propose([_FOX], np.array([0, 1]))
  with pytest.raises(ValueError, match='num_candidates is 7'):
    chat_of(server, tmp_path, num_candidates=7)
  assert not server.requests


# The key.


@pytest.mark.parametrize('status', [200, 401, 500])
def test_the_key_goes_into_one_header_and_nowhere_else(
  server, tmp_path, monkeypatch, caplog, status
):
  monkeypatch.setenv('MY_KEY', _KEY + '\n')
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
    seen += repr(_ask(generator))
  except errors.PastaError as e:
    seen += repr(e) + str(e.__cause__) + str(e.__context__)
    assert status == 401
  assert server.headers[0]['Authorization'] == f'Bearer {_KEY}'
  assert _KEY not in json.dumps(server.requests)
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
    _ask(generator)
  assert key not in str(e.value)


def test_no_key_no_header(server, tmp_path):
  _ask(chat_of(server, tmp_path))
  assert 'Authorization' not in server.headers[0]


# The cache.


def test_answers_are_kept(server, tmp_path):
  generator = chat_of(server, tmp_path)
  first = _ask(generator, [_FOX, _LATER])
  assert len(server.requests) == 2
  server.behave = lambda h, b, n: h.fail(500, 'no')
  again = chat_of(server, tmp_path, base_url='http://127.0.0.1:9/v1')
  assert _ask(again, [_FOX, _LATER]) == first
  assert _counts(again) == {'sessions': 2, 'cached': 2}
  assert len(server.requests) == 2
  (path, _) = (tmp_path / 'answers').rglob('*.json')
  assert json.loads(path.read_text())['model'] == 'tiny'


def test_everything_that_matters_is_another_question(server, tmp_path):
  (tmp_path / 'own').mkdir()
  own = _own_instructions(tmp_path / 'own')
  with (own / 'system.txt').open('a') as f:
    f.write('Be brief.\n')

  def ask(history=_FOX, seed=0, **fields):
    _ask(chat_of(server, tmp_path, **fields), [history], seed)
    return len(server.requests)

  assert ask() == ask() == 1
  assert ask(seed=1) == 2
  assert ask(_LATER) == 3
  assert ask(model='other') == 4
  assert ask(temperature=0.2) == 5
  assert ask(num_candidates=10) == 6
  assert ask(max_words=30) == 7
  assert ask(response_format='none') == 8
  assert ask(instructions=str(own)) == 9
  assert ask(max_tokens=2000) == 10
  assert ask(turn_seconds=3.0, max_retries=0) == 10  # patience does not matter


def test_equal_questions_are_asked_once(server, tmp_path):
  generator = chat_of(server, tmp_path)
  one, two, three = generator.propose([_FOX] * 3, np.array([4, 4, 5]))
  assert one == two
  assert len(server.requests) == 2
  assert _counts(generator)['cached'] == 1


def test_the_cache_can_be_off(server, tmp_path):
  generator = chat_of(server, tmp_path, cache='off')
  _ask(generator)
  _ask(generator)
  assert len(server.requests) == 2
  assert not (tmp_path / 'answers').exists()


def test_replay(server, tmp_path):
  recorded = _ask(chat_of(server, tmp_path))
  generator = chat_of(server, tmp_path, cache='replay', key_env='NOT_SET')
  assert _ask(generator) == recorded
  with pytest.raises(
    errors.PastaError, match=r"'replay'.*no recorded answer [0-9a-f]{64} in"
  ):
    _ask(generator, seed=1)
  assert len(server.requests) == 1


@pytest.mark.parametrize('text', ['{"answer": "x', '{"answer": 3}', '[]', ''])
def test_damaged_answers_are_named(server, tmp_path, text):
  _ask(chat_of(server, tmp_path))
  (path,) = (tmp_path / 'answers').rglob('*.json')
  path.write_text(text)
  with pytest.raises(errors.PastaError, match=path.name):
    _ask(chat_of(server, tmp_path))


def test_a_cache_that_cannot_be_written(server, tmp_path):
  (tmp_path / 'file').write_text('')
  generator = chat_of(server, tmp_path, cache_dir=str(tmp_path / 'file'))
  with pytest.raises(errors.PastaError, match='candidates.chat.cache_dir'):
    _ask(generator)


# Limits of prompts.


def test_prompts_over_the_limit_lose_their_end(server, tmp_path, caplog):
  items = candidates()
  items[3]['text'] = 'a fox, ' + ', '.join(f'under tree {i}' for i in range(40))
  server.behave = lambda h, b, n: h.say(content(items))
  generator = chat_of(server, tmp_path)
  (pool,) = _ask(generator)
  _check_pool(pool)
  long = pool[3].text
  assert items[3]['text'].startswith(long + ', ')
  assert _counts(generator)['truncated'] == 1
  assert 'topped_up' not in _counts(generator)


def test_tokens_are_counted_where_somebody_can(server, tmp_path):
  counted = []

  def count_tokens(text):
    counted.append(text)
    return len(text)

  generator = chat.Chat(
    config_of(server, tmp_path), pools.Pools(25, 36, count_tokens, 15)
  )
  items = [
    {**c, 'text': f'fox {i}, in the snow'} for i, c in enumerate(candidates())
  ]
  server.behave = lambda h, b, n: h.say(content(items))
  (pool,) = _ask(generator)
  assert [c.text for c in pool] == [f'fox {i}' for i in range(25)]
  assert _counts(generator)['truncated'] == 25


def test_the_persons_texts_are_clipped(server, tmp_path):
  history = PromptHistory('x' * 5000, ('a \ud800fox',), (), ('y' * 5000,))
  generator = chat_of(server, tmp_path)
  (pool,) = _ask(generator, [history])
  assert len(pool) == 25
  assert len(json.dumps(server.requests[0]['messages'])) < 7000
  assert _counts(generator)['clipped_inputs'] == 2


# Many at once.


def test_64_sessions_at_full_concurrency(server, tmp_path):
  bad = [
    lambda h: h.reset(),
    lambda h: h.fail(500, 'oh no'),
    lambda h: h.fail(429, 'slow', [('Retry-After', '0.05')]),
    lambda h: h.say(content()[:700]),
    lambda h: time.sleep(2.0),
    lambda h: h.say('no'),
    lambda h: _wrong_length(h, None, 0),
    lambda h: h.reply(b'x' * 10_000_000),
  ]

  def behave(handler, body, number):
    time.sleep(0.2)
    if number % 2:
      return bad[number // 2 % len(bad)](handler)
    handler.say(content())

  server.behave = behave
  generator = chat_of(
    server,
    tmp_path,
    max_concurrency=64,
    timeout_seconds=1.5,
    turn_seconds=4.0,
    max_answer_bytes=100_000,
  )
  histories = [PromptHistory(f'a fox {i}') for i in range(64)]
  started = time.monotonic()
  pools = _ask(generator, histories)
  assert time.monotonic() - started < 8.0
  for pool, history in zip(pools, histories, strict=True):
    _check_pool(pool, history)
  counts = _counts(generator)
  assert counts['sessions'] == 64
  assert counts['answers'] + counts.get('without_answer', 0) == 64
  assert counts['answers'] > 16
  assert counts['requests'] == 64 + counts['retries']
  assert counts['connection_errors'] > 0
  assert server.most_busy > 32


def test_no_more_at_once_than_allowed(server, tmp_path):
  def behave(handler, body, number):
    time.sleep(0.12)
    handler.say(content())

  server.behave = behave
  # Waiting for others costs none of a session's own time.
  generator = chat_of(
    server, tmp_path, max_concurrency=3, turn_seconds=1.0, max_retries=0
  )
  with concurrent.futures.ThreadPoolExecutor(4) as threads:
    for pools in threads.map(
      lambda i: _ask(generator, [_FOX] * 8, seed=100 * i), range(4)
    ):
      assert all('number' in c.text for pool in pools for c in pool)
  assert len(server.requests) == 32
  assert server.most_busy == 3


def test_a_session_depends_on_its_history_and_seed(server, tmp_path):
  server.behave = lambda h, b, n: h.say(
    content(candidates(8, start=b['seed'] % 1000))
  )
  histories = [_FOX, _LATER, PromptHistory('a town')]
  together = _ask(chat_of(server, tmp_path, cache='off'), histories)
  generator = chat_of(server, tmp_path, cache='off')
  for i, history in enumerate(histories):
    assert _ask(generator, [history], seed=i)[0] == together[i]


def test_its_thread_ends_with_it(server, tmp_path):
  def threads():
    return {t for t in threading.enumerate() if t.name == 'chat'}

  generator = chat_of(server, tmp_path)
  before = threads()
  _ask(generator)
  (thread,) = threads() - before
  del generator
  gc.collect()
  thread.join(5.0)
  assert not thread.is_alive()


# Instructions.


def _own_instructions(directory):
  source = pathlib.Path(messages.__file__).parent / 'instructions'
  for path in source.iterdir():
    shutil.copy(path, directory)
  return directory


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
  directory = _own_instructions(tmp_path)
  if text is None:
    os.remove(directory / name)
  elif isinstance(text, bytes):
    (directory / name).write_bytes(text)
  else:
    (directory / name).write_text(text)
  with pytest.raises(errors.PastaError, match=match):
    chat_of(server, tmp_path, instructions=str(directory))


def test_own_instructions(server, tmp_path):
  directory = _own_instructions(tmp_path)
  (directory / 'user.txt').write_text('Only $$5!\n$history')
  generator = chat_of(server, tmp_path, instructions=str(directory))
  plain = chat_of(server, tmp_path)
  assert generator.generator_id != plain.generator_id
  _ask(generator, [PromptHistory('a fox for $history ${max_words}')])
  said = server.requests[0]['messages'][1]['content']
  assert said.startswith('Only $5!')
  assert '"a fox for $history ${max_words}"' in said


def test_counters():
  counters = chat_counters.Counters()
  counters.add('requests')
  assert counters.summary() == ''
  counters.add('retries', 2)
  assert counters.summary() == 'requests 1, retries 2'
  with pytest.raises(KeyError):
    counters.add('retrys')
  counters.as_dict()['retries'] = 9
  total = chat_counters.Counters()
  total.add_all(counters)
  total.add_all(counters)
  assert total.as_dict()['retries'] == 4


def test_build():
  config = ml_collections.ConfigDict(common.world().candidates)
  config.name = 'chat'
  with pytest.raises(errors.PastaError, match='candidates.chat.model'):
    candidates_build.build(config)
