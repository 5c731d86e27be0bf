"""Gemma as the backbone of a value function (the paper's choice, section 5).

A state and a candidate, written as text (`text`), go through a
pretrained Gemma; small heads read values off the last token's hidden state.
Either all parameters are trained, or a LoRA of some kernels (`lora`), and one
frozen copy of the rest serves f, v and their targets alike.

Letters: S tokens, W hidden size, J twin heads, F numbers beside a text.
"""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import transformers
from transformers.models.gemma import modeling_flax_gemma

from pasta import errors
from pasta.agent import value_head
from pasta.gemma import lora as lora_lib
from pasta.gemma import model as gemma_model

PyTree = Any


def encode(
  config: transformers.GemmaConfig,
  params: PyTree,
  ids: jax.Array,
  mask: jax.Array,
  dtype: jax.typing.DTypeLike = jnp.bfloat16,
  *,
  remat: bool = False,
  lora: PyTree | None = None,
  lora_scale: float = 1.0,
) -> jax.Array:
  """The last valid token's hidden state, after the final norm.

  Calls Transformers' layers one by one: FlaxGemmaModule itself has no remat,
  and computes masks and positions of the longest text that a config allows.

  Args:
    config: of `gemma_model.load`.
    params: of `gemma_model.load`; norms are always applied in float32.
    ids: int [..., S], padded on the right.
    mask: bool or int [..., S], 1 = valid. A row without a valid token gives
      finite numbers that mean nothing.
    dtype: of the computation.
    remat: whether gradients recompute each layer instead of storing what is
      inside it: less memory, about a third more time.
    lora: of `lora.init(key, params, ...)`, None for none.
    lora_scale: what its products are multiplied with.

  Returns:
    float32 [..., W].

  Raises:
    PastaError: texts longer than the model's positions.
  """
  chex.assert_equal_shape([ids, mask])
  length = ids.shape[-1]
  if length > config.max_position_embeddings:
    raise errors.PastaError(
      f'texts of {length} tokens, but this Gemma has '
      f'{config.max_position_embeddings} positions'
    )
  dtype = jnp.dtype(dtype)
  config = gemma_model.with_positions(config, length)
  flat_ids = ids.reshape(-1, length)
  flat_mask = mask.reshape(-1, length).astype(jnp.int32)
  positions = jnp.maximum(jnp.cumsum(flat_mask, -1) - 1, 0)
  layer = modeling_flax_gemma.FlaxGemmaDecoderLayer(config, dtype=dtype)
  norm = modeling_flax_gemma.FlaxGemmaRMSNorm(config, dtype=jnp.float32)

  def apply_layer(layer_params, layer_lora, x):
    variables = {'params': gemma_model.with_float32_norms(layer_params)}
    with lora_lib.applied(layer_lora, lora_scale):
      return layer.apply(variables, x, flat_mask, positions)[0]

  if remat:
    apply_layer = jax.checkpoint(apply_layer)
  x = params['embed_tokens']['embedding'][flat_ids].astype(dtype)
  x *= config.hidden_size**0.5
  loras = {} if lora is None else lora['layers']
  for i in map(str, range(config.num_hidden_layers)):
    x = apply_layer(params['layers'][i], loras.get(i, {}), x)
  last = jnp.maximum(flat_mask.sum(-1) - 1, 0)
  x = jnp.take_along_axis(x, last[:, None, None], 1)[:, 0]
  x = norm.apply({'params': gemma_model.with_float32_norms(params['norm'])}, x)
  return x.astype(jnp.float32).reshape(*ids.shape[:-1], config.hidden_size)


class _Head(nn.Module):
  """Encodings [..., W] and what stands beside them to values [...]."""

  dims: tuple[int, ...]
  is_zero_at_start: bool

  @nn.compact
  def __call__(self, encoding: jax.Array, beside: jax.Array) -> jax.Array:
    # Gemma's final norm leaves entries far from unit scale.
    x = nn.LayerNorm()(encoding.astype(jnp.float32))
    x = jnp.concatenate([x, beside], -1)
    return value_head.tail(x, self.dims, self.is_zero_at_start)


class ValueHead(nn.Module):
  """Encodings to the values of J twins, float32 [J, ...].

  It reads encodings [..., W] and, beside them, numbers that no text tells
  [..., F].

  Attributes:
    dims: sizes of the hidden layers.
    num_twins: J.
    is_zero_at_start: whether all values are 0 before training.
  """

  dims: tuple[int, ...]
  num_twins: int
  is_zero_at_start: bool = True

  @nn.compact
  def __call__(self, encoding: jax.Array, beside: jax.Array) -> jax.Array:
    heads = value_head.twins(_Head, self.num_twins)
    return heads(self.dims, self.is_zero_at_start, name='heads')(
      encoding, beside
    )
