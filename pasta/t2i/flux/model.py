"""Flux as a text-to-image model, through diffusers' PyTorch pipeline.

For measuring how an agent that was trained on one model's images does on
another's, without retraining. PyTorch is imported when a model is made.
"""

import contextlib
import gc
import hashlib
import importlib
import math
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import diffusers
import ml_collections
import numpy as np
import transformers
from absl import logging

from pasta import errors
from pasta.t2i import arguments
from pasta.t2i.flux import files

_VERSION = 1  # of what turns a seed and a prompt into an image
_PACKAGES = ('torch', 'accelerate')
_SMALLEST = 256  # pixels, below which Flux draws no pictures
_MAX_TOKENS = 512  # that diffusers lets T5 see
# Models that differ in their settings only share the weights.
_PIPELINES = weakref.WeakValueDictionary()
# A pipeline's scheduler has a state.
_IN_USE = threading.Lock()


class Flux:
  """Draws prompts by Flux; implements pasta.t2i.base.TextToImage.

  Image m of a prompt depends only on (weights, settings, prompt, seed, m), up
  to how a device rounds batches of different sizes. T5 sees a prompt's first
  `max_tokens` tokens, CLIP its first 77.

  Attributes:
    model_id: names weights and settings, all that changes images.
    image_size: width and height of an image, pixels.
    num_truncated: how many prompts were beyond `max_tokens` so far.
  """

  draws_at_any_size = False

  def __init__(
    self,
    path_or_hub_id: str,
    *,
    size: int,
    steps: int = 4,
    guidance: float = 3.5,
    max_tokens: int = 256,
    dtype: str = 'auto',
    device: str = 'auto',
    batch_size: int = 1,
    offload: bool = False,
  ):
    """Checks everything; the weights are loaded at the first image.

    Args:
      path_or_hub_id: a FluxPipeline in diffusers' layout.
      size: width and height of an image, pixels; Flux is made for about 512 to
        1440.
      steps: how many times the transformer is used for an image.
      guidance: distilled guidance, of models that take it (FLUX.1-dev).
      max_tokens: longest prompt that T5 sees, end token included.
      dtype: 'bfloat16', 'float32' or 'auto': float32 on CPUs only.
      device: 'cpu', 'cuda', 'cuda:1', ..., or 'auto': CUDA where there is.
      batch_size: images drawn at once.
      offload: keep only the network in use on the device.

    Raises:
      PastaError: PyTorch is missing, an argument is out of range, or there is
        no such pipeline.
    """
    self._torch = _import_torch()
    for name, value, high in (
      ('steps', steps, 1000),
      ('max_tokens', max_tokens, _MAX_TOKENS),
      ('batch_size', batch_size, math.inf),
    ):
      if not 1 <= value <= high:
        limit = '1 or more' if high == math.inf else f'1 to {high}'
        raise errors.PastaError(
          f't2i.flux.{name}: expected {limit}, got {value}'
        )
    if not 0 <= guidance < math.inf:
      raise errors.PastaError(
        f't2i.flux.guidance: expected 0 or more, got {guidance}'
      )
    self._device = _find_device(self._torch, device)
    on_cpu = self._device.type == 'cpu'
    if offload and on_cpu:
      raise errors.PastaError(
        't2i.flux.offload: there is nothing to offload from a CPU; expected '
        'False'
      )
    if dtype == 'auto':
      dtype = 'float32' if on_cpu else 'bfloat16'
    # T5 overflows in float16.
    if dtype not in ('bfloat16', 'float32'):
      raise errors.PastaError(
        f't2i.flux.dtype: expected auto, bfloat16 or float32, got {dtype!r}'
      )
    self._layout = files.read(files.resolve(path_or_hub_id))
    multiple = self._layout.size_multiple
    if size < multiple or size % multiple:
      raise errors.PastaError(
        f't2i.size: expected a multiple of {multiple} pixels, got {size}'
      )
    if size < _SMALLEST:
      logging.warning(
        'Flux at %d px: expect no pictures below %d px (t2i.size)',
        size,
        _SMALLEST,
      )
    self.image_size = int(size)
    self.num_truncated = 0
    guided = f'/g{float(guidance):g}' if self._layout.takes_guidance else ''
    self.model_id = (
      f'flux:{self._layout.fingerprint}@{size}/{steps}{guided}'
      f'/t{max_tokens}/{dtype}/v{_VERSION}'
    )
    self._dtype, self._offload = dtype, bool(offload)
    self._steps, self._guidance = int(steps), float(guidance)
    self._max_tokens, self._batch_size = int(max_tokens), int(batch_size)
    self._pipeline = None

  def generate(
    self, prompts: Sequence[str], seeds: np.ndarray, images_per_prompt: int
  ) -> np.ndarray:
    """See TextToImage.

    Raises:
      PastaError: the weights cannot be loaded, there is not enough memory, or
        an image is not finite.
    """
    seeds = arguments.check(prompts, seeds, images_per_prompt)
    prompts, m, size = list(prompts), images_per_prompt, self.image_size
    out = np.empty((len(prompts) * m, size, size, 3), np.uint8)
    if len(out):
      with _IN_USE, self._memory_errors():
        if self._pipeline is None:
          self._pipeline = self._load()
        self._count_truncated(prompts)
        texts = self._encode(prompts)
        for start in range(0, len(out), self._batch_size):
          rows = np.arange(start, min(start + self._batch_size, len(out)))
          noise = [self._noise(int(seeds[row // m]), row % m) for row in rows]
          out[rows] = self._draw([x[rows // m] for x in texts], noise)
    return out.reshape(len(prompts), m, size, size, 3)

  def close(self) -> None:
    """Frees the memory; a later `generate` loads the weights again."""
    self._pipeline = None
    gc.collect()  # Hooks of the pipeline refer back to it.
    if self._device.type == 'cuda':
      self._torch.cuda.empty_cache()

  def _count_truncated(self, prompts: list[str]) -> None:
    ids = self._pipeline.tokenizer_2(prompts, verbose=False).input_ids
    too_long = [p for p, x in zip(prompts, ids) if len(x) > self._max_tokens]
    if too_long:
      self.num_truncated += len(too_long)
      logging.warning(
        'Flux: %d of %d prompts were cut to %d tokens, first %r...',
        len(too_long),
        len(prompts),
        self._max_tokens,
        too_long[0][:60],
      )

  def _encode(self, prompts: list[str]) -> tuple[Any, Any]:
    """T5's tokens [P, tokens, D] and CLIP's pooled text [P, D'], on the CPU."""
    parts = []
    with self._torch.no_grad():
      for start in range(0, len(prompts), self._batch_size):
        tokens, pooled, _ = self._pipeline.encode_prompt(
          prompts[start : start + self._batch_size],
          device=self._device,
          max_sequence_length=self._max_tokens,
        )
        parts.append((tokens.cpu(), pooled.cpu()))
    return tuple(self._torch.cat(x) for x in zip(*parts))

  def _noise(self, seed: int, index: int) -> np.ndarray:
    """What image `index` starts from, as packed latents [patches, channels].

    NumPy's generators take all bits of a seed, PyTorch's on a CPU take 32.
    """
    digest = hashlib.sha256(f'{seed} {index}'.encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest))
    patches = (self.image_size // self._layout.size_multiple) ** 2
    channels = self._pipeline.transformer.config.in_channels
    return rng.standard_normal((patches, channels), np.float32)

  def _draw(self, texts: Sequence[Any], noise: list[np.ndarray]) -> np.ndarray:
    """Images of B texts from B noises, uint8 [B, size, size, 3]."""
    tokens, pooled = (x.to(self._device) for x in texts)
    images = self._pipeline(
      prompt_embeds=tokens,
      pooled_prompt_embeds=pooled,
      latents=self._torch.from_numpy(np.stack(noise)),
      height=self.image_size,
      width=self.image_size,
      num_inference_steps=self._steps,
      guidance_scale=self._guidance,
      output_type='pt',
    ).images  # [B, 3, H, W], in 0..1
    if not self._torch.isfinite(images).all():
      raise errors.PastaError(
        f'{self._layout.directory}: draws images that are not finite in '
        f"{self._dtype}; expected a sound model, or t2i.flux.dtype='float32'"
      )
    scaled = (images.float() * 255).round().to(self._torch.uint8)
    return scaled.permute(0, 2, 3, 1).cpu().numpy()

  def _load(self) -> Any:
    """The pipeline, on its device."""
    layout = self._layout
    key = layout.directory, self._dtype, str(self._device), self._offload
    pipeline = _PIPELINES.get(key)
    if pipeline is not None:
      return pipeline
    logging.info(
      'Flux: loading %.1f GiB of weights in %s from %s to %s',
      sum(self._num_bytes().values()) / files.GIB,
      self._dtype,
      layout.directory,
      self._device,
    )
    pipeline = _read_pipeline(self._torch, layout, self._dtype)
    pipeline.set_progress_bar_config(disable=True)
    # One image at a time is decoded: as fast, and in much less memory.
    pipeline.vae.enable_slicing()
    if self._offload:
      pipeline.enable_model_cpu_offload(device=self._device)
    else:
      pipeline.to(self._device)
    _PIPELINES[key] = pipeline
    return pipeline

  def _num_bytes(self) -> dict[str, int]:
    itemsize = getattr(self._torch, self._dtype).itemsize
    return {k: n * itemsize for k, n in self._layout.num_params.items()}

  @contextlib.contextmanager
  def _memory_errors(self) -> Iterator[None]:
    """Turns running out of memory into a PastaError that says what fits."""
    try:
      yield
    except (RuntimeError, MemoryError) as e:
      if not _is_out_of_memory(self._torch, e):
        raise
      available, total = _memory(self._torch, self._device)
      message = files.what_fits(
        weights=self._num_bytes(),
        batch_size=self._batch_size,
        size=self.image_size,
        size_multiple=self._layout.size_multiple,
        offload=self._offload,
        available=available,
        total=total,
      )
      raise errors.PastaError(message) from e


def from_config(config: ml_collections.ConfigDict) -> Flux:
  """Makes the model that a config names.

  Args:
    config: fields `size` (pixels) and `flux`, as in configs/common.py.

  Raises:
    PastaError: as `Flux`.
  """
  fields = config.flux.to_dict()
  return Flux(fields.pop('path'), size=config.size, **fields)


def _import_torch() -> Any:
  try:
    modules = [importlib.import_module(name) for name in _PACKAGES]
  except ImportError as e:
    raise errors.PastaError(
      f't2i.name: flux needs PyTorch and accelerate ({e}): '
      "pip install -e '.[flux]'"
    ) from e
  return modules[0]


def _find_device(torch: Any, name: str) -> Any:
  """The torch.device of a name."""
  num_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
  if name == 'auto':
    name = 'cuda' if num_cuda else 'cpu'
  try:
    device = torch.device(name)
  except RuntimeError:
    device = None
  if device is None or device.type not in ('cpu', 'cuda'):
    raise errors.PastaError(
      f't2i.flux.device: expected auto, cpu, cuda, cuda:1, ..., got {name!r}'
    )
  if device.type == 'cuda' and (device.index or 0) >= num_cuda:
    raise errors.PastaError(
      f't2i.flux.device: {name!r}, but PyTorch {torch.__version__} sees '
      f'{num_cuda} CUDA devices'
    )
  return device


def _read_pipeline(torch: Any, layout: files.Layout, dtype: str) -> Any:
  """diffusers' pipeline, on the CPU; every parameter is from the files."""
  # What is cut off from prompts is counted and logged here.
  diffusers.utils.logging.set_verbosity_error()
  diffusers.utils.logging.disable_progress_bar()
  transformers.logging.set_verbosity_error()
  transformers.logging.disable_progress_bar()
  try:
    pipeline = diffusers.FluxPipeline.from_pretrained(
      layout.directory,
      torch_dtype=getattr(torch, dtype),
      local_files_only=True,
      use_safetensors=True,
    )
  except (ImportError, OSError, RuntimeError, ValueError) as e:
    if _is_out_of_memory(torch, e):
      raise
    reason = ' '.join(str(e).split())
    raise errors.PastaError(
      f'{layout.directory}: cannot be loaded as a Flux pipeline: {reason}'
    ) from e
  for name, found in layout.tensors.items():
    # Transformers draws what it does not find, and only warns.
    state = getattr(pipeline, name).state_dict()
    shared = {x.data_ptr() for key, x in state.items() if key in found}
    missing = [k for k, x in state.items() if x.data_ptr() not in shared]
    if missing:
      raise errors.PastaError(
        f'{os.path.join(layout.directory, name)}: lacks '
        f'{len(missing)} tensors, first {missing[0]!r}'
      )
  return pipeline


def _is_out_of_memory(torch: Any, e: Exception) -> bool:
  # PyTorch has no class for a CPU's.
  return isinstance(
    e, (torch.OutOfMemoryError, MemoryError)
  ) or 'DefaultCPUAllocator' in str(e)


def _memory(torch: Any, device: Any) -> tuple[int, int]:
  """Bytes that this process can have on a device, and those there are."""
  if device.type == 'cpu':
    total = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return total, total
  free, total = torch.cuda.mem_get_info(device)
  return free + torch.cuda.memory_reserved(device), total
