"""Images per second and memory of SDXL, beside diffusers in PyTorch, and CLIP.

python -m pasta.benchmarks.t2i --workdir=DIR

runs SDXL at its true size with random weights (speed does not depend on them)
in bfloat16 on all devices: 1024 px, 20 Euler steps with guidance, for several
batch sizes; then diffusers' StableDiffusionXLPipeline in PyTorch on one device,
where PyTorch is installed; then the image tower of CLIP ViT-L/14, from bytes on
the host to features on the host. Each in a process of its own, so that none
holds memory that another is refused. Prints and leaves DIR/benchmark_t2i.json.

--tiny takes networks that a CPU runs in a minute; their speed means nothing.
"""

import dataclasses
import functools
import importlib.resources
import importlib.util
import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
from absl import flags

from launch import cli

PARTS = ('sdxl', 'torch', 'clip')
_PROMPT = 'a lighthouse on a cliff at dusk, oil painting, warm light'
_GIB = 2**30
# stabilityai/stable-diffusion-xl-base-1.0.
_TEXT = {
  'model_type': 'clip_text_model',
  'bos_token_id': 1998,  # of the shipped tokenizer
  'eos_token_id': 1999,
  'hidden_act': 'quick_gelu',
  'hidden_size': 768,
  'intermediate_size': 3072,
  'max_position_embeddings': 77,
  'num_attention_heads': 12,
  'num_hidden_layers': 12,
  'projection_dim': 768,
  'vocab_size': 49408,
}
_TEXT_2 = _TEXT | {
  'hidden_act': 'gelu',
  'hidden_size': 1280,
  'intermediate_size': 5120,
  'num_attention_heads': 20,
  'num_hidden_layers': 32,
  'projection_dim': 1280,
}
_UNET = {
  'addition_embed_type': 'text_time',
  'addition_time_embed_dim': 256,
  'attention_head_dim': [5, 10, 20],
  'block_out_channels': [320, 640, 1280],
  'cross_attention_dim': 2048,
  'down_block_types': [
    'DownBlock2D',
    'CrossAttnDownBlock2D',
    'CrossAttnDownBlock2D',
  ],
  'in_channels': 4,
  'layers_per_block': 2,
  'out_channels': 4,
  'projection_class_embeddings_input_dim': 2816,
  'sample_size': 128,
  'transformer_layers_per_block': [1, 2, 10],
  'up_block_types': [
    'CrossAttnUpBlock2D',
    'CrossAttnUpBlock2D',
    'UpBlock2D',
  ],
  'use_linear_projection': True,
}
_VAE = {
  'block_out_channels': [128, 256, 512, 512],
  'down_block_types': ['DownEncoderBlock2D'] * 4,
  'latent_channels': 4,
  'layers_per_block': 2,
  'norm_num_groups': 32,
  'sample_size': 1024,
  'scaling_factor': 0.13025,
  'up_block_types': ['UpDecoderBlock2D'] * 4,
}
_SCHEDULER = {
  'beta_end': 0.012,
  'beta_schedule': 'scaled_linear',
  'beta_start': 0.00085,
  'num_train_timesteps': 1000,
  'steps_offset': 1,
  'timestep_spacing': 'leading',
}
_CLIP = {  # openai/clip-vit-large-patch14
  'vision_config': {
    'hidden_size': 1024,
    'image_size': 224,
    'intermediate_size': 4096,
    'num_attention_heads': 16,
    'num_hidden_layers': 24,
    'patch_size': 14,
  },
  'projection_dim': 768,
}
_TINY_TEXT = {
  'hidden_size': 32,
  'intermediate_size': 64,
  'num_attention_heads': 2,
  'num_hidden_layers': 2,
  'projection_dim': 32,
}


def main(
  workdir: str, part: str, tiny: bool, batch_sizes: str, seconds: float
) -> None:
  """Runs one part, or all, each as a process.

  Args:
    workdir: for the results.
    part: one of PARTS, or 'all'.
    tiny: whether to take tiny networks.
    batch_sizes: images at once on a device, numbers with commas between.
    seconds: how long to measure each batch size; at least one call.
  """
  os.makedirs(workdir, exist_ok=True)
  if part == 'all':
    results = {}
    for name in PARTS:
      command = [sys.executable, '-m', 'pasta.benchmarks.t2i']
      command += [f'--workdir={workdir}', f'--part={name}']
      command += [f'--tiny={tiny}', f'--batch_sizes={batch_sizes}']
      subprocess.run([*command, f'--seconds={seconds}'], check=True)
      with open(_path(workdir, name)) as f:
        results |= json.load(f)
    _save(_path(workdir, ''), results)
    return
  sizes = [int(n) for n in batch_sizes.split(',')]
  run = {'sdxl': _run_sdxl, 'torch': _run_torch, 'clip': _run_clip}[part]
  _save(_path(workdir, part), {part: run(tiny, sizes, seconds)})


