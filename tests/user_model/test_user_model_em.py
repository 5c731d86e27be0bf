"""Mini-batch EM: the step, its invariances, and planted types."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import train_user_model as train_config
from pasta.user_model import em, evidence, feeding, heads, packing, sources


def get_config(**changes):
  config = train_config.get_config('smoke')
  config.update(changes)
  return config


def make_state(data, config):
  columns = sources.columns(data, 10_000)
  settings = heads.HeadSettings(
    config.num_types, columns[0].shape[-1], config.rank, config.trunk_dim
  )

  @jax.jit
  def init(model_key, key):
    model = heads.init_model(model_key, settings, [columns], text_hidden_dim=8)
    return em.init(key, model, {'sessions': data.num_users}, 6.0, config)

  return init(jax.random.key(0), jax.random.key(1))


def leaves_close(a, b, atol):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=atol),
    em.trainable(a.model),
    em.trainable(b.model),
  )
  np.testing.assert_allclose(a.model.log_prior, b.model.log_prior, atol=atol)


@pytest.fixture(scope='module')
def data(small_features):
  """16 people of one session with 3 turns each."""
  return sources.from_sessions(small_features).select(np.arange(16))


def batch(data):
  return {'sessions': data.side_by_side(np.arange(data.num_users))}


def run_on(state, batches, config, num_steps):
  step = jax.jit(functools.partial(em.update, config=config))
  for _ in range(num_steps):
    state, metrics = step(state, batches)
  return state, metrics


def run(state, data, config, num_steps):
  return run_on(state, batch(data), config, num_steps)


def test_a_step_leaves_the_types_that_it_found(data):
  # Else the next step would be compiled again.
  start = make_state(data, get_config())
  after, _ = run(start, data, get_config(), 1)
  for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(after)):
    assert jax.typeof(a) == jax.typeof(b)


def test_scan_equals_loop(data):
  config = get_config()
  packer = packing.Packer(
    data.first,
    data.user,
    jax.random.key(5),
    max_observations=64,
    batch_users=5,
    batch_observations=14,
  )
  plans = [packer(step) for step in range(4)]
  whole = data.read(np.arange(data.num_observations))
  update = functools.partial(em.update, config=config)
  scanned, metrics = jax.jit(functools.partial(feeding.update_many, update))(
    make_state(data, config),
    {'sessions': whole},
    {'sessions': jax.tree.map(lambda *x: np.stack(x), *plans)},
  )
  looped = make_state(data, config)
  step = jax.jit(update)
  for i, plan in enumerate(plans):
    looped, row_metrics = step(looped, {'sessions': data.batch(plan)})
    np.testing.assert_allclose(
      metrics['loss'][i], row_metrics['loss'], atol=1e-5
    )
  leaves_close(scanned, looped, 1e-5)
  assert int(scanned.step) == 4


def test_eight_devices_equal_one(small_features):
  # People of 3 to 1 observations: devices get unequal numbers of them.
  few = small_features.select(np.arange(16))
  there = (np.arange(16) % 3)[:, None] >= np.arange(3)
  data = sources.from_sessions(
    dataclasses.replace(few, choice=np.where(there, few.choice, np.int8(-1)))
  )
  config = get_config(num_types=3)
  config.sources.sessions.update(batch_users=10, batch_observations=25)
  runs = []
  for num_devices in (1, 8):
    config.num_devices = num_devices
    feeder = feeding.Feeder(
      {'sessions': data}, config, jax.random.key(2), em.update
    )
    runs.append(feeder.run(make_state(data, config), 4))
  (one, one_metrics), (many, many_metrics) = runs
  leaves_close(one, many, 1e-5)
  for name, value in one_metrics.items():
    np.testing.assert_allclose(many_metrics[name], value, rtol=1e-4, atol=1e-5)


def test_padding_does_not_matter(data):
  config = get_config()
  # One place more for everybody, and three people more, who say nothing.
  wide = dataclasses.replace(data, num_places=4)
  padded = wide.side_by_side(np.arange(19) % 16)
  weight = np.where(padded.group < 16, padded.weight, 0.0).astype(np.float32)
  feedback = dict(padded.feedback)
  feedback['satisfaction'] = np.where(
    weight > 0, feedback['satisfaction'], np.nan
  )
  feedback['choice'] = np.where(weight > 0, feedback['choice'], 77)
  padded = padded.replace(weight=weight, feedback=feedback)
  assert weight.sum() == 16 * 3 and weight.shape == (19 * 4,)
  start = make_state(data, config)
  plain, metrics = run(start, data, config, 2)
  other, other_metrics = run_on(start, {'sessions': padded}, config, 2)
  leaves_close(plain, other, 1e-6)
  np.testing.assert_allclose(other_metrics['loss'], metrics['loss'], rtol=1e-5)


def test_posterior_step_has_the_gradient_of_the_marginal(data):
  # At temperature 1 the expected gradient is that of log Σ_k η_k exp ℓ_u(k)
  # (Fisher's identity), here by automatic differentiation.
  config = get_config(
    shared_steps=0, start_steps=0, start_temperature=1.0, max_grad_norm=1e9
  )
  state = make_state(data, config)
  rng = np.random.default_rng(0)
  model = state.model.replace(
    heads=jax.tree.map(
      lambda x: x + np.asarray(0.3 * rng.normal(size=x.shape), np.float32),
      state.model.heads,
    )
  )

  def objective(params):
    found = evidence.log_likelihoods(
      model.replace(**params), batch(data)['sessions']
    )
    per_type = evidence.weigh(found, config)
    marginal = jax.nn.logsumexp(model.log_prior + per_type, -1).mean()
    return marginal + em.log_map_prior(
      model.scorer, params, state.num_users, config
    )

  value, gradient = jax.jit(jax.value_and_grad(objective))(em.trainable(model))
  norm = np.sqrt(
    sum(np.sum(g**2) for g in map(np.asarray, jax.tree.leaves(gradient)))
  )
  _, metrics = run(state.replace(model=model), data, config, 1)
  np.testing.assert_allclose(metrics['grad_norm'], norm, rtol=1e-4)
  np.testing.assert_allclose(metrics['objective'], value, rtol=1e-5)


def test_zero_weight_leaves_a_kind_of_feedback_out(data):
  config = get_config()
  config.feedback_weights.update(satisfaction=0.0, comparison=0.0)
  start = make_state(data, config)
  feedback = data.feedback
  other = dataclasses.replace(
    data,
    feedback={
      'choice': feedback['choice'],
      'satisfaction': 1.0 - feedback['satisfaction'],
      'comparison': -feedback['comparison'],
    },
  )
  step = jax.jit(functools.partial(em.update, config=config))
  one = two = start
  for _ in range(2):
    one, two = step(one, batch(data))[0], step(two, batch(other))[0]
  leaves_close(one, two, 1e-7)


def test_prior_sums_to_one_and_pseudo_counts_keep_types_alive(data):
  config = get_config(num_types=5, pseudo_count=2.0, min_share_rate=1.0)
  state, metrics = run(make_state(data, config), data, config, 15)
  prior = np.exp(state.model.log_prior)
  np.testing.assert_allclose(prior.sum(), 1.0, rtol=1e-5)
  assert prior.min() >= 2.0 / (16 + 5 * 2.0) - 1e-6
  assert 1.0 <= metrics['effective_types'] <= 5.0


@pytest.mark.parametrize('num_types,num_users', [(1, 16), (3, 1)])
def test_one_type_and_one_user(data, num_types, num_users):
  config = get_config(num_types=num_types)
  few = data.select(np.arange(num_users))
  state, objectives = make_state(few, config), []
  step = jax.jit(functools.partial(em.update, config=config))
  for _ in range(40):
    state, metrics = step(state, batch(few))
    objectives.append(metrics['objective'])
  assert np.isfinite(metrics['loss'])
  assert objectives[-1] > objectives[0]
  if num_types == 1:
    np.testing.assert_allclose(state.model.log_prior, 0.0, atol=1e-6)


def test_start_responsibilities_depend_on_the_person_alone(data):
  state = make_state(data, get_config(num_types=4))
  users = np.arange(6)
  responsibilities = jax.jit(em.start_responsibilities)
  found = responsibilities(state, users, 3.0)
  np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-5)
  np.testing.assert_allclose(
    responsibilities(state, users[::-1], 3.0)[::-1], found
  )
  np.testing.assert_allclose(
    responsibilities(state, users, 0.0), 0.25, rtol=1e-6
  )


def test_an_encoder_moves_at_a_rate_of_its_own():
  config = get_config(
    learning_rate=0.1, encoder_learning_rate=0.001, warmup_steps=0
  )
  params = {'heads': {'clip': {'w': jnp.ones(3)}, 'taste': jnp.ones(3)}}
  optimizer = em.optimizer(config)
  updates = jax.jit(lambda p: optimizer.update(p, optimizer.init(p), p)[0])(
    params
  )
  np.testing.assert_allclose(
    updates['heads']['clip']['w'], 0.01 * updates['heads']['taste'], rtol=1e-5
  )
  assert float(updates['heads']['taste'][0]) < 0
