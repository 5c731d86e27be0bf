"""What an agent believes that is told the true types."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from pasta import errors, files, seeds
from pasta.interaction import simulated_people
from pasta.population import population, true_types
from pasta.storage.session_features import SessionFeatures
from pasta.user_model import belief as belief_lib
from pasta.user_model import heads

N, T, L, M, D, K = 12, 3, 4, 2, 6, 3


@pytest.fixture(scope='module')
def user_model():
  rng = np.random.default_rng(0)
  settings = heads.HeadSettings(num_types=K, embedding_dim=D)
  columns = rng.standard_normal((50, D)), rng.standard_normal((50, M, D))
  model = heads.init_model(jax.random.key(0), settings, [columns])

  def noise(x):
    return x + jax.random.normal(jax.random.key(1), x.shape)

  return model.replace(
    heads=jax.tree.map(noise, model.heads),
    log_prior=jnp.log(jnp.array([0.5, 0.3, 0.2])),
  )


def make_features(user_ids, seed=0):
  rng = np.random.default_rng(seed)
  num = len(user_ids)

  def normal(*shape):
    return rng.standard_normal((num, *shape)).astype(np.float16)

  return SessionFeatures(
    session_id=tuple(map(str, range(num))),
    user_id=tuple(user_ids),
    initial_text=normal(D),
    slate_text=normal(T, L, D),
    slate_image=normal(T, L, M, D),
    slate_category=np.zeros((num, T, L), np.int8),
    choice=rng.integers(0, L, (num, T)).astype(np.int8),
    satisfaction=np.full((num, T), 0.5, np.float32),
    comparison=np.zeros((num, T), np.int8),
    encoder_id='e',
    t2i_id='t',
  )


def test_a_types_belief_is_the_mean_over_its_people(user_model):
  """Two people of type 0 with two sessions each, one of type 2, none of 1."""
  features = make_features(['a', 'a', 'b', 'b', 'c'])
  types = np.array([0, 0, 0, 0, 2])
  found = np.exp(true_types.type_beliefs(user_model, features, types, 3))
  prior = np.exp(np.asarray(user_model.log_prior))
  np.testing.assert_allclose(found[1], prior, atol=1e-5)
  final = np.asarray(
    true_types._final_belief(
      user_model,
      features.slate_text,
      features.slate_image,
      belief_lib.Feedback(
        features.choice, features.satisfaction, features.comparison
      ),
    )
  )
  # Sessions of one person add up: the product of posteriors over the prior.
  by_person = [
    np.exp(final[0] + final[1]) / prior,
    np.exp(final[2] + final[3]) / prior,
  ]
  by_person = [b / b.sum() for b in by_person]
  np.testing.assert_allclose(found[0], np.mean(by_person, 0), atol=1e-4)
  np.testing.assert_allclose(found[2], np.exp(final[4]), atol=1e-4)
  assert np.abs(found[0] - prior).max() > 0.01


def test_whom_a_learned_type_stands_for(user_model):
  """Beliefs of three people, by their true types, and one person's prior."""
  features = make_features(['a', 'b', 'c'])
  types = np.array([0, 0, 2])
  share = np.array([0.5, 0.3, 0.2])
  found = true_types.composition(user_model, features, types, share)
  belief, first = true_types.person_beliefs(user_model, features)
  np.testing.assert_array_equal(first, [0, 1, 2])
  np.testing.assert_allclose(belief.sum(1), 1.0)
  for k in range(K):
    seen = np.array([belief[0, k] + belief[1, k], 0.0, belief[2, k]])
    np.testing.assert_allclose(found[k], (seen + share) / (seen.sum() + 1))


def test_types_of_hidden_people_are_those_that_were_drawn():
  truth = population.build(common.population())
  crowd = population.draw_crowd(truth, 10, 3, seed=4)
  found = true_types.of_hidden_people(crowd.user_ids, truth, 10, 4)
  np.testing.assert_array_equal(found, crowd.types)
  for stranger in ('p5-1', 'p4-10', 'anna'):
    with pytest.raises(errors.PastaError, match=f'{stranger} is not one'):
      true_types.of_hidden_people((stranger,), truth, 10, 4)


def test_types_of_simulated_people_are_those_that_answer(user_model):
  sitting = seeds.derive(7, 'sitting', np.arange(40))
  crowd = simulated_people.SimulatedPeople(user_model, ('a fox',) * 40, sitting)
  found = true_types.of_simulated_people(crowd.user_ids, user_model)
  np.testing.assert_array_equal(found, crowd.types)
  assert len(set(found)) > 1
  with pytest.raises(errors.PastaError, match='p4-1 is not a simulated one'):
    true_types.of_simulated_people(('p4-1',), user_model)


def test_beliefs_to_train_with(user_model, tmp_path):
  truth = population.build(common.population())
  crowd = population.draw_crowd(truth, N, 1, seed=0)
  os.makedirs(tmp_path / 'sessions')
  files.write_json(
    str(tmp_path / 'sessions' / 'config.json'),
    {
      'population': common.population().to_dict(),
      'num_people': N,
      'seed': 0,
    },
  )
  sitting = seeds.derive(7, 'sitting', np.arange(5))
  simulated = simulated_people.SimulatedPeople(
    user_model, ('a fox',) * 5, sitting
  )
  parts = {
    'features': make_features(crowd.user_ids),
    'simulated': make_features(simulated.user_ids),
  }

  def belief(mode):
    return true_types.training_belief(mode, str(tmp_path), user_model, parts)

  assert belief('on') is None and belief('off') is None
  np.testing.assert_allclose(
    belief('prior'), np.tile(user_model.log_prior, (N + 5, 1))
  )
  told = belief('oracle')
  assert told.shape == (N + 5, K)
  by_type = true_types.type_beliefs(
    user_model, parts['features'], crowd.types, len(truth.type_prior)
  )
  np.testing.assert_allclose(told[:N], by_type[crowd.types], rtol=1e-5)
  np.testing.assert_array_equal(told[N:].argmax(1), simulated.types)
  assert (told[N:].max(1) == 0).all()
