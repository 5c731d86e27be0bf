"""The model card of the small CLIP: what it is, how it was made, how good."""

from collections.abc import Mapping

import ml_collections

from pasta import files
from pasta.t2i.sketch import lexicon

_TEMPLATE = """# sketch-clip

A tiny CLIP (Transformers' `FlaxCLIPModel`, float32, {size_mb:.1f} MB) for the
pictures of `sketch`, this project's embedded illustrator. It makes the whole
loop run on a laptop, without downloads; it knows nothing of photographs. For
real text-to-image models use a real CLIP by its hub id or directory.

- Image tower: {image_size} × {image_size} px, patches of {patch_size} px, \
{vision_layers} layers of width {vision_width} (MLP {vision_mlp_dim}), \
{vision_heads} heads.
- Text tower: up to {max_tokens} tokens of a vocabulary of {vocab_size}, \
{text_layers} layers of width {text_width} (MLP {text_mlp_dim}), \
{text_heads} heads.
- Embedding: {projection_dim} dimensions.

## How it was made

{commands}

leaves this directory in `DIR/sketch_clip` (the shipped weights ran the second
command twice; configs/train_clip.py says how). It renders {num_images:,} random
scenes ({ink_percent:.0f} % in the look `sketch:ink`), writes
{captions_per_image} captions of each and trains {num_steps:,} steps (of the
last phase) of {batch_size} pairs. The loss is the symmetric contrastive one
between images and captions (a caption that happens to be true of another image
of the batch is not its negative), plus {phrase_weight} × a contrastive loss
between each image and
the one-value captions of each slot, plus {head_weight} × the loss of linear
heads that name each slot's value from the image embedding, plus
{regression_weight} × the squared error of values as linear maps of both
embeddings; the heads are not part of the model. Licence: that of the project.

## How good it is

Measured on {num_eval_images:,} scenes whose combination of subject, setting and
style was never trained on, with captions written anew. Retrieval: top-1 among
{num_choices}, mean of 200 draws, chance {chance:.3f}. "2–8 named" is the
mixture of training; a caption that names few values is often true of several
images, which counts as an error here.

| captions | sketch: find image | find caption | ink: image | caption |
|---|---|---|---|---|
{retrieval}

Accuracy per slot: zero-shot with the canonical phrases, and a linear probe on
the normalised embedding ({num_probe:,} scenes to fit, the others to measure).

| slot (values) | chance | sketch: zero-shot | probe | ink: zero-shot | probe |
|---|---|---|---|---|---|
{slots}
"""


_FIRST = """\
    python -m launch.train_clip --config=configs/train_clip.py --workdir={}"""
_SECOND = """\
    python -m launch.train_clip --config=configs/train_clip.py:refine \\
        --config.start=FIRST/sketch_clip --workdir=DIR"""


def write(
  path: str,
  config: ml_collections.ConfigDict,
  results: Mapping[str, float],
  num_bytes: int,
) -> None:
  """Writes the card.

  Args:
    path: of the Markdown file.
    config: that the model was trained with.
    results: from `train_clip.evaluate`.
    num_bytes: size of the weights' file.
  """
  retrieval = [
    _row(
      label,
      *(
        results[f'{group}/{kind}_retrieval_{name}']
        for group in ('eval', 'eval_ink')
        for kind in ('image', 'text')
      ),
    )
    for label, name in (
      ('2–8 named', 'any'),
      ('4 named', '4'),
      ('all 8 named', '8'),
    )
  ]
  sizes = dict(zip(lexicon.SLOT_NAMES, lexicon.SLOT_SIZES, strict=True))
  slots = [
    _row(
      f'{name.replace("_", " ")} ({size})',
      1.0 / size,
      *(
        results[f'{group}/{kind}_{name}']
        for group in ('eval', 'eval_ink')
        for kind in ('zero_shot', 'probe')
      ),
    )
    for name, size in {'subject_group': len(lexicon.GROUPS), **sizes}.items()
  ]
  commands = [_FIRST.format('FIRST'), _SECOND]
  if not config.start:
    commands = [_FIRST.format('DIR')]
  text = _TEMPLATE.format(
    commands='\n'.join(commands),
    **{**config.to_dict(), **config.model.to_dict()},
    size_mb=num_bytes / 1e6,
    ink_percent=100 * config.ink_fraction,
    chance=1.0 / config.num_choices,
    num_probe=config.num_eval_images * 3 // 4,
    retrieval='\n'.join(retrieval),
    slots='\n'.join(slots),
  )
  files.atomic_write(path, text)


def _row(label: str, *values: float) -> str:
  return ' | '.join([f'| {label}', *(f'{v:.3f}' for v in values)]) + ' |'
