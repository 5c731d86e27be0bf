"""Weights of pretrained models in Hugging Face's layout, read without PyTorch.

A model is one `model.safetensors`, or shards `model-00001-of-00002.safetensors`
with `model.safetensors.index.json`, which Transformers' Flax classes refuse;
diffusers' models have another stem than `model`. Half-precision copies are
called `model.fp16.safetensors` and so on.
Files are mapped into memory, not read: a tensor costs memory only when it is
copied out, so converting a model tensor by tensor never holds it twice. The
format is parsed here because not every version of safetensors gives bfloat16
as numpy, and none says which file and tensor is at fault.
"""

import hashlib
import json
import math
import mmap
import os
import re
import struct
from collections.abc import Sequence
from typing import Any

import huggingface_hub
import ml_dtypes
import numpy as np

from pasta import errors

WEIGHTS_FILE = 'model.safetensors'
INDEX_FILE = 'model.safetensors.index.json'
_HEADER_LENGTH_BYTES = 8
_POINTER = b'version https://git-lfs'
_MAX_SAMPLE = 1024  # Entries of a tensor that a fingerprint reads.
_DTYPES = {
  'F64': np.dtype(np.float64),
  'F32': np.dtype(np.float32),
  'F16': np.dtype(np.float16),
  'BF16': np.dtype(ml_dtypes.bfloat16),
  'I64': np.dtype(np.int64),
  'I32': np.dtype(np.int32),
  'I16': np.dtype(np.int16),
  'I8': np.dtype(np.int8),
  'U8': np.dtype(np.uint8),
  'BOOL': np.dtype(np.bool_),
}


def resolve(
  path_or_hub_id: str, files: Sequence[str], example: str = 'google/gemma-2b'
) -> str:
  """The local directory of a model, fetched from the hub where needed.

  Args:
    path_or_hub_id: a directory, or a hub id such as 'google/gemma-2b'. What
      the hub's cache holds is used without a network.
    files: patterns of the files to fetch from the hub.
    example: a hub id, for the error.

  Returns:
    The directory's path.

  Raises:
    PastaError: a path without a directory, or an id that the hub does not
      give out (unknown, gated, or neither cached nor reachable).
  """
  path = os.path.expanduser(path_or_hub_id)
  if os.path.isdir(path):
    return path
  looks_local = path.startswith(('.', os.sep)) or path.count('/') > 1
  if looks_local or os.path.exists(path):
    raise errors.PastaError(
      f'{path}: no such model directory; expected a directory or a hub id '
      f'such as {example!r}'
    )
  try:
    return huggingface_hub.snapshot_download(path, allow_patterns=list(files))
  except (OSError, ValueError) as e:
    reason = ' '.join(str(e).split())
    raise errors.PastaError(
      f'{path_or_hub_id!r} is no directory here, and cannot be fetched from '
      f'the hub: {reason}'
    ) from e


def read_json(path: str) -> dict[str, Any]:
  """Reads a JSON object; PastaError names a file that is missing or broken."""
  try:
    with open(path, encoding='utf-8') as f:
      content = json.load(f)
  except FileNotFoundError:
    raise errors.PastaError(f'{path}: no such file') from None
  except (OSError, ValueError) as e:
    raise errors.PastaError(f'{path}: not readable as JSON ({e})') from e
  if not isinstance(content, dict):
    raise errors.PastaError(
      f'{path}: holds a JSON {type(content).__name__}, expected an object'
    )
  return content


def read_pipeline_index(directory: str, kinds: Sequence[str]) -> dict[str, Any]:
  """model_index.json of a pipeline; PastaError where it is of no such kind."""
  path = os.path.join(directory, 'model_index.json')
  if not os.path.isfile(path):
    held = sorted(os.listdir(directory))[:5]
    raise errors.PastaError(
      f'{directory}: has no model_index.json, so it is no pipeline of '
      f'diffusers; it holds {", ".join(held) or "nothing"}'
    )
  index = read_json(path)
  kind = index.get('_class_name')
  if kind not in kinds:
    raise errors.PastaError(f'{path}: is a {kind}, expected a {kinds[0]}')
  return index


