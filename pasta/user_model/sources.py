"""Data sets as EM reads them: people, their observations, their features.

Sessions and preference data become the same `Source`: what follows, training
and evaluation, knows no other data.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import ml_collections
import numpy as np

from pasta import errors
from pasta.storage import preferences as preferences_lib
from pasta.storage import session_features as features_lib
from pasta.user_model import observations, packing, sessions_by_person

Dataset = features_lib.SessionFeatures | preferences_lib.Store
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
    position: [N, L], float32, as in `observations.Observations`, or None.
    feedback: by kind, as in `observations.Observations`.
    num_bytes: of all features, were they in memory.
    starts: of each observation, whether it is the first of its session [N],
      bool; None where there are no sessions.
    num_places: O where people have few observations and are predicted side by
      side, as arrays [U, O]; None where observations are read one by one.
      Held-out people keep the O of all: one program serves both.
  """

  name: str
  user_ids: Sequence[str]
  user: np.ndarray
  first: np.ndarray
  row: np.ndarray
  gather: Gather
  weight: np.ndarray
  available: np.ndarray | None
  position: np.ndarray | None
  feedback: dict[str, np.ndarray]
  num_bytes: int
  starts: np.ndarray | None = None
  num_places: int | None = None

  @property
  def num_users(self) -> int:
    return len(self.user)

  @property
  def num_observations(self) -> int:
    return len(self.row)

  @property
  def num_without_order(self) -> int:
    """Observations whose columns have no known place on a screen."""
    if self.position is None:
      return self.num_observations
    return int((~self.position.any(-1)).sum())

  @property
  def num_columns(self) -> int:
    """L."""
    return self.gather(self.row[:1])[1].shape[1]

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
      position=None if self.position is None else self.position[at],
      feedback={k: v[at] for k, v in self.feedback.items()},
    )

  def batch(self, plan: packing.Plan) -> observations.Observations:
    """The batch of a plan (of one device), read on the host."""
    return packing.place(self.read(plan.row), plan)

  def side_by_side(self, people: np.ndarray) -> observations.Observations:
    """Some of the people, by position, with O places each; padding weighs 0."""
    begin, end = self.first[people], self.first[people + 1]
    at = begin[:, None] + np.arange(self.num_places)  # [U, O]
    is_real = at < end[:, None]
    return self.batch(
      packing.Plan(
        row=np.where(is_real, at, 0).ravel(),
        group=np.repeat(np.arange(len(people), dtype=np.int32), at.shape[1]),
        is_real=is_real.ravel(),
        user=self.user[people],
      )
    )

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
      position=None if self.position is None else self.position[at],
      feedback={k: v[at] for k, v in self.feedback.items()},
      starts=None if self.starts is None else self.starts[at],
      num_bytes=self.num_bytes * len(at) // max(self.num_observations, 1),
    )


def from_sessions(
  features: features_lib.SessionFeatures,
  max_observations: int = 64,
  membership: str = 'user',
  name: str = 'sessions',
) -> Source:
  """Sessions by person; a row is a turn's number among those of all sessions.

  Args:
    features: N sessions; checked first.
    max_observations: as for `sessions_by_person.group`.
    membership: likewise.
    name: of the data set.

  Raises:
    PastaError: features are broken (the session is named), or nobody chose.
  """
  features_lib.check(features)
  places, user_ids = sessions_by_person.group(
    features, max_observations, membership
  )
  at = places.session, places.turn
  text = features.slate_text.reshape(-1, *features.slate_text.shape[2:])
  image = features.slate_image.reshape(-1, *features.slate_image.shape[2:])
  comparison = np.where(
    places.has_previous, features.comparison[at], observations.NO_COMPARISON
  )
  num, position = len(places.turn), features.position
  return Source(
    name=name,
    user_ids=user_ids,
    user=np.arange(len(user_ids), dtype=np.int32),
    first=places.first,
    row=np.ravel_multi_index(at, features.choice.shape),
    gather=lambda rows: (text[rows], image[rows]),
    weight=np.ones(num, np.float32),
    available=None,
    position=None if position is None else position[at],
    feedback={
      'choice': features.choice[at].astype(np.int32),
      'satisfaction': features.satisfaction[at].astype(np.float32),
      'comparison': comparison.astype(np.int32),
    },
    num_bytes=text[:1].nbytes * num + image[:1].nbytes * num,
    starts=np.diff(places.session, prepend=-1) != 0,
    num_places=int(np.diff(places.first).max()),
  )


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
    position=None,
    feedback={records.kind: feedback.astype(np.int32 if whole else np.float32)},
    num_bytes=2 * store.text.shape[1] * num * (images + 1),
  )


@dataclasses.dataclass(frozen=True)
class Split:
  """A data set, split by person.

  Attributes:
    train: people to learn from.
    held_out: other people; may be nobody.
  """

  train: Source
  held_out: Source


def hold_out(
  source: Source, held_out_share: float, max_held_out: int, key: jax.Array
) -> Split:
  """Splits by person into train and held-out; nobody is on both sides.

  Args:
    source: all people.
    held_out_share: in [0, 1); at least one person stays for training.
    max_held_out: at most so many people are held out.
    key: typed key that draws who is held out.
  """
  if not 0.0 <= held_out_share < 1.0:
    raise errors.PastaError(
      f'held_out_share is {held_out_share}, expected [0, 1)'
    )
  num = source.num_users
  count = min(round(num * held_out_share), max_held_out, num - 1)
  order = np.asarray(jax.random.permutation(key, num))
  held_out, train = np.sort(order[:count]), np.sort(order[count:])
  return Split(source.select(train), source.select(held_out))


def split(
  datasets: Mapping[str, Dataset],
  config: ml_collections.ConfigDict,
  key: jax.Array,
) -> dict[str, Split]:
  """Groups and splits every data set as `config.sources` says.

  Args:
    datasets: by name, each with a field of that name in `config.sources`.
    config: `configs/train_user_model.py`.
    key: typed key that draws who is held out.

  Raises:
    PastaError: data that are broken, or a field out of range.
  """
  found = {}
  for i, (name, dataset) in enumerate(datasets.items()):
    settings = config.sources[name]
    if isinstance(dataset, preferences_lib.Store):
      source = from_store(dataset, settings.membership, name)
    else:
      source = from_sessions(
        dataset, settings.max_observations, settings.membership, name
      )
    found[name] = hold_out(
      source,
      settings.held_out_share,
      settings.max_held_out_users,
      # The first data set's split does not depend on whether there are others.
      jax.random.fold_in(key, i) if i else key,
    )
  return found


def encoder_id(datasets: Mapping[str, Dataset]) -> str:
  """The encoder of all data sets' features; PastaError where they differ."""
  found = {name: d.encoder_id for name, d in datasets.items()}
  if len(set(found.values())) != 1:
    raise errors.PastaError(
      f'data sets have features of different encoders: {found}'
    )
  return next(iter(found.values()))


def columns(source: Source, max_columns: int) -> tuple[np.ndarray, np.ndarray]:
  """Shown columns of observations spread evenly over a data set.

  Args:
    source: the data set.
    max_columns: at most about so many.

  Returns:
    Prompts [n, D] and images [n, M, D].
  """
  num_columns = source.num_columns
  num = min(source.num_observations, max(max_columns // num_columns, 1))
  at = np.arange(num) * source.num_observations // num
  batch = source.read(at)
  text = np.broadcast_to(batch.text, (num, num_columns, *batch.text.shape[2:]))
  there = np.ones((num, num_columns), bool)
  if batch.available is not None:
    there = batch.available
  return text[there], batch.image[there]
