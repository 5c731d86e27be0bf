"""The generator gemma, on a tiny random Gemma in the layout of the real one."""

import collections
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_gemma
import transformers

from configs import common
from pasta import errors
from pasta.candidates import answers, english, instruction_files
from pasta.candidates import build as candidates_build
from pasta.candidates import counters as chat_counters
from pasta.candidates.gemma import requests as gemma_requests
from pasta.candidates.grammar import generator as grammar
from pasta.gemma import decoding
from pasta.gemma import model as gemma_model
from pasta.types import CATEGORIES, PromptHistory

_FOX = PromptHistory('a fox')
_LATER = PromptHistory(
  'a fox',
  ('a fox in snow', 'two foxes in snow'),
  (('a fox at night',), ('an old fox', 'a fox, ink drawing')),
  ('', 'warmer,\nplease'),
)
_TEXTS = {
  'gemma.txt': '$history\n$num_prompts of $max_words $category\n',
  'gemma_begin.txt': '1.\n',
  'categories.txt': ''.join(f'{c}: as {c}\n' for c in CATEGORIES),
}


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  path = tiny_gemma.write(
    tmp_path_factory.mktemp('gemma'), num_shards=1, turns=True
  )
  # Inputs and outputs share their embedding: a random model would mostly say
  # its last token again, whatever stands before.
  tensors = tiny_gemma.tensors()
  tensors['model.norm.weight'] -= 2
  for i in range(2):
    tensors[f'model.layers.{i}.self_attn.o_proj.weight'] *= 3
  tiny_gemma.write_weights(path, tensors, 1)
  return path


@pytest.fixture(scope='module')
def model(directory):
  return gemma_model.load(str(directory), jnp.float32)


@pytest.fixture(scope='module')
def instructions(tmp_path_factory):
  path = tmp_path_factory.mktemp('instructions')
  for name, text in _TEXTS.items():
    (path / name).write_text(text)
  return path


@pytest.fixture(scope='module')
def config(tmp_path_factory, instructions):
  directory = tiny_gemma.write(
    tmp_path_factory.mktemp('gemma'),
    num_layers=1,
    num_positions=2048,
    turns=True,
  )
  config = common.world().candidates
  config.name = 'gemma'
  config.gemma.update(
    model=str(directory),
    instructions=str(instructions),
    max_new_tokens=24,
    prompt_tokens=(96, 256),
    batch_texts=8,
    dtype='float32',
  )
  return config.lock()


def _build(config, **fields):
  config = config.copy_and_resolve_references()
  config.update_from_flattened_dict(fields)
  return candidates_build.build(config)


def _counts(generator):
  return {k: v for k, v in generator.counters.as_dict().items() if v}


def _check_pool(pool, history):
  """25 valid candidates."""
  assert collections.Counter(c.category for c in pool) == dict.fromkeys(
    CATEGORIES, 5
  )
  assert len({c.text.lower() for c in pool}) == 25
  shown = {history.initial_prompt, *history.chosen, *sum(history.rejected, ())}
  assert not shown & {c.text for c in pool}
  for candidate in pool:
    assert candidate.text.strip() and '\n' not in candidate.text
    assert english.cost(candidate.text) <= 36


def _raises(match):
  return pytest.raises(errors.PastaError, match=match)


# Decoding.


@pytest.fixture(scope='module')
def decode(model):
  """Continues prompts in one batch; they are padded to 24 tokens."""
  config, params, _ = model

  @functools.cache
  def program(sampling):
    return jax.jit(
      functools.partial(
        decoding.generate, config, sampling=sampling, dtype='float32'
      )
    )

  def run(prompts, seeds=None, kinds=None, temperature=0.0):
    ids = np.zeros((len(prompts), 24), np.int32)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
      ids[row, 24 - len(prompt) :] = prompt
      mask[row, 24 - len(prompt) :] = 1
    if kinds is None:
      kinds = np.zeros(config.vocab_size, np.int8)
    if seeds is None:
      seeds = np.zeros((len(prompts), 2), np.uint32)
    sampling = decoding.Sampling(temperature, 20, 1.0, 12, 2)
    return jax.device_get(program(sampling)(params, kinds, ids, mask, seeds))

  return run


def _prompts(model, *texts):
  return [[2, *ids] for ids in gemma_model.token_ids(model[2], texts)]


