"""What the parts of pasta say to each other, beside arrays.

Nothing here imports jax: render workers load this module on their own.
"""

import dataclasses
from typing import Any

import numpy as np

PyTree = Any
CATEGORIES = ('rephrase', 'detail', 'style', 'subject', 'creative')
UNKNOWN_CATEGORY = ''  # of candidates in sessions that others have recorded


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One prompt that may be shown next.

  Attributes:
    text: the whole prompt.
    category: kind of expansion, one of CATEGORIES, or UNKNOWN_CATEGORY.
    source: id of the generator that wrote it, where that is another than the
      session's: what a language model left open; '': the session's own.
  """

  text: str
  category: str
  source: str = ''


def category_index(category: str) -> int:
  """Position in CATEGORIES; -1 for UNKNOWN_CATEGORY."""
  return -1 if category == UNKNOWN_CATEGORY else CATEGORIES.index(category)


def screen_position(columns: np.ndarray) -> np.ndarray:
  """Where slate entries stand: 1 in the screen's first column, 0 in its last.

  Args:
    columns: on-screen order [..., L], int; screen column c shows slate entry
      columns[c]. -1 throughout where the order is not known.

  Returns:
    float32 [..., L], by slate entry, falling linearly from column to column;
    0 throughout where the order is not known (no place is before another).
  """
  num = columns.shape[-1]
  # The inverse of a permutation: in which screen column each entry stands.
  column = np.argsort(columns, axis=-1, kind='stable')
  position = 1.0 - column / max(num - 1, 1)
  return np.where(columns < 0, 0.0, position).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class PromptHistory:
  """What a generator may know of one session so far.

  Attributes:
    initial_prompt: what the person typed.
    chosen: the chosen prompts, oldest first.
    rejected: per past turn, the prompts of the other columns.
    critiques: per past turn, the person's critique; '' where there was none.
  """

  initial_prompt: str
  chosen: tuple[str, ...] = ()
  rejected: tuple[tuple[str, ...], ...] = ()
  critiques: tuple[str, ...] = ()

  @property
  def current(self) -> str:
    """The prompt to expand."""
    return self.chosen[-1] if self.chosen else self.initial_prompt
