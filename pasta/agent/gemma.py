"""Gemma as the backbone of a value function (the paper's choice, section 5).

A state and a candidate, written as text (`gemma_text`), go through a
pretrained Gemma; small heads read values off the last token's hidden state.
Either all parameters are trained, or a LoRA of some kernels (`lora`), and one
frozen copy of the rest serves f, v and their targets alike.

Only the first Gemma has a Flax version in Transformers (no Gemma 2 or 3).

Letters: S tokens, W hidden size, J twin heads, F numbers beside a text.
"""

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import transformers
from flax import traverse_util
from transformers.models.gemma import modeling_flax_gemma

from pasta import errors, pretrained
from pasta.agent import lora as lora_lib
from pasta.agent import value_head

PyTree = Any
FILES = ('*.json', 'model*.safetensors', 'tokenizer.model')  # on the hub
_ROPE_THETA = 10000.0  # What the Flax classes use, whatever the config says.
_MAX_NAMED = 5  # Tensors that an error names.


def load(
  path_or_hub_id: str, dtype: jax.typing.DTypeLike = jnp.bfloat16
) -> tuple[
  transformers.GemmaConfig, PyTree, transformers.PreTrainedTokenizerBase
]:
  """Loads a pretrained Gemma.

  Args:
    path_or_hub_id: a directory with config.json, tokenizer.json and weights
      (`pretrained.read_weights`), or a hub id such as 'google/gemma-2b'.
    dtype: of the parameters. bfloat16 for a frozen base under a LoRA; float32
      where all parameters are trained, as small updates are lost in bfloat16
      (`encode` computes in a dtype of its own).

  Returns:
    The config, the parameters of FlaxGemmaModule, the tokenizer.

  Raises:
    PastaError: a file is missing or broken, the model is no Gemma 1, or
      tensors are missing, unknown or of the wrong shape.
  """
  directory = pretrained.resolve(path_or_hub_id, FILES)
  config = _read_config(os.path.join(directory, 'config.json'))
  tokenizer = _read_tokenizer(directory, config.vocab_size)
  tensors = pretrained.read_weights(directory)
  return config, convert(config, tensors, dtype, directory), tokenizer


def convert(
  config: transformers.GemmaConfig,
  tensors: Mapping[str, np.ndarray],
  dtype: jax.typing.DTypeLike,
  where: str,
) -> PyTree:
  """Parameters of FlaxGemmaModule from tensors named as PyTorch does.

  The output layer of a language model (lm_head) is left out.

  Args:
    config: of the model.
    tensors: of GemmaModel, or of GemmaForCausalLM (names begin with 'model.').
    dtype: of the parameters.
    where: names the source in errors.

  Raises:
    PastaError: tensors are missing, unknown or of the wrong shape.
  """
  short = _with_positions(config, 1)
  one = jnp.zeros((1, 1), jnp.int32)
  shapes = traverse_util.flatten_dict(
    jax.eval_shape(
      modeling_flax_gemma.FlaxGemmaModule(short).init,
      jax.random.key(0),
      one,
      one,
      one,
    )['params']
  )
  prefix = 'model.' if any(n.startswith('model.') for n in tensors) else ''
  names = {path: prefix + _torch_name(path) for path in shapes}
  _refuse('missing', [n for n in names.values() if n not in tensors], where)
  known = {*names.values(), 'lm_head.weight'}
  # Older files store the rotary frequencies, which the config implies.
  unknown = [
    n for n in tensors if n not in known and not n.endswith('.inv_freq')
  ]
  _refuse('unknown', unknown, where)
  wrong = []
  for path, name in names.items():
    is_kernel = path[-1] == 'kernel'
    expected = shapes[path].shape[:: -1 if is_kernel else 1]
    if tensors[name].shape != expected:
      wrong.append(f'{name} {tensors[name].shape} (expected {expected})')
  _refuse('wrongly shaped', wrong, where)

  def to_jax(path):
    x = tensors[names[path]]
    x = x.T if path[-1] == 'kernel' else x  # PyTorch's are [out, in].
    return jnp.asarray(np.array(x, dtype, order='C'))

  return traverse_util.unflatten_dict({path: to_jax(path) for path in shapes})


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
    config: of `load`.
    params: of `load`; norms are always applied in float32.
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
  config = _with_positions(config, length)
  flat_ids = ids.reshape(-1, length)
  flat_mask = mask.reshape(-1, length).astype(jnp.int32)
  positions = jnp.maximum(jnp.cumsum(flat_mask, -1) - 1, 0)
  layer = modeling_flax_gemma.FlaxGemmaDecoderLayer(config, dtype=dtype)
  norm = modeling_flax_gemma.FlaxGemmaRMSNorm(config, dtype=jnp.float32)

  def apply_layer(layer_params, layer_lora, x):
    variables = {'params': _with_float32_norms(layer_params)}
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
  x = norm.apply({'params': _with_float32_norms(params['norm'])}, x)
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


