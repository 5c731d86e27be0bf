"""A small world, its people, and user models over its features."""

import jax
import numpy as np
import pytest

from configs import common
from pasta.population import population as population_lib
from pasta.user_model import heads
from pasta.world import world as world_lib


@pytest.fixture(scope='module')
def world():
  config = common.world()
  config.t2i.num_workers = 0
  world = world_lib.World(config)
  yield world
  world.close()


@pytest.fixture(scope='module')
def population():
  return population_lib.build(common.population())


@pytest.fixture(scope='module')
def user_model(world):
  dim = world.encoder.embedding_dim
  rng = np.random.default_rng(0)
  settings = heads.HeadSettings(num_types=3, embedding_dim=dim)
  columns = rng.standard_normal((50, dim)), rng.standard_normal((50, 2, dim))
  return heads.init_model(jax.random.key(0), settings, [columns])


@pytest.fixture(scope='module')
def opinionated(user_model):
  """A user model whose types differ."""

  def noise(x):
    return x + 0.5 * jax.random.normal(jax.random.key(1), x.shape)

  return user_model.replace(
    heads=jax.tree.map(noise, user_model.heads),
    text=jax.tree.map(
      lambda x: noise(x) if x.ndim == 2 else x, user_model.text
    ),
  )
