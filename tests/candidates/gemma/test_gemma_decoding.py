"""Decoding: what follows a prompt, and where it stops."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers

from pasta.gemma import decoding
from pasta.gemma import model as gemma_model


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
    drawn = decoding.sample(
      jnp.broadcast_to(logits, (num, 5)), jax.random.clone(keys), sampling
    )
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
