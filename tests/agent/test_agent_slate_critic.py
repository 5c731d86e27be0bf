import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from pasta.agent import credit, iql, policies, slate_critic, value_model
from pasta.agent import episodes as episodes_lib


def test_prefixes_and_their_choice_probabilities(
  make_episodes, random_model, value_config
):
  value_config.credit = 'slate'
  episodes = jax.tree.map(jnp.asarray, make_episodes(3))
  model = random_model(value_config, episodes)
  _, items = iql.network_inputs(episodes, model.constants, model.settings)
  slates = slate_critic.prefixes(
    items,
    episodes.log_belief,
    episodes.slate_utility,
    episodes.choice_log_scale[:, None],
  )
  assert slates.mask.shape == (3, 4, 3, 3)
  np.testing.assert_array_equal(slates.mask[0, 0], np.tril(np.ones((3, 3))))
  np.testing.assert_allclose(jnp.exp(slates.log_choice).sum(-1), 1, rtol=1e-5)
  np.testing.assert_allclose(slates.log_choice[:, :, 0, 0], 0.0, atol=1e-5)
  two = credit.log_choice(
    episodes.log_belief, episodes.slate_utility[:, :, :2], 0.0
  )
  np.testing.assert_allclose(slates.log_choice[:, :, 1, :2], two, atol=1e-5)


def test_the_error_counts_prefixes_that_hold_the_choice():
  values = jnp.array([[[[1.0, 2.0, 4.0]]]])  # [J, B, T, L]
  target = jnp.array([[3.0]])

  def error(choice):
    return float(
      credit.squared_error(values, target, jnp.array([[choice]]), 'slate')[0, 0]
    )

  assert error(0) == (4 + 1 + 1) / 3
  assert error(1) == (1 + 1) / 2
  assert error(2) == 1


def test_a_slate_has_no_order_and_learns_what_no_sum_can(
  make_episodes, value_config
):
  """Reward 1 where the first columns' features have equal signs, else 0."""
  c = value_config
  c.credit, c.num_steps, c.learning_rate = 'slate', 600, 1e-2
  c.weight_decay, c.head_dims = 0.0, (32, 32)
  episodes = make_episodes(64, turns=1)
  rng = np.random.default_rng(0)
  sign = rng.choice([-1.0, 1.0], (64, 1, 3))
  text = np.zeros(episodes.slate_text.shape, np.float16)
  text[..., 0] = sign
  same = (sign[..., 0] * sign[..., 1] > 0).astype(np.float32)
  text[:, :, 2, 0] = 0.0
  utility = np.zeros_like(episodes.slate_utility)
  episodes = jax.tree.map(
    jnp.asarray,
    episodes.replace(
      slate_text=text,
      reward=same,
      slate_utility=utility,
      choice=np.full((64, 1), 2, np.int32),
      log_choice=np.full((64, 1, 3), np.log(1 / 3), np.float32),
      slate_category=np.zeros((64, 1, 3), np.int32),
      log_belief=np.full_like(episodes.log_belief, np.log(1 / 3)),
      initial_text=np.zeros_like(episodes.initial_text),
    ),
  )
  init = jax.jit(functools.partial(iql.init, config=c))
  state = init(jax.random.key(0), example=episodes)
  index = jnp.tile(jnp.arange(64)[:, None], (1, c.num_steps))
  state, _ = jax.jit(functools.partial(iql.update_many, config=c))(
    state, index, episodes
  )

  def value(e):
    return iql.shown_values(
      state.params['q'], e, state.constants, state.settings
    ).mean(0)[..., -1]

  np.testing.assert_allclose(value(episodes), same, atol=0.15)
  order = jnp.array([2, 1, 0])
  turned = episodes.replace(
    slate_text=episodes.slate_text[:, :, order],
    slate_utility=episodes.slate_utility[:, :, order],
  )
  np.testing.assert_allclose(value(turned), value(episodes), atol=1e-4)


def test_insertion_is_greedy_and_legal(
  make_episodes, make_candidates, random_model, value_config
):
  value_config.credit = 'slate'
  episodes = jax.tree.map(jnp.asarray, make_episodes(5))
  model = random_model(value_config, episodes, num_members=2)
  history = episodes_lib.history_at(
    episodes, jnp.arange(5), jnp.array([0, 1, 2, 3, 0])
  )
  candidates = make_candidates(5)
  slate, alone, value = value_model.insert(
    model, history, candidates, 0.0, num_columns=3
  )
  category = np.asarray(candidates.category)
  for b in range(5):
    chosen = np.asarray(slate[b]).tolist()
    assert len(set(chosen)) == 3
    most = min(3, len(set(category[b].tolist())))
    assert len(set(category[b][chosen].tolist())) == most
    assert chosen[0] == int(np.argmax(alone[b]))
  # The value of a slate does not depend on the order of the pool.
  order = jnp.array([6, 5, 4, 3, 2, 1, 0])
  turned = jax.tree.map(lambda x: x[:, order], candidates)
  again, _, same_value = value_model.insert(
    model, history, turned, 0.0, num_columns=3
  )
  np.testing.assert_array_equal(np.sort(order[again]), np.sort(slate))
  np.testing.assert_allclose(same_value, value, atol=1e-4)
  policy = policies.pasta(3, model, choice_log_scale=0.0)
  decision = policy.choose(history, candidates, jax.random.key(0))
  np.testing.assert_array_equal(decision.slate, slate)
  np.testing.assert_allclose(decision.predicted, value, atol=1e-5)


def test_two_steps_of_insertion_by_brute_force():
  """With values that are sums, insertion finds the best legal pair."""
  value = jnp.array([[1.0, 5.0, 4.0, 2.0]])
  category = jnp.array([[0, 1, 1, 2]])
  items = slate_critic.networks.Items(
    features=value[..., None], mean=value, spread=value
  )
  slate, first, best = slate_critic.insert(
    lambda s: s.items.mean.sum(-1),
    items,
    jnp.zeros((1, 4, 1)),
    category,
    jnp.ones((1, 4), bool),
    jnp.zeros((1, 1)),
    0.0,
    2,
  )
  pairs = [
    (float(value[0, a] + value[0, b]), [a, b])
    for a, b in itertools.combinations(range(4), 2)
    if category[0, a] != category[0, b]
  ]
  assert float(best[0]) == max(pairs)[0] == 7.0
  assert sorted(slate[0].tolist()) == max(pairs)[1]
  np.testing.assert_allclose(first, value)
