"""Data sets as EM reads them: people, their observations, their features."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pasta import errors
from pasta.storage import preferences as preferences_lib
from pasta.user_model import observations, packing
from pasta.user_model.sessions_by_person import UserData

Gather = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Source:
  """A data set of N observations of U people, person after person.

  Attributes:
    name: of the data set.
    user_ids: of the people [U].
    user: numbers of the people [U], int32, as they were before any selection.
    first: where each person's observations begin, and the end [U + 1].
    row: row of each observation for `gather` [N].
    gather: rows [n] -> text [n, L or 1, D] and image [n, L, M, D], on the
      host.
    weight: of each observation [N], float32.
    available: [N, L], bool, or None where all columns are there.
    feedback: by kind, as in `observations.Observations`.
    num_bytes: of all features, were they in memory.
  """

  name: str
  user_ids: Sequence[str]
  user: np.ndarray
  first: np.ndarray
  row: np.ndarray
  gather: Gather
  weight: np.ndarray
  available: np.ndarray | None
  feedback: dict[str, np.ndarray]
  num_bytes: int

  @property
  def num_users(self) -> int:
    return len(self.user)

  @property
  def num_observations(self) -> int:
    return len(self.row)

  def read(self, at: np.ndarray) -> observations.Observations:
    """Observations at given positions, on the host; without people."""
    text, image = self.gather(self.row[at])
    return observations.Observations(
      user=None,
      group=None,
      weight=self.weight[at],
      text=text,
      image=image,
      available=None if self.available is None else self.available[at],
      feedback={k: v[at] for k, v in self.feedback.items()},
    )

  def batch(self, plan: packing.Plan) -> observations.Observations:
    """The batch of a plan (of one device), read on the host."""
    return packing.place(self.read(plan.row), plan)

  def select(self, people: np.ndarray) -> 'Source':
    """Some of the people, by position."""
    count = np.diff(self.first)[people]
    end = np.cumsum(count)
    at = np.arange(count.sum()) - np.repeat(end - count, count)
    at = at + np.repeat(self.first[people], count)
    return dataclasses.replace(
      self,
      user_ids=[self.user_ids[i] for i in people],
      user=self.user[people],
      first=np.concatenate([[0], end]),
      row=self.row[at],
      weight=self.weight[at],
      available=None if self.available is None else self.available[at],
      feedback={k: v[at] for k, v in self.feedback.items()},
      num_bytes=self.num_bytes * len(at) // max(self.num_observations, 1),
    )


def from_user_data(
  data: UserData, user_ids: Sequence[str], name: str = 'sessions'
) -> Source:
  """Sessions grouped by person.

  Args:
    data: U people, on the host.
    user_ids: of all people that `data.user` counts.
    name: of the data set.
  """
  mask = np.asarray(data.mask)
  text = np.asarray(data.text).reshape(-1, *data.text.shape[2:])
  image = np.asarray(data.image).reshape(-1, *data.image.shape[2:])
  row = np.flatnonzero(mask)

  def flat(array) -> np.ndarray:
    return np.asarray(array)[mask]

  return Source(
    name=name,
    user_ids=[user_ids[u] for u in data.user],
    user=np.asarray(data.user, np.int32),
    first=np.concatenate([[0], np.cumsum(mask.sum(1))]),
    row=row,
    gather=lambda rows: (text[rows], image[rows]),
    weight=np.ones(len(row), np.float32),
    available=None,
    feedback=_feedback(data, flat),
    num_bytes=text[:1].nbytes * len(row) + image[:1].nbytes * len(row),
  )


def whole(data: UserData) -> observations.Observations:
  """All people of session data as one batch, places with padding kept."""
  num_users, num_obs = data.mask.shape

  def flat(array) -> np.ndarray:
    return np.asarray(array).reshape(num_users * num_obs, *array.shape[2:])

  return observations.Observations(
    user=np.asarray(data.user, np.int32),
    group=np.repeat(np.arange(num_users, dtype=np.int32), num_obs),
    weight=flat(data.mask).astype(np.float32),
    text=flat(data.text),
    image=flat(data.image),
    available=None,
    feedback=_feedback(data, flat),
  )


def _feedback(
  data: UserData, flat: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
  """Sessions' feedback by kind, [U, O] arrays made flat."""
  comparison = np.where(
    data.has_previous, data.comparison, observations.NO_COMPARISON
  )
  return {
    'choice': flat(data.choice).astype(np.int32),
    'satisfaction': flat(data.satisfaction).astype(np.float32),
    'comparison': flat(comparison).astype(np.int32),
  }


def from_store(
  store: preferences_lib.Store, membership: str, name: str
) -> Source:
  """Preference data on disk; features stay there until a batch reads them.

  Ratings are standardised over the data set.

  Args:
    store: the data set.
    membership: what has one type: 'user', or 'example' (each observation by
      itself).
    name: of the data set.

  Raises:
    PastaError: another membership, or 'user' where user ids are not known.
  """
  records = store.records
  if membership not in ('user', 'example'):
    raise errors.PastaError(
      f"sources.{name}.membership is {membership!r}, expected 'user' or "
      "'example'"
    )
  num = len(records)
  if membership == 'example':
    names, code = [f'example {i}' for i in range(num)], np.arange(num)
  elif records.user_id is None:
    raise errors.PastaError(
      f'{store.directory}: has no user ids; set sources.{name}.membership to '
      "'example'"
    )
  else:
    labels, code = np.unique(records.user_id, return_inverse=True)
    names = labels.tolist()
  order = np.argsort(code, kind='stable')
  there = (records.image[order] >= 0).all(-1)
  # Missing columns read the first image: what is not available is not used.
  image_row = np.maximum(records.image, 0)
  feedback = records.feedback[order]
  if records.kind == 'rating':
    spread = max(float(feedback.std()), 1e-9)
    feedback = (feedback - feedback.mean()) / spread

  def gather(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return store.text[records.text[rows]][:, None], store.image[image_row[rows]]

  whole = records.kind in ('choice', 'ranking')
  images = int(np.prod(records.image.shape[1:]))
  return Source(
    name=name,
    user_ids=names,
    user=np.arange(len(names), dtype=np.int32),
    first=np.concatenate([[0], np.cumsum(np.bincount(code))]),
    row=order,
    gather=gather,
    weight=records.weight[order],
    available=None if there.all() else there,
    feedback={records.kind: feedback.astype(np.int32 if whole else np.float32)},
    num_bytes=2 * store.text.shape[1] * num * (images + 1),
  )
