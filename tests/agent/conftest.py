"""Random sessions and candidates for the agent's tests."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import train_value
from pasta.agent import episodes as episodes_lib
from pasta.agent import expected_selection, iql
from pasta.agent.episodes import Episodes
from pasta.agent.history import CandidateSet
from pasta.agent.value_model import ValueModel

TURNS, COLUMNS, POOL, DIM, TYPES, CATEGORIES = 4, 3, 7, 6, 3, 5


def _log_softmax(x):
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


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
    log_choice=_log_softmax(log_choice),
    log_belief=_log_softmax(belief),
    prompt_utility=masked(
      rng.normal(size=(num, turns, TYPES)).astype(np.float32)
    ),
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
  return expected_selection.Response(jnp.zeros(()), jnp.full(TYPES, 0.5))


@pytest.fixture
def make_episodes():
  return _episodes


_init = jax.jit(iql.init, static_argnames='config')


@pytest.fixture
def init_state():
  """Starts learning; compiled once for each config and shape."""

  def init(config, episodes, seed=0):
    frozen = ml_collections.FrozenConfigDict(config)
    return _init(jax.random.key(seed), frozen, episodes)

  return init


@pytest.fixture
def random_model(init_state):
  """Untrained value models of one or several members."""

  def make(config, episodes, score='mean', num_members=1):
    states = [init_state(config, episodes, seed) for seed in range(num_members)]
    params = jax.tree.map(lambda *x: np.stack(x), *[s.params for s in states])
    return ValueModel(params, states[0].constants, states[0].settings, score)

  return make


@pytest.fixture
def make_candidates():
  def make(batch, seed=1, pool=12):
    rng = np.random.default_rng(seed)
    return CandidateSet(
      category=rng.integers(0, CATEGORIES, (batch, pool)),
      valid=np.ones((batch, pool), bool),
      text=rng.normal(size=(batch, pool, DIM)).astype(np.float32),
      utility=rng.normal(size=(batch, pool, TYPES)).astype(np.float32),
    )

  return make


@jax.jit
def _decision_at(episodes, session, turn):
  at = (session, turn)
  shown = None
  if episodes.texts is not None:
    shown = jax.tree.map(lambda x: x[at], episodes.texts.shown)
  category = episodes.slate_category[at]
  return episodes_lib.history_at(episodes, *at), CandidateSet(
    category=category,
    valid=jnp.broadcast_to(episodes.valid[at][:, None], category.shape),
    text=episodes.slate_text[at],
    utility=episodes.slate_utility[at],
    texts=shown,
  )


@pytest.fixture
def decision_at():
  """History and shown columns at (session [B], turn [B]) of episodes."""
  return _decision_at


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
  config.weight_decay = 1.0  # Tests call `iql` without `weight_decay.complete`.
  return config
