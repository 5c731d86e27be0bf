"""A tiny SDXL with random weights, in the true layout on disk.

Widths and depths are the least that diffusers' networks take; everything else
is as in stabilityai/stable-diffusion-xl-base-1.0.
"""

import functools
import importlib.resources
import json
import re
import shutil

import flax.serialization
import flax.traverse_util
import numpy as np
import transformers
from safetensors import numpy as safetensors

from pasta.t2i.sdxl import files, schedule
from pasta.t2i.sdxl import pipeline as sdxl_pipeline
from pasta.t2i.sdxl import weights as sdxl_weights

_TEXT = {
  'model_type': 'clip_text_model',
  'bos_token_id': 1998,
  'eos_token_id': 1999,
  'pad_token_id': 1999,
  'hidden_act': 'quick_gelu',
  'hidden_size': 32,
  'intermediate_size': 64,
  'max_position_embeddings': 77,
  'num_attention_heads': 2,
  'num_hidden_layers': 2,
  'projection_dim': 32,
  'vocab_size': 2000,
}
CONFIGS = {
  'text_encoder': _TEXT | {'architectures': ['CLIPTextModel']},
  'text_encoder_2': _TEXT
  | {
    'architectures': ['CLIPTextModelWithProjection'],
    'hidden_act': 'gelu',
    'hidden_size': 64,
    'num_hidden_layers': 3,
    'projection_dim': 64,
  },
  'unet': {
    '_class_name': 'UNet2DConditionModel',
    'act_fn': 'silu',
    'addition_embed_type': 'text_time',
    'addition_time_embed_dim': 8,
    'attention_head_dim': [1, 2],
    'block_out_channels': [32, 64],
    'cross_attention_dim': 96,
    'down_block_types': ['DownBlock2D', 'CrossAttnDownBlock2D'],
    'in_channels': 4,
    'layers_per_block': 1,
    'norm_num_groups': 32,
    'num_attention_heads': None,
    'out_channels': 4,
    'projection_class_embeddings_input_dim': 64 + 6 * 8,
    'sample_size': 8,
    'transformer_layers_per_block': [1, 1],
    'up_block_types': ['CrossAttnUpBlock2D', 'UpBlock2D'],
    'use_linear_projection': True,
  },
  'vae': {
    '_class_name': 'AutoencoderKL',
    'act_fn': 'silu',
    'block_out_channels': [32, 32, 32, 32],
    'down_block_types': ['DownEncoderBlock2D'] * 4,
    'force_upcast': True,
    'in_channels': 3,
    'latent_channels': 4,
    'layers_per_block': 1,
    'norm_num_groups': 32,
    'out_channels': 3,
    'sample_size': 64,
    'scaling_factor': 0.13025,
    'up_block_types': ['UpDecoderBlock2D'] * 4,
  },
}
SCHEDULER = {
  '_class_name': 'EulerDiscreteScheduler',
  '_diffusers_version': '0.19.0.dev0',
  'beta_end': 0.012,
  'beta_schedule': 'scaled_linear',
  'beta_start': 0.00085,
  'clip_sample': False,
  'interpolation_type': 'linear',
  'num_train_timesteps': 1000,
  'prediction_type': 'epsilon',
  'sample_max_value': 1.0,
  'set_alpha_to_one': False,
  'skip_prk_steps': True,
  'steps_offset': 1,
  'timestep_spacing': 'leading',
  'trained_betas': None,
  'use_karras_sigmas': False,
}
_INDEX = {
  '_class_name': 'StableDiffusionXLPipeline',
  '_diffusers_version': '0.19.0.dev0',
  'force_zeros_for_empty_prompt': True,
  'add_watermarker': None,
  'scheduler': ['diffusers', 'EulerDiscreteScheduler'],
  'text_encoder': ['transformers', 'CLIPTextModel'],
  'text_encoder_2': ['transformers', 'CLIPTextModelWithProjection'],
  'tokenizer': ['transformers', 'CLIPTokenizer'],
  'tokenizer_2': ['transformers', 'CLIPTokenizer'],
  'unet': ['diffusers', 'UNet2DConditionModel'],
  'vae': ['diffusers', 'AutoencoderKL'],
}
# What PyTorch calls the VAE's attention.
_VAE_ATTENTION = {
  'key': 'to_k',
  'proj_attn': 'to_out.0',
  'query': 'to_q',
  'value': 'to_v',
}


def noise() -> schedule.Noise:
  return schedule.read_noise(SCHEDULER, 'scheduler_config.json')


def pipeline(dtype='float32') -> sdxl_pipeline.Pipeline:
  """The networks without weights."""
  shipped = importlib.resources.files('pasta.encoders') / 'sketch_clip'
  tokenizers = [
    transformers.CLIPTokenizerFast.from_pretrained(shipped, pad_token=pad)
    for pad in ('<|endoftext|>', '!')
  ]
  return sdxl_pipeline.build(CONFIGS, tokenizers, noise(), dtype=dtype)


