"""Weights of SDXL's four networks, from Flax's or PyTorch's files.

Flax's files (`diffusion_flax_model.msgpack`, `flax_model.msgpack`) are taken
first as they need no conversion, then PyTorch's safetensors, whole or in
shards, then their half-precision copies (`*.fp16.safetensors`). PyTorch is not
needed. Names and layouts are converted by diffusers' and Transformers' own
rules, one tensor at a time and cast at once, so that a network is never held
both as it is in the file and as it is used.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import flax.serialization
import flax.traverse_util
import numpy as np
from diffusers.models import modeling_flax_pytorch_utils as diffusers_names
from transformers import modeling_flax_pytorch_utils as transformers_names

from pasta import errors, pretrained

DIFFUSION = 'diffusion_pytorch_model'  # stem of the UNet's and VAE's files
TEXT = 'model'  # stem of the text encoders' files
_FLAX_FILES = {
  DIFFUSION: 'diffusion_flax_model.msgpack',
  TEXT: 'flax_model.msgpack',
}
_VARIANTS = ('', 'fp16')
# Constants that old checkpoints hold as if they were weights.
_CONSTANTS = ('text_model.embeddings.position_ids',)

Key = tuple[str, ...]


def missing_weights(directory: str, stem: str) -> str | None:
  """What to say of a directory that holds no weights; None if it does.

  Args:
    directory: of one network.
    stem: DIFFUSION or TEXT.
  """
  held = set(os.listdir(directory)) if os.path.isdir(directory) else set()
  known = [_FLAX_FILES[stem]]
  for variant in _VARIANTS:
    known.extend(pretrained.weight_files(stem, variant))
  if held.intersection(known):
    return None
  wanted = f'{stem}.safetensors (or {_FLAX_FILES[stem]})'
  pickles = sorted(name for name in held if name.endswith('.bin'))
  if pickles:
    return (
      f'{wanted}: there is only {pickles[0]}, which needs PyTorch; save the '
      'pipeline with safe_serialization=True'
    )
  return wanted


def load(
  directory: str, stem: str, shapes: Mapping[str, Any], dtype: np.dtype
) -> dict[str, Any]:
  """The parameters of one network as numpy arrays.

  Args:
    directory: of the network.
    stem: DIFFUSION or TEXT; says which names the files have, too.
    shapes: tree of the expected parameters' shapes.
    dtype: to cast to.

  Raises:
    PastaError: there are no weights, or a file is damaged, or a parameter is
      missing, unexpected or of another shape.
  """
  lack = missing_weights(directory, stem)
  if lack is not None:
    raise errors.PastaError(f'{directory}: has no {lack}')
  path = os.path.join(directory, _FLAX_FILES[stem])
  if os.path.isfile(path):
    return _checked(_read_msgpack(path), shapes, dtype, path)
  for variant in _VARIANTS:
    files = pretrained.weight_files(stem, variant)
    if any(os.path.isfile(os.path.join(directory, name)) for name in files):
      break
  tensors = pretrained.read_weights(directory, stem, variant)
  return _from_torch(tensors, stem, shapes, dtype, directory)


def load_file(
  path: str, shapes: Mapping[str, Any], dtype: np.dtype
) -> dict[str, Any]:
  """A UNet's parameters from one safetensors file; as `load` otherwise."""
  tensors = pretrained.read_safetensors(path)
  return _from_torch(tensors, DIFFUSION, shapes, dtype, path)


def _read_msgpack(path: str) -> Iterator[tuple[Key, np.ndarray]]:
  """(key, array) of a Flax file; each array is freed once it is used."""
  try:
    with open(path, 'rb') as f:
      tree = flax.serialization.msgpack_restore(f.read())
    flat = flax.traverse_util.flatten_dict(tree)
    if not all(isinstance(x, np.ndarray) for x in flat.values()):
      raise ValueError('it holds other things than arrays')
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from e
  except Exception as e:  # msgpack and flax raise about anything.
    raise errors.PastaError(
      f'{path}: damaged, or no Flax weights ({type(e).__name__}: {e})'
    ) from e
  del tree
  while flat:
    yield flat.popitem()


def _from_torch(
  tensors: dict[str, np.ndarray],
  stem: str,
  shapes: Mapping[str, Any],
  dtype: np.dtype,
  source: str,
) -> dict[str, Any]:
  flat_shapes = flax.traverse_util.flatten_dict(shapes)

  def converted():
    for name, x in tensors.items():
      if name in _CONSTANTS:
        continue
      try:
        if stem == DIFFUSION:
          key = tuple(diffusers_names.rename_key(name).split('.'))
          yield diffusers_names.rename_key_and_reshape_tensor(
            key, x, flat_shapes
          )
        else:
          yield transformers_names.rename_key_and_reshape_tensor(
            tuple(name.split('.')), x, flat_shapes, ''
          )
      except (AssertionError, ValueError, IndexError) as e:
        raise errors.PastaError(
          f'{source}: the tensor {name!r} of shape {list(x.shape)} does not '
          'fit: these are the weights of another model'
        ) from e

  return _checked(converted(), shapes, dtype, source)


def _checked(
  entries: Iterable[tuple[Key, np.ndarray]],
  shapes: Mapping[str, Any],
  dtype: np.dtype,
  source: str,
) -> dict[str, Any]:
  """Casts the entries, and makes sure that they are those of `shapes`."""
  flat_shapes = flax.traverse_util.flatten_dict(shapes)
  params = {}
  unexpected = []
  for key, x in entries:
    if key not in flat_shapes:
      unexpected.append('.'.join(key))
      continue
    expected = flat_shapes[key].shape
    if x.shape != expected:
      raise errors.PastaError(
        f'{source}: {".".join(key)} is {list(x.shape)}, expected '
        f'{list(expected)}: these are the weights of another model'
      )
    params[key] = np.array(x, dtype, order='C')  # a copy in any case
  for key in flat_shapes:
    if key not in params:
      raise errors.PastaError(
        f'{source}: has no {".".join(key)}: these are the weights of another '
        'model'
      )
  if unexpected:
    raise errors.PastaError(
      f'{source}: holds {min(unexpected)}, which the model does not have: '
      'these are the weights of another model'
    )
  return flax.traverse_util.unflatten_dict(params)
