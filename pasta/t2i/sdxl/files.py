"""Which files make an SDXL pipeline, here or on the hub."""

import os
from typing import Any

from pasta import errors, pretrained
from pasta.t2i.sdxl import weights

# How the files of each network begin.
NETWORKS = {
  'text_encoder': weights.TEXT,
  'text_encoder_2': weights.TEXT,
  'unet': weights.DIFFUSION,
  'vae': weights.DIFFUSION,
}
TOKENIZERS = ('tokenizer', 'tokenizer_2')
_CLASSES = ('StableDiffusionXLPipeline', 'FlaxStableDiffusionXLPipeline')
_SMALL_FILES = (
  'model_index.json',
  'scheduler/scheduler_config.json',
  *(f'{name}/config.json' for name in NETWORKS),
  *(f'{name}/*' for name in TOKENIZERS),
)


def resolve(path_or_hub_id: str, dtype: str) -> str:
  """The pipeline's directory; fetches from the hub only what will be used.

  Half-precision copies are half the download and all that bfloat16 needs, but
  not all models have them.

  Args:
    path_or_hub_id: a directory or a hub id.
    dtype: that the weights will be cast to.

  Raises:
    PastaError: as `pretrained.resolve`.
  """
  directory = pretrained.resolve(
    path_or_hub_id, _SMALL_FILES, 'stabilityai/stable-diffusion-xl-base-1.0'
  )
  if directory == os.path.expanduser(path_or_hub_id):
    return directory
  for variant in ('', 'fp16') if dtype == 'float32' else ('fp16', ''):
    wanted = []
    for name, stem in NETWORKS.items():
      if weights.missing_weights(os.path.join(directory, name), stem):
        single, index = pretrained.weight_files(stem, variant)
        shards = single.replace('.safetensors', '-*-of-*.safetensors')
        wanted += [f'{name}/{file}' for file in (single, index, shards)]
    if wanted:
      pretrained.resolve(path_or_hub_id, wanted)
  return directory


def check(directory: str) -> dict[str, Any]:
  """Returns the content of model_index.json if all that SDXL needs is there."""
  index = pretrained.read_pipeline_index(directory, _CLASSES)
  missing = []
  for name, stem in NETWORKS.items():
    if not os.path.isfile(os.path.join(directory, name, 'config.json')):
      missing.append(f'{name}/config.json')
    lack = weights.missing_weights(os.path.join(directory, name), stem)
    if lack is not None:
      missing.append(f'{name}/{lack}')
  for name in TOKENIZERS:
    held = [
      os.path.isfile(os.path.join(directory, name, file))
      for file in ('tokenizer.json', 'vocab.json', 'merges.txt')
    ]
    if not (held[0] or (held[1] and held[2])):
      missing.append(f'{name}/vocab.json and merges.txt')
  scheduler = os.path.join('scheduler', 'scheduler_config.json')
  if not os.path.isfile(os.path.join(directory, scheduler)):
    missing.append(scheduler)
  if missing:
    raise errors.PastaError(f'{directory}: has no {"; no ".join(missing)}')
  return index
