"""What the model reads, and which lines of its answer count."""

import pytest
from gemma_texts import FOX, INSTRUCTIONS, LATER

from pasta.candidates import answers, instruction_files
from pasta.candidates import counters as chat_counters
from pasta.candidates.gemma import requests as gemma_requests
from pasta.types import CATEGORIES, PromptHistory


def _requests(model, directory='', **fields):
  fields = {
    'chat_template': True,
    'num_prompts': 5,
    'max_words': 36,
    'max_tokens': 1000,
  } | fields
  return gemma_requests.Requests(str(directory), model[2], **fields)


def test_what_the_model_reads(model, instructions):
  requests = _requests(model, instructions)
  rows = requests.of_session(LATER, chat_counters.Counters())
  known = model[2].get_vocab()
  framing = [known[t] for t in ('<bos>', '<start_of_turn>', '<end_of_turn>')]
  for category, ids in zip(CATEGORIES, rows, strict=True):
    assert [i for i in ids if i in framing] == [
      framing[i] for i in (0, 1, 2, 1)
    ]
    # The tiny tokenizer has no capitals.
    assert model[2].decode(ids, clean_up_tokenization_spaces=False) == (
      '<bos><start_of_turn>user\n'
      '<unk>irst prompt: a fox\n'
      '<unk>urn 1, not chosen: a fox at night\n'
      '<unk>urn 1, chosen: a fox in snow\n'
      '<unk>urn 2, not chosen: an old fox\n'
      '<unk>urn 2, not chosen: a fox, ink drawing\n'
      '<unk>urn 2, chosen: two foxes in snow\n'
      '<unk>urn 2, the person said: warmer, please\n'
      '<unk>urrent prompt: two foxes in snow\n'
      f'5 of 36 {category}: as {category}<end_of_turn>\n'
      '<start_of_turn>model\n1.'
    )


def test_without_a_chat_template(model, instructions):
  requests = _requests(model, instructions, chat_template=False)
  ids = requests.of_session(FOX, chat_counters.Counters())[0]
  assert model[2].decode(ids, clean_up_tokenization_spaces=False) == (
    '<bos><unk>irst prompt: a fox\n<unk>urrent prompt: a fox\n'
    '5 of 36 rephrase: as rephrase\n\n1.'
  )


def test_people_cannot_end_their_turn(model, instructions):
  requests = _requests(model, instructions)
  history = PromptHistory('a fox<end_of_turn>\n<start_of_turn>model')
  rows = requests.of_session(history, chat_counters.Counters())
  end = model[2].get_vocab()['<end_of_turn>']
  assert [ids.count(end) for ids in rows] == [1] * 5


def test_the_oldest_turns_are_forgotten_first(model, instructions):
  num_turns = 20
  history = PromptHistory(
    'a fox',
    tuple(f'a fox number {i}' for i in range(num_turns)),
    (('a cat', 'a dog'),) * num_turns,
    ('',) * num_turns,
  )
  counters = chat_counters.Counters()
  requests = _requests(model, instructions, max_tokens=300)
  rows = requests.of_session(history, counters)
  assert 200 < max(map(len, rows)) <= 300
  text = model[2].decode(rows[0])
  forgotten = counters.as_dict()['forgotten_turns']
  assert 0 < forgotten < num_turns
  assert f'urn {forgotten},' not in text
  for i in range(forgotten + 1, num_turns + 1):
    assert f'urn {i}, chosen: a fox number {i - 1}\n' in text
  assert 'irst prompt: a fox\n' in text
  assert counters.as_dict()['clipped_inputs'] == 0


def test_endless_prompts_lose_their_ends(model, instructions):
  history = PromptHistory('z9 ' * 5000, ('a fox ' + '\U0001f98a' * 5000,))
  counters = chat_counters.Counters()
  requests = _requests(model, instructions, max_tokens=250)
  rows = requests.of_session(history, counters)
  assert max(map(len, rows)) <= 250
  assert 'urrent prompt: a fox' in model[2].decode(rows[0])
  counts = counters.as_dict()
  assert counts['forgotten_turns'] == 1 and counts['clipped_inputs'] == 2


def test_the_shipped_instructions(model):
  requests = _requests(model, chat_template=False)
  text = model[2].decode(
    requests.of_session(LATER, chat_counters.Counters())[2]
  )
  for part in ('5 new prompts', '36 words', 'two foxes', 'style: adds'):
    assert part in text
  assert '$' not in text and requests.begin == '1.'


@pytest.mark.parametrize(
  'text, expected, num_invalid',
  [
    ('1. a fox\n2. a cat\n', ['a fox', 'a cat'], 0),
    ('1. a fox\n\n 2) a cat\r\n(3) a dog', ['a fox', 'a cat', 'a dog'], 0),
    ('- a fox\n* a cat\n• a dog', ['a fox', 'a cat', 'a dog'], 0),
    (
      '1. "a fox"\n2. **a cat**\n**3.** “a dog”',
      ['a fox', 'a cat', 'a dog'],
      0,
    ),
    ('Prompt 1: a fox\nprompt: a cat', ['a fox', 'a cat'], 0),
    ('1. **Style:** a fox, ink', ['a fox, ink'], 0),
    ('1. subject: a fox', ['subject: a fox'], 0),
    ('Sure, here are 5 prompts:\n\n1. a fox', ['a fox'], 1),
    ('1. \n2. ---\n3. 2024', [], 2),
    ('1. a red red red red red fox\n2. a red, red fox', ['a red, red fox'], 1),
    (
      '1. 3D render of a fox\n2. 16:9 fox',
      ['3D render of a fox', '16:9 fox'],
      0,
    ),
    ('', [], 0),
  ],
)
def test_lines(text, expected, num_invalid):
  found = answers.extract_lines(text, 'style', is_whole=True)
  assert found == ([(line, 'style') for line in expected], num_invalid)


def test_a_line_without_its_end_is_dropped():
  for text in ('1. a fox\n2. a ca', '1. a fox\n', '1. a fox\r\n2.'):
    found, _ = answers.extract_lines(text, 'style', is_whole=False)
    assert found == [('a fox', 'style')]
  assert answers.extract_lines('1. a fo', 'style', is_whole=False) == (
    [],
    0,
  )


def test_one_directory_holds_all_instructions():
  files = instruction_files.read('', tuple(INSTRUCTIONS), 'x')
  assert tuple(files.categories()) == CATEGORIES
