"""Gemma from disk: its config, parameters and tokenizer, without PyTorch.

Only the first Gemma has a Flax version in Transformers (no Gemma 2 or 3).
"""

import copy
import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import transformers
from flax import traverse_util
from transformers.models.gemma import modeling_flax_gemma

from pasta import errors, pretrained
from pasta.types import PyTree

FILES = ('*.json', 'model*.safetensors', 'tokenizer.model')  # on the hub
_IDENTITY = ('config.json', 'tokenizer.json')  # part of what a model is
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
  directory, config, tokenizer = read(path_or_hub_id)
  tensors = pretrained.read_weights(directory)
  return config, convert(config, tensors, dtype, directory), tokenizer


def read(
  path_or_hub_id: str,
) -> tuple[str, transformers.GemmaConfig, transformers.PreTrainedTokenizerBase]:
  """The directory, the config and the tokenizer of a Gemma, as `load`."""
  directory = pretrained.resolve(path_or_hub_id, FILES)
  config = _read_config(os.path.join(directory, 'config.json'))
  return directory, config, _read_tokenizer(directory, config.vocab_size)


def fingerprint(path_or_hub_id: str) -> str:
  """Tells which Gemma is there; fetches it from the hub where needed."""
  directory = pretrained.resolve(path_or_hub_id, FILES)
  return pretrained.fingerprint(directory, _IDENTITY)


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
  short = with_positions(config, 1)
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


def token_ids(
  tokenizer: transformers.PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[list[int]]:
  """Token ids of each text, without special ones, whatever people typed."""
  if not texts:
    return []
  return tokenizer(
    list(texts),
    add_special_tokens=False,
    split_special_tokens=True,
    verbose=False,
  )['input_ids']


def with_positions(
  config: transformers.GemmaConfig, length: int
) -> transformers.GemmaConfig:
  """The config for texts of this length: its size shapes no parameter."""
  config = copy.copy(config)
  # Transformers cuts its table of 2 · head_dim columns at this many, too.
  config.max_position_embeddings = max(length, 2 * config.head_dim)
  return config


def with_float32_norms(params: PyTree) -> PyTree:
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
