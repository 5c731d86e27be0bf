import os
import shutil
import subprocess
import sys

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pasta import checkpoint, errors, parallel


@flax.struct.dataclass
class State:
  step: jax.Array
  params: dict
  opt_state: optax.OptState
  key: jax.Array
  empty: jax.Array
  name: str = flax.struct.field(pytree_node=False, default='x')


def _init(key, width=3, dtype=jnp.float32):
  params = {
    'dense': {
      'kernel': jax.random.normal(key, (2, width)).astype(dtype),
      'bias': jnp.zeros(width, jnp.bfloat16),
    },
    'flags': [jnp.array([True, False])],
  }
  return State(
    step=jnp.asarray(7, jnp.int32),
    params=params,
    opt_state=optax.adam(1e-3).init(params['dense']),
    key=jax.random.fold_in(key, 1),
    empty=jnp.zeros((0, 3)),
  )


def _assert_same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.dtype == y.dtype and x.shape == y.shape
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
      x, y = jax.random.key_data(x), jax.random.key_data(y)
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_round_trip_is_exact(tmp_path):
  state = _init(jax.random.key(0))
  abstract = jax.eval_shape(_init, jax.random.key(0))
  with checkpoint.Checkpointer(str(tmp_path)) as checkpointer:
    assert checkpointer.restore(abstract) is None
    assert checkpointer.latest_step() is None
    checkpointer.save(5, state)
  with checkpoint.Checkpointer(str(tmp_path)) as checkpointer:
    step, restored = checkpointer.restore(abstract)
  assert step == 5
  _assert_same(restored, state)
  # The key draws the same numbers.
  assert jax.random.normal(restored.key) == jax.random.normal(state.key)


def test_keeps_the_latest_and_refuses_older_steps(tmp_path):
  with checkpoint.Checkpointer(str(tmp_path), keep=2) as checkpointer:
    for step in (1, 2, 4):
      checkpointer.save(step, {'x': jnp.full(2, step)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ['2', '4']
    for step in (4, 3):
      with pytest.raises(errors.PastaError, match=f'step {step} was not saved'):
        checkpointer.save(step, {'x': jnp.zeros(2)})
    step, state = checkpointer.restore({'x': jnp.zeros(2, jnp.int32)})
  assert step == 4 and list(state['x']) == [4, 4]


def test_restore_names_the_leaf_that_differs(tmp_path):
  with checkpoint.Checkpointer(str(tmp_path)) as checkpointer:
    checkpointer.save(1, _init(jax.random.key(0)))
    with pytest.raises(
      errors.PastaError,
      match=r"1: array 'params\.dense\.bias' is bfloat16\[3\] there, .* "
      r'expects bfloat16\[4\]',
    ):
      checkpointer.restore(_init(jax.random.key(0), width=4))
    with pytest.raises(
      errors.PastaError,
      match=r"'params\.dense\.kernel' is float32\[2, 3\] .* float16\[2, 3\]",
    ):
      checkpointer.restore(_init(jax.random.key(0), dtype=jnp.float16))
    state = _init(jax.random.key(0))
    with pytest.raises(errors.PastaError, match=r"lacks .*'params\.more'"):
      more = state.params | {'more': jnp.ones(1)}
      checkpointer.restore(state.replace(params=more))
    with pytest.raises(errors.PastaError, match=r"holds .*'params\.flags\.0'"):
      less = {'dense': state.params['dense']}
      checkpointer.restore(state.replace(params=less))
    with pytest.raises(errors.PastaError, match="'key' is key"):
      checkpointer.restore(state.replace(key=jnp.zeros(2, jnp.uint32)))


def test_a_state_replicated_over_devices_is_restored_on_one(tmp_path):
  mesh = jax.make_mesh((8,), (parallel.AXIS,))
  spec = jax.sharding.PartitionSpec
  state = {'x': jnp.arange(8.0)}
  replicated = jax.device_put(state, jax.sharding.NamedSharding(mesh, spec()))
  with checkpoint.Checkpointer(str(tmp_path)) as checkpointer:
    checkpointer.save(1, replicated)
    _, restored = checkpointer.restore(jax.eval_shape(lambda: state))
    assert restored['x'].devices() == {jax.devices()[0]}
    np.testing.assert_array_equal(restored['x'], state['x'])
    split = jax.sharding.NamedSharding(mesh, spec(parallel.AXIS))
    with pytest.raises(ValueError, match=r'shape \(8,\) is split over devices'):
      checkpointer.save(2, jax.device_put(state, split))


def test_64_bit_numpy_leaves_stay_64_bit(tmp_path):
  state = {'seen': np.asarray(2**40), 'x': np.float64(0.1)}
  with checkpoint.Checkpointer(str(tmp_path)) as checkpointer:
    checkpointer.save(1, state)
    _, restored = checkpointer.restore(state)
  assert restored['seen'] == 2**40 and restored['x'] == 0.1


def test_a_damaged_checkpoint_is_named(tmp_path):
  with checkpoint.Checkpointer(str(tmp_path)) as checkpointer:
    checkpointer.save(1, {'x': jnp.zeros(2)})
    shutil.rmtree(tmp_path / '1' / 'state')
    with pytest.raises(
      errors.PastaError, match=f'{tmp_path / "1"}: this check'
    ):
      checkpointer.restore({'x': jnp.zeros(2)})


def test_a_kill_within_a_save_leaves_the_step_before(tmp_path):
  script = """
import os, signal, sys
import numpy as np
from pasta import checkpoint
checkpointer = checkpoint.Checkpointer(sys.argv[1])
checkpointer.save(1, {'x': np.full(4, 1.0, np.float32)})
os.rename = os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
import pathlib
pathlib.Path.rename = os.rename
checkpointer.save(2, {'x': np.full(4, 2.0, np.float32)})
"""
  result = subprocess.run(
    [sys.executable, '-c', script, str(tmp_path)], check=False
  )
  assert result.returncode == -9
  assert len(os.listdir(tmp_path)) == 2  # step 1, and the torn step 2
  with checkpoint.Checkpointer(str(tmp_path)) as checkpointer:
    step, state = checkpointer.restore({'x': jnp.zeros(4)})
    assert step == 1 and list(state['x']) == [1, 1, 1, 1]
    checkpointer.save(2, state)


def test_params(tmp_path):
  directory = str(tmp_path / 'params')
  abstract = {'w': jnp.zeros(2)}
  with pytest.raises(errors.PastaError, match=f'{directory}: no parameters'):
    checkpoint.load_params(directory, abstract)
  assert not os.path.exists(directory)
  for value in (1.0, 2.0):
    checkpoint.save_params(directory, {'w': jnp.full(2, value)})
  np.testing.assert_array_equal(
    checkpoint.load_params(directory, abstract)['w'], [2.0, 2.0]
  )
  with pytest.raises(errors.PastaError, match=r"'w' is float32\[2\] there"):
    checkpoint.load_params(directory, {'w': jnp.zeros(3)})


def test_bad_arguments(tmp_path):
  with pytest.raises(ValueError, match='keep is 0'):
    checkpoint.Checkpointer(str(tmp_path), keep=0)
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.PastaError, match='cannot be made'):
    checkpoint.Checkpointer(str(tmp_path / 'file'))
