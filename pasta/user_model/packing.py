"""Batches of whole people, packed into arrays of one shape.

People have different numbers of observations, and programs want one shape. A
batch takes people in a random order while there is room for their
observations; people with more than are kept at a time show another stretch of
them each epoch. What a batch holds depends on neither where a run was
restarted nor the number of devices.
"""

import functools
from collections.abc import Iterator

import flax
import jax
import numpy as np

from pasta import errors
from pasta.user_model.observations import Observations


@flax.struct.dataclass
class Plan:
  """What goes where in a batch of R observations and G people.

  Attributes:
    row: positions of the observations in the data set [R], int32.
    group: place of each one's person in the batch [R], int32, growing.
    is_real: false = padding [R], bool.
    user: positions of the people in the data set [G], int32.
  """

  row: np.ndarray
  group: np.ndarray
  is_real: np.ndarray
  user: np.ndarray


class Packer:
  """The endless sequence of one data set's batches.

  Attributes:
    num_rows: R, places for observations (of one device).
    num_people: G, places for people (of one device).
  """

  def __init__(
    self,
    first: np.ndarray,
    user: np.ndarray,
    key: jax.Array,
    *,
    max_observations: int,
    batch_users: int,
    batch_observations: int,
    num_devices: int = 1,
    name: str = 'data',
  ):
    """Plans for people whose observations lie one after another.

    Args:
      first: where each person's observations begin, and the end [U + 1].
      user: numbers of the people [U], for `Plan.user`.
      key: typed key of the order of people.
      max_observations: of a person, at a time.
      batch_users: most people of a batch, over all devices.
      batch_observations: most observations of a batch, over all devices.
      num_devices: a batch is dealt to, people whole.
      name: of the data set, for errors.

    Raises:
      PastaError: a batch cannot hold max_observations of a person.
    """
    if max_observations < 1 or batch_users < 1:
      raise errors.PastaError(
        f'sources.{name}: max_observations is {max_observations} and '
        f'batch_users {batch_users}, expected at least 1'
      )
    self._first, self._user, self._key = first, user, key
    self._count = np.minimum(np.diff(first), max_observations)
    most = int(self._count.max())
    if batch_observations < most:
      raise errors.PastaError(
        f'sources.{name}.batch_observations is {batch_observations}, expected '
        f'at least the {most} observations that one person has (at most '
        'max_observations)'
      )
    self._batch_users = min(batch_users, len(self._count))
    self._batch_rows = min(
      batch_observations,
      int(np.sort(self._count)[-self._batch_users :].sum()),
    )
    self._num_devices = num_devices
    self.num_people = self._batch_users
    # Devices are filled one after another, people whole: with less than one
    # person's room to spare on each, everybody finds a place.
    self.num_rows = self._batch_rows
    if num_devices > 1:
      self.num_rows = -(-self._batch_rows // num_devices) + most - 1
    self._epochs = [0]  # number of the first batch of each epoch

  def __call__(self, step: int) -> Plan:
    """The plan of a step; leading axis [devices] where there are several."""
    while step >= self._epochs[-1]:
      cuts = self._epoch(len(self._epochs) - 1)[2]
      self._epochs.append(self._epochs[-1] + len(cuts) - 1)
    epoch = int(np.searchsorted(self._epochs, step, 'right')) - 1
    order, begin, cuts = self._epoch(epoch)
    place = step - self._epochs[epoch]
    people = order[cuts[place] : cuts[place + 1]]
    begin = begin[cuts[place] : cuts[place + 1]]
    if self._num_devices == 1:
      return self._plan(people, begin)
    filled = np.cumsum(self._count[people])
    devices, at = [], 0
    for _ in range(self._num_devices):
      used = filled[at - 1] if at else 0
      end = int(np.searchsorted(filled, used + self.num_rows, 'right'))
      devices.append(self._plan(people[at:end], begin[at:end]))
      at = end
    return jax.tree.map(lambda *x: np.stack(x), *devices)

  def steps_per_epoch(self) -> int:
    """Number of batches of the first epoch."""
    return len(self._epoch(0)[2]) - 1

  @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as a fit
  def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order of people, where each one's stretch begins, cuts into batches."""
    order_key, begin_key = jax.random.split(
      jax.random.fold_in(self._key, epoch)
    )
    num = len(self._count)
    order = np.asarray(jax.random.permutation(order_key, num))
    spare = (np.diff(self._first) - self._count)[order]
    begin = np.asarray(jax.random.uniform(begin_key, (num,))) * (spare + 1)
    begin = self._first[order] + np.minimum(begin.astype(np.int64), spare)
    filled = np.cumsum(self._count[order])
    cuts = [0]
    while cuts[-1] < num:
      used = filled[cuts[-1] - 1] if cuts[-1] else 0
      end = int(np.searchsorted(filled, used + self._batch_rows, 'right'))
      cuts.append(min(end, cuts[-1] + self._batch_users))
    # A last batch that is far from full would weigh its people more.
    if len(cuts) > 2 and cuts[-1] - cuts[-2] < 0.5 * (cuts[1] - cuts[0]):
      cuts.pop()
    return order, begin, np.array(cuts)

  def _plan(self, people: np.ndarray, begin: np.ndarray) -> Plan:
    count = self._count[people]
    num = int(count.sum())
    group = np.full(self.num_rows, self.num_people - 1, np.int32)
    group[:num] = np.repeat(np.arange(len(people)), count)
    row = np.zeros(self.num_rows, np.int32)
    within = np.arange(num) - np.repeat(np.cumsum(count) - count, count)
    row[:num] = np.repeat(begin, count) + within
    user = np.zeros(self.num_people, np.int32)
    user[: len(people)] = self._user[people]
    return Plan(
      row=row, group=group, is_real=np.arange(self.num_rows) < num, user=user
    )


def place(batch: Observations, plan: Plan) -> Observations:
  """The observations of a plan's rows, with its people and its padding."""
  return batch.replace(
    user=plan.user, group=plan.group, weight=batch.weight * plan.is_real
  )


def cut(data: Observations, plan: Plan) -> Observations:
  """The batch of a plan; `data` holds all of the data set's observations."""
  rows = data.replace(user=None, group=None)
  return place(jax.tree.map(lambda x: x[plan.row], rows), plan)


def chunks(num: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
  """Positions 0..num in chunks of one size, so that little is compiled.

  Yields:
    Positions [min(size, num)], and how many of them count: the last chunk is
    filled up from the front.
  """
  size = min(size, num)
  for start in range(0, num, size):
    yield np.arange(start, start + size) % num, min(size, num - start)
