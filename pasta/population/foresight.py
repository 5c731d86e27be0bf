"""What a choice is worth for the turns to come, to those who know the truth.

In a world where prompts are append-only and people tire of looks, a style that
is named today is in every picture of later turns. What picking a candidate is
worth later is in units of utility; it counts on top of what the pick is worth
now (`agent.expected_selection`).

Letters: N people, C candidates, S slots, V values of a slot, P particles.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pasta import seeds
from pasta.agent import expected_selection
from pasta.agent.history import CandidateSet, Decision, History
from pasta.agent.policy import Policy
from pasta.candidates.base import CandidateGenerator
from pasta.population import population as population_lib
from pasta.t2i.sketch import scene
from pasta.types import CATEGORIES, PromptHistory

# Hand rules on top of learned types; the second knows who tires.
SPARING = ('greedy_slate_sparing', 'greedy_slate_sparing_told')


def probs_of(texts: Sequence[Sequence[str]]) -> jax.Array:
  """Probabilities of what candidates [N][C] will show: [N, C, S, V]."""
  probs = {
    t: scene.value_probs(t)
    for t in dict.fromkeys(t for row in texts for t in row)
  }
  return jnp.asarray(
    np.array([[probs[t] for t in row] for row in texts]), jnp.float32
  )


def turns_left(history: History) -> jax.Array:
  """Turns after the one at hand [N]."""
  return history.choice.shape[1] - 1 - history.turn


def sparing(
  probs: jax.Array, turns_left: jax.Array, weight: jax.Array | float
) -> jax.Array:
  """The hand rule: −k · turns left · Σ_v p(v)² over style and palette.

  Args:
    probs: of the candidates' values [N, C, S, V].
    turns_left: after this one [N].
    weight: k of each person [N], or of all.

  Returns:
    [N, C]; the less, the surer a candidate's style and palette are.
  """
  tiring = probs[:, :, np.array(population_lib.TIRING_SLOTS)]
  return -(weight * turns_left)[:, None] * (tiring**2).sum((2, 3))


class SparingSlate(Policy):
  """`greedy_slate`, of learned types, with the hand rule on top.

  The rule knows what sketch makes of a text, and 'greedy_slate_sparing_told'
  knows how much each person tires.

  Args:
    name: one of SPARING.
    response: how people respond to slates.
    num_columns: L.
    weight: k of the rule; a person's own is k h_i where it is told.
  """

  def __init__(
    self,
    name: str,
    response: expected_selection.Response,
    *,
    num_columns: int,
    weight: float,
  ):
    super().__init__(name=f'{name}:weight={weight:g}', num_columns=num_columns)
    self._is_told = name == SPARING[1]
    self._weight = weight
    self._insert = jax.jit(
      lambda log_belief, candidates, later: expected_selection.insert(
        lambda sets, expected: expected,
        log_belief,
        candidates,
        response,
        num_columns,
        later,
      )
    )

  def begin(self, people: Any) -> None:
    """See Policy."""
    self._of_person = self._weight * (
      people.crowd.habituation if self._is_told else 1.0
    )

  def see(self, texts: Sequence[Sequence[str]]) -> None:
    """See Policy."""
    self._texts = texts

  def _choose(
    self, history: History, candidates: CandidateSet, keys: jax.Array
  ) -> Decision:
    del keys  # Deterministic.
    later = sparing(probs_of(self._texts), turns_left(history), self._of_person)
    slate, scores, _ = self._insert(history.log_belief, candidates, later)
    num = len(scores)
    return Decision(slate, scores, jnp.zeros(num), jnp.full(num, jnp.nan))


class Ahead:
  """One turn ahead: what the best slate of the next turn will be worth.

  For every candidate, the true generator writes the pool that would follow if
  it were picked (other draws than those that will come), people are as bored
  as they would be by the images that the candidate is expected to give, and
  the best slate of that pool is valued under the belief of this turn.

  Args:
    generator: writes the candidates.
    people: `interaction.people`, who sit down.
  """

  def __init__(self, generator: CandidateGenerator, people):
    self._generator = generator
    self._sitting_seeds = people.sitting_seeds
    self._histories = [PromptHistory(p) for p in people.initial_prompts]

  def observe(
    self, prompts: Sequence[Sequence[str]], choice: np.ndarray
  ) -> None:
    """Takes in the slates' prompts [N][L] and the choices [N]."""
    self._histories = [
      _followed(h, p[c], tuple(x for i, x in enumerate(p) if i != c))
      for h, p, c in zip(self._histories, prompts, choice)
    ]

  def pools(
    self, texts: Sequence[Sequence[str]], turn: int
  ) -> tuple[list[list[str]], np.ndarray]:
    """The pools that would follow each candidate.

    Args:
      texts: the turn's candidates [N][C].
      turn: 0-based.

    Returns:
      Texts [N · C][C] and their categories [N · C, C].
    """
    following = [
      _followed(h, text, ())
      for h, row in zip(self._histories, texts)
      for text in row
    ]
    drawn = seeds.derive(
      self._sitting_seeds[:, None], 'ahead', turn, np.arange(len(texts[0]))
    )
    pools = self._generator.propose(following, drawn.reshape(-1))
    category = [[CATEGORIES.index(c.category) for c in pool] for pool in pools]
    return [[c.text for c in p] for p in pools], np.array(category, np.int32)


def _followed(
  history: PromptHistory, chosen: str, rejected: tuple[str, ...]
) -> PromptHistory:
  """The history after one more turn without a critique."""
  return PromptHistory(
    history.initial_prompt,
    (*history.chosen, chosen),
    (*history.rejected, rejected),
    (*history.critiques, ''),
  )
