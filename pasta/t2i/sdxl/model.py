"""SDXL, Stable Diffusion XL, as a text-to-image model on all devices."""

import contextlib
import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging

from pasta import errors, parallel
from pasta.t2i import arguments
from pasta.t2i.sdxl import images as sdxl_images
from pasta.t2i.sdxl import memory as sdxl_memory
from pasta.t2i.sdxl import pipeline as sdxl_pipeline
from pasta.t2i.sdxl import schedule as sdxl_schedule

_VERSION = 1  # of what turns a seed and a prompt into an image


class Sdxl:
  """Draws prompts by SDXL; implements pasta.t2i.base.TextToImage.

  Image m of a prompt depends only on (weights, settings, prompt, seed, m): its
  noise is drawn from fold_in(key(seed), m). Prompts beyond the token limit lose
  their ends.

  Attributes:
    model_id: names weights and settings, all that changes images.
    image_size: width and height of an image, pixels.
    num_truncated: how many prompts were beyond the token limit so far.
    compile_seconds: how long the compiler took; 0 before the first image.
    memory_bytes: what the compiled program needs on a device, weights
      included; 0 before the first image.
  """

  draws_at_any_size = False

  def __init__(
    self,
    pipeline: sdxl_pipeline.Pipeline,
    *,
    size: int,
    steps: int = 20,
    scheduler: str = 'euler',
    spacing: str = 'leading',
    guidance: float = 5.0,
    negative_prompt: str = '',
    batch_size: int = 1,
    vae_chunk: int = 1,
    num_devices: int = 0,
  ):
    """Loads the weights; the program is compiled at the first image.

    Args:
      pipeline: from `sdxl_pipeline.load`.
      size: width and height of an image, pixels; SDXL is trained for 1024.
      steps: how many times the UNet is used for an image.
      scheduler: 'ddim', 'dpm++' or 'euler'.
      spacing: 'leading', 'linspace' or 'trailing'.
      guidance: classifier-free guidance; up to 1 for none.
      negative_prompt: what not to draw.
      batch_size: images drawn at once on each device.
      vae_chunk: of these, images decoded at once.
      num_devices: of this host; 0 for all.

    Raises:
      PastaError: an argument is out of range, the weights are those of
        another model, or they do not fit into memory.
    """
    _check_size(size, pipeline)
    for name, value, low in (
      ('batch_size', batch_size, 1),
      ('vae_chunk', vae_chunk, 1),
      ('num_devices', num_devices, 0),
    ):
      if value < low:
        raise errors.PastaError(f'{name}: expected {low} or more, got {value}')
    if not 0 <= guidance < float('inf'):
      raise errors.PastaError(f'guidance: expected 0 or more, got {guidance}')
    if negative_prompt and guidance <= 1:
      raise errors.PastaError(
        f'negative_prompt: has no effect with guidance {guidance}; expected '
        'guidance above 1, or no negative prompt'
      )
    schedule = sdxl_schedule.build(scheduler, spacing, steps, pipeline.noise)
    first = int(schedule.steps.timestep[0])
    num_train = len(pipeline.noise.signal)
    if first < 0.9 * num_train:
      logging.warning(
        'SDXL: %d %s steps begin at step %d of %d: with so few, spacing '
        "'trailing' is better",
        steps,
        spacing,
        first,
        num_train,
      )
    self.image_size = int(size)
    self.num_truncated = 0
    self.compile_seconds = 0.0
    self.memory_bytes = 0
    self._pipeline = pipeline
    self._settings = sdxl_images.Settings(
      schedule, float(guidance), int(size), int(min(vae_chunk, batch_size))
    )
    self._num_devices = num_devices or jax.local_device_count()
    self._batch_size = int(batch_size)
    if negative_prompt or not pipeline.zero_negative:
      self._negative_ids = self._token_ids([negative_prompt])
    else:
      self._negative_ids = np.zeros((1, 2, 0), np.int32)
    self._program = None
    params = pipeline.load_params()
    self._weights_bytes = sdxl_memory.num_bytes(params)
    negative = hashlib.sha256(negative_prompt.encode()).hexdigest()[:8]
    self.model_id = (
      f'sdxl:{pipeline.fingerprint(params)}@{size}'
      f'/{scheduler}-{spacing}-{steps}/g{float(guidance):g}'
      f'{"/not-" + negative if negative_prompt else ""}'
      f'/{pipeline.unet.dtype.name}/v{_VERSION}'
    )
    self._params = None
    self._place(params)

  def generate(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """See TextToImage.

    Raises:
      PastaError: there is not enough memory.
    """
    seeds = arguments.check(prompts, seeds, images_per_prompt)
    m, size = images_per_prompt, self.image_size
    rows = {
      'ids': np.repeat(self._token_ids(list(prompts)), m, axis=0),
      'seeds': np.repeat(sdxl_images.seed_words(seeds), m, axis=0),
      'index': np.tile(np.arange(m, dtype=np.int32), len(seeds)),
    }
    out = np.empty((len(seeds) * m, size, size, 3), np.uint8)
    pending = None  # One batch behind, so that host and devices overlap.
    for start in range(0, len(out), self._batch_size * self._num_devices):
      images = self._draw(rows, start)
      if pending is not None:
        self._fetch(out, *pending)
      pending = start, images
    if pending is not None:
      self._fetch(out, *pending)
    return out.reshape(len(seeds), m, size, size, 3)

  def close(self) -> None:
    """Frees the devices' memory; a later `generate` loads the weights again."""
    self._params = None

  def _token_ids(self, texts: Sequence[str]) -> np.ndarray:
    """Ids for both encoders, padded or cut, int32 [N, 2, tokens]."""
    limit = self._pipeline.max_tokens
    out = np.empty((len(texts), 2, limit), np.int32)
    too_long = set()
    for i, tokenizer in enumerate(self._pipeline.tokenizers):
      encoder = tokenizer.backend_tokenizer
      encoder.no_truncation()
      encoder.no_padding()
      out[:, i] = tokenizer.pad_token_id
      for row, found in enumerate(encoder.encode_batch(list(texts))):
        ids = found.ids
        if len(ids) > limit:
          too_long.add(row)
          ids = [*ids[: limit - 1], tokenizer.eos_token_id]
        out[row, i, : len(ids)] = ids
    if too_long:
      self.num_truncated += len(too_long)
      logging.warning(
        'SDXL: %d of %d prompts were cut to %d tokens, first %r...',
        len(too_long),
        len(texts),
        limit,
        texts[min(too_long)][:60],
      )
    return out

  def _draw(self, rows: dict[str, np.ndarray], start: int) -> jax.Array:
    """Starts a batch; its images, uint8 [devices, batch, H, W, 3]."""
    num = self._batch_size * self._num_devices
    batch = {}
    for name, x in rows.items():
      part = x[start : start + num]
      # The last batch repeats its last row.
      padded = np.concatenate([part, np.repeat(part[-1:], num - len(part), 0)])
      batch[name] = padded
    batch = parallel.shard(batch, self._num_devices)
    if self._params is None:
      self._place(self._pipeline.load_params())
    args = (
      self._params,
      batch['ids'],
      self._negative_ids,
      batch['seeds'],
      batch['index'],
    )
    with self._memory_errors():
      if self._program is None:
        self._program = self._compile(args)
      return self._program(*args)

  def _fetch(self, out: np.ndarray, start: int, images: jax.Array) -> None:
    with self._memory_errors():
      flat = np.asarray(images).reshape(-1, *out.shape[1:])
    stop = min(start + len(flat), len(out))
    out[start:stop] = flat[: stop - start]

  def _compile(self, args: tuple) -> jax.stages.Compiled:
    def draw(*arrays, axis_name):
      del axis_name  # Nothing crosses devices.
      x = sdxl_images.images(self._pipeline, self._settings, *arrays)
      return sdxl_images.to_uint8(x)

    started = time.perf_counter()
    compiled = (
      parallel.pmap_parts(
        draw,
        num_devices=self._num_devices,
        in_axes=(None, 0, None, 0, 0),
        out_axes=0,
      )
      .lower(*args)
      .compile()
    )
    self.compile_seconds = time.perf_counter() - started
    memory = compiled.memory_analysis()
    if memory is not None:
      self.memory_bytes = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
      )
    logging.info(
      'SDXL: compiled in %.1f s (kept, where there is a compilation cache) '
      'for %d images of %d px on each of %d devices; a device needs %.2f GiB, '
      '%.2f of them weights',
      self.compile_seconds,
      self._batch_size,
      self.image_size,
      self._num_devices,
      self.memory_bytes / sdxl_memory.GIB,
      self._weights_bytes / sdxl_memory.GIB,
    )
    return compiled

  def _place(self, params: dict[str, Any]) -> None:
    with self._memory_errors():
      self._params = parallel.replicate(params, self._num_devices)
      jax.block_until_ready(self._params)

  @contextlib.contextmanager
  def _memory_errors(self) -> Iterator[None]:
    """Turns running out of a device's memory into a PastaError."""
    try:
      yield
    except jax.errors.JaxRuntimeError as e:
      if 'RESOURCE_EXHAUSTED' not in str(e):
        raise
      stats = parallel.local_devices(1)[0].memory_stats() or {}
      message = sdxl_memory.what_fits(
        size=self.image_size,
        size_multiple=self._pipeline.size_multiple,
        batch_size=self._batch_size,
        vae_chunk=self._settings.vae_chunk,
        weights=self._weights_bytes,
        needed=self.memory_bytes,
        limit=stats.get('bytes_limit', 0),
      )
      raise errors.PastaError(message) from e


