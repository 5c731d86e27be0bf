"""Lapses and places: exact values, gradients, and planted ones found again."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import train_user_model as train_config
from pasta import errors
from pasta.storage import session_features as features_lib
from pasta.types import screen_position
from pasta.user_model import (
  belief,
  em,
  evaluate,
  habits,
  likelihoods,
  scores,
  sources,
  train,
)
from pasta.user_model import model as model_lib

K, D, T, L = 2, 3, 5, 4
TASTES = np.array([[1.5, -1.0, 0.5], [-1.5, 0.5, 1.0]])
NONE = {'lapse_logit': -np.inf, 'position': 0.0}
# A fifth of all choices at random; first on the screen twice as likely as last.
HABITS = {'lapse_logit': np.log(0.2 / 0.8), 'position': np.log(2.0)}


def sessions(num_people, lapse=0.0, position=0.0, seed=0):
  """Two sessions a person, of people who click as the model says."""
  rng = np.random.default_rng(seed)
  num = 2 * num_people
  image = rng.normal(size=(num, T, L, 1, D)).astype(np.float16)
  types = np.repeat(rng.integers(K, size=num_people), 2)
  columns = np.argsort(rng.random((num, T, L)), -1).astype(np.int8)
  logits = np.einsum('ntlmd,nd->ntl', image.astype(float), TASTES[types])
  logits += position * screen_position(columns)
  choice = (logits + rng.gumbel(size=logits.shape)).argmax(-1)
  careless = rng.random((num, T)) < lapse
  choice = np.where(careless, rng.integers(L, size=(num, T)), choice)
  return features_lib.SessionFeatures(
    session_id=tuple(f's{i}' for i in range(num)),
    user_id=tuple(f'u{i // 2}' for i in range(num)),
    initial_text=np.zeros((num, D), np.float16),
    slate_text=np.zeros((num, T, L, D), np.float16),
    slate_image=image,
    slate_category=np.zeros((num, T, L), np.int8),
    choice=choice.astype(np.int8),
    satisfaction=np.full((num, T), np.nan, np.float32),
    comparison=np.full((num, T), -2, np.int8),
    encoder_id='e',
    t2i_id='t',
    columns=columns,
  )


def true_model(**values):
  """The people above, with habits."""
  model = jax.jit(
    lambda key: model_lib.init(
      key, scores.Linear(K), {}, jnp.zeros((1, D)), jnp.zeros((1, 1, D)), 4
    )
  )(jax.random.key(0))
  heads = {'taste': jnp.zeros(D), 'types': {'taste': jnp.asarray(TASTES)}}
  heads = jax.tree.map(lambda x: x.astype(jnp.float32), heads)
  return model.replace(
    heads=heads, habits={k: jnp.asarray(v) for k, v in values.items()}
  )


def test_choice_by_hand():
  # Weights 1, 2, 5; the first column stands last, the last one first, so that
  # β = log 2 makes them 1, 2 √2, 10; a fifth of all choices is random.
  utility = np.log([[[1.0], [2.0], [5.0]]]).astype(np.float32)
  position = np.array([[0.0, 0.5, 1.0]], np.float32)
  weights = np.array([1.0, 2 * 2**0.5, 10.0])
  expected = 0.8 * weights / weights.sum() + 0.2 / 3
  found = jax.jit(likelihoods.choice_log_probs)(utility, 0.0, HABITS, position)
  np.testing.assert_allclose(np.exp(found[0, :, 0]), expected, rtol=1e-5)
  choice = jax.jit(likelihoods.slate_choice)
  for column in range(3):
    one = choice(
      utility,
      np.array([column]),
      np.ones(1),
      np.asarray(0.0),
      None,
      HABITS,
      position,
    )
    np.testing.assert_allclose(np.exp(one), [[expected[column]]], rtol=1e-5)
  # Without the middle column a random choice takes one of two.
  one = choice(
    utility,
    np.array([2]),
    np.ones(1),
    np.asarray(0.0),
    np.array([[1, 0, 1]]),
    HABITS,
    position,
  )
  np.testing.assert_allclose(np.exp(one), [[0.8 * 10 / 11 + 0.1]], rtol=1e-5)


def test_gradient_by_hand():
  # p = 0.8 s + 0.2 / L with s = softmax: ∂ log p / ∂ logit ε is
  # ε (1 − ε) (1 / L − s) / p, ∂ log p / ∂ β is 0.8 s (x − Σ s x) / p.
  utility = np.random.default_rng(0).normal(size=(1, L, 1)).astype(np.float32)
  position = np.array([[1.0, 0.0, 2 / 3, 1 / 3]], np.float32)

  def value(values):
    return likelihoods.choice_log_probs(utility, 0.0, values, position)[0, 1, 0]

  found = jax.jit(jax.grad(value))(HABITS)
  odds = np.exp(utility[0, :, 0] + np.log(2.0) * position[0])
  share = odds / odds.sum()
  prob = 0.8 * share[1] + 0.2 / L
  np.testing.assert_allclose(
    found['lapse_logit'], 0.16 * (1 / L - share[1]) / prob, rtol=1e-4
  )
  slope = position[0, 1] - (share * position[0]).sum()
  np.testing.assert_allclose(
    found['position'], 0.8 * share[1] * slope / prob, rtol=1e-4
  )


def test_off_is_the_model_without_habits():
  rng = np.random.default_rng(1)
  utility = rng.normal(size=(6, L, K)).astype(np.float32)
  choice, mask = rng.integers(L, size=6), np.ones(6)
  position = rng.random((6, L)).astype(np.float32)
  scale = np.asarray(0.3, np.float32)
  probs = jax.jit(likelihoods.choice_log_probs)
  plain = probs(utility, scale)
  np.testing.assert_array_equal(probs(utility, scale, {}, position), plain)
  np.testing.assert_allclose(
    probs(utility, scale, NONE, position), plain, rtol=1e-6
  )
  of_choice = jax.jit(likelihoods.slate_choice)
  np.testing.assert_array_equal(
    of_choice(utility, choice, mask, scale, None, {}, position),
    of_choice(utility, choice, mask, scale),
  )
  assert habits.initial(train_config.get_config()) == {}


def test_belief_knows_careless_clicks_and_places():
  model = true_model(**HABITS)
  rng = np.random.default_rng(2)
  utility = rng.normal(size=(3, T, L, K)).astype(np.float32)
  choice = rng.integers(L, size=(3, T))
  choice[1, 2] = -1
  position = rng.random((3, T, L)).astype(np.float32)
  said = belief.Feedback(
    choice, np.full((3, T), np.nan), np.full((3, T), -2), position
  )
  found = jax.jit(belief.trajectory)(model, utility, said).log_types
  odds = np.exp(utility + np.log(2.0) * position[..., None])
  probs = 0.8 * odds / odds.sum(2, keepdims=True) + 0.2 / L  # [B, T, L, K]
  weight = np.full((3, K), 1 / K)
  for turn in range(T):
    given = choice[:, turn] >= 0
    chosen = probs[np.arange(3), turn, choice[:, turn]]
    weight = np.where(given[:, None], weight * chosen, weight)
    weight /= weight.sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(found[:, turn + 1]), weight, rtol=1e-4)


def test_an_interval_ends_where_the_profile_likelihood_has_fallen():
  source = sources.from_sessions(sessions(15, 0.2, 1.0))
  model = true_model(lapse_logit=-3.0, position=0.0)
  found = habits.intervals(model, source)
  data = habits.choices(model, source)

  @jax.jit
  def total(log_scale, rate, position):
    values = {
      'log_scale': log_scale,
      'lapse_logit': jax.scipy.special.logit(rate),
      'position': position,
    }
    return habits.log_likelihood(values, data, 15)

  # Brute force: for each rate the best of a grid of the other two.
  scale = jnp.linspace(-0.7, 1.3, 41)
  place = jnp.linspace(-0.5, 3.0, 36)
  others = jax.vmap(jax.vmap(total, (None, None, 0)), (0, None, None))

  def best(rate):
    return float(others(scale, rate, place).max())

  top = best(found['lapse'])
  for end in ('lapse_low', 'lapse_high'):
    np.testing.assert_allclose(top - best(found[end]), 1.92, atol=0.2)


@pytest.mark.parametrize('lapse,position', [(0.0, 0.0), (0.3, 1.0)])
def test_planted_habits_lie_within_their_intervals(lapse, position):
  source = sources.from_sessions(sessions(80, lapse, position, seed=4))
  model = true_model(lapse_logit=-3.0, position=0.0)
  found = habits.intervals(model, source)
  assert found['lapse_low'] <= lapse <= found['lapse_high']
  assert found['lapse_high'] - found['lapse_low'] < 0.2
  # τ is 1, so that log-odds are utilities.
  for name in ('position_effect', 'position_worth'):
    low, high = (found[f'{name}_{end}'] for end in ('low', 'high'))
    assert low <= position <= high < low + 1.0
  assert found['num_without_order'] == 0
  if lapse == 0.0:  # Not merely small: no lapse at all is among what may be.
    assert found['lapse_low'] == 0.0
  config = train_config.get_config()
  fitted = habits.fit(model, source, config)
  rate = float(jax.nn.sigmoid(fitted.habits['lapse_logit']))
  # The weak prior hardly moves what the people say.
  np.testing.assert_allclose(rate, found['lapse'], atol=0.03)
  np.testing.assert_allclose(
    fitted.habits['position'], found['position_effect'], atol=0.05
  )


def test_em_learns_habits_beside_tastes():
  source = sources.from_sessions(sessions(150, 0.3, 1.0, seed=5))
  config = train_config.get_config('smoke')
  config.update(lapse=True, position=True, num_types=K, type_ridge=0.5)
  config.update(num_steps=150, shared_steps=5, start_steps=15, anneal_steps=40)
  start = true_model().replace(
    heads=jax.tree.map(jnp.zeros_like, true_model().heads),
    habits=habits.initial(config),
  )
  state = em.init(
    jax.random.key(3), start, {'sessions': source.num_users}, 6.0, config
  )
  batches = {'sessions': source.side_by_side(np.arange(source.num_users))}
  step = jax.jit(functools.partial(em.update, config=config))
  for _ in range(150):
    state, _ = step(state, batches)
  new = sources.from_sessions(sessions(150, 0.3, 1.0, seed=6))
  found = evaluate.evaluate(state.model, new)
  # How much a place is worth is told in the learned utility's units.
  scale = np.exp(float(state.model.choice_log_scale))
  np.testing.assert_allclose(
    found['position_worth'] * scale, found['position_effect'], rtol=0.15
  )
  for name, truth in (('lapse', 0.3), ('position_effect', 1.0)):
    assert found[f'{name}_low'] <= truth <= found[f'{name}_high'], name
  rate = float(jax.nn.sigmoid(state.model.habits['lapse_logit']))
  np.testing.assert_allclose(rate, 0.3, atol=0.08)
  np.testing.assert_allclose(state.model.habits['position'], 1.0, atol=0.3)
  # Who neglects them trusts careless clicks, and foretells people worse.
  without = evaluate.evaluate(state.model.replace(habits={}), new)
  assert (
    found['choice_log_likelihood'] > without['choice_log_likelihood'] + 0.02
  )


def test_data_that_cannot_tell_are_refused(tmp_path):
  features = sessions(4)
  config = train_config.get_config('smoke')
  config.position = True

  def fit(features):
    return train.fit(
      {'sessions': features},
      config,
      key=jax.random.key(0),
      directory=str(tmp_path),
      update=em.update,
    )

  with pytest.raises(
    errors.PastaError, match='position is True, but no choice'
  ):
    fit(dataclasses.replace(features, columns=None))
  config.lapse, config.typical_lapse = True, 1.0
  with pytest.raises(errors.PastaError, match='typical_lapse is 1.0'):
    fit(features)


def test_choices_without_an_order_are_counted():
  features = sessions(4)
  features.columns[0, :3] = -1
  source = sources.from_sessions(features)
  assert source.num_without_order == 3
  old = sources.from_sessions(dataclasses.replace(features, columns=None))
  assert old.num_without_order == old.num_observations
