import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pasta import errors
from pasta.agent import critics, inputs, iql, networks, value_model
from pasta.agent import episodes as episodes_lib
from pasta.agent import saved as saved_values

_history_at = jax.jit(episodes_lib.history_at)


def test_moments_by_hand():
  # b = (1/4, 3/4), U = (1, 5): m = 4, s² = 9/4 + 3/4 = 3.
  mean, spread = inputs.moments(
    jnp.log(jnp.array([0.25, 0.75])), jnp.array([[1.0, 5.0], [2.0, 2.0]])
  )
  np.testing.assert_allclose(mean, [4.0, 2.0], rtol=1e-6)
  np.testing.assert_allclose(spread, [3**0.5, 0.0], rtol=1e-6)


@pytest.mark.parametrize(
  'backbone, seen',
  [('transformer', 'full'), ('mlp', 'projected'), ('transformer', 'none')],
)
def test_one_pass_over_a_session_equals_single_histories(
  backbone, seen, make_episodes, decision_at, random_model, value_config
):
  """What the trainer sees of (session, turn) is what a policy sees of it."""
  value_config.backbone, value_config.history = backbone, seen
  episodes = make_episodes(6)
  model = random_model(value_config, episodes)

  @jax.jit
  def whole(params, episodes):
    states, items = critics.network_inputs(
      episodes, model.constants, model.settings
    )
    f = networks.Critic(model.settings).apply(
      {'params': params['q']}, model.constants, states, items
    )
    v = networks.Value(model.settings).apply(
      {'params': params['v']}, model.constants, states
    )
    return f, v

  whole_f, whole_v = whole(jax.tree.map(lambda x: x[0], model.params), episodes)
  assert np.std(whole_f) > 0
  session, turn = np.array([0, 3, 4, 2]), np.array([0, 1, 3, 2])
  history, shown = decision_at(
    jax.tree.map(jnp.asarray, episodes), session, turn
  )
  np.testing.assert_allclose(
    value_model.scores(model, history, shown),
    np.asarray(whole_f).mean(0)[session, turn],
    atol=1e-5,
  )

  @jax.jit
  def known(params, history):
    states = inputs.states_at(model.constants, model.settings, history)
    return networks.Value(model.settings).apply(
      {'params': params['v']}, model.constants, states
    )

  v = known(jax.tree.map(lambda x: x[0], model.params), history)
  np.testing.assert_allclose(
    np.asarray(v)[np.arange(4), turn],
    np.asarray(whole_v)[session, turn],
    atol=1e-5,
  )


@pytest.mark.parametrize('backbone', ['transformer', 'mlp'])
def test_entries_from_the_current_turn_on_do_not_matter(
  backbone, make_episodes, random_model, make_candidates, value_config
):
  value_config.backbone, value_config.history = backbone, 'full'
  episodes = make_episodes(6)
  model = random_model(value_config, episodes)
  turn = np.array([0, 1, 2, 3])
  history = _history_at(episodes, np.arange(4), turn)
  unmasked = history.replace(
    slate_text=episodes.slate_text[:4],
    slate_image=episodes.slate_image[:4],
    slate_category=episodes.slate_category[:4],
    choice=episodes.choice[:4],
  )
  candidates = make_candidates(4)
  before = np.asarray(value_model.scores(model, history, candidates))
  after = value_model.scores(model, unmasked, candidates)
  np.testing.assert_array_equal(before, after)
  # The past does matter.
  other = history.replace(choice=(np.asarray(history.choice) + 1) % 3)
  changed = np.abs(value_model.scores(model, other, candidates) - before)
  assert (changed[1:].max(1) > 1e-6).all() and changed[0].max() == 0


def test_a_state_without_a_history_holds_the_turn_the_belief_and_the_prompt(
  make_episodes, random_model, make_candidates, value_config
):
  value_config.history = 'none'
  episodes = make_episodes(6)
  model = random_model(value_config, episodes)
  history = _history_at(episodes, np.arange(4), np.array([1, 2, 3, 3]))
  candidates = make_candidates(4)
  before = np.asarray(value_model.scores(model, history, candidates))

  def moved(**fields):
    other = value_model.scores(model, history.replace(**fields), candidates)
    return np.abs(other - before).max(1)

  past = ('initial_text', 'slate_text', 'slate_image')
  assert not moved(**{name: -getattr(history, name) for name in past}).any()
  assert not moved(choice=(history.choice + 1) % 3).any()
  assert moved(prompt_utility=-history.prompt_utility).min() > 1e-6
  assert moved(log_belief=history.log_belief[:, ::-1]).min() > 1e-6
  assert moved(turn=np.array([0, 1, 2, 2])).min() > 1e-6


