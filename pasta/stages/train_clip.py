"""The stage `train_clip`: the small CLIP that is shipped with the project.

Renders random scenes, writes captions that are true of them, trains a tiny CLIP
from scratch and measures it on combinations of values that it has not seen.
"""

import functools
import os
import random

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import transformers
from absl import logging

from pasta import errors, files, seeds, training
from pasta import metrics as metrics_lib
from pasta import workdir as workdir_lib
from pasta.encoders import clip
from pasta.encoders.training import (
  caption_table,
  captions,
  clip_card,
  clip_metrics,
  contrastive,
  renders,
  tokenizer,
)
from pasta.t2i.sketch import lexicon

STAGE = 'train_clip'
# Fields that may change at a restart: they change no result.
_IGNORE = ('num_workers', 'log_every_steps', 'checkpoint_every_steps')
_MODEL_FILE = 'flax_model.msgpack'
_VOCAB_FILE = 'vocab.json'


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Runs the stage; restarting the same command goes on where it stopped.

  Args:
    config: see configs/train_clip.py.
    workdir: gets `sketch_clip/` (model, tokenizer, image processor, model
      card), metrics, checkpoints and the renders.

  Raises:
    PastaError: the workdir belongs to another config, or the loss diverged.
  """
  with workdir_lib.open_stage(STAGE, workdir, config, ignore=_IGNORE) as info:
    if info is not None:
      info |= _make(config, workdir)


def _make(config: ml_collections.ConfigDict, workdir: str) -> dict[str, float]:
  """Renders, trains, exports, measures; returns the measures."""
  transformers.logging.set_verbosity_error()
  export = os.path.join(workdir, 'sketch_clip')
  tokenizer.train(export, config.vocab_size, config.seed)
  tokens = transformers.CLIPTokenizerFast.from_pretrained(export)
  scenes = renders.make_scenes(config.num_images, config.seed, held_out=False)
  images = _render(config, workdir, 'train', scenes, config.ink_fraction)
  texts = caption_table.CaptionTable(tokens, scenes, config)
  logging.info('%s captions, %s images', texts.lengths.size, len(images))
  model = contrastive.build_model(config.model, len(tokens))
  start_params = _start_params(model, config, export) if config.start else None
  params = train(
    model, images, scenes, texts, config, workdir, start_params=start_params
  )
  model.save_pretrained(export, params=params)
  _processor(config).save_pretrained(export)
  results = evaluate(clip.ClipEncoder.load(export), config, workdir)
  with metrics_lib.MetricWriter(
    workdir, resume_step=config.num_steps + 1
  ) as writer:
    writer.write(config.num_steps + 1, results)
  size = os.path.getsize(os.path.join(export, _MODEL_FILE))
  clip_card.write(os.path.join(export, 'README.md'), config, results, size)
  return results


def _start_params(
  model: transformers.FlaxCLIPModel,
  config: ml_collections.ConfigDict,
  export: str,
) -> dict:
  """The weights in `config.start`; they must fit the model and its tokens."""
  model_path, vocab_path = (
    os.path.join(config.start, name) for name in (_MODEL_FILE, _VOCAB_FILE)
  )
  for path in (model_path, vocab_path):
    if not os.path.exists(path):
      raise errors.PastaError(
        f"config field 'start': there is no {path}; expected a directory that "
        'train_clip has left'
      )
  vocab = files.read_json(vocab_path)
  if vocab != files.read_json(os.path.join(export, _VOCAB_FILE)):
    raise errors.PastaError(
      f"config field 'start': {vocab_path} has other tokens than this config's "
      'tokenizer'
    )
  _, params = transformers.FlaxCLIPModel.from_pretrained(
    config.start, _do_init=False
  )
  params = jax.tree.map(jnp.asarray, params)
  expected = jax.eval_shape(
    lambda: contrastive.init_params(jax.random.key(0), model)
  )
  if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, expected):
    raise errors.PastaError(
      f"config field 'start': {model_path} has other shapes than config.model"
    )
  return params


def train(
  model: transformers.FlaxCLIPModel,
  images: np.ndarray,
  scenes: np.ndarray,
  texts: caption_table.CaptionTable,
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  start_params: dict | None = None,
) -> dict:
  """Trains from the last checkpoint, or from the start.

  Args:
    model: gives the functions and the shapes of the parameters.
    images: uint8 [N, H, W, 3].
    scenes: int8 [N, S].
    texts: captions of these scenes.
    config: see configs/train_clip.py.
    workdir: where checkpoints and metrics go.
    start_params: weights to start from; None: random ones.

  Returns:
    The parameters.
  """
  root = jax.random.key(config.seed)
  optimizer = contrastive.make_optimizer(config)
  phrases = caption_table.PhraseTable(
    texts.tokens, config.canonical_phrase_prob
  )

  def init(key):
    params = start_params or contrastive.init_params(key, model)
    heads = contrastive.init_heads(config.model.projection_dim)
    return contrastive.State(
      params=params, heads=heads, opt_state=optimizer.init((params, heads))
    )

  def make_batch(step, unused_num):
    step += 1  # Batches and keys are counted from 1.
    rng = np.random.default_rng(int(seeds.derive(config.seed, 'batch', step)))
    image, caption, length = texts.sample(rng, config.batch_size)
    lengths = texts.lengths[image, caption]
    phrase_ids, phrase_mask = phrases.sample(rng)
    batch = contrastive.Batch(
      images=images[image],
      ids=texts.ids[image, caption, :length].astype(np.int32),
      mask=(np.arange(length) < lengths[:, None]).astype(np.int32),
      scenes=scenes[image].astype(np.int32),
      named=texts.named[image, caption],
      phrase_ids=phrase_ids,
      phrase_mask=phrase_mask,
    )
    return batch, jax.random.fold_in(jax.random.fold_in(root, 1), step)

  state, _ = training.run(
    lambda: jax.jit(init)(jax.random.fold_in(root, 0)),
    make_batch,
    jax.jit(
      functools.partial(
        contrastive.update,
        model=model,
        optimizer=optimizer,
        phrase_weight=config.phrase_weight,
        head_weight=config.head_weight,
        regression_weight=config.regression_weight,
        pixel_mean=config.pixel_mean,
        pixel_std=config.pixel_std,
      ),
      donate_argnums=0,
    ),
    directory=workdir,
    num_steps=config.num_steps,
    log_steps=config.log_every_steps,
    checkpoint_steps=config.checkpoint_every_steps,
    desc='train',
    unit='pairs',
    units_per_step=config.batch_size,
  )
  return jax.tree.map(np.asarray, state.params)


def evaluate(
  encoder: clip.ClipEncoder, config: ml_collections.ConfigDict, workdir: str
) -> dict[str, float]:
  """Measures an encoder on held-out combinations, in both looks.

  Args:
    encoder: the trained one.
    config: see configs/train_clip.py.
    workdir: where the renders go.

  Returns:
    Metrics 'eval/NAME' for the look 'sketch', 'eval_ink/NAME' for 'sketch:ink'.
  """
  seed, num = config.seed + 1, config.num_eval_images
  scenes = renders.make_scenes(num, seed, held_out=True)
  phrases = [
    encoder.encode_text([v.phrase for v in values])
    for values in lexicon.SLOTS.values()
  ]
  results = {}
  for group, ink_fraction in (('eval', 0.0), ('eval_ink', 1.0)):
    images = _render(config, workdir, group, scenes, ink_fraction)
    image = encoder.encode_images(images)
    for name, count in (('any', None), ('4', 4), ('8', 8)):
      rng = random.Random(seed)
      texts = [captions.caption(s, rng, num_named=count)[0] for s in scenes]
      text = encoder.encode_text(texts)
      to_image, to_text = clip_metrics.retrieval(
        text, image, num_choices=config.num_choices
      )
      results[f'{group}/image_retrieval_{name}'] = to_image
      results[f'{group}/text_retrieval_{name}'] = to_text
    zero_shot = clip_metrics.zero_shot(image, phrases, scenes)
    probe = clip_metrics.linear_probe(image, scenes, num_train=num * 3 // 4)
    results |= {f'{group}/zero_shot_{k}': v for k, v in zero_shot.items()}
    results |= {f'{group}/probe_{k}': v for k, v in probe.items()}
  return results


def _render(
  config: ml_collections.ConfigDict,
  workdir: str,
  name: str,
  scenes: np.ndarray,
  ink_fraction: float,
) -> np.ndarray:
  """Renders scenes into WORKDIR/renders/NAME.npy, uint8 [N, H, W, 3]."""
  directory = os.path.join(workdir, 'renders')
  os.makedirs(directory, exist_ok=True)
  return renders.render_scenes(
    os.path.join(directory, f'{name}.npy'),
    scenes,
    seed=config.seed if name == 'train' else config.seed + 1,
    size=config.model.image_size,
    ink_fraction=ink_fraction,
    num_workers=config.num_workers,
  )


def _processor(
  config: ml_collections.ConfigDict,
) -> transformers.CLIPImageProcessor:
  """What brings other images to the model's size and range of values."""
  size = config.model.image_size
  return transformers.CLIPImageProcessor(
    size={'shortest_edge': size},
    crop_size={'height': size, 'width': size},
    image_mean=[config.pixel_mean] * 3,
    image_std=[config.pixel_std] * 3,
  )
