import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pasta import errors, parallel

_TX = optax.adam(0.1)


def _init():
  params = {'w': jnp.ones((3,)), 'b': jnp.zeros(())}
  return params, _TX.init(params)


def _step(state, batch, key, *, axis_name=None):
  params, opt_state = state

  def loss(params):
    error = batch['x'] @ params['w'] + params['b'] - batch['y']  # [B]
    return jnp.mean(error**2)

  value, gradient = jax.value_and_grad(loss)(params)
  # The mean of means: devices hold equally many examples.
  value, gradient = jax.tree.map(
    lambda x: parallel.total(x, axis_name) / parallel.total(1, axis_name),
    (value, gradient),
  )
  updates, opt_state = _TX.update(gradient, opt_state, params)
  metrics = {
    'loss': value,
    'count': parallel.total(batch['y'].shape[0], axis_name),
    'draw': jax.random.normal(key),
  }
  return (optax.apply_updates(params, updates), opt_state), metrics


def _batches():
  rng = np.random.default_rng(0)
  for _ in range(3):
    x = rng.normal(size=(16, 3)).astype(np.float32)
    yield {'x': x, 'y': x @ np.float32([1, -2, 3]) + 1}


def _train(num_devices):
  update = parallel.pmap_update(_step, num_devices=num_devices)
  state = _init()
  for i, batch in enumerate(_batches()):
    key = jax.random.fold_in(jax.random.key(0), i)
    state, metrics = update(state, parallel.shard(batch, num_devices), key)
  return state, metrics


def test_one_and_eight_devices_give_the_numbers_of_the_plain_step():
  state = _init()
  for i, batch in enumerate(_batches()):
    key = jax.random.fold_in(jax.random.key(0), i)
    state, metrics = _step(state, batch, key)
  for num_devices in (1, 8):
    got_state, got_metrics = _train(num_devices)
    assert got_metrics['count'] == 16
    for a, b in zip(
      jax.tree.leaves((state, metrics)),
      jax.tree.leaves((got_state, got_metrics)),
      strict=True,
    ):
      assert np.shape(a) == np.shape(b)  # no device axis
      np.testing.assert_allclose(a, b, rtol=1e-5)


def test_the_state_is_donated():
  update = parallel.pmap_update(_step, num_devices=8)
  state = _init()
  batch = parallel.shard(next(_batches()), 8)
  state, _ = update(state, batch, jax.random.key(0))
  update(state, batch, jax.random.key(1))
  with pytest.raises(RuntimeError, match='deleted'):
    state[0]['w'].block_until_ready()


def test_the_identity_without_an_axis():
  x = {'a': jnp.arange(3.0)}
  assert parallel.total(x, None) is x


def test_the_total_over_devices():
  total = jax.pmap(lambda x: parallel.total(x, 'i'), axis_name='i')
  assert set(np.asarray(total(jnp.arange(8.0)))) == {28.0}


def test_shard():
  batch = {'x': np.arange(12).reshape(6, 2), 'y': np.arange(6)}
  cut = parallel.shard(batch, 3)
  assert cut['x'].shape == (3, 2, 2)
  assert cut['y'].tolist() == [[0, 1], [2, 3], [4, 5]]
  with pytest.raises(ValueError, match=r"batch\['x'\] has shape \(6, 2\).* 4"):
    parallel.shard(batch, 4)
  with pytest.raises(ValueError, match=r"batch\['z'\] has shape \(\)"):
    parallel.shard({'z': np.float32(1)}, 1)


def test_num_devices_is_checked():
  with pytest.raises(ValueError, match='num_devices is 9, expected 1 to 8'):
    parallel.pmap_update(_step, num_devices=9)


def test_local_batch_size():
  assert parallel.local_batch_size(16, field='batch_size') == 16
  for bad in (12, 0):
    with pytest.raises(
      errors.PastaError, match=f"'batch_size' is {bad}, .* devices, 8"
    ):
      parallel.local_batch_size(bad, field='batch_size')
