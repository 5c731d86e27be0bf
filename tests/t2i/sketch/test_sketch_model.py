"""Sketch behind the interface of text-to-image models."""

import ml_collections
import numpy as np
import pytest

from pasta.t2i import build as t2i_build
from pasta.t2i.sketch import draw, scene, sketch


def _config(**fields):
  return ml_collections.ConfigDict(
    {'name': 'sketch', 'size': 32, 'num_workers': 0, 'arguments': '', **fields}
  )


def test_images_do_not_depend_on_their_batch():
  model = sketch.Sketch(size=32)
  prompts = ['a fox in a forest', 'robot, neon', 'an animal']
  seeds = np.array([1, 2, 2**63], np.uint64)
  together = model.generate(prompts, seeds, 3)
  assert together.shape == (3, 3, 32, 32, 3) and together.dtype == np.uint8
  alone = model.generate(prompts[2:], seeds[2:], 2)
  np.testing.assert_array_equal(together[2, :2], alone[0])
  # Another seed and another index give other images.
  other = model.generate(prompts[:1], np.array([9]), 1)
  assert (other[0, 0] != together[0, 0]).any()
  assert (together[0, 0] != together[0, 1]).any()


def test_generate_draws_its_scenes():
  model = sketch.Sketch(size=32, look='sketch:ink')
  prompts, seeds = ['a castle at night'], np.array([4])
  drawn = model.generate(prompts, seeds, 2)
  scenes = model.scenes(prompts, seeds, 2)
  key = scene.image_seeds(prompts, seeds, 2)[0, 1]
  np.testing.assert_array_equal(
    drawn[0, 1], draw.draw_scene(scenes[0, 1], int(key), 32, 'sketch:ink')
  )
  np.testing.assert_array_equal(scenes, scene.sample(prompts, seeds, 2))


def test_workers_draw_the_same():
  here = sketch.Sketch(size=32)
  there = sketch.Sketch(size=32, num_workers=1)
  prompts, seeds = ['a cat', 'a train'], np.array([0, 1])
  try:
    # 2 x 40 images: more than one chunk, so that workers are used.
    np.testing.assert_array_equal(
      there.generate(prompts, seeds, 40), here.generate(prompts, seeds, 40)
    )
    assert there._pool is not None
  finally:
    there.close()
  assert there._pool is None


def test_no_prompts_give_no_images():
  images = sketch.Sketch(size=32).generate([], np.zeros(0, int), 4)
  assert images.shape == (0, 4, 32, 32, 3)


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'look': 'crayon'}, 'look.*sketch:ink.*crayon'),
    ({'size': 31}, 'size.*32 to 1024'),
    ({'size': 1025}, 'size.*32 to 1024'),
    ({'num_workers': -1}, 'num_workers'),
  ],
)
def test_bad_models_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    sketch.Sketch(**fields)


@pytest.mark.parametrize(
  'prompts, seeds, count, message',
  [
    (['a', 'b'], [1], 1, r'seeds.*\(2,\)'),
    (['a'], [[1]], 1, 'seeds'),
    (['a'], [-1], 1, 'seeds.*non-negative'),
    (['a'], [0.5], 1, 'seeds.*integers'),
    (['a'], [1], 0, 'images_per_prompt.*0'),
    (['a', 7], [1, 2], 1, r'prompts\[1\].*int'),
    ('a', [1], 1, 'prompts'),
  ],
)
def test_bad_calls_are_refused(prompts, seeds, count, message):
  model = sketch.Sketch(size=32)
  for method in (model.generate, model.scenes):
    with pytest.raises(ValueError, match=message):
      method(prompts, np.array(seeds), count)


def test_build_names_models():
  model = t2i_build.build(_config())
  assert model.model_id == f'sketch@32/v{draw.VERSION}'
  assert model.image_size == 32
  ink = t2i_build.build(_config(name='sketch:ink', size=48))
  assert ink.model_id == f'sketch:ink@48/v{draw.VERSION}'
  with pytest.raises(ValueError, match='crayon.*sketch, sketch:ink'):
    t2i_build.build(_config(name='crayon'))
