"""Sizes of the networks that pasta.benchmarks.t2i runs, as published."""

from typing import Any

# stabilityai/stable-diffusion-xl-base-1.0.
TEXT = {
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
TEXT_2 = TEXT | {
  'hidden_act': 'gelu',
  'hidden_size': 1280,
  'intermediate_size': 5120,
  'num_attention_heads': 20,
  'num_hidden_layers': 32,
  'projection_dim': 1280,
}
UNET = {
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
VAE = {
  'block_out_channels': [128, 256, 512, 512],
  'down_block_types': ['DownEncoderBlock2D'] * 4,
  'latent_channels': 4,
  'layers_per_block': 2,
  'norm_num_groups': 32,
  'sample_size': 1024,
  'scaling_factor': 0.13025,
  'up_block_types': ['UpDecoderBlock2D'] * 4,
}
SCHEDULER = {
  'beta_end': 0.012,
  'beta_schedule': 'scaled_linear',
  'beta_start': 0.00085,
  'num_train_timesteps': 1000,
  'steps_offset': 1,
  'timestep_spacing': 'leading',
}
CLIP = {  # openai/clip-vit-large-patch14
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
TINY_TEXT = {
  'hidden_size': 32,
  'intermediate_size': 64,
  'num_attention_heads': 2,
  'num_hidden_layers': 2,
  'projection_dim': 32,
}


def sdxl_configs(tiny: bool) -> dict[str, dict[str, Any]]:
  """Configs of SDXL's networks by name; tiny ones for a CPU."""
  configs = {
    'text_encoder': TEXT,
    'text_encoder_2': TEXT_2,
    'unet': UNET,
    'vae': VAE,
  }
  if not tiny:
    return configs
  changed = {
    'text_encoder': TINY_TEXT,
    'text_encoder_2': TINY_TEXT,
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


def size_and_steps(tiny: bool) -> tuple[int, int]:
  """Pixels, height and width, and uses of the UNet."""
  return (64, 2) if tiny else (1024, 20)
