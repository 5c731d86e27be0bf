"""One person's session with the agent, and what passes between the two.

Letters: N people, L slate columns, C candidates, D embedding width, K user
types.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import jax
import numpy as np

from pasta import seeds
from pasta.agent import sitting as sitting_lib
from pasta.library import inputs
from pasta.library.explanation import Turn


class Encoder(Protocol):
  """What reads texts and images, such as `encoders.clip.ClipEncoder`."""

  encoder_id: str
  embedding_dim: int

  def encode_text(self, texts: Sequence[str]) -> np.ndarray:
    """N texts to float32 [N, D]."""

  def encode_images(self, images: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, 3] to float32 [N, D]."""


@dataclasses.dataclass(frozen=True)
class Slate:
  """What to show next.

  Attributes:
    indices: the columns' positions among the candidates, L of them.
    prompts: the columns' texts.
    scores: the policy's score of each candidate [C].
    predicted: what the slate is thought to be worth from here on, in units of
      return (the sum of satisfaction); NaN for policies that have no such
      number.
    log_propensity: log probability of this slate; 0 for a deterministic policy.
  """

  indices: tuple[int, ...]
  prompts: tuple[str, ...]
  scores: np.ndarray
  predicted: float
  log_propensity: float


@dataclasses.dataclass
class Session:
  """One person's session: what was shown, chosen and believed so far.

  Attributes:
    initial_prompt: what they typed.
    turns: those that were answered, oldest first.
    slate: proposed last and not answered yet; None otherwise.
    sitting: the same as arrays; the agent's.
    seed: of slates that are drawn.
    pending: what the agent has to remember of the slate.
  """

  initial_prompt: str
  turns: list[Turn]
  slate: Slate | None
  sitting: sitting_lib.Sitting
  seed: int
  pending: dict[str, np.ndarray]

  @property
  def belief(self) -> np.ndarray:
    """Probability of each user type, float32 [K]."""
    return np.exp(np.asarray(self.sitting.log_belief[0], np.float32))

  @property
  def prompt(self) -> str:
    """That the next turn extends: chosen last, or the initial one."""
    return self.turns[-1].chosen if self.turns else self.initial_prompt


def keys(sessions: Sequence[Session], num: int) -> jax.Array:
  """A typed key a session and turn, the first one again for padding [num]."""
  drawn = [
    seeds.derive(s.seed, 'slate', len(s.turns)) >> np.uint64(32)
    for s in sessions
  ]
  drawn = np.asarray(drawn, np.uint32)
  return jax.vmap(jax.random.key)(inputs.padded(drawn, num))
