"""Which part of a data set training leaves alone for evaluation."""

import dataclasses

import numpy as np

from pasta import errors, seeds
from pasta.storage import preferences
from pasta.storage import session_features as features_lib

RESERVES = ('none', 'users', 'last')


def sessions(
  found: features_lib.SessionFeatures,
  reserve: str,
  share: float,
  reserved: bool,
) -> features_lib.SessionFeatures:
  """As `part`, of sessions, where 'last' does not go.

  Raises:
    PastaError: no people are drawn, or nothing is left of the part.
  """
  _check(reserve, share, ('none', 'users'))
  if reserve == 'none':
    return found
  where = f'{len(found)} sessions'
  taken = _people(np.array(found.user_id), share, where)
  index = np.flatnonzero(taken == reserved)
  if not index.size:
    raise _nothing(where, reserve, share, reserved)
  return found.select(index)


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
    PastaError: unknown users, no people are drawn, or nothing is left of the
      part.
  """
  _check(reserve, share, RESERVES)
  if reserve == 'none':
    return store
  records = store.records
  if records.user_id is None:
    raise errors.PastaError(
      f"{store.directory}: has no user ids, so reserve must be 'none'"
    )
  if reserve == 'users':
    taken = _people(records.user_id, share, store.directory)
  else:
    _, person = np.unique(records.user_id, return_inverse=True)
    time = records.extra.get('order', np.arange(len(records)))
    order = np.lexsort((time, person))
    count = np.bincount(person)
    first = np.cumsum(count) - count
    place = np.empty(len(records), np.int64)
    place[order] = np.arange(len(records)) - first[person[order]]
    taken = place >= count[person] - np.ceil(share * count[person])
  index = np.flatnonzero(taken == reserved)
  if not index.size:
    raise _nothing(store.directory, reserve, share, reserved)
  return dataclasses.replace(store, records=records.select(index))


def _check(reserve: str, share: float, known: tuple[str, ...]) -> None:
  if reserve not in known or not 0 <= share < 1:
    raise errors.PastaError(
      f'reserve is {reserve!r} with the share {share:g}, expected one of '
      f'{known} and a share of at least 0 and below 1'
    )


def _people(user_id: np.ndarray, share: float, where: str) -> np.ndarray:
  """Whether each person [N] is one of those who are left alone.

  Raises:
    PastaError: nobody is, so that training would leave nothing to judge.
  """
  names, person = np.unique(user_id, return_inverse=True)
  limit = share * 2.0**64
  is_taken = np.array([seeds.text_hash(n) < limit for n in names])
  if not is_taken.any():
    raise errors.PastaError(
      f"{where}: reserve 'users' with the share {share:g}: none of the "
      f'{len(names)} people is drawn; raise reserve_share, here and when '
      'training'
    )
  return is_taken[person]


def _nothing(
  where: str, reserve: str, share: float, reserved: bool
) -> errors.PastaError:
  return errors.PastaError(
    f'{where}: reserve {reserve!r} with the share {share:g} leaves nothing '
    f'{"to evaluate" if reserved else "to train"} on'
  )
