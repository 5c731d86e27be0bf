import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import train_value as config_file
from pasta import errors, metrics
from pasta.agent import episodes as episodes_lib
from pasta.agent import expected_selection, value_model, weight_decay
from pasta.stages import train_value
from pasta.storage.session_features import Pool, SessionFeatures
from pasta.user_model import belief as belief_lib
from pasta.user_model import heads as heads_lib
from pasta.user_model import model as model_lib

N, T, L, M, D, K = 5, 3, 2, 2, 6, 3

_column_utility = jax.jit(model_lib.column_utility)
_text_utility = jax.jit(model_lib.text_utility)
_update_belief = jax.jit(belief_lib.update)


@pytest.fixture(scope='module')
def features():
  rng = np.random.default_rng(0)

  def normal(*shape):
    return rng.normal(size=shape).astype(np.float16)

  choice = rng.integers(0, L, (N, T)).astype(np.int8)
  choice[1, 2] = choice[2, 1:] = -1
  satisfaction = rng.random((N, T)).astype(np.float32)
  satisfaction[choice < 0] = np.nan
  return SessionFeatures(
    session_id=tuple('abcde'),
    user_id=tuple('abcde'),
    initial_text=normal(N, D),
    slate_text=normal(N, T, L, D),
    slate_image=normal(N, T, L, M, D),
    slate_category=rng.integers(0, 5, (N, T, L)).astype(np.int8),
    choice=choice,
    satisfaction=satisfaction,
    comparison=np.full((N, T), -2, np.int8),
    encoder_id='clip',
    t2i_id='t2i',
  )


@pytest.fixture(scope='module')
def user_model():
  settings = heads_lib.HeadSettings(
    embedding_dim=D, num_types=K, rank=0, trunk_dim=0, aggregation='max'
  )
  rng = np.random.default_rng(0)
  columns = rng.normal(size=(50, D)), rng.normal(size=(50, M, D))
  model = heads_lib.init_model(
    jax.random.key(0), settings, [columns], text_hidden_dim=8
  )

  # Types that differ.
  def noise(x):
    return x + np.random.default_rng(1).normal(size=x.shape).astype(np.float32)

  model = jax.device_get(model)
  return model.replace(
    heads=jax.tree.map(noise, model.heads),
    text=jax.tree.map(lambda x: noise(x) if x.ndim == 2 else x, model.text),
  )


def test_episodes_hold_beliefs_rewards_and_ends(features, user_model):
  episodes = episodes_lib.from_features(features, user_model)
  assert episodes.valid.sum(1).tolist() == [3, 2, 1, 3, 3]
  np.testing.assert_array_equal(
    np.asarray(episodes.done).argmax(1), [2, 1, 0, 2, 2]
  )
  np.testing.assert_allclose(
    episodes.reward, np.nan_to_num(features.satisfaction)
  )
  np.testing.assert_allclose(
    episodes.slate_image,
    features.slate_image.astype(np.float32).mean(3),
    atol=2e-3,
  )
  # The belief of session 3 by hand: prior, then two updates by its answers.
  belief = belief_lib.initial(user_model, 1)
  for t in range(T):
    np.testing.assert_allclose(
      episodes.log_belief[3, t], belief.log_types[0], atol=1e-5
    )
    utility = _column_utility(
      user_model,
      features.slate_text[3:4, t].astype(np.float32),
      features.slate_image[3:4, t].astype(np.float32),
    )
    belief = _update_belief(
      user_model,
      belief,
      utility,
      belief_lib.Feedback(
        features.choice[3:4, t],
        features.satisfaction[3:4, t],
        features.comparison[3:4, t],
      ),
    )
  assert np.abs(np.diff(episodes.log_belief[3], axis=0)).max() > 1e-3
  np.testing.assert_allclose(
    np.exp(episodes.log_choice).sum(-1), 1.0, rtol=1e-5
  )


def test_sparse_reward_and_missing_satisfaction(features, user_model):
  sparse = episodes_lib.from_features(features, user_model, reward='sparse')
  dense = episodes_lib.from_features(features, user_model)
  np.testing.assert_array_equal(
    sparse.reward, np.where(dense.done, dense.reward, 0)
  )
  missing = features.satisfaction.copy()
  missing[0, 1] = np.nan
  with_gap = dataclasses.replace(features, satisfaction=missing)
  filled = episodes_lib.from_features(with_gap, user_model)
  assert 0 < filled.reward[0, 1] < 1
  assert filled.reward[0, 1] != dense.reward[0, 1]
  # Of 'expected' it is what all turns hold.
  expected = episodes_lib.from_features(with_gap, user_model, reward='expected')
  assert expected.reward[0, 1] == filled.reward[0, 1]
  np.testing.assert_array_equal(expected.reward == 0, ~expected.valid)
  assert np.abs(expected.reward - dense.reward)[dense.valid].min() > 1e-4


