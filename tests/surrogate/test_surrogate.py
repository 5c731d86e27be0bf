"""Surrogates: densities, draws, the stage, and simulating without rendering."""

import dataclasses
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common, quickstart
from configs import off_policy as off_policy_config
from configs import train_surrogate as config_lib
from pasta import errors, seeds, workdir
from pasta.agent import policies
from pasta.evaluate.off_policy import truth
from pasta.stages import (
  collect,
  extract_features,
  simulate,
  stage,
  train_surrogate,
)
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.surrogate import columns as columns_lib
from pasta.surrogate import draws, fidelity, likelihood
from pasta.surrogate import flow as surrogate
from pasta.surrogate import saved as saved_surrogates
from pasta.user_model import heads, saved

DIM = 4


def _settings(**changes):
  plain = {'num_couplings': 3, 'hidden_dim': 16, 'trunk_dim': 16}
  return surrogate.Settings(embedding_dim=DIM, **plain | changes)


def _constants(dim=DIM):
  rng = np.random.default_rng(0)
  mix = np.eye(dim) + 0.3 * rng.standard_normal((dim, dim))
  return {
    'text_mean': rng.standard_normal(dim).astype(np.float32),
    'text_std': np.full(dim, 0.5, np.float32),
    'image_mean': np.ones(dim, np.float32),
    'image_whiten': mix.astype(np.float32),
    'image_colour': np.linalg.inv(mix).astype(np.float32),
  }


@pytest.fixture(scope='module')
def model():
  """A surrogate with random parameters, none of them zero."""
  init = jax.jit(lambda key: surrogate.init(key, _settings(), _constants()))
  made = init(jax.random.key(0))
  rng = np.random.default_rng(3)
  return made.replace(
    params=jax.tree.map(
      lambda x: x + np.float32(0.2) * rng.standard_normal(x.shape, np.float32),
      jax.device_get(made.params),
    )
  )


def test_density_is_that_of_what_is_drawn(model):
  # log p(u) = log N(z) − log |det du/dz|, by the Jacobian itself.
  flow = surrogate.Flow(model.settings)
  rng = np.random.default_rng(1)
  text = rng.standard_normal((1, DIM), np.float32)
  z = rng.standard_normal(DIM, np.float32)

  @jax.jit
  def draw(z):
    return flow.apply(
      {'params': model.params}, text, z[None, None], method='draw'
    )[0, 0]

  _, log_det = np.linalg.slogdet(jax.jit(jax.jacfwd(draw))(z))
  expected = -0.5 * (z**2).sum() - DIM / 2 * np.log(2 * np.pi) - log_det
  found = jax.jit(flow.apply)(
    {'params': model.params}, text, draw(z)[None, None]
  )
  np.testing.assert_allclose(found[0, 0], expected, rtol=1e-4)


def test_draws_depend_on_prompt_and_seed_alone(model):
  rng = np.random.default_rng(0)
  text = rng.standard_normal((300, DIM)).astype(np.float16)
  column_seeds = seeds.derive(0, np.arange(300))
  whole = draws.draw(model, text, column_seeds, 3)
  assert whole.dtype == np.float16 and whole.shape == (300, 3, DIM)
  np.testing.assert_allclose(
    np.linalg.norm(whole.astype(float), axis=-1), 1, atol=2e-3
  )
  rows = np.array([299, 7, 7])
  part = draws.draw(model, text[rows], column_seeds[rows], 3)
  np.testing.assert_array_equal(part, whole[rows])
  # Images of one prompt differ, and so do those of other seeds.
  assert (whole[:, 1:] != whole[:, :-1]).any(-1).all()
  other = draws.draw(model, text, column_seeds + np.uint64(1), 3)
  assert (other != whole).any(-1).all()


