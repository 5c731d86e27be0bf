"""Grouping by person, the whole fit, its restart, and its files."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import planted_world
import pytest

from configs import train_user_model as train_config
from pasta import errors
from pasta.user_model import (
  em,
  evaluate,
  observations,
  phase,
  predictions,
  saved,
  sources,
  train,
)
from pasta.user_model import model as model_lib


def fit(features, config, directory):
  return train.fit(
    {'sessions': features},
    config,
    key=jax.random.key(1),
    directory=str(directory),
    update=em.update,
  )


def tiny_config(**changes):
  config = train_config.get_config('smoke')
  config.baseline_steps = 0
  config.update(changes)
  return config


@pytest.fixture
def two_people(small_features):
  """Person a: sessions 0 and 2; person b: session 1, its turn 1 missing."""
  choice = small_features.choice[:3].copy()
  choice[1, 1] = -1
  return dataclasses.replace(
    small_features.select(np.arange(3)),
    user_id=('a', 'b', 'a'),
    choice=choice,
  )


def test_grouping_by_person(two_people):
  features, choice = two_people, two_people.choice
  source = sources.from_sessions(features)
  assert source.user_ids == ('a', 'b')
  np.testing.assert_array_equal(source.first, [0, 6, 8])
  people = predictions.turns(source, np.arange(2))
  np.testing.assert_array_equal(
    people.mask, [[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]
  )
  np.testing.assert_array_equal(
    source.feedback['comparison'] != observations.NO_COMPARISON,
    [0, 1, 1, 0, 1, 1, 0, 0],
  )
  np.testing.assert_array_equal(people.image[0, 3], features.slate_image[2, 0])
  np.testing.assert_array_equal(people.text[1, 1], features.slate_text[1, 2])
  assert people.feedback.choice[1, 1] == choice[1, 2]
  assert (people.feedback.choice[1, 2:] == -1).all()
  # Each session but a person's first is another one than the turn before.
  np.testing.assert_array_equal(
    people.starts, [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]]
  )
  # Padding says nothing, whatever it holds.
  flat = source.side_by_side(np.arange(2))
  for given in map(np.asarray, observations.masks(flat).values()):
    assert not given.reshape(2, 6)[1, 2:].any()
  capped = sources.from_sessions(features, max_observations=4)
  assert capped.num_places == 4 and capped.num_observations == 6


def test_grouping_by_session_and_by_example(two_people):
  features = two_people
  missing = observations.NO_COMPARISON
  source = sources.from_sessions(features, membership='session')
  assert source.user_ids == features.session_id
  np.testing.assert_array_equal(np.diff(source.first), [3, 2, 3])
  np.testing.assert_array_equal(
    source.feedback['comparison'] != missing, [0, 1, 1, 0, 0, 0, 1, 1]
  )
  source = sources.from_sessions(features, membership='example')
  assert source.num_users == len(set(source.user_ids)) == 8
  assert source.num_places == 1
  assert (source.feedback['comparison'] == missing).all()
  text = source.read(np.array([4])).text[0]
  np.testing.assert_array_equal(text, features.slate_text[1, 2])
  with pytest.raises(errors.PastaError, match="membership is 'person'"):
    sources.from_sessions(features, membership='person')


def test_split_keeps_people_apart(small_features):
  source = sources.from_sessions(small_features)
  parts = sources.hold_out(source, 0.25, 99, jax.random.key(0))
  assert parts.held_out.num_users == 15
  both = np.concatenate([parts.train.user, parts.held_out.user])
  np.testing.assert_array_equal(np.sort(both), np.arange(60))
  alone = sources.hold_out(
    source.select(np.arange(1)), 0.9, 99, jax.random.key(0)
  )
  assert alone.train.num_users == 1 and alone.held_out.num_users == 0
  with pytest.raises(ValueError, match='held_out_share is 1.0'):
    sources.hold_out(source, 1.0, 99, jax.random.key(0))


def test_bad_features_are_named(small_features, tmp_path):
  image = small_features.slate_image.copy()
  image[7, 1, 0, 0, 3] = np.nan
  broken = dataclasses.replace(small_features, slate_image=image)
  with pytest.raises(errors.PastaError, match='session s7 '):
    fit(broken, tiny_config(), tmp_path)
  silent = dataclasses.replace(
    small_features, choice=np.full_like(small_features.choice, -1)
  )
  with pytest.raises(errors.PastaError, match='no choice at all'):
    sources.from_sessions(silent)


def test_fit_restart_and_files(small_features, tmp_path, monkeypatch):
  """A fit, and one from the files that it had left in a trial: equal bits."""
  config = tiny_config(num_move_rounds=1, num_moves=1, move_steps=10)
  calls = []
  real = phase.Phase._check_finite
  parts = str(tmp_path / 'parts')

  def leave_files(*args):
    calls.append(1)
    if len(calls) == 6:
      shutil.copytree(tmp_path / 'whole', parts)
    real(*args)

  monkeypatch.setattr(phase.Phase, '_check_finite', leave_files)
  whole, found = fit(small_features, config, tmp_path / 'whole')
  monkeypatch.setattr(phase.Phase, '_check_finite', real)
  assert set(found) >= {
    'choice_log_likelihood',
    'sequential_accuracy',
    'cross_turn_accuracy',
    'effective_types',
    'text_r2_differences',
    'share_near_best',
    'choice_log_likelihood_low',
    'is_converged',
  }
  assert all(np.isfinite(v) for v in found.values())

  resumed, _ = fit(small_features, config, parts)
  jax.tree.map(np.testing.assert_array_equal, whole, resumed)
  steps = [
    json.loads(line)['step']
    for line in (tmp_path / 'parts' / 'metrics.jsonl').read_text().splitlines()
  ]
  assert steps == [10, 20, 30, 40, 50, 60, 70]

  saved.save(parts, whole, {'encoder_id': 'e1'})
  loaded = saved.load(parts, 'e1')
  jax.tree.map(np.testing.assert_array_equal, whole, loaded)
  assert loaded.scorer == whole.scorer
  with pytest.raises(errors.PastaError, match='encoder e1, not of e2'):
    saved.load(parts, 'e2')
  with pytest.raises(errors.PastaError, match='no user model there'):
    saved.load(str(tmp_path / 'nothing'))


def test_one_person_alone(small_features, tmp_path):
  alone = small_features.select(np.arange(1))
  config = tiny_config(num_restarts=1, restart_steps=20, num_steps=20)
  config.steps_per_call = 20
  model, found = fit(alone, config, tmp_path)
  assert found['num_held_out_users'] == 0 and found['num_train_users'] == 1
  assert np.isfinite(found['choice_log_likelihood'])
  assert 'mismatched_accuracy' not in found
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(model))


def test_non_finite_loss_names_step_and_people(small_features, tmp_path):
  config = tiny_config(learning_rate=float('nan'))
  with pytest.raises(errors.PastaError, match=r'step \d+, batch of people u'):
    fit(small_features, config, tmp_path)


@pytest.mark.parametrize(
  'field,value',
  [('steps_per_call', 7), ('restart_steps', 80), ('num_steps', 0)],
)
def test_bad_config_is_named(small_features, tmp_path, field, value):
  with pytest.raises(ValueError, match=field):
    fit(small_features, tiny_config(**{field: value}), tmp_path)
  with pytest.raises(ValueError, match='nosuch'):
    train_config.get_config('nosuch')


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """A model of planted types, one of one type, metrics, and other people."""
  world = planted_world.make_world(num_types=3, dim=64, generosity=0.1)
  known = planted_world.sample_sessions(world, 400, 1, num_images=2)
  new = planted_world.sample_sessions(world, 150, 2, num_images=2)
  config = tiny_config(
    num_types=3,
    rank=0,
    restart_steps=60,
    num_steps=100,
    baseline_steps=100,
    steps_per_call=20,
    checkpoint_steps=100,
    shared_steps=10,
    start_steps=15,
    anneal_steps=15,
    learning_rate=0.03,
  )
  config.sources.sessions.batch_users = 64
  config.text.num_epochs = 10
  path = tmp_path_factory.mktemp('fit')
  model, found = fit(known, config, path)
  one_type = saved.load(str(path / saved.ONE_TYPE))
  return model, one_type, found, sources.from_sessions(new)


def test_planted_types_beat_one_type(planted):
  model, one_type, found, new = planted
  one, three = (evaluate.evaluate(m, new) for m in (one_type, model))
  gain = three['choice_log_likelihood'] - one['choice_log_likelihood']
  assert gain > 0.05
  assert three['sequential_accuracy'] > one['sequential_accuracy'] + 0.03
  assert three['effective_types'] > 2.0
  assert one['choice_log_likelihood'] > one['uniform_log_likelihood']
  assert np.isfinite(found['baseline_sequential_accuracy'])


def test_text_regression_predicts_new_prompts(planted):
  model, _, found, new = planted
  new = predictions.turns(new, np.arange(new.num_users))
  utility = np.asarray(
    jax.jit(model_lib.column_utility)(model, new.text, new.image)
  )
  guess = np.asarray(jax.jit(model_lib.text_utility)(model, new.text))
  error = np.mean((utility - guess) ** 2) / np.var(utility)
  assert error < 0.75
  assert found['text_r2'] == pytest.approx(1 - error, abs=0.15)
  assert found['text_r2'] > 0.3
