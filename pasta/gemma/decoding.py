"""Sampling text from a Flax Gemma, one independent draw a row.

Transformers' own `generate` draws with one key for a whole batch, so that a
row's text would depend on its neighbours; here each row has a key of its own.
The whole of it, prompt and all steps, is one compiled program.

Letters: R rows, S tokens of a prompt, N new tokens, V vocabulary, W hidden
size.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import transformers
from transformers.models.gemma import modeling_flax_gemma

from pasta.gemma import model as gemma_model
from pasta.types import PyTree

# What a token is to a list of lines.
TEXT, BLANK, NEWLINE, TEXT_AND_NEWLINE, STOP = range(5)
_BLANKS = ' \t\n▁'
_END_OF_TURN = '<end_of_turn>'


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How tokens are drawn, and when to stop.

  Attributes:
    temperature: 0 takes the likeliest token.
    top_k: draw among this many likeliest tokens.
    top_p: and among the fewest of those that have this share of their mass.
    max_new_tokens: N.
    num_lines: stop after this many lines with something on them.
  """

  temperature: float
  top_k: int
  top_p: float
  max_new_tokens: int
  num_lines: int


class Generated(NamedTuple):
  """What was drawn.

  Attributes:
    ids: int32 [R, N]; 0 behind the end.
    length: int32 [R], tokens before the end.
    is_whole: bool [R], whether the text came to an end by itself, or has all
      its lines; otherwise its last line may be cut.
  """

  ids: jax.Array
  length: jax.Array
  is_whole: jax.Array


class _State(NamedTuple):
  """Between two steps: what was drawn so far and what comes next."""

  step: jax.Array  # []
  logits: jax.Array  # [R, V], of the next token
  cache: PyTree
  ids: jax.Array  # [R, N]
  length: jax.Array  # [R]
  num_lines: jax.Array  # [R], ended ones
  has_text: jax.Array  # [R], whether the last line has something on it
  is_whole: jax.Array  # [R]


def token_kinds(
  tokenizer: transformers.PreTrainedTokenizerBase, vocab_size: int
) -> np.ndarray:
  """What each token is, int8 [V], one of TEXT, BLANK, ..., STOP."""
  kinds = np.full(vocab_size, TEXT, np.int8)
  stops = {tokenizer.eos_token, _END_OF_TURN}
  for token, i in tokenizer.get_vocab().items():
    if token in stops:
      kinds[i] = STOP
    elif '\n' in token or token == '<0x0A>':
      is_bare = token == '<0x0A>' or not token.strip(_BLANKS)
      kinds[i] = NEWLINE if is_bare else TEXT_AND_NEWLINE
    elif not token.strip(_BLANKS):
      kinds[i] = BLANK
  return kinds


def generate(
  config: transformers.GemmaConfig,
  params: PyTree,
  kinds: jax.Array,
  ids: jax.Array,
  mask: jax.Array,
  seeds: jax.Array,
  *,
  sampling: Sampling,
  dtype: jax.typing.DTypeLike,
) -> Generated:
  """Continues R prompts.

  A row's text depends on its prompt and its seed, not on other rows. Rows
  without a prompt cost no steps.

  Args:
    config: of `gemma_model.load`; S + N positions at least.
    params: of `gemma_model.load`.
    kinds: of `token_kinds`.
    ids: int32 [R, S], padded on the left.
    mask: int32 [R, S], 1 = valid; a row of zeros is no prompt.
    seeds: uint32 [R, 2].
    sampling: static.
    dtype: of the computation, logits and draws apart (float32).
  """
  chex.assert_equal_shape([ids, mask])
  chex.assert_shape(seeds, (len(ids), 2))
  num, prompt_size = ids.shape
  size = prompt_size + sampling.max_new_tokens
  config = gemma_model.with_positions(config, size)
  dtype = jnp.dtype(dtype)
  keys = jax.vmap(lambda s: jax.random.fold_in(jax.random.key(s[0]), s[1]))(
    seeds
  )
  num_tokens = mask.sum(-1)
  is_row = num_tokens > 0
  # Causal masks hide what is not written yet.
  attended = jnp.concatenate(
    [mask, jnp.ones((num, sampling.max_new_tokens), mask.dtype)], -1
  )  # [R, S + N]
  logits, cache = _forward(
    config,
    params,
    _empty_cache(config, num, size, dtype),
    ids,
    jnp.maximum(jnp.cumsum(mask, -1) - 1, 0),
    attended,
    dtype,
  )

  def is_running(state):
    return (state.step < sampling.max_new_tokens) & ~state.is_whole.all()

  def advance(state):
    step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, state.step)
    token = sample(state.logits, step_keys, sampling)
    token = jnp.where(state.is_whole, 0, token)
    kind = jnp.where(state.is_whole, STOP, kinds[token])
    ends_line = (kind == TEXT_AND_NEWLINE) | (
      (kind == NEWLINE) & state.has_text
    )
    num_lines = state.num_lines + ends_line
    has_text = (kind == TEXT) | (state.has_text & (kind == BLANK))
    logits, cache = _forward(
      config,
      params,
      state.cache,
      token[:, None],
      (num_tokens + state.step)[:, None],
      attended,
      dtype,
    )
    return _State(
      step=state.step + 1,
      logits=logits,
      cache=cache,
      ids=state.ids.at[:, state.step].set(jnp.where(kind == STOP, 0, token)),
      length=state.length + (kind != STOP),
      num_lines=num_lines,
      has_text=has_text,
      is_whole=(kind == STOP) | (num_lines >= sampling.num_lines),
    )

  zeros = jnp.zeros(num, jnp.int32)
  state = jax.lax.while_loop(
    is_running,
    advance,
    _State(
      step=jnp.int32(0),
      logits=logits,
      cache=cache,
      ids=jnp.zeros((num, sampling.max_new_tokens), jnp.int32),
      length=zeros,
      num_lines=zeros,
      has_text=jnp.zeros(num, bool),
      is_whole=~is_row,
    ),
  )
  return Generated(state.ids, state.length, state.is_whole)


