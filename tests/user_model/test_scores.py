"""Scores that users bring: linear ones, any Flax module, data of all kinds."""

import dataclasses
import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from configs import train_user_model as train_config
from pasta import errors, latent_class
from pasta.latent_class import recovery
from pasta.storage import preferences
from pasta.user_model import (
  em,
  evaluate,
  phase,
  predictions,
  saved,
  scores,
  sources,
  train,
)
from pasta.user_model import model as model_lib

D, L = 4, 3
column_utility = jax.jit(model_lib.column_utility)


class TwoLayers(nn.Module):
  """What a user may pass in: scores under one type."""

  width: int = 8

  @nn.compact
  def __call__(self, text, image):
    del text
    return nn.Dense(1)(nn.tanh(nn.Dense(self.width)(image)))[..., 0]


def plant(num_users=300, num_each=8, seed=0, kind='choice', noise=1.0):
  """Preference data of two opposite types, linear in the image features."""
  rng = np.random.default_rng(seed)
  user = np.repeat(np.arange(num_users), num_each)
  num = len(user)
  columns = {'pair': 2, 'rating': 1}.get(kind, L)
  x = rng.normal(size=(num, columns, D)).astype(np.float16)
  tastes = 2.0 * np.array([[1, -1, 0.5, 0], [-1, 1, 0, 0.5]])
  types = user % 2
  exact = np.einsum('nld,nd->nl', x.astype(float), tastes[types])
  heard = exact + noise * rng.gumbel(size=exact.shape)
  feedback = {
    'choice': heard.argmax(1),
    'pair': (heard.argmax(1) == 0).astype(float),
    'ranking': np.argsort(-heard, 1),
    'rating': 5 + exact[:, 0] + 0.5 * rng.normal(size=num),
  }[kind]
  records = preferences.Records(
    kind=kind,
    feedback=feedback,
    text=np.zeros(num, int),
    image=np.arange(num * columns).reshape(num, columns, 1),
    user_id=np.char.mod('u%04d', user),
    weight=np.ones(num, np.float32),
  )
  return records, x.reshape(-1, D)


def keep(path, records, image):
  text = np.ones((1, D), np.float16)
  preferences.save(str(path), records, text, image, 'plain')
  return preferences.load(str(path))


def store(path, **options):
  return keep(path, *plant(**options))


def make_config(*names, **changes):
  config = train_config.get_config('preferences')
  for name in names:
    config.sources[name] = train_config.source(name, 'preferences')
    config.sources[name].update(batch_users=64, batch_observations=512)
  config.main_sources = names
  config.num_types = 2
  config.num_restarts = 1
  config.restart_steps = config.num_steps = 120
  config.steps_per_call = config.checkpoint_steps = 120
  config.num_move_rounds, config.baseline_steps = 0, 0
  config.shared_steps, config.start_steps, config.anneal_steps = 10, 20, 20
  config.text.num_epochs = 1
  config.type_ridge = 1.0
  config.update(changes)
  return config


def fit(path, data, config, scorer):
  return train.fit(
    data,
    config,
    key=jax.random.key(0),
    directory=str(path),
    update=em.update,
    scorer=scorer,
  )


def fit_scores(path, data, config, scorer):
  """A model after `fit`'s only phase, without the text regression."""
  split_key, init_key, run_key, _ = jax.random.split(jax.random.key(0), 4)
  parts = sources.split(data, config, split_key)
  columns = sources.columns(next(iter(parts.values())).train, 10)
  start = model_lib.init(init_key, scorer, {}, *columns, 8)
  run = phase.Phase(parts, config, run_key, str(path), em.update)
  state = run(start)
  return state.best, run.describe(state)


def agreement(model, source):
  """Adjusted Rand index of people's types with the planted ones."""
  found = predictions.by_observation(model, source)
  last = np.asarray(source.first[1:]) - 1
  joint = found.log_belief[last] + found.log_likelihood[last]
  truth = [int(name[1:]) % 2 for name in source.user_ids]
  return recovery.adjusted_rand_index(np.array(truth), joint.argmax(1))


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  """Data of a kind, a model of linear scores fitted on them, and metrics."""

  @functools.cache
  def of_kind(kind):
    path = tmp_path_factory.mktemp(kind)
    # As many columns of every kind.
    num_users = 900 // {'pair': 2, 'rating': 1}.get(kind, L)
    data = store(path / 'data', kind=kind, num_users=num_users)
    config = make_config('x', baseline_steps=120)
    return data, *fit(path, {'x': data}, config, scores.Linear(2))

  return of_kind


