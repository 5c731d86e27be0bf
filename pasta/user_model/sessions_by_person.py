"""Sessions grouped by person: the padded arrays that EM reads."""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import flax
import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors
from pasta.storage import session_features as features_lib

People = TypeVar('People')
MEMBERSHIPS = ('user', 'session', 'example')
_NO_COMPARISON = features_lib.MISSING_COMPARISON


@flax.struct.dataclass
class UserData:
  """U people with up to O observations each; padding has mask 0.

  Features stay float16 until a step reads them: half the memory, and the
  encoder's noise is far above the rounding.

  Attributes:
    user: position of the person in the whole data set [U], int32.
    text: float16 [U, O, L, D].
    image: float16 [U, O, L, M, D].
    choice: chosen column [U, O], int32; −1 in padding.
    satisfaction: float32 [U, O]; NaN where not given.
    comparison: −1 worse, 0 same, 1 better, other values missing [U, O], int32.
    has_previous: observation o − 1 is the turn before in the same session
      [U, O], bool.
    mask: [U, O], bool, 1 = observed.
  """

  user: jax.Array | np.ndarray
  text: jax.Array | np.ndarray
  image: jax.Array | np.ndarray
  choice: jax.Array | np.ndarray
  satisfaction: jax.Array | np.ndarray
  comparison: jax.Array | np.ndarray
  has_previous: jax.Array | np.ndarray
  mask: jax.Array | np.ndarray

  @property
  def num_users(self) -> int:
    return self.mask.shape[0]

  def select(self, index) -> 'UserData':
    """The people at the given integer positions."""
    return jax.tree.map(lambda x: x[index], self)


class Feedback(NamedTuple):
  """One array for each of the three kinds of feedback."""

  choice: jax.Array
  satisfaction: jax.Array
  comparison: jax.Array


def feedback_masks(data: UserData) -> Feedback:
  """Which observations hold which kind of feedback, [U, O] bool each."""
  xp = np if isinstance(data.mask, np.ndarray) else jnp
  mask = data.mask
  return Feedback(
    choice=mask,
    satisfaction=mask & xp.isfinite(data.satisfaction),
    comparison=mask & data.has_previous & (xp.abs(data.comparison) <= 1),
  )


class Places(NamedTuple):
  """Where each person's observations lie among the sessions, [U, O] each.

  Attributes:
    session: position of the session.
    turn: position of the turn.
    has_previous: observation o − 1 is the turn before in the same session.
    mask: 1 = observed; the others are free where it is 0.
  """

  session: np.ndarray
  turn: np.ndarray
  has_previous: np.ndarray
  mask: np.ndarray


def group(
  features: features_lib.SessionFeatures,
  max_observations: int,
  membership: str,
) -> tuple[Places, tuple[str, ...]]:
  """Finds the people in sessions; a person's sessions keep their order.

  Args, Raises: as for `from_features`.

  Returns:
    Places of U people with up to O observations, and U user ids.
  """
  if max_observations < 1:
    raise errors.PastaError(
      f'max_observations is {max_observations}, expected at least 1'
    )
  if membership not in MEMBERSHIPS:
    raise errors.PastaError(
      f'membership is {membership!r}, expected one of {MEMBERSHIPS}'
    )
  rows: dict[str, list[tuple[int, int, bool]]] = {}
  for session, user in enumerate(features.user_id):
    turns = np.flatnonzero(features.choice[session] >= 0)
    name = user if membership == 'user' else features.session_id[session]
    for turn in turns:
      if membership == 'example':
        rows[f'{name}, turn {turn}'] = [(session, int(turn), False)]
        continue
      seen = rows.setdefault(name, [])
      if len(seen) == max_observations:
        break
      seen.append((session, int(turn), bool(turn > 0 and turn - 1 in turns)))
  if not rows:
    raise errors.PastaError(
      f'{len(features)} sessions hold no choice at all: nothing to learn from'
    )
  num_users = len(rows)
  shape = num_users, max(len(seen) for seen in rows.values())
  places = Places(
    session=np.zeros(shape, np.int64),
    turn=np.zeros(shape, np.int64),
    has_previous=np.zeros(shape, bool),
    mask=np.zeros(shape, bool),
  )
  for u, seen in enumerate(rows.values()):
    count = len(seen)
    places.session[u, :count], places.turn[u, :count], previous = zip(
      *seen, strict=True
    )
    places.has_previous[u, :count] = previous
    places.mask[u, :count] = True
  return places, tuple(rows)


def from_features(
  features: features_lib.SessionFeatures,
  max_observations: int = 64,
  membership: str = 'user',
) -> tuple[UserData, tuple[str, ...]]:
  """Groups sessions by user id; a person's sessions keep their order.

  Args:
    features: N sessions; checked first.
    max_observations: O is at most this; later turns of a person are dropped.
    membership: what has one type: 'user' (all sessions of a user id),
      'session' (where user ids are missing or shared), or 'example' (each
      choice by itself, which leaves no turn before to compare with). `split`
      then keeps sessions or choices apart, not people.

  Returns:
    The arrays on the host, and U user ids. People who never chose are left
    out.

  Raises:
    PastaError: features are broken (the session is named), or nobody chose.
  """
  features_lib.check(features)
  places, user_ids = group(features, max_observations, membership)
  mask = places.mask

  def gather(array: np.ndarray, padding) -> np.ndarray:
    out = array[places.session, places.turn]
    out[~mask] = padding
    return out

  data = UserData(
    user=np.arange(len(user_ids), dtype=np.int32),
    text=gather(features.slate_text, 0),
    image=gather(features.slate_image, 0),
    choice=gather(features.choice.astype(np.int32), -1),
    satisfaction=gather(features.satisfaction, np.nan),
    comparison=gather(features.comparison.astype(np.int32), _NO_COMPARISON),
    has_previous=places.has_previous,
    mask=mask,
  )
  return data, user_ids


def chunks(num: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
  """Positions 0..num in chunks of one size, so that little is compiled.

  Yields:
    Positions [min(size, num)], and how many of them count: the last chunk is
    filled up from the front.
  """
  size = min(size, num)
  for start in range(0, num, size):
    yield np.arange(start, start + size) % num, min(size, num - start)


def split(
  people: People, held_out_share: float, max_held_out: int, key: jax.Array
) -> tuple[People, People]:
  """Splits by person into train and held-out; nobody is on both sides.

  Args:
    people: session data or a `sources.Source`.
    held_out_share: in [0, 1); at least one person stays for training.
    max_held_out: at most so many people are held out.
    key: typed key that draws who is held out.
  """
  if not 0.0 <= held_out_share < 1.0:
    raise errors.PastaError(
      f'held_out_share is {held_out_share}, expected [0, 1)'
    )
  num = people.num_users
  count = min(round(num * held_out_share), max_held_out, num - 1)
  order = np.asarray(jax.random.permutation(key, num))
  held_out, train = np.sort(order[:count]), np.sort(order[count:])
  return people.select(train), people.select(held_out)
