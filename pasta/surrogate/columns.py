"""Rendered columns that a surrogate learns from, split by person.

Letters: S slates, L columns, P prompts (columns), M images of each, D embedding
width.
"""

import dataclasses

import jax
import numpy as np

from pasta import errors
from pasta.storage import session_features as features_lib

Columns = tuple[np.ndarray, np.ndarray]
CHUNK = 256  # columns that a program reads at once


@dataclasses.dataclass(frozen=True)
class Parts:
  """Sessions by what they are for; nobody is in two parts.

  Attributes:
    training: what the surrogate learns from.
    validation: what tells it when to stop.
    test: what it is judged by.
  """

  training: features_lib.SessionFeatures
  validation: features_lib.SessionFeatures
  test: features_lib.SessionFeatures


def split(
  features: features_lib.SessionFeatures,
  validation_share: float,
  test_share: float,
  key: jax.Array,
) -> Parts:
  """Splits by person; at least one each for validation and test.

  Raises:
    PastaError: fewer than three people, or shares that leave nobody to learn
      from.
  """
  names, person = np.unique(features.user_id, return_inverse=True)
  order = np.asarray(jax.random.permutation(key, len(names)))
  num_validation = max(round(len(names) * validation_share), 1)
  num_test = max(round(len(names) * test_share), 1)
  if num_validation + num_test >= len(names):
    raise errors.PastaError(
      f'{len(names)} people, {num_validation} for validation and {num_test} '
      'for the test: nobody is left to learn from'
    )
  part = np.full(len(names), 2)
  part[order[: num_validation + num_test]] = 1
  part[order[:num_validation]] = 0
  validation, test, training = (
    features.select(np.flatnonzero(part[person] == i)) for i in range(3)
  )
  return Parts(training=training, validation=validation, test=test)


def slates(features: features_lib.SessionFeatures) -> Columns:
  """Shown slates: prompts' features [S, L, D] and images' [S, L, M, D]."""
  valid = features.choice >= 0
  return features.slate_text[valid], features.slate_image[valid]


def columns(features: features_lib.SessionFeatures) -> Columns:
  """Shown columns: prompts' features [P, D] and images' [P, M, D]."""
  text, image = slates(features)
  return (
    text.reshape(-1, text.shape[-1]),
    image.reshape(-1, *image.shape[2:]),
  )