@pytest.mark.parametrize('kind', preferences.KINDS)
def test_every_kind_of_feedback_finds_the_types(fitted, kind):
  data, model, found = fitted(kind)
  source = sources.from_store(data, 'user', 'x')
  assert agreement(model, source) > 0.9
  own = found[f'{kind}_log_likelihood']
  assert own > found[f'mismatched_{kind}_log_likelihood'] + 0.1
  assert own > found[f'baseline_{kind}_log_likelihood'] + 0.1
  assert found[f'{kind}_log_likelihood_low'] < own
  taste = model.heads['taste'] + model.heads['types']['taste']  # [K, D]
  correlation = np.corrcoef(np.asarray(taste))[0, 1]
  assert correlation < -0.7
  if kind == 'pair':
    assert found['pair_two_way_low'] > 0.6
    assert found['pair_three_way'] == pytest.approx(
      found['pair_two_way'], abs=0.05
    )
  if kind == 'ranking':
    assert found['ranking_spearman'] > 0.5
  if kind == 'rating':
    assert found['rating_correlation'] > 0.8


def test_linear_scores_reach_the_latent_class_logit(tmp_path):
  """The mini-batch trainer and full-batch EM: the same optimum."""
  data = store(tmp_path / 'data', num_users=200)
  config = make_config(
    'x', learning_rate=0.05, restart_steps=450, num_steps=450
  )
  config.steps_per_call = config.checkpoint_steps = 450
  config.sources.x.update(held_out_share=0.0, batch_users=200)
  config.sources.x.batch_observations = 1600
  config.update(shared_ridge=1e-3, type_ridge=1e-3, pseudo_count=1.0)
  model, _ = fit_scores(tmp_path, {'x': data}, config, scores.Linear(2))
  records = data.records
  x = np.asarray(data.image[records.image[..., 0]], float)
  whole = latent_class.fit(
    x,
    records.feedback,
    records.user_id,
    num_types=2,
    num_restarts=2,
    ridge=1e-3,
  )
  source = sources.from_store(data, 'user', 'x')
  batch = source.read(np.arange(source.num_observations))
  utility = np.exp(model.choice_log_scale) * np.asarray(
    column_utility(model, batch.text, batch.image)
  )
  chosen = batch.feedback['choice'][:, None, None]
  each = np.take_along_axis(utility, chosen, 1)[:, 0] - np.logaddexp.reduce(
    utility, axis=1
  )
  per_person = np.add.reduceat(each, source.first[:-1])
  found = np.logaddexp.reduce(model.log_prior + per_person, axis=1).sum()
  assert found == pytest.approx(whole.log_likelihood, rel=1e-4)


def test_any_flax_module_is_fitted_saved_and_loaded(tmp_path):
  data = store(tmp_path / 'data')
  scorer = scores.PerType(types=TwoLayers(), num_types=2)
  model, found = fit(tmp_path, {'x': data}, make_config('x'), scorer)
  source = sources.from_store(data, 'user', 'x')
  assert agreement(model, source) > 0.9
  saved.save(str(tmp_path), model, {'encoder_id': 'plain'})
  with pytest.raises(errors.PastaError, match='the scorer PerType; hand that'):
    saved.load(str(tmp_path))
  with pytest.raises(errors.PastaError, match='PerType, not Linear'):
    saved.load(str(tmp_path), scorer=scores.Linear(2))
  loaded = saved.load(str(tmp_path), 'plain', scorer)
  jax.tree.map(np.testing.assert_array_equal, model, loaded)


def test_wrong_scorers_are_refused(tmp_path):
  with pytest.raises(errors.PastaError, match="aggregation is 'median'"):
    scores.check_fields(scores.Linear(2, aggregation='median'))

  class Wrong(nn.Module):
    def __call__(self, text, image):
      return image.sum((1, 2))

  data = store(tmp_path / 'data', num_users=20)
  with pytest.raises(errors.PastaError, match='Wrong gave scores of shape'):
    scorer = scores.PerType(types=Wrong(), num_types=2)
    fit(tmp_path, {'x': data}, make_config('x'), scorer)


