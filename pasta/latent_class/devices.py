"""Full-batch EM on many devices: people are dealt to them, each person whole.

Shares are balanced by number of choices and filled up to one shape. What fills
them adds exactly 0 to every sum: an empty row has zero features and a single
alternative, whose log-probability is 0 under any coefficients, and an empty
seat is masked by `ChoiceData.present`. Letters: M devices, V seats on each.
"""

import functools
import heapq
from collections.abc import Callable

import jax
import numpy as np

from pasta import errors, parallel
from pasta.latent_class import full_batch
from pasta.latent_class.choices import ChoiceData


def resolve_num_devices(asked: int, num_users: int) -> int:
  """M.

  Args:
    asked: how many of this host's devices; 0: all.
    num_users: people to be dealt.

  Raises:
    PastaError: fewer devices or people than that.
  """
  found = len(parallel.local_devices(asked or jax.local_device_count()))
  if found > num_users:
    raise errors.PastaError(
      f'num_devices is {found}, expected at most the number of people, '
      f'{num_users}'
    )
  return found


def deal(data: ChoiceData, num_devices: int) -> tuple[ChoiceData, np.ndarray]:
  """Cuts the data by person.

  Args:
    data: of U ≥ M people.
    num_devices: M.

  Returns:
    The devices' data, leaves [M, ...], each with V people, and the person of
    each seat [M, V], -1 where it is empty.
  """
  user = np.asarray(data.user)
  count = np.bincount(user, minlength=data.num_users)
  device = np.empty(data.num_users, np.int32)
  loads = [(0, m) for m in range(num_devices)]
  # Those with most choices first, each to the device with fewest.
  for person in np.argsort(-count, kind='stable'):
    load, device[person] = loads[0]
    heapq.heapreplace(loads, (load + count[person], device[person]))

  def by_device(owner: np.ndarray) -> np.ndarray:
    parts = [np.flatnonzero(owner == m) for m in range(num_devices)]
    index = np.full((num_devices, max(map(len, parts))), -1)
    for m, part in enumerate(parts):
      index[m, : len(part)] = part
    return index

  seats, rows = by_device(device), by_device(device[user])
  seat = np.empty(data.num_users, np.int32)
  seat[seats[seats >= 0]] = np.nonzero(seats >= 0)[1]

  def cut(array, filling) -> np.ndarray:
    parts = np.asarray(array)[rows]
    parts[rows < 0] = filling
    return parts

  return ChoiceData(
    features=cut(data.features, 0.0),
    available=cut(data.available, np.arange(data.features.shape[1]) == 0),
    choice=cut(data.choice, 0),
    user=cut(seat[user], seats.shape[1] - 1),  # growing, as ever
    num_users=seats.shape[1],
    present=seats >= 0,
  ), seats


def spread(
  data: ChoiceData, prior: full_batch.Prior, num_devices: int
) -> Callable[..., full_batch.State]:
  """`full_batch.run` on M devices, for states that know nothing of them.

  Args:
    data: of U ≥ M people.
    prior: the MAP prior.
    num_devices: M.

  Returns:
    run(state, *schedule) -> state, where schedule is what `full_batch.run`
    takes after the prior.
  """
  if num_devices == 1:
    return lambda state, *schedule: full_batch.run(
      state, data, prior, *schedule
    )
  parts, seats = deal(data, num_devices)
  parts = parallel.place(parts, num_devices)
  program = _program(num_devices)
  taken = seats >= 0

  def split(array):  # [R, U, K] -> [M, R, V, K]; an empty seat gets anyone's.
    return np.moveaxis(np.asarray(array)[:, seats], 1, 0)

  def join(array):  # [M, R, V, K] -> [R, U, K]
    array = np.moveaxis(np.asarray(array), 0, 1)
    shape = (len(array), data.num_users, array.shape[-1])
    joined = np.empty(shape, array.dtype)
    joined[:, seats[taken]] = array[:, taken]
    return joined

  def by_person(state, change):
    return state.replace(
      start=change(state.start), log_likelihood=change(state.log_likelihood)
    )

  def run(state, *schedule):
    found = program(by_person(state, split), parts, prior, *schedule)
    return by_person(found, join)

  return run


@functools.cache
def _program(num_devices: int) -> Callable[..., full_batch.State]:
  """One compiled program for all fits."""
  same = dict.fromkeys(full_batch.State.__dataclass_fields__)
  state = full_batch.State(**same | {'start': 0, 'log_likelihood': 0})
  return parallel.pmap_parts(
    full_batch.run,
    num_devices=num_devices,
    in_axes=(state, 0, None, None, None, None, None),
    out_axes=state,
  )
