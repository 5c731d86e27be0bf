import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import train_value
from pasta import checkpoint, errors, metrics, training


def test_programs_are_kept_by_all_that_they_read():
  config = train_value.get_config('smoke')
  key = training.key_of(config)
  config.seed += 1
  assert training.key_of(config) == key
  assert hash(training.key_of(config)) == hash(key)
  assert config.seed == 1  # The caller's own is left alone.
  config.gemma.rank += 1
  assert training.key_of(config) != key


@functools.partial(jax.jit, donate_argnums=0)
def _add(state, numbers):
  return state + numbers.sum(), {'train/loss': numbers}


def _numbers(step, num):
  """What steps add: the first 1, the second 2, and so on."""
  return (np.arange(step + 1, step + num + 1, dtype=np.float32),)


def _run(directory, make_batch=_numbers, update=_add, judge=None, **options):
  options = {'log_steps': 4, 'checkpoint_steps': 5} | options
  return training.run(
    lambda: jnp.zeros(()),
    make_batch,
    update,
    judge,
    directory=str(directory),
    num_steps=11,
    steps_per_call=2,
    desc='test',
    **options,
  )


def _lines(directory):
  return metrics.read_lines(str(directory / 'metrics.jsonl'))


def test_steps_lines_and_checkpoints(tmp_path):
  calls = []

  def make_batch(step, num):
    calls.append((step, num))
    return _numbers(step, num)

  state, held_out = _run(tmp_path, make_batch)
  assert state == 66 and held_out == {}  # 1 + … + 11
  assert calls == [(0, 2), (2, 2), (4, 2), (6, 2), (8, 2), (10, 1)]
  # Means over a call's steps: 3 and 4; 7 and 8; 11 alone.
  assert _lines(tmp_path) == [
    {'step': 4, 'train/loss': 3.5},
    {'step': 8, 'train/loss': 7.5},
    {'step': 11, 'train/loss': 11.0},
  ]
  # At 6, which passes 5, at 10 and at the end; the latest two are kept.
  with checkpoint.Checkpointer(str(tmp_path / 'checkpoints')) as saver:
    assert saver.restore(jnp.zeros(())) == (11, 66.0)
  kept = {int(path.name) for path in (tmp_path / 'checkpoints').glob('[0-9]*')}
  assert kept == {10, 11}


@pytest.mark.parametrize('killed_at', [0, 4, 8, 10])
def test_a_restart_gives_what_a_whole_run_gives(tmp_path, killed_at):
  whole = _run(tmp_path / 'whole')

  def killed(step, num):
    if step == killed_at:
      raise KeyboardInterrupt
    return _numbers(step, num)

  with pytest.raises(KeyboardInterrupt):
    _run(tmp_path / 'parts', killed)
  assert _run(tmp_path / 'parts') == whole
  assert _lines(tmp_path / 'parts') == _lines(tmp_path / 'whole')
  # Nothing is left to do: the state is read, and nobody judges it.
  assert _run(tmp_path / 'parts', killed) == whole


def test_a_judge_adds_metrics_and_may_change_the_state(tmp_path):
  def judge(state, step):
    return state + 1000, {'val/step': float(step)}

  state, held_out = _run(tmp_path, judge=judge)
  assert state == 3066 and held_out == {'val/step': 11.0}  # at 4, 8 and 11
  assert [line['val/step'] for line in _lines(tmp_path)] == [4, 8, 11]


def test_a_loss_that_is_not_finite_names_its_steps(tmp_path):
  def make_batch(step, num):
    (numbers,) = _numbers(step, num)
    return (np.where(numbers == 7, np.nan, numbers),)

  with pytest.raises(errors.PastaError, match='step 8, batch 6 to 7'):
    _run(tmp_path, make_batch)
  assert [line['step'] for line in _lines(tmp_path)] == [4]


@pytest.mark.parametrize(
  'implicit',
  [
    lambda state: _add(state, np.ones(2, np.float32)),  # a numpy array
    lambda state: (state + 1.0, {}),  # a Python number
    lambda state: (state + jnp.ones(()), {}),  # a constant, made at each step
  ],
)
def test_a_step_that_fetches_something_from_the_host_is_refused(
  tmp_path, implicit
):
  with pytest.raises(RuntimeError, match='Disallowed host-to-device transfer'):
    _run(tmp_path, update=lambda state, numbers: implicit(state))
  # Batches may come from the host: they are sent on purpose.
  assert training.call(_add, jnp.zeros(()), np.ones(2, np.float32))[0] == 2
