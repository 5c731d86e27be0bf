"""The model's predictions and the belief, against enumeration."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from pasta.storage import session_features as features_lib
from pasta.user_model import (
  belief,
  evaluate,
  heads,
  predictions,
  scores,
  sources,
)
from pasta.user_model import model as model_lib

DIM = 6
column_utility = jax.jit(model_lib.column_utility)
choice_log_probs = jax.jit(model_lib.choice_log_probs)


def make_model(num_types=3, aggregation='max', seed=0, rank=2, trunk_dim=4):
  """A model with random parameters everywhere."""
  rng = np.random.default_rng(seed)
  columns = rng.normal(size=(50, DIM)), rng.normal(size=(50, 2, DIM))
  settings = heads.HeadSettings(num_types, DIM, rank, trunk_dim, aggregation)
  model = jax.jit(
    lambda key: heads.init_model(key, settings, [columns], text_hidden_dim=5)
  )(jax.random.key(seed))
  noise = jax.tree.map(
    lambda x: np.asarray(x + 0.5 * rng.normal(size=x.shape), np.float32),
    model.replace(constants={}),
  )
  odds = np.exp(noise.log_prior)
  return noise.replace(
    constants=jax.device_get(model.constants),
    log_prior=np.log(odds / odds.sum()),
  )


def random_slates(num, turns=4, columns=3, images=2, seed=1):
  rng = np.random.default_rng(seed)
  text = rng.normal(size=(num, turns, columns, DIM))
  image = rng.normal(size=(num, turns, columns, images, DIM))
  choice = rng.integers(columns, size=(num, turns))
  return (
    text.astype(np.float32),
    image.astype(np.float32),
    choice.astype(np.int32),
  )


def enumerate_posterior(model, utility, choice):
  """Brute force in float64, one probability after another: [B, T + 1, K]."""
  utility = np.asarray(utility, np.float64)
  scale = np.exp(np.float64(model.choice_log_scale))
  prior = np.exp(np.asarray(model.log_prior, np.float64))
  out = []
  for person in range(len(utility)):
    weight = prior / prior.sum()
    rows = [weight]
    for turn, column in enumerate(np.asarray(choice[person])):
      if column >= 0:
        odds = np.exp(scale * utility[person, turn])  # [L, K]
        weight = weight * odds[column] / odds.sum(0)
        weight = weight / weight.sum()
      rows.append(weight)
    out.append(rows)
  return np.array(out)


def score_by_loops(model, text, image):
  """One image, one type at a time, with adapted vectors written out."""
  params = jax.tree.map(lambda x: np.asarray(x, np.float64), model.heads)
  constants = jax.tree.map(lambda x: np.asarray(x, np.float64), model.constants)
  taste = (image - constants['image_mean']) @ constants['image_whiten']
  if 'trunk' in params:
    hidden = np.tanh(
      taste @ params['trunk']['kernel'] + params['trunk']['bias']
    )
    taste = np.concatenate([taste, hidden])
  scores = []
  for k in range(model.num_types):
    one = {name: x[k] for name, x in params['types'].items()}
    a = text + one['text_up'] @ (text @ one['text_down'])
    b = image + one['image_up'] @ (image @ one['image_down'])
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    cosine = (cosine - constants['cosine_mean']) / constants['cosine_std']
    scores.append(
      (params['scale'] + one['scale']) * cosine
      + taste @ (params['taste'] + one['taste'])
    )
  return np.array(scores)


@pytest.mark.parametrize('aggregation', scores.AGGREGATIONS)
def test_column_utility_is_the_written_out_score(aggregation):
  model = make_model(aggregation=aggregation)
  text, image, _ = random_slates(1, turns=1)
  found = column_utility(model, text, image)
  assert found.shape == (1, 1, 3, 3)
  for column in range(3):
    scores = np.stack(
      [
        score_by_loops(model, np.asarray(text[0, 0, column], np.float64), i)
        for i in np.asarray(image[0, 0, column], np.float64)
      ]
    )
    expected = {
      'max': scores.max(0),
      'mean': scores.mean(0),
      'log_mean_exp': np.log(np.exp(scores).mean(0)),
    }[aggregation]
    np.testing.assert_allclose(found[0, 0, column], expected, atol=2e-5)


class BeliefTest(chex.TestCase):
  """The belief, compiled and not."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_belief_equals_enumeration_and_skips_missing_choices(self):
    model = make_model(num_types=4)
    text, image, choice = random_slates(5)
    choice[1, 2] = choice[3] = -1
    utility = column_utility(model, text, image)
    found = self.variant(belief.trajectory)(model, utility, choice)
    expected = enumerate_posterior(model, utility, choice)
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-6)
    # No choice at all: the prior, bit for bit.
    np.testing.assert_array_equal(found[3, -1], model.log_prior)
    assert (found[1, 2] == found[1, 3]).all()

  @chex.variants(with_jit=True, without_jit=True)
  def test_online_equals_offline(self):
    model = make_model()
    text, image, choice = random_slates(4)
    utility = column_utility(model, text, image)
    utility = np.asarray(utility)
    update = self.variant(belief.update)
    online = np.tile(model.log_prior, (4, 1))
    np.testing.assert_array_equal(
      self.variant(belief.initial, static_argnums=1)(model, 4), online
    )
    for turn in range(utility.shape[1]):
      online = update(model, online, utility[:, turn], choice[:, turn])
    picked = np.take_along_axis(
      np.asarray(choice_log_probs(model, utility)),
      choice[:, :, None, None],
      2,
    )[:, :, 0]
    offline = model.log_prior + picked.sum(1)
    offline -= np.logaddexp.reduce(offline, axis=1, keepdims=True)
    np.testing.assert_allclose(online, offline, atol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_entropy_and_effective_types(self):
    effective_types = self.variant(belief.effective_types)
    uniform = np.log(np.full((2, 4), 0.25, np.float32))
    np.testing.assert_allclose(effective_types(uniform), 4.0, rtol=1e-6)
    sure = np.array([0.0, -np.inf, -np.inf], np.float32)
    assert effective_types(sure) == 1.0
    entropy = self.variant(belief.entropy)(uniform)
    np.testing.assert_allclose(entropy, np.log(4.0), rtol=1e-6)


def choices_alone(num, text, image, choice):
  """People of 4 turns in one session who gave no other feedback."""
  return sources.from_sessions(
    features_lib.SessionFeatures(
      session_id=tuple(f's{i}' for i in range(num)),
      user_id=tuple(f'u{i}' for i in range(num)),
      initial_text=np.zeros((num, DIM), np.float16),
      slate_text=text.astype(np.float16),
      slate_image=image.astype(np.float16),
      slate_category=np.zeros(text.shape[:3], np.int8),
      choice=choice.astype(np.int8),
      satisfaction=np.full((num, 4), np.nan, np.float32),
      comparison=np.full((num, 4), -2, np.int8),
      encoder_id='e',
      t2i_id='t',
    )
  )


def test_sequential_predictions_by_enumeration():
  model = make_model()
  text, image, choice = random_slates(4)
  # As features are kept.
  text, image = (x.astype(np.float16).astype(np.float32) for x in (text, image))
  data = choices_alone(4, text, image, choice)
  found = predictions.by_turn(model, data)
  utility = column_utility(model, text, image)
  before = enumerate_posterior(model, utility, choice)[:, :-1]  # [B, T, K]
  probs = np.exp(choice_log_probs(model, utility))
  predictive = np.einsum('btk,btlk->btl', before, probs)
  expected = np.take_along_axis(predictive, np.asarray(choice)[..., None], 2)
  np.testing.assert_allclose(
    found.log_prob, np.log(expected[..., 0]), atol=1e-5
  )
  np.testing.assert_array_equal(
    found.is_correct, predictive.argmax(-1) == np.asarray(choice)
  )
  other = np.einsum('btk,btlk->btl', np.roll(before, -1, 0), probs)
  expected = np.take_along_axis(other, np.asarray(choice)[..., None], 2)
  np.testing.assert_allclose(
    found.mismatched_log_prob, np.log(expected[..., 0]), atol=1e-5
  )
  assert not found.comparison_mask.any()
  summary = evaluate.evaluate(model, data, baseline=model)
  assert 'cross_turn_accuracy' not in summary
  assert summary['baseline_choice_log_likelihood'] == pytest.approx(
    summary['choice_log_likelihood']
  )


def test_wrong_shapes_and_settings_raise():
  model = make_model()
  text, image, choice = random_slates(2)
  with pytest.raises(AssertionError):
    column_utility(model, text, image[:, :, :, 0])
  with pytest.raises(AssertionError):
    belief.update(
      model, belief.initial(model, 3), np.zeros((2, 3, 3)), choice[:, 0]
    )
  with pytest.raises(ValueError, match='aggregation.*median'):
    heads.HeadSettings(2, 4, aggregation='median')
  with pytest.raises(ValueError, match='num_types is 0'):
    dataclasses.replace(model.scorer.settings, num_types=0)


def test_calibration_error_by_hand():
  # Bins of 0.5: {0.2, 0.4}, one right of two: gap 0.6 − 1; {0.9}: 0.9 − 1.
  found = evaluate.calibration_error(
    np.array([0.2, 0.4, 0.9]), np.array([0.0, 1.0, 1.0]), num_bins=2
  )
  np.testing.assert_allclose(found, (0.4 + 0.1) / 3)


def test_a_single_person_has_nobody_to_be_mistaken_for():
  model = make_model()
  data = choices_alone(1, *random_slates(1))
  found = evaluate.evaluate(model, data)
  assert 'choice_log_likelihood' in found
  assert 'mismatched_accuracy' not in found
