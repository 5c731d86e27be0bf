"""What the parts of pasta say to each other, beside arrays.

Nothing here imports jax: render workers load this module on their own.
"""

import dataclasses
from typing import Any

PyTree = Any
CATEGORIES = ('rephrase', 'detail', 'style', 'subject', 'creative')
UNKNOWN_CATEGORY = ''  # of candidates in sessions that others have recorded


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One prompt that may be shown next.

  Attributes:
    text: the whole prompt.
    category: kind of expansion, one of CATEGORIES, or UNKNOWN_CATEGORY.
  """

  text: str
  category: str


def category_index(category: str) -> int:
  """Position in CATEGORIES; -1 for UNKNOWN_CATEGORY."""
  return -1 if category == UNKNOWN_CATEGORY else CATEGORIES.index(category)


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