def _world(num, seed):
  """A known one: prompts set the mean and how open the last part is.

  Where text[1] is high, images lie on either of two humps.
  """
  rng = np.random.default_rng(seed)
  text = np.c_[
    rng.uniform(-1, 1, num), rng.choice([-1.0, 1.0], num), np.zeros((num, 2))
  ]
  side = rng.choice([-1.0, 1.0], (num, 4))
  image = np.stack(
    [
      np.full((num, 4), 1.0),
      0.5 * text[:, :1] + 0.05 * rng.standard_normal((num, 4)),
      0.3 * side * (text[:, 1:2] > 0) + 0.05 * rng.standard_normal((num, 4)),
      0.05 * rng.standard_normal((num, 4)),
    ],
    -1,
  )
  image /= np.linalg.norm(image, axis=-1, keepdims=True)
  return text.astype(np.float16), image.astype(np.float16)


def _config(**changes):
  config = config_lib.get_config('smoke')
  config.num_steps, config.steps_per_call = 600, 100
  config.hidden_dim = config.trunk_dim = 32
  config.num_couplings, config.blur, config.learning_rate = 4, 0.05, 5e-3
  config.update(changes)
  return config


def test_a_known_model_of_features_is_recovered(tmp_path):
  training, held_out = _world(2000, 0), _world(200, 1)
  config = _config()
  model, metrics = train_surrogate.fit(
    training,
    held_out,
    config,
    key=jax.random.key(0),
    directory=str(tmp_path),
  )
  assert metrics['best_step'] > 100
  text, image = _world(200, 2)
  drawn = draws.draw(model, text, seeds.derive(0, np.arange(200)), 64).astype(
    float
  )
  # The mean follows the prompt: its true slope is that of the renders.
  truth = image[..., 1].astype(float).mean(1)
  assert np.corrcoef(drawn[..., 1].mean(1), truth)[0, 1] > 0.95
  # Spread is the prompt's, too: ± 0.3 where it is open, noise where not.
  is_open = text[:, 1] > 0
  hump = np.abs(image[is_open][..., 2].astype(float)).mean()
  found = drawn[is_open][..., 2]
  assert np.abs(found).mean() == pytest.approx(hump, rel=0.15)
  assert drawn[~is_open][..., 2].std() < 0.12
  # Two humps and little between them, where a Gaussian has most.
  assert np.mean(np.abs(found) < 0.4 * hump) < 0.2
  assert 0.3 < np.mean(found > 0) < 0.7
  data = text, image
  key = jax.random.key(1)
  gaussian = likelihood.gaussian_log_likelihood(
    training, data, model.constants, config.blur
  )
  assert (
    likelihood.log_likelihood(model, data, config.blur, key) > gaussian + 0.5
  )


def test_a_gaussian_has_the_density_of_one():
  # Text says nothing and images are normal with variance 1 / 4: with the blur
  # of 0.5 that makes 1 / 2 a part, and E log p = −D / 2 · (1 + log(2π / 2)).
  rng = np.random.default_rng(0)
  data = [
    (rng.standard_normal((n, DIM)), 0.5 * rng.standard_normal((n, 2, DIM)))
    for n in (20000, 5000)
  ]
  constants = {
    'text_mean': np.zeros(DIM),
    'text_std': np.ones(DIM),
    'image_mean': np.zeros(DIM),
    'image_whiten': np.eye(DIM),
  }
  found = likelihood.gaussian_log_likelihood(*data, constants, 0.5)
  expected = -DIM / 2 * (1 + np.log(np.pi))
  assert found == pytest.approx(expected, abs=0.03)


def test_a_restarted_fit_is_the_same(tmp_path, monkeypatch):
  training, held_out = _world(200, 0), _world(50, 1)
  config = _config(num_steps=40, steps_per_call=10, checkpoint_steps=20)
  config.num_couplings = 1

  def fit(name):
    return train_surrogate.fit(
      training,
      held_out,
      config,
      key=jax.random.key(0),
      directory=str(tmp_path / name),
    )

  whole, _ = fit('whole')
  judge, calls = likelihood.log_likelihood, []

  def killed(*args):
    calls.append(0)
    if len(calls) == 4:
      raise KeyboardInterrupt
    return judge(*args)

  monkeypatch.setattr(likelihood, 'log_likelihood', killed)
  with pytest.raises(KeyboardInterrupt):
    fit('parts')
  calls.clear()
  parts, _ = fit('parts')
  assert len(calls) == 2  # from step 20 on
  jax.tree.map(np.testing.assert_array_equal, whole.params, parts.params)
  steps = [
    line['step']
    for line in map(json.loads, open(tmp_path / 'parts' / 'metrics.jsonl'))
  ]
  assert steps == [10, 20, 30, 40]


