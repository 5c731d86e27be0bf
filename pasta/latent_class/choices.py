"""Plain choice data: what the library's latent-class models are fitted to."""

import flax
import jax
import numpy as np

from pasta import errors, labels

_BLOCK_CHOICES = 2**16  # centred at a time
_ROUNDING = 8.0 * np.finfo(np.float64).eps


@flax.struct.dataclass
class ChoiceData:
  """N choices among up to L alternatives, of U people; sorted by person.

  Attributes:
    features: [N, L, D], less their mean over what is available in each set;
      zeros where an alternative is not.
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

  Only differences within a choice set tell anything. So features are centred
  there, once and in float64: what is the same for all alternatives, however
  large, must not cost what differs its digits.

  Args:
    features: [N, L, D], numbers; free where an alternative is not available.
    choice: chosen alternative [N], whole numbers in 0..L-1.
    user: who chose [N], labels of one type; None: every choice is a person
      of its own.
    available: [N, L], true where the alternative could be chosen; None: all.
    dtype: of the features.

  Returns:
    The data and the people's labels [U].

  Raises:
    PastaError: wrong shapes, a choice outside its set or not available, a
      set without alternatives, features that are not finite or too large, a
      label that is missing or of another type (the first such choice is
      named).
  """
  features, choice = np.asarray(features), np.asarray(choice)
  if not choice.size:
    raise errors.PastaError('choice is empty: nothing to fit')
  features, available = centred(features, available, dtype)
  num, num_alternatives, _ = features.shape
  user = np.arange(num) if user is None else labels.check(user, 'user')
  for name, array in (('choice', choice), ('user', user)):
    if array.shape != (num,):
      raise errors.PastaError(
        f'{name} has shape {array.shape}, expected {(num,)} as features say'
      )
  if not np.issubdtype(choice.dtype, np.integer):
    raise errors.PastaError(
      f'choice holds {choice.dtype} numbers, expected whole ones'
    )
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
  people, position = np.unique(user, return_inverse=True)
  order = np.argsort(position, kind='stable')
  if (np.diff(order) != 1).any():
    features = features[order]
  return (
    ChoiceData(
      features=features,
      available=available[order],
      choice=choice[order].astype(np.int32),
      user=position[order].astype(np.int32),
      num_users=len(people),
    ),
    people,
  )


def centred(
  features: np.ndarray, available: np.ndarray | None, dtype: type = np.float64
) -> tuple[np.ndarray, np.ndarray]:
  """Checked features less their mean in each set [N, L, D], and what is there.

  Args and errors: as of `make`.

  Returns:
    Features of the dtype, zeros where an alternative is not available; and
    `available` [N, L], bool.
  """
  features = np.asarray(features)
  if features.ndim != 3:
    raise errors.PastaError(
      f'features have shape {features.shape}, expected [N, L, D]'
    )
  if features.dtype.kind not in 'biuf':
    raise errors.PastaError(f'features hold {features.dtype}, expected numbers')
  shape = features.shape[:2]
  available = np.ones(shape, bool) if available is None else available
  available = np.asarray(available)
  if available.shape != shape:
    raise errors.PastaError(
      f'available has shape {available.shape}, expected {shape} as features say'
    )
  if not np.isin(available, (0, 1)).all():
    raise errors.PastaError('available holds other values than 0 and 1')
  available = available.astype(bool)
  if not available.any(1).all():
    first = _first(~available.any(1))
    raise errors.PastaError(f'choice {first} has no alternative available')
  largest = float(np.finfo(dtype).max) ** 0.5  # beyond, squares overflow
  found = np.empty(features.shape, dtype)
  for start in range(0, len(features), _BLOCK_CHOICES):
    rows = slice(start, start + _BLOCK_CHOICES)
    there = available[rows][..., None]
    x = np.where(there, features[rows].astype(np.float64), 0.0)
    for bad, what in (
      (~np.isfinite(x), 'not finite'),
      (
        np.abs(x) > largest,
        f'too large for {np.dtype(dtype).name}, expected at most {largest:.2g}',
      ),
    ):
      bad = bad.any(-1)
      if bad.any():
        first = _first(bad.any(1))
        raise errors.PastaError(
          f'features of choice {start + first}, alternative '
          f'{_first(bad[first])}, are {what}'
        )
    deviation = x - x.sum(1, keepdims=True) / there.sum(1, keepdims=True)
    # Of what is the same for all only rounding is left.
    varies = np.abs(deviation) > _ROUNDING * np.abs(x).max(1, keepdims=True)
    found[rows] = np.where(there & varies, deviation, 0.0)
  return found, available


def _first(mask: np.ndarray) -> int:
  return int(np.flatnonzero(mask)[0])
