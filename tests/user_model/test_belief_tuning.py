"""What of a belief is set on held-out people: weights, and widening."""

import jax
import numpy as np
import test_user_model_belief as belief_tests

from pasta.storage import session_features as features_lib
from pasta.user_model import evaluate, sources
from pasta.user_model import model as model_lib

NUM, TURNS, TYPES = 48, 4, 3


def sessions(types, satisfaction_of, users=None):
  """People [NUM] of given types [NUM, TURNS] who choose as they feel."""
  model = belief_tests.make_model(num_types=TYPES)
  model = jax.device_get(model).replace(choice_log_scale=np.float32(0.5))
  text, image, _ = belief_tests.random_slates(NUM, TURNS)
  utility = np.asarray(
    jax.jit(model_lib.column_utility)(
      model, text.astype(np.float16), image.astype(np.float16)
    )
  )
  own = np.take_along_axis(utility, types[:, :, None, None], -1)[..., 0]
  noise = np.random.default_rng(7).gumbel(size=own.shape)
  choice = (np.exp(0.5) * own + noise).argmax(-1).astype(np.int32)
  chosen = np.take_along_axis(utility, choice[..., None, None], 2)[:, :, 0]
  said = model_lib.expected_satisfaction(model, chosen)  # [NUM, TURNS, TYPES]
  said = np.take_along_axis(np.asarray(said), satisfaction_of[..., None], -1)[
    ..., 0
  ]
  feedback = belief_tests.belief.Feedback(
    choice, said.astype(np.float32), np.full(choice.shape, -2, np.int32)
  )
  source = belief_tests.with_feedback(NUM, text, image, feedback)
  if users is not None:
    features = features_lib.SessionFeatures(
      session_id=tuple(f's{i}' for i in range(NUM)),
      user_id=users,
      initial_text=np.zeros((NUM, belief_tests.DIM), np.float16),
      slate_text=text.astype(np.float16),
      slate_image=image.astype(np.float16),
      slate_category=np.zeros(text.shape[:3], np.int8),
      choice=choice.astype(np.int8),
      satisfaction=np.full(choice.shape, np.nan, np.float32),
      comparison=np.full(choice.shape, -2, np.int8),
      encoder_id='e',
      t2i_id='t',
    )
    source = sources.from_sessions(features)
  sharp = model.satisfaction | {'log_sigma': np.float32(np.log(0.05))}
  return model.replace(satisfaction=sharp), source


def test_what_misleads_counts_little_and_what_is_true_counts():
  rng = np.random.default_rng(0)
  types = np.repeat(rng.integers(TYPES, size=(NUM, 1)), TURNS, 1)
  weights = {}
  for name, said_by in (('own', types), ('others', (types + 1) % TYPES)):
    model, source = sessions(types, said_by)
    tuned = evaluate.tune_weights(model, source, ['satisfaction'])
    weights[name] = float(tuned.feedback_weights['satisfaction'])
    assert tuned.feedback_weights['choice'] == 1.0
    best = evaluate.score(tuned, source)['choice_log_likelihood']
    assert best >= evaluate.score(model, source)['choice_log_likelihood']
  assert weights['own'] == 1.0
  assert weights['others'] == 0.25


def test_people_who_change_widen_the_belief():
  rng = np.random.default_rng(1)
  users = tuple(f'u{i // 4}' for i in range(NUM))
  lasting = np.repeat(rng.integers(TYPES, size=NUM // 4), 4)
  changing = rng.integers(TYPES, size=NUM)
  found = []
  for of_session in (lasting, changing):
    types = np.repeat(of_session[:, None], TURNS, 1)
    model, source = sessions(types, types, users)
    assert source.num_users == NUM // 4
    found.append(float(evaluate.tune_widening(model, source).widening))
  assert found[0] < 0.05 and found[1] > 0.3


def test_with_one_session_each_nothing_is_widened():
  types = np.zeros((NUM, TURNS), int)
  model, source = sessions(types, types)
  assert evaluate.tune_widening(model, source).widening == 0.0
  # Nor does it matter how much is.
  wide = model.replace(widening=np.float32(0.4))
  assert evaluate.score(wide, source) == evaluate.score(model, source)
