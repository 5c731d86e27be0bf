"""CLIP features of prompts and images, through Transformers' Flax model.

Everything downstream sees prompts and pixels only through these embeddings
(Nabati et al., section 4: e_T(p) and e_I(I) on top of a frozen CLIP).
"""

import functools
import hashlib
import importlib.resources
import os
from collections.abc import Iterator, Sequence

import chex
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import transformers

from pasta import errors, pretrained
from pasta.encoders import pixels

DEFAULT_NAME = 'sketch-clip'
_BUCKET = 8  # Text lengths are padded to multiples of this.
# Alternatives that each directory must offer one of.
_REQUIRED_FILES = (
  (('config.json',),),
  (('flax_model.msgpack',), ('model.safetensors',)),
  (('tokenizer.json',), ('vocab.json', 'merges.txt')),
  (('preprocessor_config.json',),),
)


class ClipEncoder:
  """A frozen CLIP: texts and images to L2-normalised float32 vectors.

  Attributes:
    encoder_id: name or hub id, and a short hash of the weights.
    embedding_dim: D.
    params: the weights, as `apply_text` and `apply_image` take them.
    max_tokens: longest text in tokens, start and end included; longer texts
      are truncated.
    image_size: height and width that the model sees, in pixels.
    preprocessing: how an image is brought to that size.
    dtype: what it computes with, 'float32' or 'bfloat16'.
    batch_sizes: numbers of rows of its calls, in increasing order.
  """

  def __init__(
    self,
    model: transformers.FlaxCLIPModel,
    params: chex.ArrayTree,
    tokenizer: transformers.CLIPTokenizerFast,
    processor: transformers.CLIPImageProcessor,
    name: str,
    dtype: str = 'float32',
  ):
    """Wraps the parts; `load` is the usual way to get them."""
    config = model.config
    self.embedding_dim = int(config.projection_dim)
    self.max_tokens = int(config.text_config.max_position_embeddings)
    self.image_size = int(config.vision_config.image_size)
    self.encoder_id = f'{name}@{_weights_hash(params)}'
    self.dtype = dtype
    if dtype != 'float32':
      params = model.to_bf16(params)
    self.preprocessing = pixels.Preprocessing.of(processor)
    self._model, self._tokenizer, self._processor = model, tokenizer, processor
    self._tokens = tokenizer.backend_tokenizer
    self._tokens.no_truncation()
    self._tokens.no_padding()
    self._eos, self._pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    # On a CPU 64 rows stay in its cache; elsewhere large batches are faster.
    on_cpu = jax.default_backend() == 'cpu'
    self.batch_sizes = (64,) if on_cpu else (64, 512)
    self.params = jax.device_put(params)
    self._offset, self._scale = _pixel_transform(processor)
    self._encode_ids = jax.jit(self.apply_text)
    self._encode_pixels = jax.jit(self.apply_image)

  def apply_text(
    self, params: chex.ArrayTree, ids: jax.Array, mask: jax.Array
  ) -> jax.Array:
    """Unit vectors [B, D] of token ids and their mask [B, tokens]; pure."""
    chex.assert_equal_shape([ids, mask])
    return _unit(self._model.get_text_features(ids, mask, params=params))

  def apply_image(self, params: chex.ArrayTree, pixels: jax.Array) -> jax.Array:
    """Unit vectors [B, D] of pixels [B, H, W, 3] in 0..255; pure."""
    chex.assert_rank(pixels, 4)
    x = (pixels.astype(jnp.float32) - self._offset) * self._scale
    x = jnp.transpose(x, (0, 3, 1, 2))  # Transformers wants channels first.
    return _unit(self._model.get_image_features(x, params=params))

  @classmethod
  def load(
    cls, path_or_hub_id: str = DEFAULT_NAME, *, dtype: str = 'float32'
  ) -> 'ClipEncoder':
    """Loads an encoder.

    Args:
      path_or_hub_id: 'sketch-clip' for the shipped one, else a directory that
        `save_pretrained` wrote (model, tokenizer, image processor), else a hub
        id such as 'openai/clip-vit-base-patch32'.
      dtype: of weights and computation: 'float32', 'bfloat16', or 'auto',
        which is bfloat16 but on CPUs, which are slower with it. Features are
        float32 in any case, and of the same `encoder_id`.

    Returns:
      The encoder.

    Raises:
      PastaError: a directory lacks a file, or nothing can be loaded.
    """
    if dtype not in ('float32', 'bfloat16', 'auto'):
      raise errors.PastaError(
        f"dtype is {dtype!r}, expected 'float32', 'bfloat16' or 'auto'"
      )
    if dtype == 'auto':
      dtype = 'float32' if jax.default_backend() == 'cpu' else 'bfloat16'
    path, name = path_or_hub_id, path_or_hub_id
    if path == DEFAULT_NAME:
      path = str(importlib.resources.files('pasta.encoders') / 'sketch_clip')
    else:
      path = os.path.expanduser(path)
    if os.path.isdir(path):
      _check_directory(path)
      name = os.path.basename(os.path.normpath(name))
    elif path.startswith(('.', os.sep)) or path.count('/') > 1:
      raise errors.PastaError(
        f'encoder directory {path} does not exist; expected a directory, a '
        f"hub id or '{DEFAULT_NAME}'"
      )
    transformers.logging.set_verbosity_error()
    try:
      model, params = _load_model(path, dtype)
      tokenizer = transformers.CLIPTokenizerFast.from_pretrained(path)
      processor = transformers.CLIPImageProcessor.from_pretrained(path)
    except (OSError, ValueError, NotImplementedError, KeyError) as e:
      reason = ' '.join(str(e).split())
      raise errors.PastaError(
        f'cannot load the encoder {path_or_hub_id!r}: {reason}'
      ) from e
    return cls(model, params, tokenizer, processor, name, dtype)

  def num_tokens(self, texts: Sequence[str]) -> np.ndarray:
    """Counts tokens, start and end included, before truncation, int32 [N]."""
    _check_texts(texts)
    return np.array([len(ids) for ids in self._token_ids(texts)], np.int32)

  def encode_text(self, texts: Sequence[str]) -> np.ndarray:
    """Embeds texts; those beyond `max_tokens` lose their ends.

    Args:
      texts: N texts.

    Returns:
      Unit vectors, float32 [N, D]; each depends on its own text only.
    """
    _check_texts(texts)
    # Pools of candidates repeat prompts: each distinct one is encoded once.
    unique = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    tokens = self._truncated_ids(list(unique))
    buckets = {}
    for i, ids in enumerate(tokens):
      length = min(-(-len(ids) // _BUCKET) * _BUCKET, self.max_tokens)
      buckets.setdefault(length, []).append(i)
    out = np.zeros((len(unique), self.embedding_dim), np.float32)
    for length, members in buckets.items():
      ids = np.full((len(members), length), self._pad, np.int32)
      mask = np.zeros((len(members), length), np.int32)
      for row, i in enumerate(members):
        ids[row, : len(tokens[i])] = tokens[i]
        mask[row, : len(tokens[i])] = 1
      out[members] = self._in_batches(self._encode_ids, ids, mask)
    return out[[unique[text] for text in texts]]  # [N, D]

  def encode_images(self, images: np.ndarray) -> np.ndarray:
    """Embeds images; other sizes are resized as the model's processor says.

    Args:
      images: uint8 [N, H, W, 3].

    Returns:
      Unit vectors, float32 [N, D]; each depends on its own image only.

    Raises:
      ValueError: wrong dtype or shape.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
      raise ValueError(
        'images: expected uint8 [N, H, W, 3], got '
        f'{images.dtype} {list(images.shape)}'
      )
    out = np.zeros((len(images), self.embedding_dim), np.float32)
    step = self.batch_sizes[-1]
    if images.shape[1:3] == (self.image_size,) * 2:
      return self._in_batches(self._encode_pixels, images)
    for i in range(0, len(images), step):
      resized = self.resize(images[i : i + step])
      out[i : i + step] = self._in_batches(self._encode_pixels, resized)
    return out

  def resize(self, images: np.ndarray) -> np.ndarray:
    """Images uint8 [N, H, W, 3] at the size that the model sees."""
    if images.shape[1:3] == (self.image_size,) * 2:
      return images
    resized = self._processor(
      list(images),
      do_rescale=False,
      do_normalize=False,
      data_format='channels_last',
      input_data_format='channels_last',
      return_tensors='np',
    )['pixel_values']
    return np.asarray(resized, np.uint8)

  def token_ids(self, texts: Sequence[str]) -> np.ndarray:
    """Token ids, padded to `max_tokens`, int32 [N, max_tokens].

    The text tower is causal and reads its result off the first end token, so
    these need no mask.
    """
    _check_texts(texts)
    out = np.full((len(texts), self.max_tokens), self._pad, np.int32)
    for row, ids in zip(out, self._truncated_ids(texts), strict=True):
      row[: len(ids)] = ids
    return out

  def save(self, directory: str, params: chex.ArrayTree) -> None:
    """Writes an encoder with other weights, in the Hugging Face layout."""
    self._model.save_pretrained(directory, params=params)
    self._tokenizer.save_pretrained(directory)
    self._processor.save_pretrained(directory)

  def _truncated_ids(self, texts: Sequence[str]) -> list[list[int]]:
    tokens = self._token_ids(texts)
    for i, ids in enumerate(tokens):
      if len(ids) > self.max_tokens:
        tokens[i] = [*ids[: self.max_tokens - 1], self._eos]
    return tokens

  def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
    return [e.ids for e in self._tokens.encode_batch_fast(list(texts))]

  def _in_batches(self, encode, *arrays: np.ndarray) -> np.ndarray:
    """Runs `encode` over rows in few static batch sizes, float32 [N, D]."""
    out = np.zeros((len(arrays[0]), self.embedding_dim), np.float32)
    pending = None  # One batch behind, so that host and device overlap.
    for start, stop, size in _chunks(len(out), self.batch_sizes):
      rows = [_pad_rows(a[start:stop], size) for a in arrays]
      result = encode(self.params, *rows)
      if pending is not None:
        out[pending[0]] = np.asarray(pending[1])[: pending[2]]
      pending = slice(start, stop), result, stop - start
    if pending is not None:
      out[pending[0]] = np.asarray(pending[1])[: pending[2]]
    return out


def _check_texts(texts: Sequence[str]) -> None:
  if isinstance(texts, str):
    raise ValueError('texts: expected a sequence of str, got one str')
  for i, text in enumerate(texts):
    if not isinstance(text, str):
      raise ValueError(f'texts[{i}]: expected str, got {type(text).__name__}')


def _check_directory(path: str) -> None:
  """Raises PastaError naming what `path` lacks."""
  for alternatives in _REQUIRED_FILES:
    missing = [
      [f for f in files if not os.path.isfile(os.path.join(path, f))]
      for files in alternatives
    ]
    if all(missing):
      expected = ' or '.join(' and '.join(files) for files in alternatives)
      raise errors.PastaError(
        f'encoder directory {path} has no {" or ".join(missing[-1])}; '
        f'expected {expected}'
      )
  for name in ('flax_model.msgpack', pretrained.WEIGHTS_FILE):
    if os.path.isfile(os.path.join(path, name)):
      pretrained.check_is_no_pointer(os.path.join(path, name))


def _load_model(
  path: str, dtype: str
) -> tuple[transformers.FlaxCLIPModel, chex.ArrayTree]:
  """The model's functions and its parameters."""
  load = functools.partial(
    transformers.FlaxCLIPModel.from_pretrained, dtype=jnp.dtype(dtype)
  )
  if not os.path.isfile(os.path.join(path, 'flax_model.msgpack')):
    model = load(path)  # PyTorch's format needs an initialised model.
    _check_tensors(path, model.required_params)
    return model, model.params
  # Saves ten seconds of drawing random weights.
  model, params = load(path, _do_init=False)
  names = set(flax.traverse_util.flatten_dict(params))
  missing = sorted('.'.join(n) for n in model.required_params - names)
  if missing:
    raise ValueError(f'flax_model.msgpack has no {missing[0]}')
  return model, params


def _check_tensors(path: str, required: set[tuple[str, ...]]) -> None:
  """Raises PastaError where weights lack a tensor.

  Transformers draws it at random in place of saying so.

  Args:
    path: directory or hub id, whose files are here by now.
    required: names of the Flax model's parameters.
  """
  file = transformers.utils.cached_file(
    path,
    pretrained.WEIGHTS_FILE,
    _raise_exceptions_for_missing_entries=False,
  )
  if file is None:  # Shards, or PyTorch's own format: refused before, or whole.
    return
  there = pretrained.read_safetensors(file)
  endings = {'kernel': 'weight', 'embedding': 'weight', 'scale': 'weight'}
  for name in sorted(required):
    tensor = '.'.join((*name[:-1], endings.get(name[-1], name[-1])))
    if tensor not in there:
      raise errors.PastaError(
        f'{file}: has no tensor {tensor!r}, which a CLIP model needs'
      )


def _weights_hash(params: chex.ArrayTree) -> str:
  """The same for the same weights, whatever file they came from."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    digest.update(jax.tree_util.keystr(path).encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()[:10]


def _pixel_transform(
  processor: transformers.CLIPImageProcessor,
) -> tuple[np.ndarray, np.ndarray]:
  """Offset and scale [3] of uint8 values, from the processor's settings."""
  rescale = processor.rescale_factor if processor.do_rescale else 1.0
  mean, std = np.zeros(3), np.ones(3)
  if processor.do_normalize:
    mean, std = np.array(processor.image_mean), np.array(processor.image_std)
  # (x · rescale − mean) / std
  offset, scale = mean / rescale, rescale / std
  return offset.astype(np.float32), scale.astype(np.float32)


def _unit(x: jax.Array) -> jax.Array:
  """L2-normalises rows, [N, D]."""
  x = x.astype(jnp.float32)
  norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
  return x / jnp.maximum(norm, 1e-12)


def _chunks(
  num_rows: int, sizes: tuple[int, ...]
) -> Iterator[tuple[int, int, int]]:
  """Yields (start, stop, padded size); sizes are in increasing order."""
  start = 0
  while start < num_rows:
    left = num_rows - start
    size = max((s for s in sizes if s <= left), default=sizes[0])
    yield start, min(start + size, num_rows), size
    start += size


def _pad_rows(x: np.ndarray, size: int) -> np.ndarray:
  """Repeats the last row until there are `size`."""
  if len(x) == size:
    return x
  return np.concatenate([x, np.repeat(x[-1:], size - len(x), axis=0)])
