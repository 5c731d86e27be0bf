"""The real trainer against problems that are solved exactly."""

import functools

import exact
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import train_value
from pasta.agent import credit as credit_lib
from pasta.agent import critics, iql, networks, value_model
from pasta.agent import episodes as episodes_lib
from pasta.agent import slates as slates_lib
from pasta.agent.history import CandidateSet

_DISCOUNT, _LEVEL = 0.95, 0.8
# Sessions, and networks that can hold the problem: the grid's 320 states have
# less in common than 60 states of people who share tastes.
_SLATES = {
  'batch_sessions': 256,
  'head_dims': (64,),
  'num_steps': 1000,
  'learning_rate': 1e-2,
}
_CASES = {
  'grid': (
    exact.grid(),
    30_000,
    {'batch_sessions': 128, 'head_dims': (128,), 'num_steps': 900},
  ),
  'slates': (exact.slates(), 20_000, _SLATES),
  'uniform': (exact.slates(is_uniform=True), 20_000, _SLATES),
}


@functools.cache
def _log(name):
  problem, num, _ = _CASES[name]
  return exact.behave(problem, num)


@functools.cache
def _learn(name, backup, credit, num_twins):
  """Trains on the problem's log.

  Returns:
    V [T, S], the mean over the logged decisions there, and the best slates by
    the learned f [T, S, L] with what it claims them to be worth [T, S], in the
    history of one of those decisions.
  """
  problem, num, sizes = _CASES[name]
  log = _log(name)
  c = train_value.get_config('smoke')
  c.base, c.backbone, c.width, c.num_heads = 'none', 'mlp', 64, 1
  c.history = 'none'  # The belief tells the state.
  c.backup, c.credit, c.num_twins = backup, credit, num_twins
  c.discount, c.expectile, c.target_rate = _DISCOUNT, _LEVEL, 0.05
  c.learning_rate, c.weight_decay = 5e-3, 0.0
  c.update(sizes)
  episodes = exact.to_episodes(problem, log, with_pool=backup == 'q_learning')
  episodes = jax.tree.map(jnp.asarray, episodes)
  state = jax.jit(functools.partial(iql.init, config=c))(
    jax.random.key(0), example=episodes
  )
  index = np.random.default_rng(1).integers(
    num, size=(c.batch_sessions, c.num_steps)
  )
  # A thousand updates: here optimisations do save more than they cost.
  state, _ = jax.jit(
    functools.partial(iql.update_many, config=c),
    compiler_options={'xla_backend_optimization_level': 2},
  )(state, index, episodes)

  @jax.jit
  def evaluate(state, episodes):
    states, _ = critics.network_inputs(
      episodes, state.constants, state.settings
    )
    value = networks.Value(state.settings)
    return value.apply({'params': state.params['v']}, state.constants, states)

  value = np.asarray(evaluate(state, episodes))
  v = np.zeros((problem.num_turns, len(problem.states)))
  for t in range(problem.num_turns):
    rows = log.valid[:, t]
    at = log.state[rows, t]
    v[t] = np.bincount(at, value[rows, t]) / np.bincount(at)
  return v, *_greedy(problem, log, episodes, state)


def _greedy(problem, log, episodes, state):
  """The best slate of all candidates in every (t, s), and its claimed value."""
  num_turns, num_states = problem.num_turns, len(problem.states)
  is_there = (log.state[..., None] == problem.states) & log.valid[..., None]
  session = is_there.argmax(0).ravel()  # [T S], the first one
  turn = np.repeat(np.arange(num_turns), num_states)

  def everywhere(x):
    return jnp.broadcast_to(x, (len(turn), *x.shape))

  @jax.jit
  def choose(state, episodes):
    history = episodes_lib.history_at(episodes, session, turn)
    candidates = CandidateSet(
      category=everywhere(problem.category),
      valid=everywhere(jnp.ones(problem.num_items, bool)),
      text=everywhere(jnp.eye(problem.num_items)),
      utility=everywhere(problem.utility.T.astype(np.float32)),
    )
    model = value_model.ValueModel(
      jax.tree.map(lambda x: x[None], state.params),
      state.constants,
      state.settings,
    )
    f = value_model.scores(model, history, candidates)  # [T S, C]
    if state.settings.credit == 'mean':
      select, weights = slates_lib.select_mean, ()
    else:
      select = slates_lib.select_choice
      weights = (
        credit_lib.pool_log_weights(
          history.log_belief, candidates.utility, candidates.valid, 0.0
        ),
      )
    slate = jax.vmap(
      functools.partial(select, num_columns=problem.num_columns)
    )(f, *weights, candidates.category, candidates.valid)
    return slate, jnp.take_along_axis(f, slate, 1)

  slate, values = map(np.asarray, choose(state, episodes))
  claim = credit_lib.slate_value(
    values,
    problem.log_choice(np.tile(problem.states, num_turns), slate),
    state.settings.credit,
  )
  shape = (num_turns, num_states)
  return slate.reshape(*shape, -1), np.asarray(claim).reshape(shape)