def test_what_the_prompt_is_worth_is_on_the_candidates_scale(
  make_episodes, random_model, value_config
):
  model = random_model(value_config, make_episodes(6))
  utility = jnp.array([[1.0, 5.0, 2.0]])
  log_belief = jnp.log(jnp.array([[0.25, 0.75, 0.0]]))
  found = jax.jit(inputs.prompt_moments, static_argnums=1)(
    model.constants, model.settings, log_belief, utility
  )
  # m = 4 and s = √3, as above.
  c = model.constants
  np.testing.assert_allclose(
    found[0],
    [
      (4.0 - c.utility_mean) / c.utility_scale,
      (3**0.5 - c.spread_mean) / c.spread_scale,
    ],
    rtol=1e-5,
  )


def test_candidates_are_scored_independently_and_batches_too(
  make_episodes, random_model, make_candidates, value_config
):
  episodes = jax.tree.map(jnp.asarray, make_episodes(6))
  model = random_model(value_config, episodes)
  history = _history_at(episodes, np.arange(4), np.array([0, 1, 2, 3]))
  candidates = make_candidates(4)
  scores = np.asarray(value_model.scores(model, history, candidates))
  order = np.array([3, 0, 6, 5, 1, 2, 4])
  permuted = jax.tree.map(lambda x: x[:, order], candidates)
  np.testing.assert_allclose(
    value_model.scores(model, history, permuted), scores[:, order], atol=1e-6
  )
  alone = jax.tree.map(lambda x: np.asarray(x)[2:3], (history, candidates))
  np.testing.assert_allclose(
    value_model.scores(model, *alone), scores[2:3], atol=1e-5
  )


def test_twins_by_minimum_are_never_above_their_mean(
  make_episodes, random_model, make_candidates, value_config
):
  episodes = jax.tree.map(jnp.asarray, make_episodes(6))
  model = random_model(value_config, episodes)
  history = _history_at(episodes, np.arange(4), np.zeros(4, np.int32))
  candidates = make_candidates(4)
  mean = np.asarray(value_model.scores(model, history, candidates))
  low = np.asarray(
    value_model.scores(model.replace(score='min'), history, candidates)
  )
  assert (low <= mean + 1e-6).all() and (low < mean - 1e-4).any()


def test_myopic_base_starts_as_the_expected_utility(
  make_episodes, random_model, make_candidates, value_config
):
  value_config.base = 'myopic'
  episodes = jax.tree.map(jnp.asarray, make_episodes(6))
  model = random_model(value_config, episodes)
  history = _history_at(episodes, np.arange(4), np.array([0, 1, 3, 2]))
  candidates = make_candidates(4)
  mean, _ = jax.jit(inputs.moments)(history.log_belief, candidates.utility)
  scores = value_model.scores(model, history, candidates)
  np.testing.assert_array_equal(np.argsort(scores), np.argsort(mean))


def test_tokens_hold_what_they_say():
  one = jnp.ones(())
  constants = inputs.Constants(
    support_precision=jnp.eye(1), support_limit=one,
    text_mean=jnp.zeros(1), text_scale=jnp.ones(1),
    image_mean=jnp.zeros(1), image_scale=jnp.ones(1),
    utility_mean=one, utility_scale=one, spread_mean=one, spread_scale=one,
    expected_mean=one, expected_scale=one,
    return_mean=jnp.zeros(3), return_scale=one, slope=one,
  )  # fmt: skip
  tokens = inputs.make_tokens(
    constants,
    2,
    jnp.array([0.5]),
    jnp.array([[[1.0], [3.0]], [[2.0], [4.0]], [[9.0], [9.0]]]),
    jnp.array([[[5.0], [-5.0]], [[1.0], [2.0]], [[9.0], [9.0]]]),
    jnp.array([[0, 1], [1, 0], [0, 0]]),
    jnp.array([1, -1, 0]),
  )
  # [chosen text, chosen image, mean text, mean image, category one-hot]
  expected = [
    [0.5, 0.0, 0.0, 0.0, 0.0, 0.0],
    [3.0, -5.0, 2.0, 0.0, 0.0, 1.0],
    [0.0, 0.0, 3.0, 1.5, 0.0, 0.0],
  ]
  np.testing.assert_allclose(tokens, expected)


@pytest.mark.parametrize(
  'field, value',
  [
    ('backbone', 'lstm'),
    ('base', 'oracle'),
    ('credit', 'sum'),
    ('belief', 'maybe'),
  ],
)
def test_unknown_options_are_named(field, value, make_episodes, value_config):
  value_config[field] = value
  with pytest.raises(errors.PastaError, match=f"{field}.*'{value}'"):
    iql.init(jax.random.key(0), value_config, make_episodes(6))