def test_agreement_is_one_with_itself_and_chance_with_strangers():
  rng = np.random.default_rng(0)
  text = rng.standard_normal((400, 4, DIM))
  image, other = (rng.standard_normal((400, 4, 2, DIM)) for _ in range(2))
  settings = heads.HeadSettings(num_types=2, embedding_dim=DIM, trunk_dim=0)
  flat = text.reshape(-1, DIM), image.reshape(-1, 2, DIM)
  user_model = heads.init_model(jax.random.key(0), settings, [flat])
  types = user_model.heads['types']
  tastes = jnp.asarray([[2.0, 0, 0, 0], [0, 2.0, 0, 0]])
  user_model = user_model.replace(
    heads={**user_model.heads, 'types': {**types, 'taste': tastes}}
  )
  same = fidelity.compare(user_model, text, image, image)
  assert same['choice_agreement'] == same['mixture_agreement'] == 1
  assert same['utility_correlation'] == pytest.approx(1, abs=1e-4)
  assert same['utility_shift'] == 0 and same['utility_spread'] == 1
  apart = fidelity.compare(user_model, text, image, other)
  # They share the prompts, whose cosine is a small part of the utility.
  assert apart['choice_agreement'] == pytest.approx(0.25, abs=0.1)
  assert abs(apart['utility_correlation']) < 0.2
  # Twice as far from the mean of 0: twice the spread, in what tastes see.
  wide = fidelity.compare(user_model, 0 * text, image, 2 * image)
  assert wide['utility_spread'] == pytest.approx(2, rel=0.1)