def test_the_solver_by_hand():
  """One state and two items: 'stay' pays 1, 'leave' pays 3 and ends."""
  problem = exact.Problem(
    reward=np.array([[1.0, 3.0]]),
    noise=0.0,
    transition=np.array([[[1.0], [0.0]]]),
    utility=np.zeros((1, 2)),
    category=np.zeros(2, int),
    num_columns=1,
    num_turns=2,
  )
  # The last turn: leave, 3. Before it: stay and leave, 1 + 0.5 · 3 < 3.
  np.testing.assert_allclose(exact.optimum(problem, 0.5), [[3.0], [3.0]])
  np.testing.assert_allclose(exact.optimum(problem, 1.0), [[4.0], [3.0]])
  stay = np.zeros((2, 1, 1), int)
  np.testing.assert_allclose(
    exact.policy_value(problem, stay, 0.5), [[1.5], [1.0]]
  )
  log = exact.Log(
    state=np.zeros((4, 2), int),
    slate=np.array([[0, 0], [0, 1], [1, 0], [1, 0]])[..., None],
    choice=np.zeros((4, 2), int),
    reward=np.array([[1.0, 1.0], [1.0, 3.0], [3.0, 9.0], [3.0, 9.0]]),
    valid=np.array([[True, True], [True, True], [True, False], [True, False]]),
  )
  v, f = exact.fixpoint(problem, log, level=0.75, discount=0.5, credit='choice')
  # V_0.75 of {1, 3}: 0.75 (3 − v) = 0.25 (v − 1), v = 2.5. Then f(stay) is
  # 1 + 0.5 · 2.5 = 2.25 and V of {2.25, 3}: 2.8125.
  np.testing.assert_allclose(f[:, 0], [[2.25, 3.0], [1.0, 3.0]])
  np.testing.assert_allclose(v[:, 0], [2.8125, 2.5])


@pytest.mark.parametrize(
  'name, credit, num_twins, largest, of_optimum',
  [
    ('grid', 'choice', 2, 0.05, 0.85),
    ('slates', 'choice', 2, 0.04, 0.98),
    ('uniform', 'choice', 2, 0.04, 0.98),
    # One head: the fit of slate means is noisier, and the minimum over twins
    # takes a fiftieth of the range off.
    ('uniform', 'mean', 1, 0.05, 0.93),
  ],
)
def test_learned_values_are_the_exact_ones(
  name, credit, num_twins, largest, of_optimum
):
  """Errors are in units of the range of V.

  Args:
    name: of the problem.
    credit: how slates are valued.
    num_twins: heads of f.
    largest: allowed error of V anywhere.
    of_optimum: what the best slates by f have to bring, as a share of V*.
  """
  problem, log = _CASES[name][0], _log(name)
  options = {'discount': _DISCOUNT, 'credit': credit}
  v, f = exact.fixpoint(problem, log, level=_LEVEL, **options)
  behaviour, _ = exact.fixpoint(problem, log, level=0.5, **options)
  star = exact.optimum(problem, _DISCOUNT)
  margin = largest * np.ptp(v)
  # The margin tells the fixpoint from its neighbours.
  assert np.abs(v - behaviour).max() > 2 * margin
  assert np.abs(v - star).max() > 2 * margin

  learned, greedy, _ = _learn(name, 'iql', credit, num_twins)
  np.testing.assert_allclose(learned, v, rtol=0.0, atol=margin)
  assert np.sqrt(((learned - v) ** 2).mean()) < 0.03 * np.ptp(v)
  assert (learned < star + margin).all()

  def first(slates):
    return exact.policy_value(problem, slates, _DISCOUNT)[0].mean()

  assert first(greedy) > 0.98 * first(exact.best_slates(problem, f, credit))
  assert first(greedy) > of_optimum * star[0].mean()


def test_naive_q_learning_overestimates_where_iql_does_not():
  """On the same log. Its one head has no pessimism of twins."""
  problem = _CASES['slates'][0]
  star = exact.optimum(problem, _DISCOUNT)

  def above_star(value):
    """Mean over the first states, in units of the range of V*."""
    return (value - star)[0].mean() / np.ptp(star)

  learned, _, _ = _learn('slates', 'iql', 'choice', 2)
  _, greedy, claim = _learn('slates', 'q_learning', 'choice', 1)
  value = exact.policy_value(problem, greedy, _DISCOUNT)
  assert above_star(learned) < -0.1
  assert above_star(claim) > 0.015
  assert above_star(claim) - above_star(value) > 0.03
