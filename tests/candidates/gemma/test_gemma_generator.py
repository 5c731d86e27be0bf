"""The generator gemma: pools, ids, and what cannot be used."""

import collections
import types

import numpy as np
import pytest
import tiny_gemma
from gemma_texts import FOX, INSTRUCTIONS, LATER

from pasta import errors
from pasta.candidates import build as candidates_build
from pasta.candidates import counters as counters_lib
from pasta.candidates import english
from pasta.candidates.grammar import generator as grammar
from pasta.gemma import decoding
from pasta.gemma import model as gemma_model
from pasta.types import CATEGORIES, PromptHistory


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


def test_without_an_answer_all_come_from_grammar(config):
  generator = _build(config)
  # Whatever it draws first, the model has said all.
  generator._kinds = np.full_like(generator._kinds, decoding.STOP)
  with _raises('one a line; candidates.gemma.allow_unusable = True goes on'):
    generator.propose([FOX], np.array([1]))
  generator.counters = counters_lib.Counters()
  generator._goes_on = True
  pools = generator.propose([FOX, LATER], np.array([1, 2**64 - 1], np.uint64))
  for pool, history in zip(pools, [FOX, LATER], strict=True):
    _check_pool(pool, history)
  assert _counts(generator) == {
    'sessions': 2,
    'requests': 10,
    'unusable': 10,
    'topped_up': 50,
    'without_answer': 2,
  }
  assert 'topped_up 50' in generator.counters.summary()
  expected = grammar.Grammar().propose([FOX], np.array([1]))[0]
  assert {c.text for c in pools[0]} == {c.text for c in expected}


def test_a_session_is_the_same_in_any_batch(config):
  town = PromptHistory('a town ' * 12)
  histories = [FOX, LATER, town, PromptHistory('a cat'), FOX]
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
  pools = generator.propose([FOX, LATER], np.array([1, 2]))
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
  (pool,) = generator.propose([FOX], np.array([0]))
  _check_pool(pool, FOX)
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
  for name, text in INSTRUCTIONS.items():
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
  for other, content in INSTRUCTIONS.items():
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
    generator.propose([FOX], np.array([1, 2]))
  with pytest.raises(ValueError, match='initial_prompt is empty'):
    generator.propose([PromptHistory(' ')], np.array([1]))
  assert generator.propose([], np.array([], int)) == []
