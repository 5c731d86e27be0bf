import functools

import chex
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from pasta import errors, parallel
from pasta.agent import critics, iql, networks
from pasta.agent.episodes import Episodes

_jitted_update = jax.jit(iql.update, static_argnames='config')
_inputs = jax.jit(critics.network_inputs, static_argnums=2)
_batch_index = jax.jit(iql.batch_index, static_argnums=(2, 3, 4))


def _update(state, batch, config):
  frozen = ml_collections.FrozenConfigDict(config)
  return jax.device_get(_jitted_update(state, batch, config=frozen))


class ByHandTest(chex.TestCase):
  """The loss, compiled and not."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_expectile_loss_by_hand(self):
    # |0.9 − 1(u<0)| u²: 0.9 · 4, 0.1 · 9, 0.
    loss = self.variant(iql.expectile_loss)(jnp.array([2.0, -3.0, 0.0]), 0.9)
    np.testing.assert_allclose(loss, [3.6, 0.9, 0.0], rtol=1e-6)


def test_expectile_of_known_samples():
  # Of {0, 1} the α-expectile is α: α (1 − v) = (1 − α) v.
  samples = jnp.array([0.0, 1.0])
  gradient = jax.grad(lambda v: iql.expectile_loss(samples - v, 0.7).sum())
  assert float(gradient(0.7)) == pytest.approx(0.0, abs=1e-6)
  assert float(gradient(0.6)) < 0 < float(gradient(0.8))


@pytest.mark.parametrize('credit_name', ['mean', 'choice'])
def test_update_is_the_documented_one(
  credit_name, make_episodes, value_config, init_state
):
  """Redoes one update by hand, with losses written from the docstring."""
  c = value_config
  c.credit, c.weight_decay, c.learning_rate = credit_name, 0.0, 1e-2
  c.discount, c.expectile, c.target_rate = 0.9, 0.8, 0.25
  batch = make_episodes(8, full=False)
  state = init_state(c, batch)
  state = state.replace(  # Targets that differ from the online parameters.
    target_params=jax.tree.map(
      lambda x: 1.5 * x + 0.1, jax.device_get(state.params['q'])
    )
  )
  new, metrics = _update(state, batch, c)
  states, items = _inputs(batch, state.constants, state.settings)
  scale, valid = state.constants.return_scale, np.asarray(batch.valid)
  f_of = jax.jit(
    lambda p: networks.Critic(state.settings).apply(
      {'params': p}, state.constants, states, items
    )
  )
  v_of = jax.jit(
    lambda p: networks.Value(state.settings).apply(
      {'params': p}, state.constants, states
    )
  )

  f = np.asarray(f_of(state.target_params))
  weight = np.exp(batch.log_choice) if credit_name == 'choice' else 1 / 3
  best = np.minimum(*(f * weight).sum(-1))

  def v_loss(params):
    u = (best - v_of(params)) / scale
    return (jnp.abs(c.expectile - (u < 0)) * u**2)[valid].mean()

  new_v = np.asarray(v_of(new.params['v']))
  target = np.array(batch.reward)
  length = valid.sum(1)
  for b in range(8):
    for t in range(length[b] - 1):  # The last valid turn never bootstraps.
      target[b, t] += c.discount * new_v[b, t + 1]

  def q_loss(params):
    f = f_of(params)
    if credit_name == 'mean':
      q = f.mean(-1)
    else:
      at = jnp.maximum(batch.choice, 0)[None, ..., None]
      q = jnp.take_along_axis(f, jnp.broadcast_to(at, (2, 8, 4, 1)), -1)[..., 0]
    return (((target - q) / scale) ** 2).sum(0)[valid].mean()

  for name, loss in (('v', v_loss), ('q', q_loss)):
    value, gradient = jax.device_get(
      jax.jit(jax.value_and_grad(loss))(state.params[name])
    )
    assert float(metrics[f'train/loss_{name}']) == pytest.approx(
      float(value), rel=1e-4
    )
    norm = sum((x**2).sum() for x in jax.tree.leaves(gradient)) ** 0.5
    assert float(metrics[f'train/{name}_gradient_norm']) == pytest.approx(
      float(norm), rel=1e-3
    )
  jax.tree.map(
    lambda t, old, q: np.testing.assert_allclose(
      t, 0.75 * old + 0.25 * q, rtol=1e-4, atol=1e-6
    ),
    new.target_params,
    state.target_params,
    new.params['q'],
  )


@pytest.mark.parametrize('credit_name', ['choice', 'slate'])
def test_networks_share_what_they_read(
  credit_name, make_episodes, value_config, init_state, monkeypatch
):
  """One update makes its inputs once; the numbers are those without sharing."""
  c = value_config
  c.credit, c.learning_rate, c.warmup_steps = credit_name, 1e-2, 0
  batch = make_episodes(8, full=False)
  state = init_state(c, batch)
  make, made = critics.network_inputs, []

  def counted(*args):
    made.append(args)
    return make(*args)

  def run():
    made.clear()
    update = jax.jit(functools.partial(iql.update, config=c))
    new, metrics = update(state, batch)
    return len(made), (new.params, new.target_params, metrics)

  monkeypatch.setattr(critics, 'network_inputs', counted)
  num, shared = run()
  assert num == 1
  for name in ('shown_values', 'state_values'):
    function = getattr(critics, name)
    monkeypatch.setattr(
      critics, name, lambda *args, function=function: function(*args[:5])
    )
  num, alone = run()
  assert num == 5  # The update's own, and of each of four passes.
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    shared,
    alone,
  )


@pytest.mark.parametrize('backup', ['sarsa', 'monte_carlo'])
def test_rivals_regress_on_their_own_targets(
  make_episodes, value_config, init_state, backup
):
  c = value_config
  c.backup, c.discount = backup, 0.9
  batch = make_episodes(8, full=False)
  state = init_state(c, batch)
  states, items = _inputs(batch, state.constants, state.settings)
  f = jax.jit(networks.Critic(state.settings).apply)(
    {'params': state.target_params}, state.constants, states, items
  )
  q = np.asarray(f).mean(-1).min(0)
  target = np.zeros(batch.reward.shape)
  for b, length in enumerate(np.asarray(batch.valid).sum(1)):
    for t in reversed(range(length)):
      target[b, t] = batch.reward[b, t]
      if t + 1 < length:
        later = q[b, t + 1] if backup == 'sarsa' else target[b, t + 1]
        target[b, t] += 0.9 * later
  _, metrics = _update(state, batch, c)
  assert float(metrics['train/target_mean']) == pytest.approx(
    target[np.asarray(batch.valid)].mean(), rel=1e-4
  )
  v = jax.jit(networks.Value(state.settings).apply)(
    {'params': state.params['v']}, state.constants, states
  )
  error = (q - np.asarray(v))[np.asarray(batch.valid)]
  scale = float(state.constants.return_scale)
  assert float(metrics['train/loss_v']) == pytest.approx(
    0.5 * np.mean((error / scale) ** 2), rel=1e-3
  )


def test_an_unknown_backup_is_named(make_episodes, value_config, init_state):
  value_config.backup = 'td3'
  with pytest.raises(errors.PastaError, match="'backup' is 'td3'"):
    init_state(value_config, make_episodes(4))


def test_what_must_not_matter(make_episodes, value_config, init_state):
  """Entries after a session's end; with mean credit, order in a slate."""
  batch = make_episodes(8, full=False)
  state = init_state(value_config, batch)
  expected_state, expected_metrics = _update(state, batch, value_config)

  invalid = ~batch.valid
  junk = batch.replace(
    reward=np.where(invalid, 100.0, batch.reward),
    slate_text=np.where(invalid[..., None, None], 3.0, batch.slate_text),
    slate_utility=np.where(invalid[..., None, None], 3.0, batch.slate_utility),
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    _update(state, junk, value_config)[0].params,
    expected_state.params,
  )

  order = np.array([2, 0, 1])
  fields = ('text', 'image', 'category', 'utility')
  columns = [f'slate_{name}' for name in fields] + ['log_choice']
  permuted = batch.replace(
    **{name: getattr(batch, name)[:, :, order] for name in columns},
    choice=np.where(
      batch.choice < 0, -1, np.argsort(order)[batch.choice]
    ).astype(np.int32),
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    _update(state, permuted, value_config)[1],
    expected_metrics,
  )


