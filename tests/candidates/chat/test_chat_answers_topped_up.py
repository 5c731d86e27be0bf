"""Bad answers: each turn ends soon, with 25 valid candidates."""

import time

import numpy as np
import pytest
from chat_checks import FOX, ask, check_pool, counters_of
from chat_server import candidates, chat_of, content

from pasta import errors
from pasta.candidates.grammar import generator as grammar


def _ten_megabytes(handler, body, number):
  handler.say(content(candidates(12))[:-2] + ', ' + '"x", ' * 2_000_000)


def _endless_events(handler, body, number):
  handler.begin_events()
  handler.event(content(candidates(12))[:-2])
  while True:
    handler.event('x' * 10_000)


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
  generator = chat_of(
    server,
    tmp_path,
    timeout_seconds=0.3,
    turn_seconds=0.7,
    allow_unusable=True,
  )
  started = time.monotonic()
  (pool,) = ask(generator)
  assert time.monotonic() - started < 1.7
  check_pool(pool)
  counts = counters_of(generator)
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
  generator = chat_of(server, tmp_path, max_retries=2, allow_unusable=True)
  (pool,) = ask(generator)
  check_pool(pool)
  counts = counters_of(generator)
  retries = counts.pop('retries', 0)
  assert retries == expected['requests'] - 1
  assert counts == {
    'sessions': 1,
    'topped_up': 25,
    'without_answer': 1,
    **expected,
  }
  assert sorted(c.text for c in pool) == sorted(
    c.text for c in grammar.Grammar().propose([FOX], np.array([0]))[0]
  )
  assert {c.source for c in pool} == {'grammar-1-c25-w36'}
  assert not list((tmp_path / 'answers').rglob('*'))


@pytest.mark.parametrize(
  'behave, said',
  [
    (
      lambda h, b, n: h.say('Sure!\nHere they are: ' + 'x' * 999),
      r"it answered 'Sure! Here they are: x+ \.\.\.', expected {\"candidates\"",
    ),
    (lambda h, b, n: h.reply('<html>'), "it answered '<html>', expected"),
    (lambda h, b, n: h.fail(500, 'oh no'), "it answered 'oh no', expected"),
    (lambda h, b, n: h.reset(), 'no answer came, expected'),
    # Read, and still of no use: the person's own prompt.
    (
      lambda h, b, n: h.say(content([{'text': 'A fox', 'category': 'style'}])),
      '\'{"candidates": .*A fox',
    ),
  ],
)
def test_a_batch_without_a_usable_candidate_is_refused(
  server, tmp_path, behave, said
):
  server.behave = behave
  generator = chat_of(server, tmp_path, max_retries=1)
  with pytest.raises(errors.PastaError, match=said) as e:
    ask(generator, [FOX, FOX])
  message = str(e.value)
  assert message.startswith(f'tiny at {server.base_url}: not one usable')
  assert 'candidates.chat.allow_unusable = True goes on' in message
  assert len(message) < 800 and len(message.splitlines()) == 1


def test_where_it_has_worked_only_a_whole_batch_is_refused(server, tmp_path):
  generator = chat_of(server, tmp_path, max_retries=0)
  ask(generator)
  server.behave = lambda h, b, n: h.say('I am sorry.')
  (pool,) = ask(generator, seed=1)
  assert all(c.source for c in pool)
  with pytest.raises(errors.PastaError, match='for 2 session'):
    ask(generator, [FOX, FOX], seed=2)


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
  (pool,) = ask(generator)
  check_pool(pool)
  written = {c['text'] for c in candidates(60)}
  if 'wrong_category' not in expected:
    assert sum(c.text in written for c in pool) == num_kept
    for candidate in pool:
      assert (candidate.source == '') == (candidate.text in written)
  counts = counters_of(generator)
  assert counts == {'sessions': 1, 'requests': 1, 'answers': 1, **expected}


def test_what_has_come_when_the_time_is_over_is_used(server, tmp_path):
  def behave(handler, body, number):
    handler.begin_events()
    handler.event(content(candidates(9))[:-3])
    time.sleep(2.0)

  server.behave = behave
  generator = chat_of(server, tmp_path, timeout_seconds=1.0)
  (pool,) = ask(generator)
  check_pool(pool)
  assert sum('number' in c.text for c in pool) == 8
  assert counters_of(generator) == {
    'sessions': 1,
    'requests': 1,
    'answers': 1,
    'timeouts': 1,
    'partial': 1,
    'repaired': 1,
    'topped_up': 17,
  }
  assert not list((tmp_path / 'answers').rglob('*.json'))
