"""Split-and-merge moves of mini-batch EM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_scores as planted

from pasta.user_model import em, evidence, moves, phase, scores, sources
from pasta.user_model import model as model_lib

D = planted.D


def start(source, tastes, share, config):
  """A run whose types have given tastes [K, D]."""
  model = model_lib.init(
    jax.random.key(0),
    scores.Linear(len(tastes)),
    {},
    *sources.columns(source, 10),
    8,
  )
  model = model.replace(
    heads={
      'taste': np.zeros(D, np.float32),
      'types': {'taste': jnp.asarray(tastes, jnp.float32)},
    },
    log_prior=np.log(np.asarray(share, np.float32)),
  )
  people = {'x': source.num_users}
  return em.init(jax.random.key(1), model, people, 1.0, config)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  store = planted.store(tmp_path_factory.mktemp('data'), num_users=200)
  return sources.from_store(store, 'user', 'x')


TRUTH = 2.0 * np.array([[1, -1, 0.5, 0], [-1, 1, 0, 0.5]])


def test_a_lost_type_is_found_by_the_proposals(source):
  """Two types the same, one covers both planted ones: split that."""
  config = planted.make_config('x', num_types=3)
  both = TRUTH.mean(0)
  state = start(
    source, [both, [5, 5, 5, 5], [5, 5, 5, 5]], [0.8, 0.1, 0.1], config
  )
  batches = moves.sample({'x': source}, config, jax.random.key(0))
  found, direction = moves.propose(state.model, batches, config)
  best = found[0]
  assert best.split == 0 and best.removed in (1, 2) and best.gain > 0.5
  moved = moves.apply(state, best, direction)
  tastes = np.asarray(moved.model.heads['types']['taste'])
  difference = tastes[best.removed] - tastes[0]
  np.testing.assert_allclose(
    0.5 * (tastes[best.removed] + tastes[0]), both, atol=1e-5
  )
  wanted = TRUTH[0] - TRUTH[1]
  cosine = difference @ wanted / np.linalg.norm(difference)
  assert abs(cosine) / np.linalg.norm(wanted) > 0.95
  share = np.exp(moved.model.log_prior)
  # Whatever the removed type's people go to, the halves share alike.
  np.testing.assert_allclose(share[0], share[best.removed], rtol=1e-5)
  np.testing.assert_allclose(share.sum(), 1.0, rtol=1e-5)

  # The promise on the sample is what the moved model's likelihood says.
  @jax.jit
  def marginal(model):
    per_type = evidence.weigh(
      evidence.log_likelihoods(model, batches['x']), config
    )
    return jax.nn.logsumexp(model.log_prior + per_type, -1).mean()

  change = float(marginal(moved.model)) - float(marginal(state.model))
  assert change == pytest.approx(best.gain, abs=0.05)


def test_a_good_fit_is_left_alone(source):
  config = planted.make_config('x')
  state = start(source, TRUTH, [0.5, 0.5], config)
  batches = moves.sample({'x': source}, config, jax.random.key(0))
  found, _ = moves.propose(state.model, batches, config)
  assert all(move.gain < 0 for move in found)


def test_moves_differ_and_never_split_what_they_remove():
  gain = np.array([0.5, 0.1, 0.4, 0.0])
  cost = -np.ones((4, 4))
  cost[3, 1] = -0.1
  found = moves.rank(gain, cost, 4)
  assert len(set(found)) == 4
  assert found[0] == moves.Move(3, 1, 0, pytest.approx(0.4))
  assert all(move.removed != move.split for move in found)
  assert max(np.bincount([move.split for move in found])) <= 2
  assert max(np.bincount([move.removed for move in found])) <= 2


def test_a_fit_takes_the_move_that_helps(tmp_path, monkeypatch):
  """Restarts that all end in duplicates: a round of moves mends them."""
  store = planted.store(tmp_path / 'data', num_users=200)
  config = planted.make_config(
    'x', restart_steps=60, move_steps=60, num_steps=180, steps_per_call=60
  )
  fresh = phase.Phase._fresh

  def alike(self, model, restart):
    # Both types begin, and so remain, the same.
    state = fresh(self, model, restart)
    return state.replace(start_sharpness=np.float32(0.0))

  monkeypatch.setattr(phase.Phase, '_fresh', alike)
  scorer = scores.Linear(2)
  scored = {}
  for rounds in (0, 2):
    config.num_move_rounds = rounds
    path = tmp_path / str(rounds)
    model, found = planted.fit_scores(path, {'x': store}, config, scorer)
    scored[rounds] = (
      planted.agreement(model, sources.from_store(store, 'user', 'x')),
      found['num_moves'],
    )
  assert scored[0] == (0.0, 0)
  assert scored[2][0] > 0.9 and scored[2][1] >= 1