def _run_sdxl(tiny: bool, sizes: list[int], seconds: float) -> list[dict]:
  """SDXL of this project."""
  import jax

  from pasta import errors
  from pasta.t2i.sdxl import model as sdxl
  from pasta.t2i.sdxl import pipeline as sdxl_pipeline
  from pasta.t2i.sdxl import schedule

  pipeline = sdxl_pipeline.build(
    _configs(tiny),
    _tokenizers(),
    schedule.read_noise(_SCHEDULER, 'scheduler'),
    dtype='bfloat16',
  )
  params = _random(sdxl_pipeline.param_shapes(pipeline), 'bfloat16')
  pipeline = dataclasses.replace(pipeline, load_params=lambda: params)
  size, steps = _size_and_steps(tiny)
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


def _run_torch(tiny: bool, sizes: list[int], seconds: float) -> list[dict]:
  """The pipeline that most people use, as its documentation starts it."""
  if importlib.util.find_spec('torch') is None:
    print('torch: PyTorch is not installed', flush=True)
    return []
  import diffusers
  import torch
  import transformers

  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  configs = _configs(tiny)
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
    diffusers.EulerDiscreteScheduler.from_config(_SCHEDULER),
    add_watermarker=False,
  )
  pipeline.set_progress_bar_config(disable=True)
  size, steps = _size_and_steps(tiny)
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


def _run_clip(tiny: bool, sizes: list[int], seconds: float) -> list[dict]:
  """The encoder of images; on one device, its batches are its own."""
  del sizes
  import jax
  import jax.numpy as jnp
  import transformers

  from pasta.encoders import clip

  text = {k: v for k, v in _TEXT.items() if k != 'model_type'}
  vision = _CLIP['vision_config']
  if tiny:
    text |= _TINY_TEXT
    vision = vision | _TINY_TEXT | {'image_size': 28}
  config = transformers.CLIPConfig(
    text_config=text | {'projection_dim': _CLIP['projection_dim']},
    vision_config=vision | {'projection_dim': _CLIP['projection_dim']},
    projection_dim=_CLIP['projection_dim'],
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


def _configs(tiny: bool) -> dict[str, dict[str, Any]]:
  """Configs of the networks by name."""
  configs = {
    'text_encoder': _TEXT,
    'text_encoder_2': _TEXT_2,
    'unet': _UNET,
    'vae': _VAE,
  }
  if not tiny:
    return configs
  changed = {
    'text_encoder': _TINY_TEXT,
    'text_encoder_2': _TINY_TEXT,
    'unet': {
      'addition_time_embed_dim': 8,
      'attention_head_dim': [1, 1],
      'block_out_channels': [32, 32],
      'cross_attention_dim': 64,
      'down_block_types': ['DownBlock2D', 'CrossAttnDownBlock2D'],
      'layers_per_block': 1,
      'projection_class_embeddings_input_dim': 32 + 6 * 8,
      'sample_size': 8,
      'transformer_layers_per_block': [1, 1],
      'up_block_types': ['CrossAttnUpBlock2D', 'UpBlock2D'],
    },
    'vae': {'block_out_channels': [32] * 4, 'layers_per_block': 1},
  }
  return {name: config | changed[name] for name, config in configs.items()}


def _size_and_steps(tiny: bool) -> tuple[int, int]:
  return (64, 2) if tiny else (1024, 20)


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


if __name__ == '__main__':
  flags.DEFINE_enum('part', 'all', (*PARTS, 'all'), 'What to run.')
  flags.DEFINE_bool('tiny', False, 'Tiny networks, for a test on a CPU.')
  flags.DEFINE_string('batch_sizes', '1,4,8', 'Images at once on a device.')
  flags.DEFINE_float('seconds', 20.0, 'To measure each batch size.')
  cli.run(
    'pasta.benchmarks.t2i:main',
    config=False,
    flag_names=('part', 'tiny', 'batch_sizes', 'seconds'),
  )
