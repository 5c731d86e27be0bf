"""Images per second and memory of SDXL, beside diffusers in PyTorch, and CLIP.

python -m launch.benchmark --part=t2i --workdir=DIR

runs SDXL at its true size with random weights (speed does not depend on them)
in bfloat16 on all devices: 1024 px, 20 Euler steps with guidance, for several
batch sizes; then diffusers' StableDiffusionXLPipeline in PyTorch on one device,
where PyTorch is installed; then the image tower of CLIP ViT-L/14, from bytes on
the host to features on the host. Each in a process of its own, so that none
holds memory that another is refused. Prints and leaves DIR/benchmark_t2i.json.

With `tiny` they are networks that a CPU runs in a minute; their speed means
nothing.
"""

import dataclasses
import functools
import importlib.resources
import importlib.util
import json
import multiprocessing
import os
import time
from typing import Any

import ml_collections
import numpy as np

from pasta import errors
from pasta.benchmarks import t2i_networks as networks

_PROMPT = 'a lighthouse on a cliff at dusk, oil painting, warm light'
_GIB = 2**30


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Runs each model as a process.

  Args:
    config: `t2i` of configs/benchmark.py.
    workdir: for the results.

  Raises:
    PastaError: a process has failed.
  """
  os.makedirs(workdir, exist_ok=True)
  results = {}
  for name in config.models:
    arguments = (workdir, name, config.tiny, config.batch_sizes, config.seconds)
    process = multiprocessing.get_context('spawn').Process(
      target=run_model, args=arguments
    )
    process.start()
    process.join()
    if process.exitcode:
      raise errors.PastaError(
        f'benchmark of {name}: its process ended with code {process.exitcode}'
      )
    with open(_path(workdir, name)) as f:
      results |= json.load(f)
  _save(_path(workdir, ''), results)


def run_model(
  workdir: str,
  name: str,
  tiny: bool,
  batch_sizes: tuple[int, ...],
  seconds: float,
) -> None:
  """Runs one model in this process.

  Args:
    workdir: for the results; a directory.
    name: 'sdxl', 'torch' or 'clip'.
    tiny: whether to take tiny networks.
    batch_sizes: images at once on a device.
    seconds: how long to measure each batch size; at least one call.
  """
  run = {'sdxl': _run_sdxl, 'torch': _run_torch, 'clip': _run_clip}[name]
  _save(_path(workdir, name), {name: run(tiny, batch_sizes, seconds)})


def _run_sdxl(tiny: bool, sizes: tuple[int, ...], seconds: float) -> list[dict]:
  """SDXL of this project."""
  import jax

  from pasta.t2i.sdxl import model as sdxl
  from pasta.t2i.sdxl import pipeline as sdxl_pipeline
  from pasta.t2i.sdxl import schedule

  pipeline = sdxl_pipeline.build(
    networks.sdxl_configs(tiny),
    _tokenizers(),
    schedule.read_noise(networks.SCHEDULER, 'scheduler'),
    dtype='bfloat16',
  )
  params = _random(sdxl_pipeline.param_shapes(pipeline), 'bfloat16')
  pipeline = dataclasses.replace(pipeline, load_params=lambda: params)
  size, steps = networks.size_and_steps(tiny)
  device = jax.local_devices()[0]
  rows = []
  for batch_size in sizes:
    model = sdxl.Sdxl(pipeline, size=size, steps=steps, batch_size=batch_size)
    num = batch_size * jax.local_device_count()
    prompts, seeds = [_PROMPT] * num, np.arange(num)
    try:
      call = functools.partial(model.generate, prompts, seeds, 1)
      rate = _rate(call, num, seconds)
    except errors.PastaError as e:
      print(f'sdxl: {e}', flush=True)
      rows.append({'batch_size': batch_size, 'error': str(e)})
      continue
    finally:
      model.close()
    peak = (device.memory_stats() or {}).get('peak_bytes_in_use', 0)
    rows.append(
      {
        'device': device.device_kind,
        'num_devices': jax.local_device_count(),
        'batch_size': batch_size,
        'images_per_second': rate,
        'compile_seconds': model.compile_seconds,
        'program_gib': model.memory_bytes / _GIB,
        'peak_gib': peak / _GIB,  # of all batch sizes so far
      }
    )
    _show('sdxl', rows[-1])
  return rows


def _run_torch(
  tiny: bool, sizes: tuple[int, ...], seconds: float
) -> list[dict]:
  """The pipeline that most people use, as its documentation starts it."""
  if importlib.util.find_spec('torch') is None:
    print('torch: PyTorch is not installed', flush=True)
    return []
  import diffusers
  import torch
  import transformers

  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  configs = networks.sdxl_configs(tiny)
  torch.set_default_dtype(torch.bfloat16)
  with torch.device(device):
    text = [
      make(transformers.CLIPTextConfig.from_dict(configs[name])).eval()
      for make, name in (
        (transformers.CLIPTextModel, 'text_encoder'),
        (transformers.CLIPTextModelWithProjection, 'text_encoder_2'),
      )
    ]
    unet = diffusers.UNet2DConditionModel.from_config(configs['unet']).eval()
    vae = diffusers.AutoencoderKL.from_config(configs['vae']).eval()
  torch.set_default_dtype(torch.float32)
  pipeline = diffusers.StableDiffusionXLPipeline(
    vae,
    text[0],
    text[1],
    *_tokenizers(),
    unet,
    diffusers.EulerDiscreteScheduler.from_config(networks.SCHEDULER),
    add_watermarker=False,
  )
  pipeline.set_progress_bar_config(disable=True)
  size, steps = networks.size_and_steps(tiny)
  rows = []
  for batch_size in sizes:
    call = functools.partial(
      pipeline,
      [_PROMPT] * batch_size,
      height=size,
      width=size,
      num_inference_steps=steps,
      guidance_scale=5.0,
      output_type='np',
    )
    try:
      rate = _rate(call, batch_size, seconds)
    except torch.cuda.OutOfMemoryError as e:
      print(f'torch: batch_size {batch_size}: {e}', flush=True)
      rows.append({'batch_size': batch_size, 'error': str(e)})
      continue
    on_gpu = device == 'cuda'
    peak = torch.cuda.max_memory_allocated() if on_gpu else 0
    rows.append(
      {
        'device': torch.cuda.get_device_name() if on_gpu else 'cpu',
        'num_devices': 1,
        'batch_size': batch_size,
        'images_per_second': rate,
        'peak_gib': peak / _GIB,
      }
    )
    _show('torch', rows[-1])
  return rows


def _run_clip(tiny: bool, sizes: tuple[int, ...], seconds: float) -> list[dict]:
  """The encoder of images; on one device, its batches are its own."""
  del sizes
  import jax
  import jax.numpy as jnp
  import transformers

  from pasta.encoders import clip

  text = {k: v for k, v in networks.TEXT.items() if k != 'model_type'}
  vision = networks.CLIP['vision_config']
  if tiny:
    text |= networks.TINY_TEXT
    vision = vision | networks.TINY_TEXT | {'image_size': 28}
  config = transformers.CLIPConfig(
    text_config=text | {'projection_dim': networks.CLIP['projection_dim']},
    vision_config=vision | {'projection_dim': networks.CLIP['projection_dim']},
    projection_dim=networks.CLIP['projection_dim'],
  )
  model = transformers.FlaxCLIPModel(config, dtype=jnp.bfloat16, _do_init=False)
  size = vision['image_size']
  encoder = clip.ClipEncoder(
    model,
    _random(model.params_shape_tree, 'float32'),
    _tokenizers()[0],
    transformers.CLIPImageProcessor(
      size={'shortest_edge': size}, crop_size={'height': size, 'width': size}
    ),
    'random',
    'bfloat16',
  )
  num = 128 if tiny else 2048
  images = np.random.default_rng(0).integers(
    256, size=(num, size, size, 3), dtype=np.uint8
  )
  rate = _rate(lambda: encoder.encode_images(images), num, seconds)
  device = jax.local_devices()[0]
  row = {
    'device': device.device_kind,
    'num_devices': 1,
    'images_per_second': rate,
    'peak_gib': (device.memory_stats() or {}).get('peak_bytes_in_use', 0)
    / _GIB,
  }
  _show('clip', row)
  return [row]


def _tokenizers() -> list[Any]:
  """The shipped one, which is smaller than SDXL's, for both encoders."""
  import transformers

  path = importlib.resources.files('pasta') / 'encoders' / 'sketch_clip'
  return [transformers.CLIPTokenizerFast.from_pretrained(path)] * 2


def _random(shapes: Any, dtype: str) -> Any:
  """Arrays of these shapes, cut out of one list of random numbers."""
  import jax

  pool = 0.02 * np.random.default_rng(0).normal(size=2**20)
  pool = pool.astype(np.dtype(dtype))
  return jax.tree.map(lambda x: np.resize(pool, x.shape), shapes)


def _rate(call, num_images: int, seconds: float) -> float:
  """Images per second, after one call that may compile."""
  call()
  num_calls = 0
  started = time.perf_counter()
  while num_calls == 0 or time.perf_counter() - started < seconds:
    call()
    num_calls += 1
  return num_calls * num_images / (time.perf_counter() - started)


def _show(part: str, row: dict[str, Any]) -> None:
  text = ', '.join(
    f'{name} {value:.4g}' if isinstance(value, float) else f'{name} {value}'
    for name, value in row.items()
  )
  print(f'{part}: {text}', flush=True)


def _path(workdir: str, part: str) -> str:
  suffix = f'_{part}' if part else ''
  return os.path.join(workdir, f'benchmark_t2i{suffix}.json')


def _save(path: str, results: dict[str, Any]) -> None:
  with open(path, 'w', encoding='utf-8') as f:
    json.dump(results, f, indent=2)
