"""Pictures at another size, and who needs that."""

import numpy as np

from configs import common
from pasta.t2i import build as t2i_build
from pasta.t2i import resized
from pasta.t2i.sketch import sketch
from pasta.world import world as world_lib


class OneSize(sketch.Sketch):
  draws_at_any_size = False


def test_pictures_stay_what_they_are():
  model = OneSize(size=64)
  seeds = np.array([3, 4], np.uint64)
  large = model.generate(['a red fox', 'a cat'], seeds, 2)
  small = resized.Resized(model, 32)
  found = small.generate(['a red fox', 'a cat'], seeds, 2)
  assert found.shape == (2, 2, 32, 32, 3) and found.dtype == np.uint8
  halved = large.reshape(2, 2, 32, 2, 32, 2, 3).mean((3, 5))
  assert np.abs(found - halved).mean() < 6
  assert small.model_id == f'{model.model_id}>32' and small.image_size == 32


def test_a_world_resizes_what_is_made_for_one_size(monkeypatch):
  config = common.world()
  config.t2i.num_workers = 0
  for model, expected in (
    (sketch.Sketch, sketch.Sketch),
    (OneSize, resized.Resized),
  ):
    monkeypatch.setattr(t2i_build, 'build', lambda c, m=model: m(size=c.size))
    world = world_lib.World(config)
    assert type(world.t2i_at(96)) is expected
    assert world.t2i_at(96).image_size == 96
    assert world.t2i_at(64) is world.t2i
    world.close()
