"""People of the hidden population."""

import numpy as np

from pasta import seeds
from pasta.interaction.people import Answer, Shown
from pasta.population import population as population_lib


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
    self._previous = self._boredom = None

  def answer(self, shown: Shown) -> Answer:
    previous = self._previous if shown.turn else None
    if not shown.turn:  # a session starts
      self._boredom = np.zeros_like(self.crowd.tastes)
    choice, satisfaction, comparison, utility = population_lib.answer(
      self.population,
      population_lib.bored(self.crowd, self._boredom),
      shown.scenes,
      previous,
      shown.turn,
      shown.columns,
    )
    self._previous = utility
    self._boredom = population_lib.next_boredom(
      self._boredom, shown.scenes, choice
    )
    return Answer(
      choice=choice,
      satisfaction=satisfaction,
      comparison=comparison if shown.turn else None,
      critiques=('',) * len(choice),
      utility=utility,
    )
