"""What is taken from a model's words, and in which order."""

import collections
import json
import string
import time

import pytest
from chat_server import candidates, content

from pasta.candidates import answers
from pasta.candidates import counters as chat_counters
from pasta.candidates.chat import reader as chat_reader
from pasta.types import CATEGORIES, Candidate

_ITEMS = [(c['text'], c['category']) for c in candidates(3)]


def _listed(*pairs):
  return content([{'category': c, 'text': t} for t, c in pairs])


@pytest.mark.parametrize(
  'text, is_repaired',
  [
    (_listed(*_ITEMS), False),
    (json.dumps([{'prompt': t, 'category': c} for t, c in _ITEMS]), False),
    (json.dumps({c: [t] for t, c in _ITEMS}), False),
    (json.dumps({'result': {c: [{'text': t}] for t, c in _ITEMS}}), False),
    (f'Sure! Here you are:\n```json\n{_listed(*_ITEMS)}\n```\nEnjoy!', True),
    (f'I [think] of {{this}}: {_listed(*_ITEMS)}', True),
    (f'<think>{_listed(("no", "style"))}</think>{_listed(*_ITEMS)}', False),
    (
      '\n'.join(json.dumps({'text': t, 'category': c}) for t, c in _ITEMS),
      True,
    ),
  ],
)
def test_items_are_found(text, is_repaired):
  assert answers.extract(text) == (_ITEMS, 0, is_repaired)


def test_of_every_truncation_whole_items_are_kept():
  text = 'Here: ' + _listed(*_ITEMS)
  ends = [text.index(t) + len(t) + 2 for t, _ in _ITEMS]
  seen = set()
  for cut in range(len(text)):
    found, _, _ = answers.extract(text[:cut])
    whole = sum(end <= cut for end in ends)
    # The category stands before the text: an item ends right after it.
    assert found == _ITEMS[:whole], text[:cut]
    seen.add(whole)
  assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize(
  'text',
  [
    '',
    'I am sorry, I cannot help with that.',
    '[1, 2, null, true]',
    '{"candidates": []}',
    '{"candidates": "none"}',
    '{"text": 3, "category": "style"}',
    '["a fox", "a cat"]',  # whose categories nobody knows
    '"a fox"',
    '9' * 10_000,
  ],
)
def test_where_nothing_is_nothing_is_found(text):
  assert answers.extract(text)[0] == []


@pytest.mark.parametrize(
  'text',
  [
    '[' * 500_000,
    '{"candidates":[' * 50_000,
    '{"a":' * 200_000 + '1',
    '[{' * 10_000 + '"' * 500_000,
    'x' * 1_000_000,
  ],
)
def test_hostile_answers_take_little_time(text):
  started = time.monotonic()
  assert answers.extract(text)[0] == []
  assert time.monotonic() - started < 2.0


def _choose(items, known=(), share=5, limit=36):
  counters = chat_counters.Counters()
  chosen = answers.choose(
    items, known, share, lambda t: len(t.split()) <= limit, counters
  )
  counts = {k: v for k, v in counters.as_dict().items() if v}
  return [(c.text, c.category) for c in chosen], counts


def test_categories():
  chosen, counts = _choose(
    [
      ('one', ' Style '),
      ('two', 'DETAILS'),
      ('three', 'sci-fi'),
      ('four', ''),
      ('five', 'creative'),
    ],
    share=2,
  )
  # The first stray fills the last place of creative, the second has none.
  assert chosen == [
    ('one', 'style'),
    ('two', 'detail'),
    ('three', 'creative'),
    ('five', 'creative'),
  ]
  assert counts == {'wrong_category': 2, 'surplus': 1}


def test_duplicates_and_known_prompts_are_dropped():
  chosen, counts = _choose(
    [('A  Fox', 'style'), ('a fox', 'detail'), ('a cat', 'style')],
    known=['A CAT'],
  )
  assert chosen == [('A Fox', 'style')]
  assert counts == {'duplicates': 2}


def test_no_category_gets_more_than_its_share():
  chosen, counts = _choose([(f'fox {i}', 'style') for i in range(9)])
  assert [text for text, _ in chosen] == [f'fox {i}' for i in range(5)]
  assert counts == {'surplus': 4}


def test_texts_become_one_printable_line():
  chosen, counts = _choose(
    [
      ('a fox\n in\tsnow', 'style'),
      ('"a quoted fox"', 'style'),
      ('a \x00fox\x1b[31m\ud800 again', 'style'),
      ('\n \t', 'style'),
      ('\u200b', 'style'),
    ]
  )
  assert chosen == [
    ('a fox in snow', 'style'),
    ('a quoted fox', 'style'),
    ('a fox[31m again', 'style'),
  ]
  assert counts == {'invalid': 2}
  for text, _ in chosen:
    text.encode()


@pytest.mark.parametrize(
  'text, expected',
  [
    ('a red fox, in deep snow, at night', 'a red fox, in deep snow'),
    ('a red fox in deep snow at night', 'a red fox in deep snow'),
    ('a red fox that sits in the snow', 'a red fox that sits'),
    ('one two three four five six seven eight', 'one two three four five six'),
  ],
)
def test_long_prompts_lose_their_end(text, expected):
  chosen, counts = _choose([(text, 'style')], limit=6)
  assert chosen == [(expected, 'style')]
  assert counts == {'truncated': 1}


def test_a_word_that_can_never_fit_is_no_prompt():
  counters = chat_counters.Counters()
  assert not answers.choose(
    [('x' * 5000, 'style')], (), 5, lambda t: len(t) < 99, counters
  )
  counts = counters.as_dict()
  assert counts['truncated'] == counts['invalid'] == 1