def test_what_a_mean_explains():
  # Rows ± 1 around prompts' means ± 2: total 5, within 1.
  image = np.array([[[3.0], [1.0]], [[-3.0], [-1.0]]])
  exact = np.array([[[2.0]], [[-2.0]]])
  found = fidelity.explained(image, exact)
  assert found['mean_r2'] == pytest.approx(1 - 1 / 5)
  # The unbiased within-prompt variance of two is 2.
  assert found['mean_r2_ceiling'] == pytest.approx(1 - 2 / 5)
  assert set(fidelity.explained(image[:, :1], exact)) == {'mean_r2'}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A working directory with all that the stage reads, and its config."""
  directory = str(tmp_path_factory.mktemp('surrogate'))
  config = quickstart.get_config('smoke')
  config.world.t2i.num_workers = 0
  config.sizes.num_turns, config.sizes.images_per_prompt = 2, 2
  config.collect.num_people, config.collect.sessions_per_person = 6, 1
  config.simulate.num_sessions = 4
  with stage.Worlds() as worlds:
    collect.run(config.collect, directory, worlds)
    extract_features.run(config.extract_features, directory, worlds)
    features = features_lib.load_dir(os.path.join(directory, 'features'))
    _save_user_model(features, os.path.join(directory, 'user_model'))
    yield directory, config, worlds


def _save_user_model(features, directory):
  """Stands in for the stage that fits one."""
  settings = heads.HeadSettings(
    num_types=2, embedding_dim=features.initial_text.shape[1], trunk_dim=0
  )
  columns = columns_lib.columns(features)
  made = heads.init_model(jax.random.key(0), settings, [columns])
  tastes = jax.random.normal(
    jax.random.key(1), made.heads['types']['taste'].shape
  )
  made = made.replace(
    heads={**made.heads, 'types': {**made.heads['types'], 'taste': tastes}}
  )
  with workdir.open_stage('train_user_model', directory, {}, ()):
    saved.save(directory, made, {'encoder_id': features.encoder_id})


def test_the_stage_and_a_simulation_that_renders_nothing(run, capsys):
  directory, config, worlds = run
  world = worlds(config.world)
  train_surrogate.run(config.train_surrogate, directory, worlds)
  assert 'rendered again |' in capsys.readouterr().out
  done = workdir.read_done(
    os.path.join(directory, 'surrogate'), 'train_surrogate'
  )
  info = done['info']
  assert info['num_columns'] == 4 * 2 * 4  # of four people
  assert info['mean_r2'] < 1 and info['mean_r2_ceiling'] < 1
  assert -1 <= info['utility_correlation'] < 1
  assert -1 < info['ceiling_utility_correlation'] < 1
  lines = open(os.path.join(directory, 'surrogate', 'metrics.jsonl'))
  last = json.loads(lines.read().splitlines()[-1])
  assert last['test/choice_agreement'] == info['choice_agreement']

  config.simulate.surrogate = 'surrogate'
  before = world.num_images_made
  assert before > 0
  simulate.run(config.simulate, directory, worlds)
  assert world.num_images_made == before
  simulated = os.path.join(directory, 'simulated')
  expected = f'surrogate:{done["fingerprint"]}(sketch@64/v1)'
  features = features_lib.load_dir(simulated)
  assert features.t2i_id == expected
  records = list(sessions_lib.read_dir(simulated))
  assert {r.t2i_id for r in records} == {expected}
  assert len(features) == len(records) == 4
  # The next stages can tell what a mixture is of.
  human = features_lib.load_dir(os.path.join(directory, 'features'))
  assert features_lib.concatenate([human, features]).t2i_id == (
    f'sketch@64/v1 + {expected}'
  )
  # What policies truly bring to simulated people, they bring in their world.
  settings = off_policy_config.get_config('smoke')
  settings.num_truth_sessions = 2
  truth.run_targets(
    settings,
    simulated,
    os.path.join(directory, 'truth'),
    {'lmm': policies.build(common.policy('lmm'), num_columns=4)},
    saved.load(os.path.join(directory, 'user_model')),
    {r.session_id: r for r in records},
  )
  played = sessions_lib.read_dir(
    os.path.join(directory, 'truth', 'sessions', 'lmm')
  )
  assert [s.t2i_id for s in played] == 2 * [expected]


def test_what_cannot_be_is_refused(run, tmp_path, model):
  directory, config, worlds = run
  with pytest.raises(errors.PastaError, match='nowhere.*has not finished'):
    missing = config.simulate.copy_and_resolve_references()
    missing.surrogate = 'nowhere'
    simulate.run(missing, str(directory), worlds)
  info = {'encoder_id': 'clip@1', 't2i_id': 'sketch@64/v1'}
  saved_surrogates.save(str(tmp_path), model, info)
  loaded = saved_surrogates.load(str(tmp_path), **info)
  jax.tree.map(np.testing.assert_array_equal, loaded, model)
  with pytest.raises(errors.PastaError, match='encoder clip@1, not for'):
    saved_surrogates.load(str(tmp_path), 'clip@2', 'sketch@64/v1')
  with pytest.raises(errors.PastaError, match='sketch@64/v1 as seen by'):
    saved_surrogates.load(str(tmp_path), 'clip@1', 'sketch:ink@64/v1')
  with pytest.raises(errors.PastaError, match='no surrogate there'):
    saved_surrogates.load(str(tmp_path / 'nowhere'), **info)
  with pytest.raises(errors.PastaError, match='lacks t2i_id'):
    saved_surrogates.save(str(tmp_path), model, {'encoder_id': 'clip@1'})
  with pytest.raises(errors.PastaError, match='embedding_dim is 1'):
    dataclasses.replace(model.settings, embedding_dim=1)
  human = features_lib.load_dir(os.path.join(directory, 'features'))
  with pytest.raises(errors.PastaError, match='nobody is left to learn'):
    columns_lib.split(human, 0.5, 0.5, jax.random.key(0))
  parts = columns_lib.split(human, 0.2, 0.4, jax.random.key(0))
  people = [
    set(getattr(parts, f.name).user_id) for f in dataclasses.fields(parts)
  ]
  assert [len(p) for p in people] == [3, 1, 2]
  assert len(set.union(*people)) == 6
