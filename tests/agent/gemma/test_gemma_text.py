"""States and candidates as text, and as tokens."""

import logging

import numpy as np
import pytest
import tiny_gemma
import transformers

from pasta.agent.gemma import text as gemma_text
from pasta.storage import sessions
from pasta.types import Candidate


def _turn(*shown, choice, critique=''):
  order = tuple(range(len(shown)))
  return sessions.Turn(
    candidates=(Candidate('not shown', 'style'), *shown),
    scores=None,
    slate=tuple(i + 1 for i in order),
    columns=order,
    seeds=order,
    log_propensity=None,
    choice=choice,
    satisfaction=None,
    comparison=None,
    critique=critique,
    answered_at=0.0,
  )


_PAST = (
  _turn(
    Candidate('a cat,  oil\npainting', 'style'),
    Candidate('a cat with green eyes', 'detail'),
    choice=1,
    critique='warmer,\nplease',
  ),
  _turn(Candidate('two dogs', 'subject'), choice=0),
)


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
  directory = tmp_path_factory.mktemp('tokenizer')
  tiny_gemma.write_tokenizer(directory)
  return transformers.GemmaTokenizerFast.from_pretrained(directory)


def _decode(tokenizer, ids, mask):
  """The text between <bos> and <eos>."""
  ids = ids[mask == 1].tolist()
  assert ids[0] == tokenizer.bos_token_id
  assert ids[-1] == tokenizer.eos_token_id
  tokens = tokenizer.convert_ids_to_tokens(ids[1:-1])
  return ''.join(tokens).replace('▁', ' ')


def test_describe():
  assert gemma_text.describe_state('a\ncat', _PAST, 5) == (
    'turn 1\n'
    'shown (style): a cat, oil painting\n'
    'chosen (detail): a cat with green eyes\n'
    'critique: warmer, please\n'
    'turn 2\n'
    'chosen (subject): two dogs\n'
    'first prompt: a cat\n'
    'turn 3 of 5, 2 more after it\n'
  )
  assert gemma_text.describe_state('a cat', (), 1) == (
    'first prompt: a cat\nturn 1 of 1, 0 more after it\n'
  )
  assert (
    gemma_text.describe_candidate('a cat\n in ink', 'style')
    == 'next (style): a cat in ink'
  )


def test_describe_refuses():
  with pytest.raises(ValueError, match='2 past turns of 2'):
    gemma_text.describe_state('a cat', _PAST, 2)
  for choice in (1, -1):
    broken = _turn(Candidate('a', 'style'), choice=choice)
    with pytest.raises(ValueError, match='past turn 1: '):
      gemma_text.describe_state('a cat', [broken], 5)


def test_tokens_are_state_then_candidate(tokenizer):
  states = ['first prompt: a cat\n', 'first prompt: dogs\n']
  candidates = [['next (style): ink', ''], ['next (detail): a cat', 'eyes']]
  ids, mask = gemma_text.tokenise(tokenizer, states, candidates, 40)
  assert ids.shape == mask.shape == (2, 2, 40)
  assert ids.dtype == mask.dtype == np.int32
  for b, state in enumerate(states):
    for c, text in enumerate(candidates[b]):
      assert _decode(tokenizer, ids[b, c], mask[b, c]) == state + text
  # Valid tokens first, padding behind them.
  assert (np.diff(mask, axis=-1) <= 0).all()
  assert (ids[mask == 0] == tokenizer.pad_token_id).all()


def test_the_oldest_is_forgotten_first(tokenizer, caplog):
  state = gemma_text.describe_state('a cat', _PAST, 5)
  candidate = gemma_text.describe_candidate('two dogs in the rain', 'subject')
  full, mask = gemma_text.tokenise(tokenizer, [state], [[candidate]], 200)
  full = full[0, 0, : mask.sum()]
  for length in range(mask.sum() - 1, 40, -7):
    with caplog.at_level(logging.INFO):
      ids, mask = gemma_text.tokenise(tokenizer, [state], [[candidate]], length)
    assert '1 of 1 texts forget their oldest turns' in caplog.text
    assert 'lose their ends' not in caplog.text
    assert mask.all() and ids.shape[-1] == length
    # <bos>, then the newest tokens.
    np.testing.assert_array_equal(ids[0, 0, 1:], full[1 - length :])
    assert 'first prompt: a cat\n' in _decode(tokenizer, ids[0, 0], mask[0, 0])


def test_a_candidate_without_room_loses_its_end(tokenizer, caplog):
  texts = ['next (style): a cat, oil painting', 'a']
  ids, mask = gemma_text.tokenise(tokenizer, ['turn 1\n'], [texts], 8)
  assert '1 of 2 candidates lose their ends' in caplog.text
  first = _decode(tokenizer, ids[0, 0], mask[0, 0])
  assert texts[0].startswith(first) and mask[0, 0].all()
  assert _decode(tokenizer, ids[0, 1], mask[0, 1]) == 'turn 1\na'


def test_tokens_depend_on_their_pair_only(tokenizer):
  states = [gemma_text.describe_state('a cat', _PAST[:n], 5) for n in range(3)]
  texts = [['an old house', 'two dogs in the rain at night'] for _ in states]
  together, _ = gemma_text.tokenise(tokenizer, states, texts, 50)
  for b, state in enumerate(states):
    for c in range(2):
      alone, _ = gemma_text.tokenise(tokenizer, [state], [[texts[b][c]]], 50)
      np.testing.assert_array_equal(together[b, c], alone[0, 0])


def test_special_tokens_in_a_prompt_are_plain_text(tokenizer):
  ids, mask = gemma_text.tokenise(tokenizer, [''], [['a <eos> <bos> cat']], 40)
  assert _decode(tokenizer, ids[0, 0], mask[0, 0]) == 'a <eos> <bos> cat'
  assert (ids[0, 0] == tokenizer.eos_token_id).sum() == 1
  assert (ids[0, 0] == tokenizer.bos_token_id).sum() == 1


def test_tokenise_refuses(tokenizer):
  with pytest.raises(ValueError, match='no room for any text'):
    gemma_text.tokenise(tokenizer, ['a'], [['b']], 2)
  with pytest.raises(ValueError, match='1 states, 2 lists'):
    gemma_text.tokenise(tokenizer, ['a'], [['b'], ['c']], 9)
  with pytest.raises(ValueError, match=r'of sizes \[1, 2\]'):
    gemma_text.tokenise(tokenizer, ['a', 'b'], [['b'], ['c', 'd']], 9)


def test_tokenise_nothing(tokenizer):
  ids, mask = gemma_text.tokenise(tokenizer, [], [], 9)
  assert ids.shape == mask.shape == (0, 0, 9)