def test_greedy_is_the_argmax_of_an_uncached_pass(directory, model, decode):
  """The other pass is Transformers' own, without cache or left padding."""
  prompts = _prompts(model, 'a cat', 'two dogs in the rain', 'an old house')
  prompts.append([])
  made = decode(prompts)
  assert made.length.tolist() == [12, 12, 12, 0]
  assert made.is_whole.tolist() == [False, False, False, True]
  reference = transformers.FlaxGemmaForCausalLM.from_pretrained(directory)
  rows = [[*p, *ids] for p, ids in zip(prompts, made.ids.tolist())][:3]
  size = max(map(len, rows))
  ids = np.array([row + [0] * (size - len(row)) for row in rows])
  likeliest = np.asarray(reference(ids).logits.argmax(-1))
  for prompt, row, expected in zip(prompts, rows, likeliest):
    start = len(prompt)
    assert row[start:] == expected[start - 1 : start + 11].tolist()
    assert len(set(row[start:])) > 3


def test_a_row_depends_on_its_prompt_and_seed(model, decode):
  prompts = _prompts(
    model, 'a cat', 'two dogs in the rain', 'an old house', 'rain'
  )
  seeds = np.array([[1, 2], [3, 4], [1, 2], [5, 6]], np.uint32)
  made = decode(prompts, seeds=seeds, temperature=1.0)
  other = decode(prompts[::-1], seeds=seeds[::-1], temperature=1.0)
  np.testing.assert_array_equal(other.ids[::-1], made.ids)
  for seed in ([1, 3], [2, 2]):
    seeds[0] = seed
    changed = decode(prompts, seeds=seeds, temperature=1.0)
    np.testing.assert_array_equal(changed.ids[1:], made.ids[1:])
    assert (changed.ids[0] != made.ids[0]).any()


def test_stops(model, decode):
  prompts = _prompts(model, 'a cat') * 4
  seeds = np.arange(8, dtype=np.uint32).reshape(4, 2)
  run = functools.partial(decode, prompts, seeds, temperature=1.0)
  found = run().ids
  (row, *_) = (i for i, ids in enumerate(found) if len({*ids[:6]}) == 6)
  ids = found[row].tolist()

  def kinds(*of_first):
    out = np.full(200, decoding.TEXT, np.int8)
    out[ids[: len(of_first)]] = of_first
    return out

  text, stop = decoding.TEXT, decoding.STOP
  made = run(kinds(text, text, text, stop))
  assert made.length[row] == 3 and made.is_whole[row]
  assert made.ids[row].tolist() == ids[:3] + [0] * 9
  # Lines with nothing on them do not count.
  blank, newline = decoding.BLANK, decoding.NEWLINE
  both = decoding.TEXT_AND_NEWLINE
  made = run(kinds(newline, blank, newline, text, newline, both))
  assert made.length[row] == 6 and made.is_whole[row]
  assert made.ids[row].tolist() == ids[:6] + [0] * 6


def test_token_kinds(model):
  vocabulary = dict.fromkeys(
    ('<start_of_turn>', '▁cat', '▁', '▁▁', '\n', '\n\n', '<0x0A>', 'it\n')
  )
  vocabulary |= dict.fromkeys(('<end_of_turn>', '<eos>'))
  for i, token in enumerate(vocabulary):
    vocabulary[token] = i
  tokenizer = types.SimpleNamespace(
    eos_token='<eos>', get_vocab=lambda: vocabulary
  )
  kinds = decoding.token_kinds(tokenizer, 12).tolist()
  text, blank, newline, both, stop = range(5)
  assert kinds == [
    *(text, text, blank, blank, newline, newline, newline, both, stop, stop),
    *(text, text),  # sizes of embeddings are often rounded up
  ]
  kinds = decoding.token_kinds(model[2], 200)
  assert kinds[model[2].get_vocab()['\n']] == newline
  assert kinds[model[2].eos_token_id] == stop


def test_sample_frequencies():
  # By probability: 1/2, 1/4, 1/8, 1/16, 1/16; at temperature 2 their roots.
  logits = jnp.log(jnp.array([1 / 8, 1 / 16, 1 / 2, 1 / 16, 1 / 4]))
  num = 5_000
  keys = jax.vmap(jax.random.key)(jnp.arange(num))

  def frequencies(**fields):
    sampling = decoding.Sampling(
      **{'temperature': 1.0, 'top_k': 5, 'top_p': 1.0}
      | {'max_new_tokens': 1, 'num_lines': 1}
      | fields
    )
    drawn = decoding.sample(jnp.broadcast_to(logits, (num, 5)), keys, sampling)
    return np.bincount(drawn, minlength=5) / num

  # Four standard errors are at most 4 * sqrt(0.25 / 5,000) = 0.028.
  for fields, expected in (
    ({}, [0.125, 0.0625, 0.5, 0.0625, 0.25]),
    ({'top_k': 2}, [0, 0, 2 / 3, 0, 1 / 3]),
    # 1/2 and 1/4 are less than 0.8: the next one completes it.
    ({'top_p': 0.8}, [1 / 7, 0, 4 / 7, 0, 2 / 7]),
    ({'top_k': 1}, [0, 0, 1, 0, 0]),
    ({'top_k': 2, 'temperature': 2.0}, [0, 0, 0.5858, 0, 0.4142]),
    ({'temperature': 0.0}, [0, 0, 1, 0, 0]),
    ({'temperature': 1e-3}, [0, 0, 1, 0, 0]),
  ):
    np.testing.assert_allclose(frequencies(**fields), expected, atol=0.028)