def _read_config(path: str) -> transformers.GemmaConfig:
  content = pretrained.read_json(path)
  kind = content.get('model_type')
  if kind != 'gemma':
    raise errors.PastaError(
      f"{path}: model_type is {kind!r}, expected 'gemma'; Gemma 2 and 3 have "
      'no Flax version'
    )
  config = transformers.GemmaConfig.from_dict(content)
  if config.rope_theta != _ROPE_THETA:
    raise errors.PastaError(
      f'{path}: rope_theta is {config.rope_theta}, but the Flax version knows '
      f'{_ROPE_THETA} only'
    )
  return config


def _read_tokenizer(
  directory: str, vocab_size: int
) -> transformers.PreTrainedTokenizerBase:
  path = os.path.join(directory, 'tokenizer.json')
  if not os.path.isfile(path):
    raise errors.PastaError(f'{path}: no such file')
  try:
    tokenizer = transformers.AutoTokenizer.from_pretrained(
      directory, local_files_only=True
    )
  # The tokenizers library raises plain Exceptions.
  except Exception as e:
    reason = ' '.join(str(e).split())
    raise errors.PastaError(f'{path}: not a tokenizer: {reason}') from e
  if len(tokenizer) > vocab_size:
    raise errors.PastaError(
      f'{path}: {len(tokenizer)} tokens, but config.json has a vocab_size of '
      f'{vocab_size}'
    )
  if None in (tokenizer.bos_token_id, tokenizer.eos_token_id):
    raise errors.PastaError(f'{path}: has no <bos> or no <eos>')
  return tokenizer


def _with_positions(
  config: transformers.GemmaConfig, length: int
) -> transformers.GemmaConfig:
  """The config for texts of this length: its size shapes no parameter."""
  config = copy.copy(config)
  # Transformers cuts its table of 2 · head_dim columns at this many, too.
  config.max_position_embeddings = max(length, 2 * config.head_dim)
  return config


def _with_float32_norms(params: PyTree) -> PyTree:
  """In bfloat16, 1 + weight would lose what PyTorch's Gemma keeps."""
  return jax.tree_util.tree_map_with_path(
    lambda path, x: x.astype(jnp.float32) if path[-1].key == 'weight' else x,
    params,
  )


def _torch_name(path: tuple[str, ...]) -> str:
  last = 'weight' if path[-1] in ('kernel', 'embedding') else path[-1]
  return '.'.join((*path[:-1], last))


def _refuse(problem: str, names: Sequence[str], where: str) -> None:
  """Raises PastaError unless there are no such tensors."""
  if names:
    more = len(names) - _MAX_NAMED
    raise errors.PastaError(
      f'{where}: {problem} tensor{"s" * (len(names) > 1)}: '
      f'{", ".join(names[:_MAX_NAMED])}{f" and {more} more" * (more > 0)}'
    )
