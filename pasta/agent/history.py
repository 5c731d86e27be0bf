"""What the agent knows, what it may show, and what it decided to show.

Letters: B sessions, C candidates, L slate columns, T turns, D embedding width,
K user types, S tokens of a text.
"""

import flax.struct
import jax
import numpy as np


@flax.struct.dataclass
class Texts:
  """Texts as a language model's tokens, for the backbone 'gemma'.

  Attributes:
    ids: int32 [..., S], padded on the right.
    length: int32 [...], how many are valid; 0 where there is no text.
  """

  ids: jax.Array
  length: jax.Array


@flax.struct.dataclass
class History:
  """What the agent knows before it picks the slate of turn `turn`.

  All fields carry a leading batch axis, or none under vmap. Entries of turns
  at or after `turn` are zero; the networks never look at them.

  Attributes:
    turn: int32 [B], 0-based.
    initial_text: [B, D], the initial prompt's text features.
    slate_text: [B, T, L, D], the shown prompts' text features.
    slate_image: [B, T, L, D], `column_image` of the shown columns.
    slate_category: int32 [B, T, L], index into pasta.types.CATEGORIES.
    choice: int32 [B, T], the chosen column, -1 where there was none.
    log_belief: [B, K], log posterior over user types.
    prompt_utility: [B, K], what each type feels for the prompt that this turn
      extends: for the column chosen last, from its images; before the first
      choice for the initial prompt, from its text.
    satisfaction: [B, T], what people reported, NaN where they did not; None
      for policies that do not read it.
  """

  turn: jax.Array
  initial_text: jax.Array
  slate_text: jax.Array
  slate_image: jax.Array
  slate_category: jax.Array
  choice: jax.Array
  log_belief: jax.Array
  prompt_utility: jax.Array
  satisfaction: jax.Array | None = None


@flax.struct.dataclass
class CandidateSet:
  """The pool that a slate is picked from, in the generator's own order.

  Attributes:
    category: int32 [B, C], index into pasta.types.CATEGORIES.
    valid: bool [B, C], False for padding.
    text: [B, C, D], text features; None for policies without features.
    utility: [B, C, K], expected utility of each candidate's images under each
      user type, predicted from its text; None for policies without features.
    texts: [B, C], each candidate behind the history; None except for the
      backbone 'gemma'.
    group: int32 [B, C], of which a slate holds at most one each; None: the
      category.
  """

  category: jax.Array
  valid: jax.Array
  text: jax.Array | None
  utility: jax.Array | None
  texts: Texts | None = None
  group: jax.Array | None = None

  @property
  def groups(self) -> jax.Array:
    """What a slate is spread over: [B, C]."""
    return self.category if self.group is None else self.group


@flax.struct.dataclass
class Decision:
  """A slate, with what is needed to learn from it later.

  Attributes:
    slate: int32 [B, L], indices into the C candidates, in selection order.
    scores: float32 [B, C], the policy's score of every candidate.
    log_propensity: float32 [B], log probability of the slate as a set; 0 for a
      deterministic policy.
    predicted: float32 [B], what the policy thinks the slate is worth from here
      on, in units of return; NaN where it has no such number.
  """

  slate: jax.Array
  scores: jax.Array
  log_propensity: jax.Array
  predicted: jax.Array


def column_image(image: np.ndarray) -> np.ndarray:
  """What the agent sees of columns' images [..., M, D]: float16 [..., D].

  Their mean. Training and playing both call this, so that a value function
  is asked about the very numbers that it has learned from.
  """
  return image.astype(np.float32).mean(-2).astype(np.float16)