# Requests.


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
  rows = requests.of_session(_LATER, chat_counters.Counters())
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
  ids = requests.of_session(_FOX, chat_counters.Counters())[0]
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
    requests.of_session(_LATER, chat_counters.Counters())[2]
  )
  for part in ('5 new prompts', '36 words', 'two foxes', 'style: adds'):
    assert part in text
  assert '$' not in text and requests.begin == '1.'


# Answers.


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


# The generator.


def test_without_an_answer_all_come_from_grammar(config):
  generator = _build(config)
  # Whatever it draws first, the model has said all.
  generator._kinds = np.full_like(generator._kinds, decoding.STOP)
  pools = generator.propose([_FOX, _LATER], np.array([1, 2**64 - 1], np.uint64))
  for pool, history in zip(pools, [_FOX, _LATER], strict=True):
    _check_pool(pool, history)
  assert _counts(generator) == {
    'sessions': 2,
    'requests': 10,
    'unusable': 10,
    'topped_up': 50,
    'without_answer': 2,
  }
  assert 'topped_up 50' in generator.counters.summary()
  expected = grammar.Grammar().propose([_FOX], np.array([1]))[0]
  assert {c.text for c in pools[0]} == {c.text for c in expected}


def test_a_session_is_the_same_in_any_batch(config):
  town = PromptHistory('a town ' * 12)
  histories = [_FOX, _LATER, town, PromptHistory('a cat'), _FOX]
  seeds = np.array([5, 6, 7, 8, 9])
  generator = _build(config)
  together = generator.propose(histories, seeds)
  # Requests of two lengths.
  assert generator._generate._cache_size() == 2
  counts = _counts(generator)
  # What a random model writes between two ends of lines is kept.
  assert 0 < counts['topped_up'] < 125
  for history, seed, pool in zip(histories, seeds, together, strict=True):
    _check_pool(pool, history)
    assert generator.propose([history], np.array([seed])) == [pool]
  assert _counts(generator) == {k: 2 * v for k, v in counts.items()}
  assert together[0] != together[4]
  assert generator._generate._cache_size() == 2
  other = _build(config, **{'gemma.batch_texts': 40})
  assert other.propose(histories[:1], seeds[:1]) == together[:1]


def test_good_lines_are_taken_as_they_are(config):
  generator = _build(config)
  tokenizer = generator._tokenizer

  def written(category, i):
    return f'{category} of the fox, turn {i}'

  def answer(params, kinds, ids, mask, words):
    lines = []
    for row, valid in zip(ids, mask):
      said = tokenizer.decode(row[valid == 1])
      found = [c for c in CATEGORIES if f'{c}: as {c}' in said]
      lines.append(
        ''.join(
          f' {written(c, i)}\n{i + 1}.' for c in found for i in range(1, 6)
        )
      )
    out = [
      gemma_model.token_ids(tokenizer, [text])[0] if text else []
      for text in lines
    ]
    size = max(map(len, out))
    return types.SimpleNamespace(
      ids=np.array([row + [0] * (size - len(row)) for row in out]),
      length=np.array(list(map(len, out))),
      is_whole=np.ones(len(out), bool),
    )

  generator._generate = answer
  pools = generator.propose([_FOX, _LATER], np.array([1, 2]))
  for pool in pools:
    for category in CATEGORIES:
      assert [c.text for c in pool if c.category == category] == [
        written(category, i) for i in range(1, 6)
      ]
    assert len({c.category for c in pool[:5]}) == 5
  assert _counts(generator) == {'sessions': 2, 'requests': 10, 'answers': 10}
  assert generator.counters.summary() == ''


def test_bfloat16(config):
  generator = _build(config, **{'gemma.dtype': 'bfloat16'})
  (pool,) = generator.propose([_FOX], np.array([0]))
  _check_pool(pool, _FOX)
  assert _counts(generator)['requests'] == 5