@functools.cache
def shapes():
  """The expected parameters; finding out takes more than reading a file."""
  return sdxl_pipeline.param_shapes(pipeline())


def write(directory, weights='torch', seed=0):
  """Writes a pipeline.

  Args:
    directory: is made.
    weights: 'torch' (safetensors), 'fp16' (the same in half precision),
      'shards' (safetensors in three files) or 'flax' (msgpack).
    seed: of the weights; they are the same in all formats but for rounding.
  """
  directory.mkdir(parents=True, exist_ok=True)
  _write_json(directory / 'model_index.json', _INDEX)
  (directory / 'scheduler').mkdir()
  _write_json(directory / 'scheduler' / 'scheduler_config.json', SCHEDULER)
  shipped = importlib.resources.files('pasta.encoders') / 'sketch_clip'
  for name, pad in (('tokenizer', '<|endoftext|>'), ('tokenizer_2', '!')):
    (directory / name).mkdir()
    for file in ('vocab.json', 'merges.txt'):
      shutil.copy(shipped / file, directory / name / file)
    for file in ('special_tokens_map.json', 'tokenizer_config.json'):
      content = json.loads((shipped / file).read_text())
      _write_json(directory / name / file, content | {'pad_token': pad})
  for name, flat in random_params(seed).items():
    (directory / name).mkdir()
    _write_json(directory / name / 'config.json', CONFIGS[name])
    write_weights(directory / name, name, flat, weights)


def random_params(seed=0):
  """Random weights by network, each {key: float32}; nothing is 0 or 1."""
  rng = np.random.default_rng(seed)
  out = {}
  for name, tree in shapes().items():
    flat = flax.traverse_util.flatten_dict(tree)
    out[name] = {}
    for key, shape in sorted((k, x.shape) for k, x in flat.items()):
      x = rng.normal(size=shape)
      if key[-1] == 'kernel':
        x /= np.prod(shape[:-1]) ** 0.5
      else:
        x = 0.1 * x + (key[-1] == 'scale')
      out[name][key] = x.astype(np.float32)
  return out


def params(seed=0):
  """The weights as networks take them."""
  return {
    name: flax.traverse_util.unflatten_dict(flat)
    for name, flat in random_params(seed).items()
  }


def write_weights(directory, name, flat, weights='torch'):
  """Writes one network's {key: array} as `write` does."""
  stem = files.NETWORKS[name]
  if weights == 'flax':
    is_text = stem == sdxl_weights.TEXT
    file = 'flax_model.msgpack' if is_text else 'diffusion_flax_model.msgpack'
    tree = flax.traverse_util.unflatten_dict(flat)
    (directory / file).write_bytes(flax.serialization.to_bytes(tree))
    return
  tensors = dict(_to_torch(key, x, name) for key, x in flat.items())
  if stem == sdxl_weights.TEXT:
    # Old versions of Transformers saved this constant.
    positions = np.arange(77, dtype=np.int64)[None]
    tensors['text_model.embeddings.position_ids'] = positions
  if weights == 'fp16':
    half = {
      k: x.astype(np.float16) if x.dtype == np.float32 else x
      for k, x in tensors.items()
    }
    safetensors.save_file(half, directory / f'{stem}.fp16.safetensors')
  elif weights == 'torch':
    safetensors.save_file(tensors, directory / f'{stem}.safetensors')
  else:
    assert weights == 'shards', weights
    names = sorted(tensors)
    weight_map = {}
    for i in range(3):
      shard = f'{stem}-{i + 1:05d}-of-00003.safetensors'
      part = {n: tensors[n] for n in names[i::3]}
      safetensors.save_file(part, directory / shard)
      weight_map |= dict.fromkeys(part, shard)
    _write_json(
      directory / f'{stem}.safetensors.index.json',
      {'metadata': {'total_size': 1}, 'weight_map': weight_map},
    )


def _to_torch(key, x, name):
  """PyTorch's name and layout of a Flax parameter."""
  *path, last = key
  if last == 'kernel':
    x = x.transpose(3, 2, 0, 1) if x.ndim == 4 else x.T
  if last in ('kernel', 'scale', 'embedding'):
    last = 'weight'
  if name in ('unet', 'vae'):
    path = [
      # Lists; linear_1 and linear_2 are no list.
      part if part.startswith('linear_') else re.sub(r'_(\d+)$', r'.\1', part)
      for part in path
    ]
  if name == 'vae' and any('attentions' in part for part in path):
    path = [_VAE_ATTENTION.get(part, part) for part in path]
  return '.'.join([*path, last]), np.ascontiguousarray(x)


def _write_json(path, content):
  path.write_text(json.dumps(content, indent=2))