def test_what_is_cut_to_a_known_prompt_is_a_duplicate():
  chosen, counts = _choose(
    [('a red fox, by the wide sea', 'style')], known=['a red fox'], limit=4
  )
  assert not chosen
  assert counts == {'truncated': 1, 'duplicates': 1}


def _pool(text):
  return [Candidate(c, _NAMES[c]) for c in text]


_NAMES = {
  letter: CATEGORIES[i % 5]
  for i, letter in enumerate(string.ascii_lowercase[:25])
}  # a, f, k, ... are rephrase; b, g, ... detail


def _texts(pool):
  return ''.join(c.text for c in pool)


def test_ranks_are_interleaved_in_the_models_order():
  # rephrase a, f; detail b; style c, h. Rank 0 as first met, then rank 1.
  pool = answers.arrange(_pool('hafcb'), [], 0)
  assert _texts(pool) == 'habfc'


def test_what_was_added_comes_after_the_models_of_a_rank():
  pool = answers.arrange(_pool('cah'), _pool('bfg'), 0)
  assert _texts(pool) == 'cabhfg'


def test_a_model_that_lists_by_category_says_nothing_across_categories():
  grouped = _pool('afbgchdiej')
  orders = {_texts(answers.arrange(grouped, [], seed)) for seed in range(9)}
  assert len(orders) > 5
  firsts = collections.Counter(
    answers.arrange(grouped, [], seed)[0].text for seed in range(300)
  )
  assert set(firsts) == set('abcde') and min(firsts.values()) > 30
  for order in orders:  # within a category the model's order stands
    assert set(order[:5]) == set('abcde')
  assert answers.arrange(grouped, [], 3) == answers.arrange(grouped, [], 3)


_DATE = 'Thu, 01 Jan 1970 00:00:30 GMT'


@pytest.mark.parametrize(
  'headers, is_limited, expected',
  [
    ({'retry-after': '7'}, True, 7),
    ({'retry-after': '0.25'}, True, 0.25),
    ({'retry-after-ms': '1500', 'retry-after': '9'}, True, 1.5),
    ({'retry-after': _DATE}, True, 0),
    ({'retry-after': 'soon'}, True, None),
    ({'retry-after': '-3'}, True, 0),
    ({'retry-after': 'nan'}, True, None),
    ({'retry-after': '1e300'}, True, None),
    ({'retry-after': '7'}, False, None),
    ({'x-ratelimit-reset-requests': '6m0s'}, True, 360),
    ({'x-ratelimit-reset-tokens': '2m59.56s'}, True, 179.56),
    ({'x-ratelimit-reset-requests': '20ms'}, True, 0.02),
    (
      {
        'x-ratelimit-reset-requests': '1s',
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-tokens': '9s',
        'x-ratelimit-remaining-tokens': '500',
      },
      True,
      1,
    ),
    (
      {
        'x-ratelimit-reset-requests': '3',
        'x-ratelimit-remaining-requests': '0',
      },
      False,
      3,
    ),
    ({'x-ratelimit-reset-requests': '3'}, False, None),
    ({}, True, None),
  ],
)
def test_waits(headers, is_limited, expected):
  found = chat_reader.wait_seconds(headers, is_limited)
  assert found == (None if expected is None else pytest.approx(expected))


def test_waits_until_a_time():
  in_a_minute = time.time() + 60
  date = time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime(in_a_minute))
  for value in (date, f'{in_a_minute:.0f}'):
    found = chat_reader.wait_seconds({'retry-after': value}, True)
    assert found == pytest.approx(60, abs=3)


def test_the_beginning_of_an_object_is_read_at_every_cut():
  text = 'a "fox"\n\u732b \\ end'
  body = json.dumps({'choices': [{'message': {'content': text}}]}).encode()
  lengths = set()
  for cut in range(len(body) + 1):
    reader = chat_reader.Reader(10_000, is_stream=False)
    reader.feed(body[:cut])
    assert text.startswith(reader.text())
    lengths.add(len(reader.text()))
  assert lengths == set(range(len(text) + 1))


def test_events_in_pieces_of_any_size():
  def event(text):
    choice = {'delta': {'content': text}}
    return b'data: ' + json.dumps({'choices': [choice]}).encode() + b'\r\n\r\n'

  body = b': hello\n\n' + event('a f') + event(None) + event('ox \u732b')
  body += b'data: {"choices": []}\n\ndata: [DONE]\n\n'
  for size in (1, 2, 7, len(body)):
    reader = chat_reader.Reader(10_000, is_stream=True)
    assert all(
      reader.feed(body[i : i + size]) for i in range(0, len(body), size)
    )
    assert reader.text() == 'a fox \u732b'


@pytest.mark.parametrize(
  'body, expected',
  [
    (b'{"error": {"message": "no\\n such model"}}', 'no such model'),
    (b'[{"error": {"message": "wrapped"}}]', 'wrapped'),
    (b'{"message": "plain"}', 'plain'),
    (b'{"error": "short"}', 'short'),
    (b'{"detail": ["x"]}', '{"detail": ["x"]}'),
    (b'<html>\x1b[31m bad', '<html> [31m bad'),
    (b'', 'nothing more'),
  ],
)
def test_messages_are_one_line(body, expected):
  assert chat_reader.message(body) == expected


def test_long_messages_are_cut():
  assert len(chat_reader.message(b'x' * 10_000)) < 400
