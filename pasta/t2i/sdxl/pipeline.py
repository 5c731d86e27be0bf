"""A directory with an SDXL pipeline, in diffusers' layout.

The networks are those of diffusers' FlaxStableDiffusionXLPipeline; the
directory may have been saved by it or by its PyTorch counterpart, which is what
the hub mostly holds.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import diffusers
import flax.traverse_util
import jax
import numpy as np
import transformers

from pasta import errors, pretrained
from pasta.t2i.sdxl import files, schedule, weights

# What diffusers' Flax networks take for granted, and ignore where a config
# says otherwise.
_FIXED = {
  'unet': {
    'act_fn': 'silu',
    'addition_embed_type': 'text_time',
    'class_embed_type': None,
    'mid_block_type': 'UNetMidBlock2DCrossAttn',
    'norm_num_groups': 32,
    'num_attention_heads': None,
    'resnet_time_scale_shift': 'default',
  },
  'vae': {
    'act_fn': 'silu',
    'latents_mean': None,
    'latents_std': None,
    'norm_num_groups': 32,
  },
}
_MAX_SAMPLE = 1024  # Entries of a parameter that the fingerprint reads.


@dataclasses.dataclass(frozen=True)
class Pipeline:
  """The parts of SDXL.

  Attributes:
    text_encoders: CLIP's text tower and OpenCLIP's, with its projection.
    tokenizers: of each.
    unet: predicts the noise.
    vae: draws latents.
    noise: what the UNet was trained with.
    zero_negative: whether no negative prompt is zeros, or the empty text.
    load_params: reads the weights: a tree of numpy arrays, by network.
    settings: all that changes images besides the weights.
  """

  text_encoders: tuple[
    transformers.FlaxCLIPTextModel,
    transformers.FlaxCLIPTextModelWithProjection,
  ]
  tokenizers: tuple[
    transformers.CLIPTokenizerFast, transformers.CLIPTokenizerFast
  ]
  unet: diffusers.FlaxUNet2DConditionModel
  vae: diffusers.FlaxAutoencoderKL
  noise: schedule.Noise
  zero_negative: bool
  load_params: Callable[[], dict[str, Any]]
  settings: Mapping[str, Any]

  @property
  def pixels_per_latent(self) -> int:
    return 2 ** (len(self.vae.config.block_out_channels) - 1)

  @property
  def size_multiple(self) -> int:
    """What divides every image size: the UNet halves latents exactly."""
    depth = len(self.unet.config.block_out_channels) - 1
    return self.pixels_per_latent * 2**depth

  @property
  def max_tokens(self) -> int:
    return self.text_encoders[0].config.max_position_embeddings

  def fingerprint(self, params: Mapping[str, Any]) -> str:
    """A short hash that tells models apart, whatever files they came from."""
    settings = json.dumps(self.settings, sort_keys=True)
    digest = hashlib.sha256(settings.encode())
    flat = flax.traverse_util.flatten_dict(dict(params), sep='.')
    for name, x in sorted(flat.items()):
      digest.update(f'{name} {x.dtype} {x.shape}'.encode())
      step = max(x.size // _MAX_SAMPLE, 1)
      digest.update(np.asarray(x).reshape(-1)[::step].tobytes())
    return digest.hexdigest()[:12]


def load(
  path_or_hub_id: str, *, dtype: str = 'float32', unet: str = ''
) -> Pipeline:
  """Opens a pipeline; its weights are read by `load_params` only.

  Args:
    path_or_hub_id: a directory, or an id such as
      'stabilityai/stable-diffusion-xl-base-1.0'.
    dtype: of weights and computation, 'float32' or 'bfloat16'.
    unet: a safetensors file with the UNet's weights, as few-step variants are
      published; '' for the pipeline's own.

  Raises:
    PastaError: no such directory, something is missing in it, or it holds
      another kind of model.
  """
  directory = files.resolve(path_or_hub_id, dtype)
  index = files.check(directory)
  if unet and not os.path.isfile(os.path.expanduser(unet)):
    raise errors.PastaError(f'unet: {unet}: no such safetensors file')
  read = {
    name: pretrained.read_json(os.path.join(directory, name, 'config.json'))
    for name in files.NETWORKS
  }
  for name, fixed in _FIXED.items():
    for field, expected in fixed.items():
      value = read[name].get(field, expected)
      if value != expected:
        raise errors.PastaError(
          f'{os.path.join(directory, name, "config.json")}: {field} is '
          f'{value!r}; expected {expected!r}, as SDXL has it'
        )
  tokenizers = tuple(
    _load_tokenizer(os.path.join(directory, name)) for name in files.TOKENIZERS
  )
  scheduler = os.path.join(directory, 'scheduler', 'scheduler_config.json')
  pipeline = build(
    read,
    tokenizers,
    schedule.read_noise(pretrained.read_json(scheduler), scheduler),
    dtype=dtype,
    zero_negative=bool(index.get('force_zeros_for_empty_prompt', True)),
    source=directory,
  )

  def load_params():
    shapes = param_shapes(pipeline)
    params = {}
    for name, stem in files.NETWORKS.items():
      if name == 'unet' and unet:
        params[name] = weights.load_file(
          os.path.expanduser(unet), shapes[name], np.dtype(dtype)
        )
      else:
        params[name] = weights.load(
          os.path.join(directory, name), stem, shapes[name], np.dtype(dtype)
        )
    return params

  return dataclasses.replace(pipeline, load_params=load_params)


def build(
  configs: Mapping[str, Mapping[str, Any]],
  tokenizers: Sequence[transformers.CLIPTokenizerFast],
  noise: schedule.Noise,
  *,
  dtype: str,
  zero_negative: bool = True,
  source: str = 'SDXL',
) -> Pipeline:
  """Makes the networks from their configs, without weights.

  Args:
    configs: content of config.json by network: text_encoder, text_encoder_2,
      unet, vae.
    tokenizers: of both text encoders.
    noise: what the UNet was trained with.
    dtype: as for `load`.
    zero_negative: whether no negative prompt is zeros, or the empty text.
    source: names the pipeline in errors.

  Raises:
    PastaError: a config cannot be used, or they do not fit together.
  """
  _be_quiet()
  kind = np.dtype(dtype)
  made = {}
  for name, make in (
    ('text_encoder', transformers.FlaxCLIPTextModel),
    ('text_encoder_2', transformers.FlaxCLIPTextModelWithProjection),
    ('unet', diffusers.FlaxUNet2DConditionModel),
    ('vae', diffusers.FlaxAutoencoderKL),
  ):
    try:
      if files.NETWORKS[name] == weights.TEXT:
        config = transformers.CLIPTextConfig.from_dict(dict(configs[name]))
        made[name] = make(config, dtype=kind, _do_init=False)
      else:
        # Attention without moving heads into the batch is the faster one.
        extra = {'split_head_dim': True} if name == 'unet' else {}
        made[name] = make.from_config(dict(configs[name]), dtype=kind, **extra)
    except (TypeError, ValueError, AttributeError, KeyError) as e:
      raise errors.PastaError(
        f'{source}: {name}/config.json describes no network of SDXL ({e})'
      ) from e
  pipeline = Pipeline(
    text_encoders=(made['text_encoder'], made['text_encoder_2']),
    tokenizers=tuple(tokenizers),
    unet=made['unet'],
    vae=made['vae'],
    noise=noise,
    zero_negative=zero_negative,
    load_params=dict,
    settings={
      'configs': {name: _plain(config) for name, config in configs.items()},
      'tokenizers': [_tokenizer_hash(t) for t in tokenizers],
      'noise': [
        hashlib.sha256(noise.signal.astype(np.float32).tobytes()).hexdigest(),
        noise.prediction,
        noise.final_signal,
        noise.steps_offset,
      ],
      'zero_negative': zero_negative,
    },
  )
  _check_fit(pipeline, source)
  return pipeline


def param_shapes(pipeline: Pipeline) -> dict[str, Any]:
  """The tree that `load_params` gives, of shapes."""
  key = jax.random.key(0)
  first, second = pipeline.text_encoders
  return {
    'text_encoder': _unfrozen(first.params_shape_tree),
    'text_encoder_2': _unfrozen(second.params_shape_tree),
    'unet': _unfrozen(jax.eval_shape(pipeline.unet.init_weights, key)),
    'vae': _unfrozen(jax.eval_shape(pipeline.vae.init_weights, key)),
  }


def _check_fit(pipeline: Pipeline, source: str) -> None:
  """Raises PastaError unless each part takes what the others give."""
  first, second = (model.config for model in pipeline.text_encoders)
  unet, vae = pipeline.unet.config, pipeline.vae.config
  pooled = second.projection_dim + 6 * (unet.addition_time_embed_dim or 0)
  for what, value, other, expected in (
    (
      'unet: cross_attention_dim',
      unet.cross_attention_dim,
      'the widths of both text encoders',
      first.hidden_size + second.hidden_size,
    ),
    (
      'unet: projection_class_embeddings_input_dim',
      unet.projection_class_embeddings_input_dim,
      "text_encoder_2's projection and six sizes",
      pooled,
    ),
    ('unet: in_channels', unet.in_channels, 'the VAE', vae.latent_channels),
    ('unet: out_channels', unet.out_channels, 'the VAE', vae.latent_channels),
    ('vae: out_channels', vae.out_channels, 'RGB', 3),
    (
      'text_encoder_2: max_position_embeddings',
      second.max_position_embeddings,
      'text_encoder',
      first.max_position_embeddings,
    ),
  ):
    if value != expected:
      raise errors.PastaError(
        f'{source}: {what} is {value}, expected {expected} to fit {other}: '
        'these are parts of different models'
      )
  for config, tokenizer, name in zip(
    (first, second), pipeline.tokenizers, files.TOKENIZERS
  ):
    if len(tokenizer) > config.vocab_size:
      raise errors.PastaError(
        f'{source}: {name} has {len(tokenizer)} tokens, its text encoder '
        f'{config.vocab_size}'
      )
    # The context is the layer before the last.
    if config.num_hidden_layers < 2:
      raise errors.PastaError(
        f'{source}: the text encoder of {name} has '
        f'{config.num_hidden_layers} layers, expected at least 2'
      )
  for name, config in (('unet', unet), ('vae', vae)):
    channels = config.block_out_channels
    if not isinstance(channels, (list, tuple)) or any(
      type(c) is not int or c % 32 for c in channels
    ):
      raise errors.PastaError(
        f'{source}: {name}: block_out_channels is {channels}, expected a list '
        'of multiples of 32'
      )


def _load_tokenizer(directory: str) -> transformers.CLIPTokenizerFast:
  try:
    # The slow one tokenises otherwise where ftfy is installed.
    return transformers.CLIPTokenizerFast.from_pretrained(directory)
  except Exception as e:  # tokenizers raises plain Exceptions.
    reason = ' '.join(str(e).split())
    raise errors.PastaError(
      f'{directory}: cannot load the tokenizer: {reason}'
    ) from e


def _tokenizer_hash(tokenizer: transformers.CLIPTokenizerFast) -> str:
  model = json.loads(tokenizer.backend_tokenizer.to_str())['model']
  # Merges are pairs, or texts with a space, by version.
  merges = [m if isinstance(m, str) else ' '.join(m) for m in model['merges']]
  content = [sorted(tokenizer.get_vocab().items()), merges]
  special = [tokenizer.eos_token_id, tokenizer.pad_token_id]
  return hashlib.sha256(json.dumps([content, special]).encode()).hexdigest()


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
  """A config without what only records how it was saved."""
  records = ('architectures', 'torch_dtype', 'dtype', 'transformers_version')
  return {
    name: value
    for name, value in config.items()
    if not name.startswith('_') and name not in records
  }


def _unfrozen(tree: Any) -> dict[str, Any]:
  return flax.traverse_util.unflatten_dict(
    flax.traverse_util.flatten_dict(tree)
  )


def _be_quiet() -> None:
  # Hundreds of notes that Flax classes are deprecated.
  diffusers.utils.logging.set_verbosity_error()
  transformers.utils.logging.set_verbosity_error()
