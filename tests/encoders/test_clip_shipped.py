"""The small CLIP in the repository knows the pictures of sketch."""

import os
import random

import numpy as np
import pytest

from pasta.encoders import clip
from pasta.encoders.training import captions, clip_metrics, renders
from pasta.t2i.sketch import draw, lexicon


@pytest.fixture(scope='module')
def encoder():
  return clip.ClipEncoder.load()


@pytest.fixture(scope='module')
def held_out(encoder):
  """Embeddings of 128 held-out scenes, and the scenes."""
  scenes = renders.make_scenes(128, 77, held_out=True)
  images = np.stack(
    [draw.draw_scene(s, i, 64, 'sketch') for i, s in enumerate(scenes)]
  )
  return encoder.encode_images(images), scenes


def test_size_and_settings(encoder):
  assert encoder.encoder_id.startswith('sketch-clip@')
  assert encoder.image_size == 64
  assert encoder.max_tokens == 77
  path = os.path.join(os.path.dirname(clip.__file__), 'sketch_clip')
  total = sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path))
  assert total < 8e6
  assert os.path.exists(os.path.join(path, 'README.md'))


def test_retrieval_on_held_out_scenes(encoder, held_out):
  image, scenes = held_out
  rng = random.Random(0)
  texts = [captions.caption(s, rng, num_named=8)[0] for s in scenes]
  to_image, to_text = clip_metrics.retrieval(
    encoder.encode_text(texts), image, num_draws=50
  )
  assert to_image >= 0.7
  assert to_text >= 0.7


def test_zero_shot_on_held_out_scenes(encoder, held_out):
  image, scenes = held_out
  phrases = [
    encoder.encode_text([v.phrase for v in values])
    for values in lexicon.SLOTS.values()
  ]
  accuracy = clip_metrics.zero_shot(image, phrases, scenes)
  for slot, size in zip(lexicon.SLOT_NAMES, lexicon.SLOT_SIZES, strict=True):
    assert accuracy[slot] > 2.0 / size, slot
  assert accuracy['style'] > 0.8


def test_synonyms_are_near_and_other_values_are_not(encoder):
  a, b, c = encoder.encode_text(
    ['a kitten in the woods', 'a cat in a forest', 'a castle in outer space']
  )
  assert a @ b > a @ c + 0.2
