"""Who sits in front of the slates: one interface, three kinds of people.

`answer` sees what is on the screen (and, for hidden people, what the pictures
show); it returns feedback. The terminal's person lives in pasta/stages/play.py.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from pasta import seeds
from pasta.population import population as population_lib
from pasta.storage import sessions
from pasta.user_model import likelihoods
from pasta.user_model import model as user_model_lib


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


class HiddenPeople:
  """Sittings of the hidden population."""

  source = 'population'
  needs_scenes = True
  needs_features = False

  def __init__(
    self, population: population_lib.Population, crowd: population_lib.Crowd
  ):
    self.population = population
    self.crowd = crowd
    self.user_ids = crowd.user_ids
    self.initial_prompts = crowd.initial_prompts
    self.sitting_seeds = seeds.derive(crowd.noise_seeds, 'world')
    self._previous = None

  def answer(self, shown: Shown) -> Answer:
    previous = self._previous if shown.turn else None
    choice, satisfaction, comparison, utility = population_lib.answer(
      self.population, self.crowd, shown.scenes, previous, shown.turn
    )
    self._previous = utility
    return Answer(
      choice=choice,
      satisfaction=satisfaction,
      comparison=comparison if shown.turn else None,
      critiques=('',) * len(choice),
      utility=utility,
    )


def draw_types(
  model: user_model_lib.UserModel, sitting_seeds: np.ndarray
) -> np.ndarray:
  """Types from the model's prior, one a sitting: int [N]."""
  prior = np.exp(np.asarray(model.log_prior, np.float64))
  draw = seeds.uniform(sitting_seeds, 'type')
  return np.minimum(
    (draw[:, None] >= np.cumsum(prior / prior.sum())).sum(1), len(prior) - 1
  )


class SimulatedPeople:
  """People drawn from a learned user model (paper section 4.2).

  A type from the prior and a generosity for each sitting; choices, satisfaction
  and comparison from the model given those.
  """

  source = 'simulated'
  needs_scenes = False
  needs_features = True

  def __init__(
    self,
    model: user_model_lib.UserModel,
    initial_prompts: tuple[str, ...],
    sitting_seeds: np.ndarray,
  ):
    self.model = model
    self.initial_prompts = initial_prompts
    self.sitting_seeds = sitting_seeds
    self.user_ids = tuple(f's{int(s):016x}' for s in sitting_seeds)
    self.types = draw_types(model, sitting_seeds)
    spread = float(np.exp(model.satisfaction['log_spread']))
    self.generosity = spread * seeds.normal(sitting_seeds, 'generosity')
    self._previous = None

  def answer(self, shown: Shown) -> Answer:
    first = self._previous is None or shown.turn == 0
    previous = np.zeros(len(self.types)) if first else self._previous
    response = jax.device_get(
      _respond(
        self.model,
        jnp.asarray(shown.text),
        jnp.asarray(shown.image),
        jnp.asarray(self.types),
        jnp.asarray(previous, jnp.float32),
        jnp.asarray(self.generosity, jnp.float32),
      )
    )
    noise = seeds.gumbel(
      self.sitting_seeds[:, None],
      'choice',
      shown.turn,
      np.arange(response['log_probs'].shape[1]),
    )
    choice = np.argmax(response['log_probs'] + noise, axis=1)
    rows = np.arange(len(choice))
    sigma = float(np.exp(self.model.satisfaction['log_sigma']))
    satisfaction = response['satisfaction'][rows, choice] + sigma * (
      seeds.normal(self.sitting_seeds, 'satisfaction', shown.turn)
    )
    comparison = None
    if not first:
      noise = seeds.gumbel(
        self.sitting_seeds[:, None], 'comparison', shown.turn, np.arange(3)
      )
      comparison = (
        np.argmax(response['comparison'][rows, choice] + noise, axis=1) - 1
      )
    self._previous = response['utility'][rows, choice]
    return Answer(
      choice=choice,
      satisfaction=np.clip(satisfaction, 0.0, 1.0),
      comparison=comparison,
      critiques=('',) * len(choice),
    )


def simulated_crowd(
  model: user_model_lib.UserModel,
  records: Iterable[sessions.Session],
  num: int,
  *,
  seed: int,
) -> Callable[[np.ndarray], SimulatedPeople]:
  """Draws sittings of simulated people, who type what people have typed.

  Args:
    model: gives types and answers.
    records: sessions with what people have typed.
    num: how many sittings.
    seed: of all that is drawn.

  Returns:
    A function of positions among the sittings to the people who sit there.
  """
  known = sorted({s.initial_prompt for s in records})
  sitting = seeds.derive(seed, 'sitting', np.arange(num))
  pick = seeds.derive(sitting, 'prompt') % np.uint64(len(known))
  return lambda index: SimulatedPeople(
    model, tuple(known[i] for i in pick[index]), sitting[index]
  )


@jax.jit
def _respond(model, text, image, types, previous, generosity):
  """What people of the given types [N] would do, for every column [N, L]."""
  offset = generosity[:, None, None]
  utility = user_model_lib.column_utility(model, text, image)  # [N, L, K]
  pick = jax.nn.one_hot(types, model.num_types)[:, None]  # [N, 1, K]
  own = (utility * pick).sum(-1)  # [N, L]
  return {
    'log_probs': (user_model_lib.choice_log_probs(model, utility) * pick).sum(
      -1
    ),
    'satisfaction': (
      user_model_lib.expected_satisfaction(model, utility, offset) * pick
    ).sum(-1),
    'comparison': likelihoods.cross_turn_log_probs(
      own - previous[:, None], model.comparison
    ),
    'utility': own,
  }
