"""Many sessions at once."""

import concurrent.futures
import gc
import threading
import time

from chat_checks import FOX, LATER, ask, check_pool, counters_of, wrong_length
from chat_server import candidates, chat_of, content

from pasta.types import PromptHistory


def test_64_sessions_at_full_concurrency(server, tmp_path):
  bad = [
    lambda h: h.reset(),
    lambda h: h.fail(500, 'oh no'),
    lambda h: h.fail(429, 'slow', [('Retry-After', '0.05')]),
    lambda h: h.say(content()[:700]),
    lambda h: time.sleep(2.0),
    lambda h: h.say('no'),
    lambda h: wrong_length(h, None, 0),
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
  pools = ask(generator, histories)
  assert time.monotonic() - started < 8.0
  for pool, history in zip(pools, histories, strict=True):
    check_pool(pool, history)
  counts = counters_of(generator)
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
      lambda i: ask(generator, [FOX] * 8, seed=100 * i), range(4)
    ):
      assert all('number' in c.text for pool in pools for c in pool)
  assert len(server.requests) == 32
  assert server.most_busy == 3


def test_a_session_depends_on_its_history_and_seed(server, tmp_path):
  server.behave = lambda h, b, n: h.say(
    content(candidates(8, start=b['seed'] % 1000))
  )
  histories = [FOX, LATER, PromptHistory('a town')]
  together = ask(chat_of(server, tmp_path, cache='off'), histories)
  generator = chat_of(server, tmp_path, cache='off')
  for i, history in enumerate(histories):
    assert ask(generator, [history], seed=i)[0] == together[i]


def test_its_thread_ends_with_it(server, tmp_path):
  def threads():
    return {t for t in threading.enumerate() if t.name == 'chat'}

  generator = chat_of(server, tmp_path)
  before = threads()
  ask(generator)
  (thread,) = threads() - before
  del generator
  gc.collect()
  thread.join(5.0)
  assert not thread.is_alive()