def weight_files(stem: str = 'model', variant: str = '') -> tuple[str, str]:
  """Names of a model's one file, and of the index of its shards."""
  dot_variant = f'.{variant}' if variant else ''
  return (
    f'{stem}{dot_variant}.safetensors',
    f'{stem}.safetensors.index{dot_variant}.json',
  )


def read_weights(
  directory: str, stem: str = 'model', variant: str = ''
) -> dict[str, np.ndarray]:
  """All tensors of a model by name, from its one file or its shards.

  Args:
    directory: holds WEIGHTS_FILE, or INDEX_FILE and the shards it names.
    stem: what the files' names begin with instead of 'model'.
    variant: 'fp16' for the files `model.fp16.safetensors`, or
      `model.safetensors.index.fp16.json` and its shards.

  Returns:
    Read-only views of the files. They stay valid while something refers to
    them; copy what is to be kept.

  Raises:
    PastaError: neither is there, a shard is missing, the index and the shards
      disagree on where a tensor is, or a file is damaged.
  """
  single_name, index_name = weight_files(stem, variant)
  single = os.path.join(directory, single_name)
  if os.path.isfile(single):
    return read_safetensors(single)
  index = os.path.join(directory, index_name)
  if not os.path.isfile(index):
    name = re.escape(single_name.removesuffix('.safetensors'))
    shard = re.compile(rf'{name}-\d+-of-\d+\.safetensors')
    shards = sorted(filter(shard.fullmatch, os.listdir(directory)))
    if shards:
      raise errors.PastaError(
        f'{directory}: holds the shard {shards[0]} but no {index_name}'
      )
    raise errors.PastaError(
      f'{directory}: holds neither {single_name} nor {index_name}; other '
      'formats (.bin, .gguf, .msgpack) are not read'
    )
  shard_of = _read_index(index)
  tensors = {}
  for shard in sorted(set(shard_of.values())):
    path = os.path.join(directory, shard)
    if not os.path.isfile(path):
      raise errors.PastaError(f'{path}: missing, but {index_name} names it')
    found = read_safetensors(path)
    for name in found:
      if shard_of.get(name) != shard:
        where = shard_of.get(name, 'nowhere')
        raise errors.PastaError(
          f'{path}: holds the tensor {name!r}, which {index_name} places in '
          f'{where}'
        )
    tensors |= found
  for name, shard in shard_of.items():
    if name not in tensors:
      raise errors.PastaError(
        f'{os.path.join(directory, shard)}: lacks the tensor {name!r}, which '
        f'{index_name} places there'
      )
  return tensors