def test_streamed_batches_are_the_resident_ones(tmp_path, fitted):
  data, resident, _ = fitted('choice')
  config = make_config('x', resident_megabytes=0)
  streamed, _ = fit(tmp_path, {'x': data}, config, scores.Linear(2))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4),
    resident.heads,
    streamed.heads,
  )


def test_two_phases_and_a_mixture_of_data_sets(tmp_path, fitted):
  pairs = fitted('pair')[0]
  choices = store(tmp_path / 'choices', num_users=20, num_each=4, seed=1)
  names = {'pairs': pairs, 'choices': choices}
  config = make_config('choices', restart_steps=60, num_steps=60)
  config.steps_per_call = config.checkpoint_steps = 60
  config.sources.pairs = train_config.source('pairs', 'preferences')
  config.sources.pairs.update(batch_users=64, batch_observations=512)
  alone, _ = fit_scores(
    tmp_path / '1', {'choices': choices}, config, scores.Linear(2)
  )
  config.pretrain.sources, config.pretrain.num_steps = ('pairs',), 60
  both, found = fit(tmp_path / '2', names, config, scores.Linear(2))
  assert (tmp_path / '2' / 'pretrain' / 'metrics.jsonl').exists()
  assert {'choice_log_likelihood', 'pairs_pair_two_way'} <= set(found)
  fresh = sources.from_store(
    store(tmp_path / 'fresh', num_users=100, seed=2), 'user', 'choices'
  )
  score = {
    name: evaluate.evaluate(model, fresh)['choice_log_likelihood']
    for name, model in (('alone', alone), ('both', both))
  }
  # Twenty people of four choices teach little; what pairs taught stays.
  assert score['both'] > score['alone'] + 0.02
  config.pretrain.sources, config.main_sources = (), ('choices', 'pairs')
  mixed, _ = fit(tmp_path / '3', names, config, scores.Linear(2))
  assert agreement(mixed, fresh) > 0.8
  config.main_sources = ('choices',)
  with pytest.raises(errors.PastaError, match='main_sources and pretrain'):
    fit(tmp_path / '4', names, config, scores.Linear(2))


def test_weights_of_data_sets_and_examples(tmp_path):
  """A weight of 2 is the same as everybody twice."""
  records, image = plant(num_users=30)
  again = dataclasses.replace(
    records,
    **{
      f: np.concatenate([getattr(records, f)] * 2)
      for f in ('feedback', 'text', 'image', 'weight')
    },
    user_id=np.concatenate(
      [records.user_id, np.char.add('again', records.user_id)]
    ),
  )
  once = keep(tmp_path / 'once', records, image)
  twice = keep(tmp_path / 'twice', again, image)
  config = make_config('x', min_share_rate=1.0)
  config.sources.x.update(held_out_share=0.0, weight=2.0)
  weighted, _ = fit_scores(
    tmp_path / 'a', {'x': once}, config, scores.Linear(1)
  )
  config.sources.x.weight = 1.0
  doubled, _ = fit_scores(
    tmp_path / 'b', {'x': twice}, config, scores.Linear(1)
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3),
    weighted.heads,
    doubled.heads,
  )


def test_membership_of_data_without_user_ids(tmp_path):
  records, image = plant(num_users=10)
  records = dataclasses.replace(records, user_id=None)
  data = keep(tmp_path, records, image)
  with pytest.raises(errors.PastaError, match="membership to 'example'"):
    sources.from_store(data, 'user', 'x')
  with pytest.raises(errors.PastaError, match="membership is 'session'"):
    sources.from_store(data, 'session', 'x')
  assert sources.from_store(data, 'example', 'x').num_users == len(records)


@pytest.mark.parametrize('noise', ['ties', 'none'])
def test_ties_alone_and_separable_pairs_stay_finite(tmp_path, noise):
  records, image = plant(num_users=450, kind='pair', noise=0.0)
  if noise == 'ties':
    records = dataclasses.replace(records, feedback=np.full(len(records), 0.5))
  data = keep(tmp_path / 'data', records, image)
  model, found = fit(tmp_path, {'x': data}, make_config('x'), scores.Linear(2))
  taste = np.asarray(model.heads['taste'] + model.heads['types']['taste'])
  assert np.isfinite(taste).all() and np.abs(taste).max() < 30
  if noise == 'ties':
    assert 'pair_two_way' not in found
    assert found['pair_log_likelihood'] == pytest.approx(-np.log(2), abs=1e-2)
  else:
    assert found['pair_two_way'] > 0.8