def from_config(config: ml_collections.ConfigDict) -> Sdxl:
  """Loads the model that a config names.

  Args:
    config: fields `size` (pixels) and `sdxl`, as in configs/common.py.

  Raises:
    PastaError: a field is out of range, or there is no such pipeline.
  """
  fields = config.sdxl.to_dict()
  path, dtype, unet = (fields.pop(name) for name in ('path', 'dtype', 'unet'))
  if dtype not in ('float32', 'bfloat16', 'auto'):
    raise errors.PastaError(
      f"t2i.sdxl.dtype is {dtype!r}, expected 'float32', 'bfloat16' or 'auto'"
    )
  if dtype == 'auto':
    dtype = 'float32' if jax.default_backend() == 'cpu' else 'bfloat16'
  pipeline = sdxl_pipeline.load(path, dtype=dtype, unet=unet)
  return Sdxl(pipeline, size=config.size, **fields)


def _check_size(size: int, pipeline: sdxl_pipeline.Pipeline) -> None:
  multiple = pipeline.size_multiple
  if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
    raise errors.PastaError(
      f'size: expected one number of pixels, images are square; got {size!r}'
    )
  if size < multiple or size % multiple:
    raise errors.PastaError(
      f'size: expected a multiple of {multiple} pixels, got {size}'
    )
  native = pipeline.unet.config.sample_size * pipeline.pixels_per_latent
  if not 0.5 * native <= size <= 2 * native:
    logging.warning(
      'SDXL: drawing at %d px, the model was trained for %d px', size, native
    )
