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
  evidence,
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
    feedback_weights=jax.device_get(model.feedback_weights),
    widening=jax.device_get(model.widening),
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


def random_feedback(choice, seed=3):
  """Answers to slates [B, T], some of which were not given."""
  rng = np.random.default_rng(seed)
  satisfaction = rng.uniform(size=choice.shape).astype(np.float32)
  comparison = rng.integers(-1, 2, size=choice.shape).astype(np.int32)
  satisfaction[rng.uniform(size=choice.shape) < 0.2] = np.nan
  comparison[rng.uniform(size=choice.shape) < 0.2] = -2
  return belief.Feedback(choice, satisfaction, comparison)


def choices_only(choice):
  return belief.Feedback(
    choice,
    np.full(choice.shape, np.nan, np.float32),
    np.full(choice.shape, -2, np.int32),
  )


def sigmoid(x):
  return 1.0 / (1.0 + np.exp(-x))


def enumerate_posterior(model, utility, feedback):
  """Brute force in float64, one probability after another: [B, T + 1, K].

  Types and generosities are all tried; the latter are 15 values, normal.
  """
  utility = np.asarray(utility, np.float64)
  model = jax.tree.map(lambda x: np.asarray(x, np.float64), model)
  scale, rating = np.exp(model.choice_log_scale), model.satisfaction
  compared = model.comparison
  half = np.exp(compared['log_half_width'])
  grid = np.linspace(-3.5, 3.5, 15)
  out = []
  for person in range(len(utility)):
    weight = np.exp(model.log_prior)[:, None] * np.exp(-(grid**2) / 2)
    weight = weight / weight.sum()  # [K, J]
    rows, previous = [weight.sum(1)], None
    for turn, column in enumerate(np.asarray(feedback.choice[person])):
      said = feedback.satisfaction[person, turn]
      order = feedback.comparison[person, turn]
      if column >= 0:
        odds = np.exp(scale * utility[person, turn])  # [L, K]
        weight = weight * (odds[column] / odds.sum(0))[:, None]
        chosen = utility[person, turn, column]  # [K]
        if not np.isnan(said):
          mean = sigmoid(
            (rating['level'] + np.exp(rating['log_scale']) * chosen)[:, None]
            + np.exp(rating['log_spread']) * grid
          )
          sigma = np.exp(rating['log_sigma'])
          weight = weight * np.exp(-(((said - mean) / sigma) ** 2) / 2)
        if previous is not None and order != -2:
          gain = np.exp(compared['log_scale']) * (chosen - previous)
          worse = sigmoid(compared['centre'] - half - gain)
          better = sigmoid(gain - compared['centre'] - half)
          probs = {-1: worse, 0: 1.0 - worse - better, 1: better}
          weight = weight * probs[order][:, None]
        weight = weight / weight.sum()
        previous = chosen
      else:
        previous = None
      rows.append(weight.sum(1))
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
  def test_belief_equals_enumeration_and_skips_missing_answers(self):
    model = make_model(num_types=4)
    text, image, choice = random_slates(5)
    choice[1, 2] = choice[3] = -1
    feedback = random_feedback(choice)
    utility = column_utility(model, text, image)
    found = self.variant(belief.trajectory)(model, utility, feedback)
    expected = enumerate_posterior(model, utility, feedback)
    np.testing.assert_allclose(np.exp(found.log_types), expected, atol=2e-6)
    # No choice at all: the prior, bit for bit.
    np.testing.assert_array_equal(found.log_joint[3, -1], found.log_joint[3, 0])
    np.testing.assert_allclose(
      found.log_joint[3, 0], belief.initial(model, 1).log_joint[0], rtol=1e-6
    )
    assert (found.log_joint[1, 2] == found.log_joint[1, 3]).all()

  @chex.variants(with_jit=True, without_jit=True)
  def test_a_kind_without_weight_is_not_heard(self):
    model = make_model()
    text, image, choice = random_slates(3)
    feedback = random_feedback(choice)
    utility = column_utility(model, text, image)
    deaf = model.replace(
      feedback_weights={
        'choice': np.float32(1),
        'satisfaction': np.float32(0),
        'comparison': np.float32(0),
      }
    )
    trajectory = self.variant(belief.trajectory)
    found = trajectory(deaf, utility, feedback).log_types
    expected = enumerate_posterior(model, utility, choices_only(choice))
    np.testing.assert_allclose(np.exp(found), expected, atol=2e-6)
    assert np.abs(trajectory(model, utility, feedback).log_types - found).max()

  @chex.variants(with_jit=True, without_jit=True)
  def test_online_equals_offline(self):
    model = make_model()
    text, image, choice = random_slates(4)
    feedback = random_feedback(choice)
    feedback.comparison[:, 0] = -2  # There was no turn before.
    utility = column_utility(model, text, image)
    update = self.variant(belief.update)
    online = self.variant(belief.initial, static_argnums=1)(model, 4)
    for turn in range(utility.shape[1]):
      answers = belief.Feedback(*(x[:, turn] for x in feedback[:3]))
      online = update(model, online, utility[:, turn], answers)
    # The same observations as EM's E-step sees them.
    source = with_feedback(4, text, image, feedback)
    found = evidence.log_likelihoods(
      model,
      source.side_by_side(np.arange(4)).replace(
        text=text.reshape(16, *text.shape[2:]),
        image=image.reshape(16, *image.shape[2:]),
      ),
    )
    offline = np.asarray(model.log_prior + sum(found.values()), np.float64)
    offline -= np.logaddexp.reduce(offline, axis=1, keepdims=True)
    np.testing.assert_allclose(online.log_types, offline, atol=2e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_a_session_that_follows_starts_from_the_widened_belief(self):
    model = make_model().replace(widening=np.float32(0.25))
    text, image, choice = random_slates(2)
    feedback = random_feedback(choice)
    utility = column_utility(model, text, image)
    trajectory = self.variant(belief.trajectory)
    starts = np.zeros(choice.shape, bool)
    starts[0, 2] = True
    both = trajectory(model, utility, feedback, starts)
    whole = trajectory(model, utility, feedback)
    # The first person's third turn is the first of another session.
    prior = np.exp(belief.initial(model, 2).log_joint)
    np.testing.assert_allclose(
      np.exp(both.log_joint[0, 2]),
      0.75 * np.exp(whole.log_joint[0, 2]) + 0.25 * prior[0],
      atol=1e-6,
    )
    assert np.isnan(both.previous[0, 2]).all()
    np.testing.assert_array_equal(both.log_joint[1], whole.log_joint[1])
    carried = self.variant(belief.carried)
    last = jax.tree.map(lambda x: x[:, -1], whole)
    for widening, expected in ((0.0, last.log_joint), (1.0, np.log(prior))):
      moved = model.replace(widening=np.float32(widening))
      np.testing.assert_allclose(
        carried(moved, last).log_joint, expected, atol=1e-5
      )

  @chex.variants(with_jit=True, without_jit=True)
  def test_entropy_and_effective_types(self):
    effective_types = self.variant(belief.effective_types)
    uniform = np.log(np.full((2, 4), 0.25, np.float32))
    np.testing.assert_allclose(effective_types(uniform), 4.0, rtol=1e-6)
    sure = np.array([0.0, -np.inf, -np.inf], np.float32)
    assert effective_types(sure) == 1.0
    entropy = self.variant(belief.entropy)(uniform)
    np.testing.assert_allclose(entropy, np.log(4.0), rtol=1e-6)


def with_feedback(num, text, image, feedback):
  """People of 4 turns in one session."""
  return sources.from_sessions(
    features_lib.SessionFeatures(
      session_id=tuple(f's{i}' for i in range(num)),
      user_id=tuple(f'u{i}' for i in range(num)),
      initial_text=np.zeros((num, DIM), np.float16),
      slate_text=text.astype(np.float16),
      slate_image=image.astype(np.float16),
      slate_category=np.zeros(text.shape[:3], np.int8),
      choice=feedback.choice.astype(np.int8),
      satisfaction=feedback.satisfaction,
      comparison=feedback.comparison.astype(np.int8),
      encoder_id='e',
      t2i_id='t',
    )
  )


def choices_alone(num, text, image, choice):
  """People of 4 turns in one session who gave no other feedback."""
  return with_feedback(num, text, image, choices_only(choice))


def test_sequential_predictions_by_enumeration():
  model = make_model()
  text, image, choice = random_slates(4)
  # As features are kept.
  text, image = (x.astype(np.float16).astype(np.float32) for x in (text, image))
  data = choices_alone(4, text, image, choice)
  found = predictions.by_turn(model, data)
  utility = column_utility(model, text, image)
  before = enumerate_posterior(model, utility, choices_only(choice))
  before = before[:, :-1]  # [B, T, K]
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
      model,
      belief.initial(model, 3),
      np.zeros((2, 3, 3)),
      choices_only(choice[:, 0]),
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
