"""Which part of preference data training leaves alone for evaluation."""

import dataclasses

import numpy as np

from pasta import errors, preferences, seeds

RESERVES = ('none', 'users', 'last')


def part(
  store: preferences.Store, reserve: str, share: float, reserved: bool
) -> preferences.Store:
  """What training has of a data set, or what it leaves alone.

  Args:
    store: the data set.
    reserve: what is left alone: 'none'; 'users', all that some people said,
      drawn by their ids, so the same ones in every data set; or 'last', the
      last answers of each person, by extra array 'order' where there is one.
    share: of people, or of each person's answers (rounded up).
    reserved: whether that part is wanted, or the rest. With 'none' either is
      all of it.

  Raises:
    PastaError: unknown users, or nothing is left of the part.
  """
  if reserve not in RESERVES or not 0 <= share < 1:
    raise errors.PastaError(
      f'reserve is {reserve!r} with the share {share:g}, expected one of '
      f'{RESERVES} and a share of at least 0 and below 1'
    )
  if reserve == 'none':
    return store
  records = store.records
  if records.user_id is None:
    raise errors.PastaError(
      f"{store.directory}: has no user ids, so reserve must be 'none'"
    )
  names, person = np.unique(records.user_id, return_inverse=True)
  if reserve == 'users':
    limit = share * 2.0**64
    chosen = np.array([seeds.text_hash(n) < limit for n in names])
    taken = chosen[person]
  else:
    time = records.extra.get('order', np.arange(len(records)))
    order = np.lexsort((time, person))
    count = np.bincount(person)
    first = np.cumsum(count) - count
    place = np.empty(len(records), np.int64)
    place[order] = np.arange(len(records)) - first[person[order]]
    taken = place >= count[person] - np.ceil(share * count[person])
  index = np.flatnonzero(taken == reserved)
  if not index.size:
    raise errors.PastaError(
      f'{store.directory}: reserve {reserve!r} with the share {share:g} leaves '
      f'nothing {"to evaluate" if reserved else "to train"} on'
    )
  return dataclasses.replace(store, records=records.select(index))
