"""Plain choice data: what the library's latent-class models are fitted to."""

import flax
import jax
import numpy as np

from pasta import errors


@flax.struct.dataclass
class ChoiceData:
  """N choices among up to L alternatives, of U people; sorted by person.

  Attributes:
    features: [N, L, D]; zeros where an alternative is not available.
    available: [N, L], bool.
    choice: chosen alternative [N], int32.
    user: person of each choice, 0..U-1 in growing order [N], int32.
    num_users: U.
    present: false for people who only fill up a device's share, see `devices`,
      and count for nothing [U], bool; None: all are there.
  """

  features: jax.Array | np.ndarray
  available: jax.Array | np.ndarray
  choice: jax.Array | np.ndarray
  user: jax.Array | np.ndarray
  num_users: int = flax.struct.field(pytree_node=False)
  present: jax.Array | np.ndarray | None = None

  @property
  def num_choices(self) -> int:
    return self.choice.shape[0]

  @property
  def num_features(self) -> int:
    return self.features.shape[-1]


def make(
  features: np.ndarray,
  choice: np.ndarray,
  user: np.ndarray | None = None,
  available: np.ndarray | None = None,
  *,
  dtype: type = np.float64,
) -> tuple[ChoiceData, np.ndarray]:
  """Checks plain arrays and sorts them by person.

  Args:
    features: [N, L, D], numbers; free where an alternative is not available.
    choice: chosen alternative [N], whole numbers in 0..L-1.
    user: who chose [N], any sortable labels; None: every choice is a person
      of its own.
    available: [N, L], true where the alternative could be chosen; None: all.
    dtype: of the features.

  Returns:
    The data and the people's labels [U].

  Raises:
    PastaError: wrong shapes, a choice outside its set or not available, a
      set without alternatives, features that are not finite (the first such
      choice is named).
  """
  features, choice = np.asarray(features), np.asarray(choice)
  if features.ndim != 3:
    raise errors.PastaError(
      f'features have shape {features.shape}, expected [N, L, D]'
    )
  num, num_alternatives, _ = features.shape
  if not num:
    raise errors.PastaError('features hold no choice at all: nothing to fit')
  user = np.arange(num) if user is None else np.asarray(user)
  if available is None:
    available = np.ones((num, num_alternatives), bool)
  available = np.asarray(available)
  for name, array, shape in (
    ('choice', choice, (num,)),
    ('user', user, (num,)),
    ('available', available, (num, num_alternatives)),
  ):
    if array.shape != shape:
      raise errors.PastaError(
        f'{name} has shape {array.shape}, expected {shape} as features say'
      )
  if not np.issubdtype(choice.dtype, np.integer):
    raise errors.PastaError(
      f'choice holds {choice.dtype} numbers, expected whole ones'
    )
  if np.issubdtype(user.dtype, np.floating) and np.isnan(user).any():
    raise errors.PastaError(
      f'user of choice {_first(np.isnan(user))} is NaN, expected a label'
    )
  if not np.isin(available, (0, 1)).all():
    raise errors.PastaError('available holds other values than 0 and 1')
  available = available.astype(bool)
  outside = (choice < 0) | (choice >= num_alternatives)
  if outside.any():
    first = _first(outside)
    raise errors.PastaError(
      f'choice {first} is {choice[first]}, expected 0 to {num_alternatives - 1}'
    )
  taken = ~available[np.arange(num), choice]
  if taken.any():
    first = _first(taken)
    raise errors.PastaError(
      f'choice {first} is alternative {choice[first]}, which is not available'
    )
  bad = ~np.isfinite(features).all(-1) & available
  if bad.any():
    first = _first(bad.any(1))
    raise errors.PastaError(
      f'features of choice {first}, alternative {_first(bad[first])}, are not '
      'finite'
    )
  labels, position = np.unique(user, return_inverse=True)
  order = np.argsort(position, kind='stable')
  # Copies cost more memory than anything else does: none that is not needed.
  features = features.astype(dtype, copy=False)
  if not available.all():
    features = np.where(available[..., None], features, dtype(0))
  if (np.diff(order) != 1).any():
    features = features[order]
  return (
    ChoiceData(
      features=features,
      available=available[order],
      choice=choice[order].astype(np.int32),
      user=position[order].astype(np.int32),
      num_users=len(labels),
    ),
    labels,
  )


def _first(mask: np.ndarray) -> int:
  return int(np.flatnonzero(mask)[0])
