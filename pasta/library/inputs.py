"""What callers hand to the library, checked and as arrays.

Batches are filled up to a power of two, and pools to the widest: programs are
compiled for few shapes, and what is filled in changes nobody's result.

Letters: N people, B = N filled up, L columns, M images, C candidates, D
embedding width.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pasta import errors
from pasta.agent import sitting as sitting_lib
from pasta.types import (
  CATEGORIES,
  UNKNOWN_CATEGORY,
  Candidate,
  category_index,
  screen_position,
)
from pasta.user_model import belief as belief_lib

_NO_COMPARISON = 2  # beyond worse, same, better
_FEWEST_GROUPS = len(CATEGORIES)  # candidates of no category come behind these


@dataclasses.dataclass(frozen=True, eq=False)
class Feedback:
  """What a person answered to a slate.

  Attributes:
    choice: position of the best column in the slate, 0 to L − 1.
    images: what was shown, uint8 [L, M, H, W, 3], in the slate's order.
    image_features: the same as features [L, M, D], in place of images.
    satisfaction: in [0, 1]; None: not asked.
    comparison: 1 better, 0 same, -1 worse than the turn before; None: not
      asked.
    columns: on-screen order: screen column c showed slate entry columns[c];
      None: not known. It counts where the user model knows what a place is
      worth.
  """

  choice: int
  images: np.ndarray | None = None
  image_features: np.ndarray | None = None
  satisfaction: float | None = None
  comparison: int | None = None
  columns: Sequence[int] | None = None


def check_prompt(prompt: Any, what: str = 'prompt') -> None:
  """Raises PastaError unless this is a text that says something."""
  if not isinstance(prompt, str) or not prompt.strip():
    raise errors.PastaError(f'{what} is {prompt!r:.60}, expected a text')


def as_candidates(
  pools: Sequence[Sequence[str | Candidate]], num: int, num_columns: int
) -> list[list[Candidate]]:
  """N pools of candidates.

  Raises:
    PastaError: not one pool a session; a pool smaller than a slate; a
      candidate that is no text or of an unknown category.
  """
  if len(pools) != num:
    raise errors.PastaError(
      f'candidates: {len(pools)} pools, expected {num}, one a session'
    )
  result = []
  for pool in pools:
    if isinstance(pool, str):
      raise errors.PastaError(
        f'candidates is the text {pool!r:.60}, expected a list of texts'
      )
    made = [
      c if isinstance(c, Candidate) else Candidate(c, UNKNOWN_CATEGORY)
      for c in pool
    ]
    for candidate in made:
      check_prompt(candidate.text, 'a candidate')
      if candidate.category != UNKNOWN_CATEGORY:
        errors.check_known(
          'category of a candidate', candidate.category, CATEGORIES
        )
    if len(made) < num_columns:
      raise errors.PastaError(
        f'a pool of {len(made)} candidates for a slate of {num_columns} columns'
      )
    result.append(made)
  return result


def rows(
  features: Sequence[np.ndarray], pools: Sequence[Sequence[Candidate]]
) -> np.ndarray:
  """Features of N pools, N times [C, D], as rows.

  Raises:
    PastaError: not one row a candidate.
  """
  sizes = [len(x) for x in features]
  expected = [len(pool) for pool in pools]
  if sizes != expected:
    raise errors.PastaError(
      f'features: of {sizes} candidates, expected {expected}'
    )
  return np.concatenate([np.asarray(x) for x in features])


def text_features(
  encoder: Any,
  texts: Sequence[str],
  features: np.ndarray | Sequence[np.ndarray] | None,
  sitting: sitting_lib.Sitting,
) -> np.ndarray:
  """Features of texts, read or handed over: float32 [len(texts), D].

  Raises:
    PastaError: neither an encoder nor features; features that do not fit.
  """
  if features is None:
    if encoder is None:
      raise errors.PastaError(
        'this agent has no encoder: expected the features of the texts as well'
      )
    features = encoder.encode_text(texts)
  return _checked('features', features, (len(texts), sitting.text.shape[-1]))


def image_features(
  encoder: Any, feedback: Sequence[Feedback], sitting: sitting_lib.Sitting
) -> np.ndarray:
  """Features of what N people saw, float32 [N, L, M, D].

  Raises:
    PastaError: neither or both of images and features, or such as do not fit.
  """
  shape = sitting.image.shape[2:]
  given, pixels = {}, {}
  for i, answer in enumerate(feedback):
    if (answer.images is None) == (answer.image_features is None):
      raise errors.PastaError(
        'feedback: expected one of images and image_features'
      )
    if answer.images is None:
      given[i] = _checked('image_features', answer.image_features, shape)
    else:
      pixels[i] = _checked_pixels(answer.images, shape[:2])
  if pixels:
    if encoder is None:
      raise errors.PastaError(
        'this agent has no encoder: expected image_features, not images'
      )
    # People may have seen pictures of several sizes.
    for size in sorted({x.shape[2:4] for x in pixels.values()}):
      of_size = [i for i, x in pixels.items() if x.shape[2:4] == size]
      flat = np.concatenate([pixels[i].reshape(-1, *size, 3) for i in of_size])
      encoded = encoder.encode_images(flat).reshape(len(of_size), *shape)
      encoded = _checked('features of images', encoded, encoded.shape)
      given |= dict(zip(of_size, encoded))
  return np.stack([given[i] for i in range(len(feedback))])


def heard(
  feedback: Sequence[Feedback], num: int, num_columns: int
) -> belief_lib.Feedback:
  """What N people answered, as the belief hears it.

  Raises:
    PastaError: an answer that cannot be one.
  """
  if len(feedback) != num:
    raise errors.PastaError(
      f'feedback: of {len(feedback)} people, expected {num}'
    )
  order = np.full((num, num_columns), -1)
  for i, answer in enumerate(feedback):
    _check_whole('choice', answer.choice, range(num_columns))
    if answer.comparison is not None:
      _check_whole('comparison', answer.comparison, (-1, 0, 1))
    if answer.satisfaction is not None and not 0 <= answer.satisfaction <= 1:
      raise errors.PastaError(
        f'satisfaction is {answer.satisfaction}, expected 0 to 1, or None'
      )
    if answer.columns is not None:
      if sorted(answer.columns) != list(range(num_columns)):
        raise errors.PastaError(
          f'columns is {list(answer.columns)}, expected each of 0 to '
          f'{num_columns - 1} once'
        )
      order[i] = answer.columns
  return belief_lib.Feedback(
    choice=np.array([a.choice for a in feedback], np.int32),
    satisfaction=np.array(
      [np.nan if a.satisfaction is None else a.satisfaction for a in feedback],
      np.float32,
    ),
    comparison=np.array(
      [
        _NO_COMPARISON if a.comparison is None else a.comparison
        for a in feedback
      ],
      np.int32,
    ),
    position=screen_position(order),
  )


def joined(sittings: Sequence[sitting_lib.Sitting]) -> sitting_lib.Sitting:
  """N sittings as one, filled up to B."""
  size = 1 << (len(sittings) - 1).bit_length()
  return sitting_lib.join([*sittings, *[sittings[0]] * (size - len(sittings))])


def padded(array: np.ndarray, size: int) -> np.ndarray:
  """An array [N, ...] filled up with its first row to [size, ...]."""
  fill = np.repeat(array[:1], size - len(array), 0)
  return np.concatenate([array, fill])


def padded_pools(
  pools: Sequence[Sequence[Candidate]],
  text: np.ndarray,
  width: int,
  size: int,
) -> dict[str, np.ndarray]:
  """Pools as arrays.

  Args:
    pools: N.
    text: features of all candidates, one after another.
    width: C.
    size: B.

  Returns:
    category int32 [B, C], -1 for none; group int32 [B, C], of which a slate
    holds at most one each; valid [B, C]; text [B, C, D].
  """
  num = len(pools)
  category = np.full((num, width), -1, np.int32)
  valid = np.zeros((num, width), bool)
  features = np.zeros((num, width, text.shape[-1]), np.float32)
  start = 0
  for i, pool in enumerate(pools):
    category[i, : len(pool)] = [category_index(c.category) for c in pool]
    valid[i, : len(pool)] = True
    features[i, : len(pool)] = text[start : start + len(pool)]
    start += len(pool)
  # Candidates of no category are not held against each other.
  own = _FEWEST_GROUPS + np.arange(width, dtype=np.int32)
  group = np.where(category < 0, own, category)
  arrays = {'category': category, 'group': group, 'valid': valid}
  arrays['text'] = features
  return {name: padded(x, size) for name, x in arrays.items()}


def _check_whole(what: str, value: Any, known: Sequence[int]) -> None:
  is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
  if not is_whole or value not in known:
    raise errors.PastaError(
      f'{what} is {value!r:.40}, expected {known[0]} to {known[-1]}'
    )


def _checked(what: str, features: Any, shape: tuple[int, ...]) -> np.ndarray:
  """Features of a shape, as learners have read them: float16 rounded float32.

  Raises:
    PastaError: another shape, or numbers that are not finite.
  """
  array = np.asarray(features, np.float32)
  if array.shape != shape:
    raise errors.PastaError(
      f'{what}: shape {list(array.shape)}, expected {list(shape)}'
    )
  if not np.isfinite(array).all():
    raise errors.PastaError(f'{what}: not all numbers are finite')
  return array.astype(np.float16).astype(np.float32)


def _checked_pixels(images: Any, shape: tuple[int, ...]) -> np.ndarray:
  """Images uint8 [L, M, H, W, 3].

  Raises:
    PastaError: another shape or dtype.
  """
  array = np.asarray(images)
  if (
    array.dtype != np.uint8
    or array.ndim != 5
    or array.shape[:2] != shape
    or array.shape[4] != 3
    or not array.size
  ):
    raise errors.PastaError(
      f'images: {array.dtype} {list(array.shape)}, expected uint8 '
      f'[{shape[0]}, {shape[1]}, H, W, 3]'
    )
  return array