def fingerprint(
  directory: str, files: Sequence[str], stem: str = 'model'
) -> str:
  """A short hash that tells models apart, in a moment also for large ones.

  It covers the files' bytes and of every tensor the name, shape, dtype and
  some entries, evenly spaced: enough to tell a model from its fine-tuned
  version, however either is split into files.

  Args:
    directory: as for `read_weights`.
    files: names of files without which the weights mean nothing.
    stem: as for `read_weights`.

  Raises:
    PastaError: a file is missing; see also `read_weights`.
  """
  digest = hashlib.sha256()
  for name in files:
    path = os.path.join(directory, name)
    try:
      with open(path, 'rb') as f:
        digest.update(f.read())
    except OSError as e:
      raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from e
  for name, x in sorted(read_weights(directory, stem).items()):
    digest.update(f'{name} {x.dtype} {x.shape}'.encode())
    step = max(x.size // _MAX_SAMPLE, 1)
    digest.update(x.reshape(-1)[::step].tobytes())
  return digest.hexdigest()[:16]


def check_is_no_pointer(path: str) -> None:
  """Raises PastaError for a file that Git LFS has left in place of another."""
  with open(path, 'rb') as f:
    if f.read(len(_POINTER)) == _POINTER:
      raise errors.PastaError(
        f'{path}: is a pointer of Git LFS, not the file itself; '
        'git lfs pull fetches it'
      )


def read_safetensors(path: str) -> dict[str, np.ndarray]:
  """The tensors of one file by name, as read-only views of it.

  Raises:
    PastaError: the file is missing, truncated or damaged, names a tensor
      twice, or holds a dtype that numpy does not have.
  """
  try:
    with open(path, 'rb') as f:
      # An empty file cannot be mapped.
      data = (
        mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        if os.fstat(f.fileno()).st_size
        else b''
      )
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from e
  check_is_no_pointer(path)
  header, start = _read_header(path, data)
  tensors = {
    name: _view(path, data, start, name, entry)
    for name, entry in header.items()
    if name != '__metadata__'
  }
  expected = start + sum(x.nbytes for x in tensors.values())
  if len(data) != expected:
    raise errors.PastaError(
      f'{path}: {len(data)} bytes, but its header describes {expected}'
    )
  return tensors


def _read_index(path: str) -> dict[str, str]:
  """{tensor: shard} of an index file."""
  shard_of = read_json(path).get('weight_map')
  if not isinstance(shard_of, dict) or not shard_of:
    raise errors.PastaError(f'{path}: has no weight_map of tensors to shards')
  for name, shard in shard_of.items():
    # Nothing outside of the model's directory is to be opened.
    if not isinstance(shard, str) or shard != os.path.basename(shard):
      raise errors.PastaError(
        f'{path}: places the tensor {name!r} in {shard!r}, expected the name '
        'of a file'
      )
  return shard_of


def _read_header(path: str, data: Any) -> tuple[dict[str, Any], int]:
  """The header of a file, and where its tensors' bytes start."""
  if len(data) < _HEADER_LENGTH_BYTES:
    raise errors.PastaError(
      f'{path}: truncated, {len(data)} bytes are no safetensors file'
    )
  (length,) = struct.unpack('<Q', data[:_HEADER_LENGTH_BYTES])
  start = _HEADER_LENGTH_BYTES + length
  if start > len(data):
    raise errors.PastaError(
      f'{path}: truncated, or no safetensors file: {len(data)} bytes, but its '
      f'header alone would end at {start}'
    )

  def unique(pairs):
    content = {}
    for name, value in pairs:
      if name in content:
        raise errors.PastaError(f'{path}: its header names {name!r} twice')
      content[name] = value
    return content

  try:
    header = json.loads(
      data[_HEADER_LENGTH_BYTES:start], object_pairs_hook=unique
    )
  except errors.PastaError:
    raise
  except ValueError as e:
    raise errors.PastaError(f'{path}: its header is damaged ({e})') from e
  if not isinstance(header, dict):
    raise errors.PastaError(f'{path}: its header is damaged (no JSON object)')
  return header, start


def _view(
  path: str, data: Any, start: int, name: str, entry: Any
) -> np.ndarray:
  """One tensor as a view of the file's bytes."""
  try:
    dtype_name, shape = entry['dtype'], tuple(entry['shape'])
    begin, end = entry['data_offsets']
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
      raise ValueError
  except (KeyError, TypeError, ValueError):
    raise errors.PastaError(
      f'{path}: its header describes {name!r} as {entry}'
    ) from None
  if dtype_name not in _DTYPES:
    raise errors.PastaError(
      f'{path}: the tensor {name!r} is {dtype_name}, expected one of '
      f'{", ".join(_DTYPES)}'
    )
  dtype = _DTYPES[dtype_name]
  if end - begin != math.prod(shape) * dtype.itemsize:
    raise errors.PastaError(
      f'{path}: the tensor {name!r}, {dtype_name}{list(shape)}, cannot lie at '
      f'bytes {begin} to {end}'
    )
  if start + end > len(data):
    raise errors.PastaError(
      f'{path}: truncated, the tensor {name!r} would end at byte '
      f'{start + end} of {len(data)}'
    )
  return np.ndarray(shape, dtype, buffer=data, offset=start + begin)