def test_a_model_survives_saving(
  make_episodes, random_model, make_candidates, value_config, tmp_path
):
  episodes = jax.tree.map(jnp.asarray, make_episodes(6))
  model = random_model(value_config, episodes, 'min')
  info = {'encoder_id': 'clip-a', 'generator_id': 'g1 + g2'}
  saved_values.save(str(tmp_path), model, info)
  loaded = saved_values.load(str(tmp_path), 'clip-a')
  assert loaded.settings == model.settings and loaded.score == 'min'
  jax.tree.map(np.testing.assert_array_equal, loaded, model)
  with pytest.raises(errors.PastaError, match='clip-a.*clip-b'):
    saved_values.load(str(tmp_path), 'clip-b')
  saved_values.load(str(tmp_path), 'clip-a', 'g2')
  with pytest.raises(errors.PastaError, match='g1 . g2.*g3'):
    saved_values.load(str(tmp_path), 'clip-a', 'g3')
  with pytest.raises(errors.PastaError, match='nowhere'):
    saved_values.load(str(tmp_path / 'nowhere'))
  history = _history_at(episodes, np.arange(4), np.zeros(4, np.int32))
  wide = history.replace(log_belief=np.zeros((4, 5), np.float32))
  with pytest.raises(errors.PastaError, match=r'\(4, 6, 5\).*\(4, 6, 3\)'):
    value_model.scores(model, wide, make_candidates(4))


def test_members_are_averaged_and_pessimism_takes_their_spread_off(
  make_episodes, make_candidates, random_model, value_config
):
  episodes = jax.tree.map(jnp.asarray, make_episodes(6))
  model = random_model(value_config, episodes, num_members=3)
  assert model.num_members == 3
  at = (
    _history_at(episodes, np.arange(4), np.zeros(4, np.int32)),
    make_candidates(4),
  )
  each = np.stack(
    [value_model.scores(value_model.member(model, i), *at) for i in range(3)]
  )
  assert each.std(0).min() > 1e-4
  np.testing.assert_allclose(
    value_model.scores(model, *at), each.mean(0), atol=1e-5
  )
  np.testing.assert_allclose(
    value_model.scores(model, *at, 2.0),
    each.mean(0) - 2 * each.std(0),
    atol=1e-5,
  )
  with pytest.raises(errors.PastaError, match='no member 3'):
    value_model.member(model, 3)


def test_candidates_unlike_the_training_slates_are_penalised(
  make_episodes, make_candidates, random_model, value_config
):
  episodes = jax.tree.map(jnp.asarray, make_episodes(60))
  model = random_model(value_config, episodes)
  excess = jax.jit(inputs.support_excess)(model.constants, episodes.slate_text)
  assert np.mean(np.asarray(excess) > 0) == pytest.approx(0.05, abs=0.01)
  history = _history_at(episodes, np.arange(4), np.zeros(4, np.int32))
  near = make_candidates(4)
  text = np.zeros_like(near.text)
  text[:, 2] = 40.0
  far = near.replace(text=text)
  plain = np.asarray(value_model.scores(model, history, far))
  careful = np.asarray(value_model.scores(model, history, far, 0.0, 1.0))
  np.testing.assert_allclose(careful[:, :2], plain[:, :2], atol=1e-5)
  assert (careful[:, 2] < plain[:, 2] - 1.0).all()


def test_without_belief_neither_it_nor_utilities_matter(
  make_episodes, make_candidates, random_model, value_config
):
  value_config.belief = 'off'
  episodes = jax.tree.map(jnp.asarray, make_episodes(6))
  model = random_model(value_config, episodes)
  history = _history_at(episodes, np.arange(4), np.full(4, 2, np.int32))
  candidates = make_candidates(4)
  scores = value_model.scores(model, history, candidates)
  other = value_model.scores(
    model,
    history.replace(log_belief=np.log(np.float32([[0.8, 0.1, 0.1]] * 4))),
    candidates.replace(utility=-candidates.utility),
  )
  np.testing.assert_array_equal(scores, other)
  value_config.base = 'myopic'
  with pytest.raises(errors.PastaError, match="'belief' is 'off'.*'none'"):
    critics.settings_of(value_config, episodes)


def test_without_belief_items_are_finite_where_compiled():
  """They read neither belief nor utilities, which are NaN here."""
  constants = types.SimpleNamespace(
    text_mean=0.0,
    text_scale=1.0,
    utility_mean=4.0,
    utility_scale=2.0,
    spread_mean=2.0,
    spread_scale=1.0,
  )
  settings = types.SimpleNamespace(
    belief='off', num_categories=5, item_text=True
  )
  rng = np.random.default_rng(0)
  items = jax.jit(lambda *x: inputs.make_items(constants, settings, *x))(
    np.full((48, 5, 16), np.nan, np.float32),
    rng.normal(size=(48, 5, 4, 8)).astype(np.float32),
    rng.integers(0, 5, (48, 5, 4)),
    np.full((48, 5, 4, 16), np.nan, np.float32),
  )
  chex.assert_tree_all_finite(items)
  np.testing.assert_array_equal(items.mean, -2.0)
  np.testing.assert_array_equal(items.spread, -2.0)
