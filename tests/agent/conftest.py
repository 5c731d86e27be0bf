"""Random sessions and candidates for the agent's tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import train_value
from pasta.agent import iql, selection
from pasta.agent.episodes import Episodes
from pasta.agent.history import CandidateSet
from pasta.agent.value_model import ValueModel

TURNS, COLUMNS, POOL, DIM, TYPES, CATEGORIES = 4, 3, 7, 6, 3, 5


def _episodes(num, seed=0, turns=TURNS, full=True, pool=False):
  rng = np.random.default_rng(seed)
  shape = (num, turns, COLUMNS)
  length = np.full(num, turns) if full else rng.integers(1, turns + 1, num)
  valid = np.arange(turns) < length[:, None]
  belief = rng.normal(size=(num, turns, TYPES)).astype(np.float32)
  log_choice = rng.normal(size=shape).astype(np.float32)

  def masked(x):
    mask = valid.reshape(valid.shape + (1,) * (x.ndim - 2))
    return np.where(mask, x, 0).astype(x.dtype)

  return Episodes(
    initial_text=rng.normal(size=(num, DIM)).astype(np.float16),
    slate_text=masked(rng.normal(size=(*shape, DIM)).astype(np.float16)),
    slate_image=masked(rng.normal(size=(*shape, DIM)).astype(np.float16)),
    slate_category=masked(
      np.argsort(rng.random((num, turns, CATEGORIES)))[..., :COLUMNS].astype(
        np.int32
      )
    ),
    slate_utility=masked(rng.normal(size=(*shape, TYPES)).astype(np.float32)),
    log_choice=np.asarray(jax.nn.log_softmax(log_choice)),
    log_belief=np.asarray(jax.nn.log_softmax(belief)),
    choice=np.where(valid, rng.integers(0, COLUMNS, (num, turns)), -1).astype(
      np.int32
    ),
    reward=masked(rng.random((num, turns)).astype(np.float32)),
    valid=valid,
    expected=masked(rng.normal(size=shape).astype(np.float32)),
    choice_log_scale=np.zeros(num, np.float32),
    **_pool(rng, shape, valid) if pool else {},
  )


def _pool(rng, shape, valid):
  """Random candidates that slates were picked from."""
  num, turns, columns = shape
  return {
    'pool': CandidateSet(
      category=rng.integers(0, CATEGORIES, (num, turns, POOL)).astype(np.int32),
      valid=np.broadcast_to(valid[..., None], (num, turns, POOL)),
      text=rng.normal(size=(num, turns, POOL, DIM)).astype(np.float16),
      utility=rng.normal(size=(num, turns, POOL, TYPES)).astype(np.float32),
    ),
    'slate': np.argsort(rng.random((num, turns, POOL)))[..., :columns].astype(
      np.int32
    ),
    'log_propensity': np.zeros((num, turns), np.float32),
  }


@pytest.fixture
def response():
  """How people respond, in tests."""
  return selection.Response(jnp.zeros(()), jnp.full(TYPES, 0.5))


@pytest.fixture
def make_episodes():
  return _episodes


@pytest.fixture
def random_model():
  """Untrained value models of one or several members."""

  def make(config, episodes, score='mean', num_members=1):
    keys = jax.random.split(jax.random.key(0), num_members)
    states = [
      jax.jit(functools.partial(iql.init, config=config))(k, example=episodes)
      for k in keys
    ]
    params = jax.tree.map(lambda *x: jnp.stack(x), *[s.params for s in states])
    return ValueModel(params, states[0].constants, states[0].settings, score)

  return make


@pytest.fixture
def make_candidates():
  def make(batch, seed=1):
    rng = np.random.default_rng(seed)
    return CandidateSet(
      category=jnp.asarray(rng.integers(0, CATEGORIES, (batch, POOL))),
      valid=jnp.ones((batch, POOL), bool),
      text=jnp.asarray(rng.normal(size=(batch, POOL, DIM)), jnp.float32),
      utility=jnp.asarray(rng.normal(size=(batch, POOL, TYPES)), jnp.float32),
    )

  return make


@pytest.fixture
def value_config():
  """The smallest network, with values that are not zero at the start."""
  config = train_value.get_config('smoke')
  config.base = 'none'
  config.credit = 'mean'
  config.backbone = 'mlp'
  config.width = 8
  config.head_dims = (8,)
  config.batch_sessions = 8
  config.warmup_steps = 0
  return config
