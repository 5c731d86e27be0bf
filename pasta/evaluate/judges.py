"""Who judges policies: fresh people of the hidden population, or of the model.

Hidden people see what the pictures show, which the embedded text-to-image model
alone knows. People drawn from the user model see what any model draws, through
its own eyes: what policies bring is then what the user model believes of them.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence

import ml_collections
import numpy as np

from pasta import seeds
from pasta.interaction import hidden_people, simulated_people
from pasta.interaction.people import People
from pasta.population import population as population_lib
from pasta.storage import typed
from pasta.user_model.model import UserModel

KINDS = ('hidden', 'user_model')


@dataclasses.dataclass(frozen=True)
class Judges:
  """N people at S sittings each, all drawn beforehand.

  Attributes:
    num_people: N.
    draw: positions among the N · S sittings -> who sits there; a person's are
      next to each other.
    true_types: hidden types of the sittings [N · S]; None: there are none.
    num_sessions: S.
  """

  num_people: int
  draw: Callable[[np.ndarray], People]
  true_types: np.ndarray | None = None
  num_sessions: int = 1

  def session(self, number: int) -> 'Judges':
    """The same people's session of a number, from 0."""
    at = np.arange(self.num_people) * self.num_sessions + number
    types = self.true_types
    return Judges(
      self.num_people,
      lambda index: self.draw(at[index]),
      None if types is None else types[at],
    )


def hidden(
  population: population_lib.Population,
  num_people: int,
  *,
  seed: int,
  num_sessions: int = 1,
  prompts: Sequence[str] = (),
) -> Judges:
  """Fresh people of the hidden population; see `population.draw_crowd`."""
  crowd = population_lib.draw_crowd(
    population, num_people, num_sessions, seed=seed, prompts=prompts
  )
  return Judges(
    num_people,
    lambda index: hidden_people.HiddenPeople(population, crowd.select(index)),
    crowd.types,
    num_sessions,
  )


def of_user_model(
  model: UserModel,
  prompts: Sequence[str],
  num_people: int,
  *,
  seed: int,
  num_sessions: int = 1,
) -> Judges:
  """Fresh people drawn from a user model.

  Args:
    model: gives types and answers.
    prompts: what people type, one of them a sitting.
    num_people: N.
    seed: of all that is drawn.
    num_sessions: S.
  """
  person = seeds.derive(seed, 'judge', np.arange(num_people))
  person = np.repeat(person, num_sessions)
  number = np.tile(np.arange(num_sessions), num_people)
  sitting = seeds.derive(person, 'sitting', number)
  pick = seeds.derive(sitting, 'prompt') % np.uint64(len(prompts))
  return Judges(
    num_people,
    lambda index: simulated_people.SimulatedPeople(
      model,
      tuple(prompts[i] for i in pick[index]),
      sitting[index],
      person[index],
    ),
    num_sessions=num_sessions,
  )


def of_config(
  config: ml_collections.ConfigDict,
  workdir: str,
  population: population_lib.Population,
  model: UserModel | None,
  prompts: Sequence[str],
  num_people: int,
  num_sessions: int = 1,
) -> Judges:
  """The people that a config names.

  Args:
    config: of configs/evaluate.py.
    workdir: its sessions/ say what people have typed.
    population: of hidden people.
    model: of people drawn from it.
    prompts: what they type; (): hidden people what they have in mind, others
      what people have typed.
    num_people: N.
    num_sessions: of each.
  """
  sizes = {'seed': config.seed, 'num_sessions': num_sessions}
  if config.people == 'hidden':
    return hidden(population, num_people, prompts=prompts, **sizes)
  known = prompts or typed.typed_in(os.path.join(workdir, 'sessions'))
  return of_user_model(model, known, num_people, **sizes)