def test_the_prompt_that_is_extended_is_the_initial_one_then_the_chosen(
  features, user_model
):
  episodes = episodes_lib.from_features(features, user_model)
  np.testing.assert_allclose(
    episodes.prompt_utility[:, 0],
    _text_utility(user_model, features.initial_text),
    atol=1e-5,
  )
  for session, turn in ((0, 1), (3, 2), (1, 1)):
    chosen = features.choice[session, turn - 1]
    at = (slice(session, session + 1), turn - 1, chosen)
    expected = _column_utility(
      user_model, features.slate_text[at], features.slate_image[at]
    )
    np.testing.assert_allclose(
      episodes.prompt_utility[session, turn], expected[0], atol=1e-5
    )
  # Not the text's, which leaves open what the images show.
  text = _text_utility(user_model, features.slate_text[0, 0])
  apart = np.abs(text - episodes.prompt_utility[0, 1]).max(1)
  assert apart.min() > 1e-3


def test_a_history_holds_the_turns_before(features, user_model):
  episodes = episodes_lib.from_features(features, user_model)
  history_at = jax.jit(episodes_lib.history_at)
  session = np.array([3, 1])
  np.testing.assert_array_equal(
    episodes.slate_text[session, 1], features.slate_text[[3, 1], 1]
  )
  np.testing.assert_array_equal(episodes.done[session, 1], [False, True])
  history = history_at(episodes, session, np.array([1, 1]))
  np.testing.assert_array_equal(
    history.choice,
    [[features.choice[3, 0], -1, -1]] + [[features.choice[1, 0], -1, -1]],
  )
  later = history_at(episodes, session, np.array([2, 2]))
  assert later.turn.tolist() == [2, 2]
  np.testing.assert_array_equal(
    later.slate_text[0, :2], features.slate_text[3, :2]
  )
  assert not later.slate_text[0, 2].any()


def test_bad_sessions_are_refused(features, user_model):
  with pytest.raises(errors.PastaError, match="'shaped'"):
    episodes_lib.from_features(features, user_model, reward='shaped')
  silent = dataclasses.replace(features, choice=features.choice * 0 - 1)
  with pytest.raises(errors.PastaError, match='without a single choice'):
    episodes_lib.from_features(silent, user_model)
  with pytest.raises(errors.PastaError, match='D = 4'):
    episodes_lib.from_features(
      dataclasses.replace(features, initial_text=features.initial_text[:, :4]),
      user_model,
    )


def test_a_given_belief_stands_at_every_turn(features, user_model):
  given = np.log(np.full((N, K), 1 / K)).astype(np.float32)
  given[0] = np.log([0.8, 0.1, 0.1])
  episodes = episodes_lib.from_features(features, user_model, log_belief=given)
  np.testing.assert_allclose(
    episodes.log_belief, np.broadcast_to(given[:, None], (N, T, K)), atol=1e-6
  )
  np.testing.assert_allclose(
    episodes.expected,
    jax.jit(expected_selection.of_prefixes)(
      episodes.log_belief,
      episodes.slate_utility,
      expected_selection.learned(user_model),
    ),
    rtol=1e-5,
    atol=1e-5,
  )
  np.testing.assert_allclose(
    np.exp(episodes.log_choice[0]),
    np.einsum(
      'k,tlk->tl',
      np.exp(given[0]),
      jax.nn.softmax(
        jnp.exp(user_model.choice_log_scale) * episodes.slate_utility[0], 1
      ),
    ),
    atol=1e-5,
  )


