"""Broken answers are asked for again, and pauses are kept."""

import time

from chat_checks import FOX, ask, check_pool, counters_of, wrong_length
from chat_server import candidates, chat_of, content


def test_of_broken_answers_the_longest_is_kept(server, tmp_path):
  def behave(handler, body, number):
    handler.begin_events()
    handler.event(content(candidates((5, 10, 3)[number]))[:-3])
    time.sleep(0.05)
    handler.reset()

  server.behave = behave
  generator = chat_of(server, tmp_path, max_retries=2)
  (pool,) = ask(generator)
  check_pool(pool)
  assert sum('number' in c.text for c in pool) == 9
  counts = counters_of(generator)
  assert counts['connection_errors'] == 3 and counts['partial'] == 1
  assert not list((tmp_path / 'answers').rglob('*.json'))


def test_a_broken_answer_is_asked_for_again(server, tmp_path):
  server.behave = lambda h, b, n: (
    wrong_length(h, b, n) if n == 0 else h.say(content())
  )
  generator = chat_of(server, tmp_path)
  (pool,) = ask(generator)
  assert all('number' in c.text for c in pool)
  assert counters_of(generator) == {
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
  assert all('number' in c.text for c in ask(generator)[0])
  assert counters_of(generator)['server_errors'] == 1


def test_pauses_that_are_asked_for_hold_for_all(server, tmp_path):
  times = []

  def behave(handler, body, number):
    times.append(time.monotonic())
    if number == 0:
      return handler.fail(429, 'slow', [('Retry-After', '0.4')])
    handler.say(content())

  server.behave = behave
  generator = chat_of(server, tmp_path, max_retries=0, allow_unusable=True)
  assert not any('number' in c.text for c in ask(generator)[0])
  assert all('number' in c.text for c in ask(generator, seed=1)[0])
  assert times[1] - times[0] >= 0.4
  # A limit that is used up is respected before it is broken.
  server.behave = lambda h, b, n: h.say(
    content(),
    headers=[
      ('x-ratelimit-remaining-requests', '0'),
      ('x-ratelimit-reset-requests', '300ms'),
    ],
  )
  ask(generator, seed=10)
  started = time.monotonic()
  ask(generator, seed=11)
  assert time.monotonic() - started > 0.25
  assert counters_of(generator)['rate_limited'] == 1


def test_once_it_has_worked_a_rejection_ends_no_session(server, tmp_path):
  server.behave = lambda h, b, n: (
    # Not to be taken for a lack of response_format and seed.
    h.fail(400, 'policy: no schema for a seed') if n == 1 else h.say(content())
  )
  generator = chat_of(server, tmp_path, max_concurrency=1)
  pools = ask(generator, [FOX] * 3)
  for pool in pools:
    check_pool(pool)
  assert counters_of(generator) == {
    'sessions': 3,
    'requests': 3,
    'answers': 2,
    'refused': 1,
    'topped_up': 25,
    'without_answer': 1,
  }


def test_it_stops_listening(server, tmp_path):
  generator = chat_of(server, tmp_path, max_retries=1)
  ask(generator)
  server.shutdown()
  server.server_close()
  server.behave = lambda h, b, n: h.reset()
  (pool,) = ask(generator, seed=1)
  check_pool(pool)
  assert counters_of(generator)['connection_errors'] == 2
