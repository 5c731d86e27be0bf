"""What the chat generator sends, and what it takes from a good answer."""

import base64
import io
import json

import numpy as np
from chat_checks import LATER, ask, check_pool, counters_of
from chat_server import candidates, chat_of, config_of, content
from PIL import Image

from pasta.candidates import pools
from pasta.candidates.chat import generator as chat
from pasta.types import CATEGORIES, PromptHistory


def test_a_good_answer_is_taken_as_it_is(server, tmp_path):
  generator = chat_of(server, tmp_path)
  (pool,) = ask(generator)
  check_pool(pool)
  assert [(c.text, c.category) for c in pool] == [
    (c['text'], c['category']) for c in candidates()
  ]
  assert counters_of(generator) == {'sessions': 1, 'requests': 1, 'answers': 1}
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
  (pool,) = ask(chat_of(server, tmp_path))
  assert [c.text for c in pool] == [c['text'] for c in candidates()]


def test_what_is_sent(server, tmp_path):
  generator = chat_of(server, tmp_path, temperature=0.4, max_tokens=999)
  generator.propose([LATER], np.array([2**64 - 1], np.uint64))
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
  ask(generator, images=None)
  assert isinstance(server.requests[0]['messages'][1]['content'], str)
  images = np.random.default_rng(0).integers(0, 256, (1, 4, 8, 8, 3), np.uint8)
  ask(generator, [LATER], images=images)
  text, picture = server.requests[1]['messages'][1]['content']
  assert 'side by side' in text['text']
  kind, data = picture['image_url']['url'].split(',')
  assert kind == 'data:image/png;base64'
  strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
  for m in range(4):
    np.testing.assert_array_equal(strip[:, 8 * m : 8 * m + 8], images[0, m])
  # Other images are another question.
  ask(generator, [LATER], images=images)
  assert len(server.requests) == 2
  ask(generator, [LATER], images=255 - images)
  assert len(server.requests) == 3


def test_images_stay_here_unless_asked_for(server, tmp_path):
  generator = chat_of(server, tmp_path)
  assert not generator.sees_images
  ask(generator, [LATER], images=np.zeros((1, 4, 8, 8, 3), np.uint8))
  assert 'image_url' not in json.dumps(server.requests)


def test_no_key_no_header(server, tmp_path):
  ask(chat_of(server, tmp_path))
  assert 'Authorization' not in server.headers[0]


def test_prompts_over_the_limit_lose_their_end(server, tmp_path, caplog):
  items = candidates()
  items[3]['text'] = 'a fox, ' + ', '.join(f'under tree {i}' for i in range(40))
  server.behave = lambda h, b, n: h.say(content(items))
  generator = chat_of(server, tmp_path)
  (pool,) = ask(generator)
  check_pool(pool)
  long = pool[3].text
  assert items[3]['text'].startswith(long + ', ')
  assert counters_of(generator)['truncated'] == 1
  assert 'topped_up' not in counters_of(generator)


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
  (pool,) = ask(generator)
  assert [c.text for c in pool] == [f'fox {i}' for i in range(25)]
  assert counters_of(generator)['truncated'] == 25


def test_the_persons_texts_are_clipped(server, tmp_path):
  history = PromptHistory('x' * 5000, ('a \ud800fox',), (), ('y' * 5000,))
  generator = chat_of(server, tmp_path)
  (pool,) = ask(generator, [history])
  assert len(pool) == 25
  assert len(json.dumps(server.requests[0]['messages'])) < 7000
  assert counters_of(generator)['clipped_inputs'] == 2
