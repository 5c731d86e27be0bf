import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.agent import episodes as episodes_lib
from pasta.agent import expected_selection, policies
from pasta.agent.history import CandidateSet, History

L = 3


def _config(name, temperature=0.0, selector='mean', spread_weight=0.0):
  config = common.policy(name, temperature, spread_weight)
  config.selector = selector
  return config


@pytest.fixture
def history(make_episodes):
  episodes = jax.tree.map(jnp.asarray, make_episodes(6))
  return episodes_lib.history_at(
    episodes, jnp.arange(6), jnp.array([0, 1, 2, 3, 0, 1])
  )


def _bare(category):
  """A history and candidates as a policy without features gets them."""
  batch = len(category)
  none = jnp.zeros((batch, 1))
  history = History(
    turn=jnp.zeros(batch, jnp.int32),
    initial_text=none,
    slate_text=none,
    slate_image=none,
    slate_category=none,
    choice=none,
    log_belief=none,
    prompt_utility=none,
  )
  category = jnp.asarray(category)
  return history, CandidateSet(
    category, jnp.ones(category.shape, bool), None, None
  )


def test_lmm_keeps_the_generators_order():
  history, candidates = _bare([[0, 0, 1, 1, 2, 3], [4, 4, 4, 4, 4, 1]])
  policy = policies.build(_config('lmm'), num_columns=L)
  decision = policy.choose(history, candidates, jax.random.key(0))
  # The second pool has two categories: the third column is the next in line.
  assert decision.slate.tolist() == [[0, 2, 4], [0, 5, 1]]
  np.testing.assert_array_equal(decision.log_propensity, 0.0)
  assert not policy.uses_features and policy.policy_id == 'lmm'


def test_random_is_uniform_and_says_so():
  num = 4000
  history, candidates = _bare(np.tile([0, 1, 2, 3], (num, 1)))
  policy = policies.build(_config('random'), num_columns=L)
  decision = policy.choose(history, candidates, jax.random.key(0))
  left_out = 6 - np.asarray(decision.slate).sum(1)
  counts = np.bincount(left_out, minlength=4) / num
  np.testing.assert_allclose(counts, 0.25, atol=0.03)
  np.testing.assert_allclose(decision.log_propensity, np.log(0.25), atol=1e-5)
  assert policy.policy_id == 'random'
  uniform = policies.build(_config('lmm', np.inf), num_columns=L)
  assert uniform.policy_id == 'lmm:temperature=inf'


def test_greedy_and_optimistic_by_hand():
  history, candidates = _bare([[0, 1, 2, 3]])
  history = history.replace(log_belief=jnp.log(jnp.array([[0.5, 0.5]])))
  # Means 2, 1, 1.9, 0; spreads 0, 1, 0, 3.
  utility = [[[2.0, 2.0], [0.0, 2.0], [1.9, 1.9], [-3.0, 3.0]]]
  candidates = candidates.replace(utility=jnp.array(utility))
  greedy = policies.build(_config('greedy'), num_columns=2)
  decision = greedy.choose(history, candidates, jax.random.key(0))
  assert decision.slate.tolist() == [[0, 2]]
  np.testing.assert_allclose(decision.scores, [[2.0, 1.0, 1.9, 0.0]])
  optimistic = policies.build(
    _config('optimistic', spread_weight=0.95), num_columns=2
  )
  decision = optimistic.choose(history, candidates, jax.random.key(0))
  assert decision.slate.tolist() == [[3, 0]]  # 2.85, 2, 1.95, 1.9


def test_temperature_scales_between_best_and_random(history, make_candidates):
  candidates = make_candidates(6)
  best = policies.build(_config('greedy'), num_columns=L)
  best = np.sort(best.choose(history, candidates, jax.random.key(1)).slate, 1)
  cold = policies.build(_config('greedy', 1e-3), num_columns=L)
  cold = cold.choose(history, candidates, jax.random.key(1))
  np.testing.assert_array_equal(np.sort(cold.slate, 1), best)
  np.testing.assert_allclose(cold.log_propensity, 0.0, atol=1e-3)
  # The unit of a score does not matter: logits are standardised.
  warm = policies.build(_config('greedy', 0.5), num_columns=L)
  one = warm.choose(history, candidates, jax.random.key(1))
  other = warm.choose(
    history,
    candidates.replace(utility=7.0 + 100.0 * candidates.utility),
    jax.random.key(1),
  )
  np.testing.assert_array_equal(one.slate, other.slate)
  np.testing.assert_allclose(
    one.log_propensity, other.log_propensity, atol=1e-3
  )
  assert (one.log_propensity < -0.01).all()


