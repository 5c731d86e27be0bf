"""Who sits in front of the slates: one interface, three kinds of people.

`answer` sees what is on the screen (and, for hidden people, what the pictures
show); it returns feedback. See hidden_people, simulated_people and terminal.
"""

import dataclasses
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shown:
  """What N people see at one turn.

  Attributes:
    turn: 0-based.
    prompts: per person, the L shown prompts.
    seeds: T2I seeds [N, L].
    columns: on-screen order [N, L]; screen column c shows entry columns[c].
    scenes: int8 [N, L, M, S], or None where nobody asks for them.
    text: float32 [N, L, D], or None.
    image: float32 [N, L, M, D], or None.
    log_belief: the agent's belief before this turn [N, K], or None.
  """

  turn: int
  prompts: list[tuple[str, ...]]
  seeds: np.ndarray
  columns: np.ndarray
  scenes: np.ndarray | None
  text: np.ndarray | None
  image: np.ndarray | None
  log_belief: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Answer:
  """What N people answer.

  Attributes:
    choice: slate entries [N].
    satisfaction: [N] in [0, 1]; NaN where not given.
    comparison: -1, 0, 1 [N]; None in the first turn or where not asked.
    critiques: N texts, '' where none.
    utility: true utility of the chosen column [N], where there is a truth.
  """

  choice: np.ndarray
  satisfaction: np.ndarray
  comparison: np.ndarray | None
  critiques: tuple[str, ...]
  utility: np.ndarray | None = None


class SessionEnded(Exception):
  """The person stopped; the turn that was being answered does not count."""


class People(Protocol):
  """N people at N sittings.

  Attributes:
    source: what `Session.source` records.
    user_ids: N texts.
    initial_prompts: N texts.
    sitting_seeds: root seed of each sitting [N]: candidates, image seeds and
      screen order derive from it, whatever the policy.
    needs_scenes: whether `answer` reads `Shown.scenes`.
    needs_features: whether `answer` reads `Shown.text` and `Shown.image`.
  """

  source: str
  user_ids: tuple[str, ...]
  initial_prompts: tuple[str, ...]
  sitting_seeds: np.ndarray
  needs_scenes: bool
  needs_features: bool

  def answer(self, shown: Shown) -> Answer: ...
