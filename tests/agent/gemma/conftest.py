"""Sessions of people, logged for a tiny Gemma to learn from."""

import dataclasses

import jax
import learner
import numpy as np
import pytest
import tiny_gemma

from configs import common
from pasta.agent import policies
from pasta.agent.gemma import base as gemma_base
from pasta.user_model import heads
from pasta.world import world as world_lib


@pytest.fixture(scope='package')
def directory(tmp_path_factory):
  return tiny_gemma.write(tmp_path_factory.mktemp('gemma'), num_layers=1)


@pytest.fixture(scope='package')
def world():
  config = common.world()
  config.t2i.num_workers = 0
  world = world_lib.World(config)
  yield world
  world.close()


@pytest.fixture(scope='package')
def user_model(world):
  dim = world.encoder.embedding_dim
  rng = np.random.default_rng(0)
  settings = heads.HeadSettings(num_types=3, embedding_dim=dim)
  columns = rng.standard_normal((50, dim)), rng.standard_normal((50, 2, dim))
  return heads.init_model(jax.random.key(0), settings, [columns])


@pytest.fixture(scope='package')
def logged(world, user_model):
  """Sessions of people; the first stops after a turn."""
  policy = policies.build(
    common.policy('optimistic', 3.0), num_columns=learner.SIZES.num_columns
  )
  result = learner.interact(world, user_model, policy, learner.NUM_SESSIONS)
  records, features = result.sessions, result.features
  records[0] = dataclasses.replace(records[0], turns=records[0].turns[:1])
  features.choice[0, 1:] = -1
  return records, features


@pytest.fixture(scope='package')
def base(directory):
  return gemma_base.load(learner.make_config(directory))


@pytest.fixture(scope='package')
def episodes(base, logged, user_model):
  return learner.read_episodes(base, logged, user_model)