def test_keys_per_session_make_decisions_independent_of_the_batch(
  history, make_candidates
):
  candidates = make_candidates(6)
  policy = policies.build(_config('greedy', 1.0), num_columns=L)
  keys, again = (jax.random.split(jax.random.key(0), 6) for _ in range(2))
  together = policy.choose(history, candidates, keys)
  alone = policy.choose(
    *jax.tree.map(lambda x: x[4:5], (history, candidates)), again[4:5]
  )
  np.testing.assert_array_equal(alone.slate[0], together.slate[4])


def test_pasta_picks_its_best_values(
  history, make_episodes, make_candidates, random_model, value_config, response
):
  model = random_model(value_config, make_episodes(6))
  candidates = make_candidates(6)
  policy = policies.build(
    _config('pasta'), num_columns=1, value_model=model, response=response
  )
  decision = policy.choose(history, candidates, jax.random.key(0))
  np.testing.assert_array_equal(decision.slate[:, 0], decision.scores.argmax(1))


def test_choice_weights_are_used():
  history, candidates = _bare([[0, 1, 2]])
  candidates = candidates.replace(utility=jnp.array([[[1.0], [0.6], [-2.0]]]))
  # With the strong 1.0 in the slate, the rest hardly counts; the weakest
  # companion leaves the most weight on it.
  policy = policies.build(
    _config('greedy', selector='choice'),
    num_columns=2,
    response=expected_selection.Response(jnp.array(2.0), jnp.zeros(1)),
  )
  decision = policy.choose(history, candidates, jax.random.key(0))
  assert sorted(decision.slate[0].tolist()) == [0, 2]


def test_bad_input_is_named(response):
  history, candidates = _bare([[0, 1, 2, 3]])
  few = candidates.replace(valid=jnp.array([[True, True, False, False]]))
  key = jax.random.key(0)
  policy = policies.build(_config('lmm'), num_columns=L)
  with pytest.raises(ValueError, match='2 candidates for a slate of 3'):
    policy.choose(history, few, key)
  with pytest.raises(errors.PastaError, match="'bandit'.*lmm.*pasta"):
    policies.build(_config('bandit'), num_columns=L)
  with pytest.raises(errors.PastaError, match='value model'):
    policies.build(_config('pasta'), num_columns=L, response=response)
  with pytest.raises(errors.PastaError, match='greedy_slate.*user model'):
    policies.build(_config('greedy_slate'), num_columns=L)
  with pytest.raises(errors.PastaError, match='temperature.*-1'):
    policies.build(_config('greedy', -1.0), num_columns=L)
  with pytest.raises(errors.PastaError, match="'median'"):
    policies.build(_config('greedy', selector='median'), num_columns=L)
  with pytest.raises(errors.PastaError, match='how people'):
    policies.build(_config('greedy', selector='choice'), num_columns=L)


def test_without_categories_the_best_scores_are_shown():
  history, candidates = _bare([[0, 0, 0, 1, 2]])
  config = _config('lmm')
  config.use_categories = False
  policy = policies.build(config, num_columns=L)
  decision = policy.choose(history, candidates, jax.random.key(0))
  assert decision.slate.tolist() == [[0, 1, 2]]
  assert policy.policy_id == 'lmm:no_categories'


def test_all_policies_that_need_nothing_trained_show_legal_slates(
  history, make_candidates, response
):
  candidates = make_candidates(6)
  category = np.asarray(candidates.category)
  for name in policies.NAMES:
    if name == 'pasta':
      continue
    config = _config(name, selector='mean')
    config.num_rollouts = 4
    policy = policies.build(config, num_columns=L, response=response)
    decision = policy.choose(history, candidates, jax.random.key(0))
    usable = np.isfinite(decision.scores)  # A policy may narrow the pool.
    for b in range(6):
      chosen = np.asarray(decision.slate[b]).tolist()
      most = min(L, len(set(category[b][usable[b]].tolist())))
      assert len(set(chosen)) == L
      assert len(set(category[b][chosen].tolist())) == most
    assert policy.renders_pool == name.endswith('_rendered')


def test_deterministic_policies_refuse_a_temperature(response):
  for name in ('greedy_slate', 'lookahead'):
    with pytest.raises(errors.PastaError, match='deterministic'):
      policies.build(_config(name, 0.5), num_columns=L, response=response)
  config = _config('greedy')
  config.belief = 'off'
  with pytest.raises(errors.PastaError, match="belief of policy greedy.*'off'"):
    policies.build(config, num_columns=L)
