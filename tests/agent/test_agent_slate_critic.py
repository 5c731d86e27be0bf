import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pasta import errors
from pasta.agent import (
  critics,
  expected_selection,
  inputs,
  iql,
  policies,
  slate_critic,
  value_model,
)
from pasta.agent import episodes as episodes_lib

_history_at = jax.jit(episodes_lib.history_at)
_inputs = jax.jit(critics.network_inputs, static_argnums=2)
_prefixes = jax.jit(slate_critic.prefixes)
_shown_values = jax.jit(critics.shown_values, static_argnums=3)


def test_prefixes(make_episodes, random_model, value_config):
  value_config.credit = 'slate'
  episodes = make_episodes(5)
  model = random_model(value_config, episodes)
  _, items = jax.device_get(_inputs(episodes, model.constants, model.settings))
  slates = jax.device_get(_prefixes(items, episodes.expected, model.constants))
  assert slates.mask.shape == (5, 4, 3, 3)
  np.testing.assert_array_equal(slates.mask[0, 0], np.tril(np.ones((3, 3))))
  np.testing.assert_array_equal(slates.items.mean[:, :, 1], items.mean)
  full = slates.expected[..., -1]  # Normalised over whole slates.
  np.testing.assert_allclose(full.mean(), 0.0, atol=1e-5)
  np.testing.assert_allclose(full.std(), 1.0, atol=1e-4)


def test_a_slate_has_no_order_and_learns_what_no_sum_can(
  make_episodes, value_config, init_state
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
      expected=np.zeros_like(episodes.expected),
      choice=np.full((64, 1), 2, np.int32),
      log_choice=np.full((64, 1, 3), np.log(1 / 3), np.float32),
      slate_category=np.zeros((64, 1, 3), np.int32),
      log_belief=np.full_like(episodes.log_belief, np.log(1 / 3)),
      initial_text=np.zeros_like(episodes.initial_text),
    ),
  )
  state = init_state(c, episodes)
  index = np.tile(np.arange(64)[:, None], (1, c.num_steps))
  state, _ = jax.jit(functools.partial(iql.update_many, config=c))(
    state, index, episodes
  )

  def value(e):
    f = _shown_values(state.params['q'], e, state.constants, state.settings)
    return np.asarray(f).mean(0)[..., -1]

  np.testing.assert_allclose(value(episodes), same, atol=0.15)
  order = np.array([2, 1, 0])
  turned = episodes.replace(
    slate_text=text[:, :, order],
    slate_utility=utility[:, :, order],
  )
  np.testing.assert_allclose(value(turned), value(episodes), atol=1e-4)


def test_insertion_is_greedy_and_legal(
  make_episodes, make_candidates, random_model, value_config, response
):
  value_config.credit = 'slate'
  episodes = make_episodes(5)
  model = random_model(value_config, episodes, num_members=2)
  history = _history_at(episodes, np.arange(5), np.array([0, 1, 2, 3, 0]))
  candidates = make_candidates(5)
  policy = policies.pasta(3, model, response)
  decision = jax.device_get(
    policy.choose(history, candidates, jax.random.key(0))
  )
  category = np.asarray(candidates.category)
  for b in range(5):
    chosen = np.asarray(decision.slate[b]).tolist()
    assert len(set(chosen)) == 3
    most = min(3, len(set(category[b].tolist())))
    assert len(set(category[b][chosen].tolist())) == most
    assert chosen[0] == int(np.argmax(decision.scores[b]))
  # Its value is what the critic says of that slate, as the trainer sees it.
  rows = np.arange(5)[:, None]
  shown = jax.tree.map(lambda x: x[rows, decision.slate], candidates)

  @jax.jit
  def value(params):
    # Columns scatter by their place in the pool, so the same draws are needed.
    sampled = expected_selection.sample(candidates.utility, response)
    partial = expected_selection.empty((5, 3))
    for column in decision.slate.T:
      partial = expected_selection.add(
        partial, sampled[rows[:, 0], column], response
      )
    expected = expected_selection.value(partial, history.log_belief, response)[
      :, None
    ]
    items = value_model._items(model, history, shown)
    slates = slate_critic.Slates(
      jax.tree.map(lambda x: x[:, None], items),
      jnp.ones((5, 1, 3), bool),
      slate_critic.normalise_expected(model.constants, expected),
    )
    return (
      slate_critic.SlateCritic(model.settings)
      .apply(
        {'params': params},
        model.constants,
        inputs.states_at(model.constants, model.settings, history),
        slates,
        history.turn,
      )
      .mean(0)[:, 0]
    )

  values = [
    np.asarray(value(jax.tree.map(lambda x, e=e: x[e], model.params['q'])))
    for e in range(2)
  ]
  np.testing.assert_allclose(
    decision.predicted, (values[0] + values[1]) / 2, atol=1e-4
  )


def test_the_myopic_base_starts_as_the_expected_utility_of_selection(
  make_episodes, make_candidates, random_model, value_config, response
):
  value_config.credit, value_config.base = 'slate', 'myopic'
  episodes = make_episodes(5)
  # Returns that rise with the expected utility: the slope is positive.
  episodes = episodes.replace(reward=episodes.expected[..., -1])
  model = random_model(value_config, episodes)
  history = _history_at(episodes, np.arange(5), np.array([0, 1, 2, 3, 0]))
  candidates = make_candidates(5)
  mine = policies.pasta(3, model, response)
  base = policies.greedy_slate(3, response)
  np.testing.assert_array_equal(
    mine.choose(history, candidates, jax.random.key(0)).slate,
    base.choose(history, candidates, jax.random.key(0)).slate,
  )


def test_options_that_whole_slates_cannot_have(
  make_episodes, random_model, value_config, response
):
  value_config.credit = 'slate'
  model = random_model(value_config, make_episodes(5))
  with pytest.raises(errors.PastaError, match='deterministic'):
    policies.pasta(3, model, response, temperature=0.5)
  value_config.belief = 'off'
  with pytest.raises(errors.PastaError, match="'off'.*credit 'slate'"):
    critics.settings_of(value_config, make_episodes(5))