def test_scan_equals_loop(make_episodes, value_config, init_state):
  episodes = make_episodes(20, full=False)
  state = init_state(value_config, episodes)
  key = jax.random.key(1)
  index = np.asarray(_batch_index(key, 3, 4, 8, 20))
  assert index.shape == (8, 4)
  # Batches depend on the update's number alone.
  np.testing.assert_array_equal(
    _batch_index(key, 5, 1, 8, 20)[:, 0], index[:, 2]
  )
  scanned, metrics = jax.device_get(
    jax.jit(functools.partial(iql.update_many, config=value_config))(
      state, index, jax.tree.map(jnp.asarray, episodes)
    )
  )
  moved = jax.tree.map(
    lambda x, y: np.sum((x - y) ** 2),
    scanned.params['v'],
    jax.device_get(state.params['v']),
  )
  assert float(metrics['train/v_update_norm']) == pytest.approx(
    sum(jax.tree.leaves(moved)) ** 0.5, rel=1e-5
  )
  losses = []
  for i in range(4):
    batch = jax.tree.map(lambda x, i=i: x[index[:, i]], episodes)
    state, looped = _update(state, batch, value_config)
    losses.append(looped['train/loss_q'])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    scanned.params,
    state.params,
  )
  assert int(scanned.step) == 4
  assert float(metrics['train/loss_q']) == pytest.approx(
    float(np.mean(losses)), rel=1e-4
  )


