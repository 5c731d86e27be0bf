"""Which files make a Flux pipeline, what they hold and how much it takes.

Read without PyTorch, so that a directory is checked, and a model named, before
gigabytes are loaded.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from pasta import errors, pretrained

GIB = 2**30  # bytes
_PIPELINE = 'FluxPipeline'
# How the files of each network begin.
NETWORKS = {
  'text_encoder': 'model',
  'text_encoder_2': 'model',
  'transformer': 'diffusion_pytorch_model',
  'vae': 'diffusion_pytorch_model',
}
# Anything else in model_index.json would be imported by name.
_CLASSES = {
  'scheduler': ['diffusers', 'FlowMatchEulerDiscreteScheduler'],
  'text_encoder': ['transformers', 'CLIPTextModel'],
  'text_encoder_2': ['transformers', 'T5EncoderModel'],
  'tokenizer': ['transformers', 'CLIPTokenizer'],
  'tokenizer_2': ['transformers', 'T5TokenizerFast'],
  'transformer': ['diffusers', 'FluxTransformer2DModel'],
  'vae': ['diffusers', 'AutoencoderKL'],
}
_CONFIGS = (
  'scheduler/scheduler_config.json',
  *(f'{name}/config.json' for name in NETWORKS),
  'tokenizer/tokenizer_config.json',
  'tokenizer_2/tokenizer_config.json',
)
_CLIP_TOKENIZER = ('tokenizer/vocab.json', 'tokenizer/merges.txt')
# The second needs the sentencepiece package to be read.
_T5_TOKENIZERS = ('tokenizer_2/tokenizer.json', 'tokenizer_2/spiece.model')
# Hub repositories also hold the same weights in one large file at the top.
_HUB_FILES = (
  'model_index.json',
  'scheduler/*',
  'tokenizer/*',
  'tokenizer_2/*',
  *(f'{name}/*.json' for name in NETWORKS),
  *(f'{name}/{stem}*.safetensors' for name, stem in NETWORKS.items()),
)
# Where a model came from and what wrote it; the rest is what it is.
_ORIGIN_FIELDS = (
  'name_or_path',
  'special_tokens_map_file',
  'transformers_version',
)


@dataclasses.dataclass(frozen=True)
class Layout:
  """A Flux pipeline on disk.

  Attributes:
    directory: where it is.
    fingerprint: names weights, tokenizers and configs, wherever they are.
    takes_guidance: whether guidance changes images (FLUX.1-dev's yes,
      FLUX.1-schnell's not).
    size_multiple: what divides every image's width and height, pixels.
    tensors: names of each network's tensors.
    num_params: of each network.
  """

  directory: str
  fingerprint: str
  takes_guidance: bool
  size_multiple: int
  tensors: Mapping[str, frozenset[str]]
  num_params: Mapping[str, int]


def resolve(path_or_hub_id: str) -> str:
  """The pipeline's directory, fetched from the hub where needed.

  Raises:
    PastaError: as `pretrained.resolve`.
  """
  return pretrained.resolve(path_or_hub_id, _HUB_FILES)


def read(directory: str) -> Layout:
  """Reads what a pipeline consists of.

  Raises:
    PastaError: the directory is no Flux pipeline, a file is missing or
      damaged, or a field makes images depend on their batch.
  """
  index = _read_index(directory)
  _check_files(directory)
  configs = {
    name: pretrained.read_json(os.path.join(directory, name))
    for name in _CONFIGS
  }
  if configs['scheduler/scheduler_config.json'].get('stochastic_sampling'):
    raise errors.PastaError(
      f'{directory}/scheduler/scheduler_config.json: stochastic_sampling draws '
      'noise that depends on the batch; expected false'
    )
  digest = hashlib.sha256()
  for name, config in configs.items():
    digest.update(f'{name} {_without_origin(config)}'.encode())
  digest.update(str([index[name] for name in _CLASSES]).encode())
  for name in (*_CLIP_TOKENIZER, *_T5_TOKENIZERS):
    path = os.path.join(directory, name)
    if os.path.isfile(path):
      with open(path, 'rb') as f:
        digest.update(hashlib.sha256(f.read()).digest())
  tensors, num_params = {}, {}
  for name, stem in NETWORKS.items():
    path = os.path.join(directory, name)
    weights = pretrained.read_weights(path, stem)
    tensors[name] = frozenset(weights)
    num_params[name] = sum(x.size for x in weights.values())
    digest.update(pretrained.fingerprint(path, (), stem).encode())
  blocks = configs['vae/config.json'].get('block_out_channels')
  if not isinstance(blocks, list) or not blocks:
    raise errors.PastaError(
      f'{directory}/vae/config.json: block_out_channels is {blocks!r}, '
      'expected a list of widths'
    )
  return Layout(
    directory=directory,
    fingerprint=digest.hexdigest()[:16],
    takes_guidance=bool(
      configs['transformer/config.json'].get('guidance_embeds', False)
    ),
    # The VAE halves the size between its blocks, the transformer takes patches
    # of 2 x 2.
    size_multiple=2 ** len(blocks),
    tensors=tensors,
    num_params=num_params,
  )


def what_fits(
  *,
  weights: Mapping[str, int],
  batch_size: int,
  size: int,
  size_multiple: int,
  offload: bool,
  available: int,
  total: int,
) -> str:
  """Says what would fit into a device's memory.

  Args:
    weights: bytes of each network.
    batch_size: images drawn at once.
    size: of an image, pixels.
    size_multiple: what divides every size.
    offload: whether only one network at a time is on the device.
    available: bytes that Flux can have; 0: not known.
    total: bytes of the device, those of others included.
  """
  every, largest = sum(weights.values()), max(weights.values())
  resident = largest if offload else every
  text = (
    f'not enough memory for Flux with t2i.flux.batch_size {batch_size} at '
    f'{size} px: its weights take {resident / GIB:.1f} GiB'
  )
  if available:
    text += f' of {available / GIB:.1f}'
    if available < 0.9 * total:
      text += (
        f' (others hold the rest of {total / GIB:.1f}; '
        'XLA_PYTHON_CLIENT_PREALLOCATE=false keeps JAX from taking three '
        'quarters)'
      )
  if available and resident >= available:
    if not offload and largest < available:
      return (
        text + '; t2i.flux.offload=True keeps one network at a time there, at '
        f'most {largest / GIB:.1f} GiB'
      )
    return text + "; use a device with more memory, or t2i.flux.device='cpu'"
  ways = []
  if batch_size > 1:
    ways.append(f't2i.flux.batch_size={batch_size // 2}')
  if not offload:
    ways.append(
      f't2i.flux.offload=True (frees {(every - largest) / GIB:.1f} GiB)'
    )
  # Half the pixels.
  smaller = int(size * 0.5**0.5) // size_multiple * size_multiple
  if smaller:
    ways.append(f't2i.size={smaller}')
  return f'{text}; try {" or ".join(ways)}'


def _read_index(directory: str) -> dict[str, Any]:
  """model_index.json, when it describes a Flux pipeline."""
  index = pretrained.read_pipeline_index(directory, (_PIPELINE,))
  path = os.path.join(directory, 'model_index.json')
  for name, expected in _CLASSES.items():
    if index.get(name) != expected:
      raise errors.PastaError(
        f'{path}: {name} is {index.get(name)}, expected {expected}'
      )
  for name, entry in index.items():
    is_left_out = entry in (None, [None, None])
    if name in _CLASSES or name.startswith('_') or is_left_out:
      continue
    raise errors.PastaError(
      f'{path}: {name} is {entry}; expected nothing but {", ".join(_CLASSES)}'
    )
  return index


def _check_files(directory: str) -> None:
  """Raises PastaError naming all that a pipeline lacks."""

  def lacks(*names):
    return not any(os.path.isfile(os.path.join(directory, n)) for n in names)

  missing = [n for n in (*_CONFIGS, *_CLIP_TOKENIZER) if lacks(n)]
  if lacks(*_T5_TOKENIZERS):
    missing.append(' or '.join(_T5_TOKENIZERS))
  for name, stem in NETWORKS.items():
    files = [f'{name}/{file}' for file in pretrained.weight_files(stem)]
    if lacks(*files):
      missing.append(' or '.join(files))
  if missing:
    raise errors.PastaError(f'{directory}: has no {"; no ".join(missing)}')


def _without_origin(config: Mapping[str, Any]) -> str:
  kept = {
    key: value
    for key, value in config.items()
    if not key.startswith('_') and key not in _ORIGIN_FIELDS
  }
  return json.dumps(kept, sort_keys=True)
