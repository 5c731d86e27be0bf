"""A tiny Flux with random weights, in the true layout on disk.

Widths and depths are the least that the networks take; everything else is as
in black-forest-labs/FLUX.1-schnell, or FLUX.1-dev where it takes guidance.
`write` needs PyTorch; `write_layout` has all files, but weights of no network.
"""

import importlib.resources
import json
import shutil

import numpy as np
import tokenizers
import transformers
from safetensors import numpy as safetensors

from pasta.t2i.flux import files

CHANNELS = 4  # of a latent
SIZE_MULTIPLE = 16  # of an image's sizes, pixels
_INDEX = {
  '_class_name': 'FluxPipeline',
  '_diffusers_version': '0.30.0.dev0',
  'feature_extractor': [None, None],
  'image_encoder': [None, None],
  'scheduler': ['diffusers', 'FlowMatchEulerDiscreteScheduler'],
  'text_encoder': ['transformers', 'CLIPTextModel'],
  'text_encoder_2': ['transformers', 'T5EncoderModel'],
  'tokenizer': ['transformers', 'CLIPTokenizer'],
  'tokenizer_2': ['transformers', 'T5TokenizerFast'],
  'transformer': ['diffusers', 'FluxTransformer2DModel'],
  'vae': ['diffusers', 'AutoencoderKL'],
}
_SCHEDULER = {
  '_class_name': 'FlowMatchEulerDiscreteScheduler',
  'base_image_seq_len': 256,
  'base_shift': 0.5,
  'max_image_seq_len': 4096,
  'max_shift': 1.15,
  'num_train_timesteps': 1000,
  'shift': 1.0,
  'use_dynamic_shifting': False,
}
_CLIP = {
  'hidden_size': 16,
  'intermediate_size': 32,
  'num_attention_heads': 2,
  'num_hidden_layers': 2,
  'projection_dim': 16,
}
_T5 = {
  'd_ff': 32,
  'd_kv': 8,
  'd_model': 24,
  'feed_forward_proj': 'gated-gelu',
  'num_heads': 2,
  'num_layers': 2,
  'tie_word_embeddings': False,
}
_TRANSFORMER = {
  'attention_head_dim': 16,
  'axes_dims_rope': [4, 6, 6],
  'guidance_embeds': False,
  'in_channels': 4 * CHANNELS,
  'joint_attention_dim': _T5['d_model'],
  'num_attention_heads': 2,
  'num_layers': 1,
  'num_single_layers': 1,
  'patch_size': 1,
  'pooled_projection_dim': _CLIP['hidden_size'],
}
_VAE = {
  'block_out_channels': [4, 4, 8, 8],
  'down_block_types': ['DownEncoderBlock2D'] * 4,
  'latent_channels': CHANNELS,
  'layers_per_block': 1,
  'norm_num_groups': 2,
  'scaling_factor': 0.3611,
  'shift_factor': 0.1159,
  'up_block_types': ['UpDecoderBlock2D'] * 4,
  'use_post_quant_conv': False,
  'use_quant_conv': False,
}


def write(directory, seed=0, guidance=False):
  """Writes a pipeline that draws."""
  import diffusers
  import torch

  directory.mkdir()
  _write_small_files(directory)
  num_t5 = _write_t5_tokenizer(directory / 'tokenizer_2')
  num_clip = len(json.loads((directory / 'tokenizer/vocab.json').read_text()))
  ends = {'bos_token_id': num_clip - 2, 'eos_token_id': num_clip - 1}
  with torch.random.fork_rng():
    torch.manual_seed(seed)
    networks = {
      'text_encoder': transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
          vocab_size=num_clip, pad_token_id=num_clip - 1, **ends, **_CLIP
        )
      ),
      'text_encoder_2': transformers.T5EncoderModel(
        transformers.T5Config(vocab_size=num_t5, **_T5)
      ),
      'transformer': diffusers.FluxTransformer2DModel(
        **_TRANSFORMER | {'guidance_embeds': guidance}
      ),
      'vae': diffusers.AutoencoderKL(**_VAE),
    }
    with torch.no_grad():
      # Initial weights hardly tell texts, guidance or steps apart.
      for name in ('text_encoder', 'text_encoder_2', 'transformer'):
        for x in networks[name].parameters():
          if x.ndim == 2:
            x.normal_(std=1.5 * x.shape[1] ** -0.5)
  for name, network in networks.items():
    # As in the true ones, whose two large networks are split.
    is_large = name in ('text_encoder_2', 'transformer')
    network.save_pretrained(
      directory / name, max_shard_size='30KB' if is_large else '1GB'
    )


def write_layout(directory):
  """Writes all files of a pipeline, with one tensor a network."""
  directory.mkdir()
  _write_small_files(directory)
  _write_t5_tokenizer(directory / 'tokenizer_2')
  configs = {
    'text_encoder': _CLIP,
    'text_encoder_2': _T5,
    'transformer': _TRANSFORMER,
    'vae': _VAE,
  }
  for i, (name, stem) in enumerate(files.NETWORKS.items()):
    (directory / name).mkdir()
    _write_json(directory / name / 'config.json', configs[name])
    x = np.arange(4.0 + i, dtype=np.float32)
    safetensors.save_file({'x': x}, directory / name / f'{stem}.safetensors')


def edit(path, **fields):
  """Changes fields of a JSON file."""
  _write_json(path, json.loads(path.read_text()) | fields)


def _write_small_files(directory):
  _write_json(directory / 'model_index.json', _INDEX)
  (directory / 'scheduler').mkdir()
  _write_json(directory / 'scheduler/scheduler_config.json', _SCHEDULER)
  (directory / 'tokenizer').mkdir()
  shipped = importlib.resources.files('pasta.encoders') / 'sketch_clip'
  for name in (
    'merges.txt',
    'special_tokens_map.json',
    'tokenizer_config.json',
    'vocab.json',
  ):
    with importlib.resources.as_file(shipped / name) as path:
      shutil.copy(path, directory / 'tokenizer' / name)


def _write_t5_tokenizer(directory):
  """Writes a tokenizer with a token a letter; returns the number of tokens."""
  special = ['<pad>', '</s>', '<unk>']
  letters = ['▁', *'abcdefghijklmnopqrstuvwxyz,.']
  tokens = [(x, 0.0) for x in special] + [(x, -3.0) for x in letters]
  backend = tokenizers.Tokenizer(
    tokenizers.models.Unigram(tokens, unk_id=special.index('<unk>'))
  )
  backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
  backend.post_processor = tokenizers.processors.TemplateProcessing(
    single='$A </s>', special_tokens=[('</s>', special.index('</s>'))]
  )
  transformers.T5TokenizerFast(
    tokenizer_object=backend, extra_ids=0, model_max_length=512
  ).save_pretrained(directory)
  return len(tokens)


def _write_json(path, content):
  path.write_text(json.dumps(content, indent=2))