def test_ids(config):
  ids = {_build(config).generator_id}
  (first,) = ids
  assert first.startswith('gemma-1-') and first.endswith('-chat-c25-w36')
  assert ' ' not in first
  for field, value in {
    'num_candidates': 50,
    'max_words': 30,
    'gemma.temperature': 0.1,
    'gemma.top_k': 3,
    'gemma.top_p': 0.5,
    'gemma.max_new_tokens': 8,
    'gemma.prompt_tokens': (96, 200),
    'gemma.dtype': 'bfloat16',
    'gemma.chat_template': False,
  }.items():
    ids.add(_build(config, **{field: value}).generator_id)
  assert len(ids) == 10
  same = _build(config, **{'gemma.batch_texts': 3})
  assert same.generator_id == first


def test_ids_name_model_and_instructions(config, tmp_path):
  first = _build(config).generator_id
  other = tiny_gemma.write(
    tmp_path / 'other', seed=1, num_positions=2048, turns=True
  )
  assert _build(config, **{'gemma.model': str(other)}).generator_id != first
  for name, text in _TEXTS.items():
    (tmp_path / name).write_text(text + ' ')
  told = _build(config, **{'gemma.instructions': str(tmp_path)})
  assert told.generator_id != first


@pytest.mark.parametrize(
  'field, value, match',
  [
    ('model', ' ', "gemma.model' is empty"),
    ('model', '/no/where', '/no/where: no such model directory'),
    ('top_k', 0, "top_k' is 0, expected at least 1"),
    ('max_new_tokens', 0, "max_new_tokens' is 0"),
    ('batch_texts', 0, "batch_texts' is 0"),
    ('temperature', -1.0, "temperature' is -1.0"),
    ('temperature', float('nan'), "temperature' is nan"),
    ('top_p', 0.0, "top_p' is 0.0"),
    ('top_p', 1.5, "top_p' is 1.5"),
    ('prompt_tokens', (), r"prompt_tokens' is \(\)"),
    ('prompt_tokens', (90, 90), r"prompt_tokens' is \(90, 90\)"),
    ('prompt_tokens', (50,), "prompt_tokens' ends at 50, but the instructions"),
    ('prompt_tokens', (2040,), 'make 2064 tokens together, but .* has 2048'),
    ('dtype', 'float16', "dtype' is 'float16'"),
  ],
)
def test_wrong_fields(config, field, value, match):
  with _raises(match):
    _build(config, **{f'gemma.{field}': value})


def test_wrong_models(config, tmp_path):
  plain = tiny_gemma.write(tmp_path / 'plain', num_positions=2048)
  with _raises('chat_template. is True, but the tokenizer .* <start_of_turn>'):
    _build(config, **{'gemma.model': str(plain)})
  path = plain / 'config.json'
  content = path.read_text()
  fields = {'gemma.model': str(plain), 'gemma.chat_template': False}
  path.write_text(content.replace('{', '{"tie_word_embeddings": false,', 1))
  with _raises('tie_word_embeddings False'):
    _build(config, **fields)
  path.write_text(content.replace('"gemma"', '"gemma2"'))
  with _raises("model_type is 'gemma2'"):
    _build(config, **fields)


@pytest.mark.parametrize(
  'name, text, match',
  [
    ('gemma.txt', None, "gemma.txt: cannot be read.*'candidates.gemma.instr"),
    ('gemma_begin.txt', ' \n', 'gemma_begin.txt: is empty'),
    ('gemma.txt', '$history', r'gemma.txt does not refer to \$num_prompts'),
    ('gemma.txt', '$mood', r'gemma.txt: refers to \$mood'),
    ('categories.txt', 'style: x', 'does not describe rephrase'),
  ],
)
def test_wrong_instructions(config, tmp_path, name, text, match):
  for other, content in _TEXTS.items():
    (tmp_path / other).write_text(content)
  if text is None:
    (tmp_path / name).unlink()
  else:
    (tmp_path / name).write_text(text)
  with _raises(match):
    _build(config, **{'gemma.instructions': str(tmp_path)})


def test_wrong_calls(config):
  generator = _build(config)
  with pytest.raises(ValueError, match='1 histories, but 2 seeds'):
    generator.propose([_FOX], np.array([1, 2]))
  with pytest.raises(ValueError, match='initial_prompt is empty'):
    generator.propose([PromptHistory(' ')], np.array([1]))
  assert generator.propose([], np.array([], int)) == []


def test_one_directory_holds_all_instructions():
  files = instruction_files.read('', tuple(_TEXTS), 'x')
  assert tuple(files.categories()) == CATEGORIES