def test_eight_devices_equal_one(make_episodes, value_config, init_state):
  episodes = make_episodes(20, full=False)
  # Adam divides by the gradient's size: a bias that is 0 up to rounding on
  # one device would be ± one step on the other.
  value_config.learning_rate = 1e-4
  state = init_state(value_config, episodes)
  index = _batch_index(jax.random.key(1), 0, 3, 16, 20)
  update = functools.partial(iql.update_many, config=value_config)
  episodes = jax.tree.map(jnp.asarray, episodes)
  one, one_metrics = jax.jit(update)(state, index, episodes)
  many, many_metrics = parallel.pmap_update(update)(
    jax.tree.map(jnp.copy, state), parallel.shard(index, 8), episodes
  )

  def close(a, b):
    return np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)

  jax.tree.map(close, one.params, many.params)
  jax.tree.map(close, one.target_params, many.target_params)
  for name in ('train/loss_v', 'train/loss_q', 'train/v_max', 'train/q_min'):
    close(one_metrics[name], many_metrics[name])


def _two_turn_mdp(num):
  """Turn 0: one action, and a coin decides which image is seen. Turn 1: after
  heads the reward is 1 or 0.5, after tails 0.5 or 0, by the action.
  """
  heads = np.arange(num) % 2
  good = (np.arange(num) // 2) % 2
  shape = (num, 2, 1)
  text = np.zeros((*shape, 2), np.float32)
  text[:, 1, 0, 0] = 2 * good - 1
  image = np.zeros((*shape, 2), np.float32)
  image[:, 0, 0, 1] = 2 * heads - 1
  reward = np.zeros((num, 2), np.float32)
  reward[:, 1] = 0.5 * heads + 0.5 * good
  return Episodes(
    initial_text=np.zeros((num, 2), np.float32),
    slate_text=text,
    slate_image=image,
    slate_category=np.zeros(shape, np.int32),
    slate_utility=np.zeros((*shape, 1), np.float32),
    log_choice=np.zeros(shape, np.float32),
    log_belief=np.zeros((num, 2, 1), np.float32),
    prompt_utility=np.zeros((num, 2, 1), np.float32),
    choice=np.zeros((num, 2), np.int32),
    reward=reward,
    valid=np.ones((num, 2), bool),
    expected=np.zeros(shape, np.float32),
    choice_log_scale=np.zeros(num, np.float32),
  )


def test_the_expectile_is_over_actions_and_not_over_next_states(
  value_config, init_state
):
  c = value_config
  c.expectile, c.discount, c.target_rate = 0.9, 1.0, 0.05
  c.learning_rate, c.weight_decay, c.num_steps = 1e-2, 0.0, 600
  c.num_categories = 1
  episodes = jax.tree.map(jnp.asarray, _two_turn_mdp(4))
  state = init_state(c, episodes)
  index = np.tile(np.arange(4)[:, None], (1, c.num_steps))
  state, _ = jax.jit(functools.partial(iql.update_many, config=c))(
    state, index, episodes
  )
  v = jax.jit(
    lambda e: critics.state_values(
      state.params['v'], e, state.constants, state.settings
    )
  )(episodes)
  v = np.asarray(v)
  # V_τ of turn 1: the 0.9-expectile of {0.5, 1} and of {0, 0.5}: 0.95, 0.45.
  np.testing.assert_allclose(v[1::2, 1], 0.95, atol=0.02)
  np.testing.assert_allclose(v[0::2, 1], 0.45, atol=0.02)
  # Turn 0 has one action, so its V_τ is the mean of the two, 0.7. An
  # expectile over sampled next states would give 0.9.
  np.testing.assert_allclose(v[:, 0], 0.7, atol=0.02)