def test_pools_come_with_their_utilities(features, user_model):
  with pytest.raises(errors.PastaError, match='with_pool'):
    episodes_lib.from_features(features, user_model, with_pool=True)
  rng = np.random.default_rng(1)
  pool = Pool(
    text=rng.normal(size=(N, T, 4, D)).astype(np.float16),
    category=np.zeros((N, T, 4), np.int8),
    slate=np.zeros((N, T, L), np.int16),
    log_propensity=np.full((N, T), np.nan, np.float32),
  )
  episodes = episodes_lib.from_features(
    dataclasses.replace(features, pool=pool), user_model, with_pool=True
  )
  np.testing.assert_allclose(
    episodes.pool.utility,
    jax.jit(model_lib.text_utility)(user_model, pool.text),
    rtol=1e-5,
    atol=1e-5,
  )
  np.testing.assert_array_equal(
    episodes.pool.valid, np.repeat(episodes.valid[..., None], 4, 2)
  )


def _config():
  config = config_file.get_config('smoke')
  config.backbone, config.batch_sessions = 'mlp', 16
  config.num_steps, config.steps_per_call = 8, 2
  config.log_steps, config.checkpoint_steps = 2, 4
  return config


def _fit(episodes, config, directory):
  return train_value.fit(
    episodes, config, key=jax.random.key(0), directory=directory
  )


def test_restarts_and_other_members_change_nothing(make_episodes, tmp_path):
  episodes = make_episodes(24)
  config = _config()
  config.credit = 'mean'
  alone, _ = _fit(episodes, config, tmp_path / 'one')
  config.num_members = 2
  whole, val = _fit(episodes, config, tmp_path / 'a')

  class Stop(Exception):
    pass

  real, calls = metrics.check_finite, []

  def stop_at_six(values, step, batch=None):
    calls.append(step)
    if step == 6:  # Between checkpoints: steps 5 and 6 are done again.
      raise Stop
    real(values, step, batch)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(metrics, 'check_finite', stop_at_six)
    with pytest.raises(Stop):
      _fit(episodes, config, tmp_path / 'b')
  assert calls == [2, 4, 6]
  again, val_again = _fit(episodes, config, tmp_path / 'b')
  jax.tree.map(np.testing.assert_array_equal, whole, again)
  assert val == val_again
  lines = metrics.read_lines(str(tmp_path / 'b' / 'metrics.jsonl'))
  assert [line['step'] for line in lines] == [2, 4, 6, 8]
  # A finished run only reads its checkpoint.
  third, val_third = _fit(episodes, config, tmp_path / 'b')
  jax.tree.map(np.testing.assert_array_equal, whole, third)
  # Evaluated anew, so up to rounding.
  assert val_third == pytest.approx(val, rel=1e-6)
  assert whole.num_members == 2
  whole, alone = jax.device_get((whole, alone))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    value_model.member(whole, 0).params,
    alone.params,
  )
  apart = [np.abs(x[0] - x[1]).max() for x in jax.tree.leaves(whole.params)]
  assert max(apart) > 1e-3


@pytest.mark.parametrize(
  'base, expected', [('myopic', [60.0, 20.0, 20.0]), ('none', [9.0, 3.0, 0.5])]
)
def test_the_decay_falls_with_the_sessions_down_to_a_floor(base, expected):
  config = config_file.get_config()
  config.base = base
  config.decay.myopic.update({'at_thousand': 60.0, 'floor': 20.0})
  config.decay.none.update({'at_thousand': 9.0, 'floor': 0.5})
  found = [
    weight_decay.complete(config, n).weight_decay for n in (1000, 3000, 30000)
  ]
  assert found == expected
  # At most a tenth of a weight an update.
  config.decay[base].at_thousand = 2000.0
  assert weight_decay.complete(config, 10).weight_decay == pytest.approx(100.0)
  config.weight_decay = 7.0
  assert weight_decay.complete(config, 10).weight_decay == 7.0


def test_a_diverging_run_stops_with_its_step(make_episodes, tmp_path):
  episodes = make_episodes(24)
  episodes.reward[:, 1] = np.inf
  with pytest.raises(errors.PastaError, match=r'loss.* step 2'):
    _fit(episodes, _config(), tmp_path)


def test_too_little_data_and_odd_batches_are_refused(make_episodes, tmp_path):
  with pytest.raises(errors.PastaError, match='1 sessions'):
    _fit(make_episodes(1), _config(), tmp_path)
  config = _config()
  config.batch_sessions = 12
  with pytest.raises(errors.PastaError, match='batch_sessions.*12'):
    _fit(make_episodes(9), config, tmp_path)


def test_unknown_config_variant_is_named():
  with pytest.raises(ValueError, match='huge'):
    config_file.get_config('huge')
