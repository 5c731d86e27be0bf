"""Feeds data sets to an update: on the device, or streamed from memory maps."""

import collections
import concurrent.futures
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta import parallel, training
from pasta.types import PyTree
from pasta.user_model import packing
from pasta.user_model.observations import Observations
from pasta.user_model.sources import Source

# update(state, batches by data set, *, config, axis_name) -> state, metrics
Update = Callable[..., tuple[PyTree, dict[str, jax.Array]]]
# Batches that are read while a step runs: a disk answers several at once.
_STEPS_AHEAD = 4


class Feeder:
  """Runs steps, such as `em.update`, on batches of every data set.

  Small data sets lie on the device and many steps are one program. Others are
  read batch by batch, the next one while a step runs. Both give the same
  batches.

  Attributes:
    packers: the sequence of batches of each data set.
  """

  def __init__(
    self,
    data: Mapping[str, Source],
    config: ml_collections.ConfigDict,
    key: jax.Array,
    update: Update,
  ):
    """Plans batches of the data sets' people.

    Args:
      data: by name.
      config: `configs/train_user_model.py`.
      key: typed key of the order of people.
      update: one step.

    Raises:
      PastaError: sizes of `config.sources` that do not fit the data.
    """
    self._data = data
    self._num_devices = config.num_devices or jax.local_device_count()
    self.packers = {
      name: packing.Packer(
        source.first,
        source.user,
        jax.random.fold_in(key, i) if i else key,
        max_observations=config.sources[name].max_observations,
        batch_users=config.sources[name].batch_users,
        batch_observations=config.sources[name].batch_observations,
        num_devices=self._num_devices,
        name=name,
      )
      for i, (name, source) in enumerate(data.items())
    }
    size = sum(source.num_bytes for source in data.values())
    self.is_resident = (
      self._num_devices == 1 and size <= config.resident_megabytes * 2**20
    )
    if self.is_resident:
      whole = {
        name: source.read(np.arange(source.num_observations))
        for name, source in data.items()
      }
      self._resident = jax.tree.map(jnp.asarray, whole)
    self._steps = _steps(
      update, training.key_of(config), self._num_devices, self.is_resident
    )

  def plans(self, step: int) -> dict[str, packing.Plan]:
    """What every data set's batch of a step holds."""
    return {name: packer(step) for name, packer in self.packers.items()}

  def _read(self, plans: dict[str, packing.Plan]) -> dict[str, Observations]:
    """The batches of a step, read on the host."""
    found = {}
    for name, plan in plans.items():
      if self._num_devices == 1:
        found[name] = self._data[name].batch(plan)
        continue
      parts = [
        self._data[name].batch(jax.tree.map(lambda x, i=i: x[i], plan))
        for i in range(self._num_devices)
      ]
      found[name] = jax.tree.map(lambda *x: np.stack(x), *parts)
    return found

  def run(self, run: PyTree, num_steps: int) -> tuple[PyTree, dict[str, Any]]:
    """So many steps from where a run stands.

    Args:
      run: the update's state, with the number of its `step`; donated, use it
        no more.
      num_steps: S.

    Returns:
      The run, and metrics of every step [S] on the host.
    """
    first = int(run.step)
    if self.is_resident:
      plans = [self.plans(step) for step in range(first, first + num_steps)]
      stacked = jax.tree.map(lambda *x: np.stack(x), *plans)
      run, found = training.call(self._steps, run, self._resident, stacked)
      return run, jax.device_get(found)
    rows, end = [], first + num_steps
    with concurrent.futures.ThreadPoolExecutor(_STEPS_AHEAD) as readers:
      # Plans are made here: readers only read.
      def submit(step):
        return readers.submit(self._read, self.plans(step))

      ahead = collections.deque(
        submit(step) for step in range(first, min(first + _STEPS_AHEAD, end))
      )
      for step in range(first, end):
        batches = ahead.popleft().result()
        if step + _STEPS_AHEAD < end:
          ahead.append(submit(step + _STEPS_AHEAD))
        if self._num_devices > 1:
          batches = parallel.place(batches, self._num_devices)
        run, row = training.call(self._steps, run, batches)
        rows.append(row)
    return run, jax.tree.map(lambda *x: np.stack(x), *jax.device_get(rows))


@functools.lru_cache(maxsize=8)
def _steps(
  update: Update,
  config: ml_collections.FrozenConfigDict,
  num_devices: int,
  is_resident: bool,
) -> Callable[..., tuple[PyTree, dict[str, jax.Array]]]:
  """The program of many steps, or of one where data are streamed."""
  step = functools.partial(update, config=config)
  if is_resident:
    return jax.jit(functools.partial(update_many, step), donate_argnums=0)
  if num_devices == 1:
    return jax.jit(step, donate_argnums=0)

  def on_device(run, batches, key, *, axis_name):
    del key  # The start's noise derives from people, alike on all devices.
    return step(run, batches, axis_name=axis_name)

  stepped = parallel.pmap_update(on_device, num_devices=num_devices)
  return lambda run, batches: stepped(run, batches, run.start_key)


def update_many(
  update: Update,
  state: PyTree,
  data: dict[str, Observations],
  plans: dict[str, packing.Plan],
) -> tuple[PyTree, dict[str, jax.Array]]:
  """An update on S batches, cut from whole data sets on the device, scanned.

  Args:
    update: with its config.
    state: before the steps.
    data: all observations of every data set; user and group unused.
    plans: of every data set, with a leading axis S.

  Returns:
    The new state and the metrics of every step [S].
  """

  def step(state, plan):
    batches = {name: packing.cut(data[name], plan[name]) for name in data}
    return update(state, batches)

  return jax.lax.scan(step, state, plans)