def sample(logits: jax.Array, keys: jax.Array, sampling: Sampling) -> jax.Array:
  """Draws a token a row.

  Args:
    logits: float32 [R, V].
    keys: typed keys [R].
    sampling: how.

  Returns:
    int32 [R].
  """
  if sampling.temperature == 0:
    return logits.argmax(-1).astype(jnp.int32)
  top_k = min(sampling.top_k, logits.shape[-1])
  top, index = jax.lax.top_k(logits, top_k)  # [R, top_k], largest first
  top = top / sampling.temperature
  probs = jax.nn.softmax(top)
  likelier = jnp.cumsum(probs, -1) - probs
  top = jnp.where(likelier < sampling.top_p, top, -jnp.inf)
  drawn = jax.vmap(jax.random.categorical)(keys, top)
  return jnp.take_along_axis(index, drawn[:, None], -1)[:, 0]


def _forward(
  config: transformers.GemmaConfig,
  params: PyTree,
  cache: PyTree,
  ids: jax.Array,
  positions: jax.Array,
  attended: jax.Array,
  dtype: jnp.dtype,
) -> tuple[jax.Array, PyTree]:
  """Logits behind the last of some tokens, float32 [R, V], and the cache.

  Calls Transformers' layers one by one, as the value function does (see
  pasta/agent/gemma/backbone.py): norms stay in float32, and masks are of our
  size.
  """
  layer = modeling_flax_gemma.FlaxGemmaDecoderLayer(config, dtype=dtype)
  norm = modeling_flax_gemma.FlaxGemmaRMSNorm(config, dtype=jnp.float32)
  with_norms = gemma_model.with_float32_norms
  embedding = params['embed_tokens']['embedding']
  x = embedding[ids].astype(dtype)
  x *= config.hidden_size**0.5
  new_cache = {}
  for i in map(str, range(config.num_hidden_layers)):
    (x,), changed = layer.apply(
      {'params': with_norms(params['layers'][i]), 'cache': cache[i]},
      x,
      attended,
      positions,
      mutable=['cache'],
    )
    new_cache[i] = changed['cache']
  x = norm.apply({'params': with_norms(params['norm'])}, x[:, -1])  # [R, W]
  logits = jnp.einsum(
    'rw,vw->rv',
    x.astype(dtype),
    embedding.astype(dtype),
    preferred_element_type=jnp.float32,
  )
  return logits, new_cache


def _empty_cache(
  config: transformers.GemmaConfig, num: int, size: int, dtype: jnp.dtype
) -> PyTree:
  """Room for the keys and values of `size` tokens, as the layers name it."""
  shape = (num, size, config.num_key_value_heads, config.head_dim)
  return {
    str(i): {
      'self_attn': {
        'cached_key': jnp.zeros(shape, dtype),
        'cached_value': jnp.zeros(shape, dtype),
        'cache_index': jnp.int32(0),
      }
    }
    for i in range(config.num_hidden_layers)
  }
