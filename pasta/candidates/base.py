"""What every candidate generator offers: a history in, C prompts out.

A generator knows the words of a session so far, one kind the chosen images as
well, and nothing of the person or the belief. Nothing here imports jax, so
that render workers may load this module on their own.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pasta.types import Candidate, PromptHistory


class CandidateGenerator(Protocol):
  """Proposes candidate prompts.

  Attributes:
    generator_id: names the generator and what shapes its output; part of
      cache keys and session records.
    num_candidates: C, candidates a session and turn.
    sees_images: whether `propose` takes `images`, per session those of the
      prompt chosen last, uint8 [M, H, W, 3]; None at the first turn.
  """

  generator_id: str
  num_candidates: int
  sees_images: bool

  def propose(
    self, histories: Sequence[PromptHistory], seeds: np.ndarray
  ) -> list[list[Candidate]]:
    """Proposes the next candidates of B sessions.

    Args:
      histories: B sessions.
      seeds: integers [B].

    Returns:
      Per session exactly C candidates in the generator's own order, best
      first; C / G of each of G categories, no two the same. They depend on the
      session's history and seed only, as far as a language model's server
      allows that.

    Raises:
      ValueError: for an empty prompt, or where the lengths differ.
    """

  def understands(self, critique: str) -> bool:
    """Whether a person's few words can change what is proposed next."""


def check(histories: Sequence[PromptHistory], seeds: np.ndarray) -> None:
  """Raises ValueError for an empty prompt, or where the lengths differ."""
  if len(histories) != len(seeds):
    raise ValueError(
      f'{len(histories)} histories, but {len(seeds)} seeds: expected one '
      'seed a history'
    )
  for history in histories:
    if not history.current.strip():
      field = 'chosen[-1]' if history.chosen else 'initial_prompt'
      raise ValueError(f'{field} is empty: expected a prompt of some words')
