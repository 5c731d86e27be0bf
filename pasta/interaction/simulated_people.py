"""People drawn from a learned user model (paper section 4.2)."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pasta import seeds
from pasta.interaction.people import Answer, Shown
from pasta.types import screen_position
from pasta.user_model import likelihoods
from pasta.user_model import model as user_model_lib


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
    person_seeds: np.ndarray | None = None,
  ):
    """N people sit down.

    Args:
      model: gives types and answers.
      initial_prompts: N texts.
      sitting_seeds: [N].
      person_seeds: of type and generosity [N], the same in each of a person's
        sittings; None: every sitting is somebody else's.
    """
    person_seeds = sitting_seeds if person_seeds is None else person_seeds
    self.model = model
    self.initial_prompts = initial_prompts
    self.sitting_seeds = sitting_seeds
    self.user_ids = tuple(f's{int(s):016x}' for s in person_seeds)
    self.types = user_model_lib.draw_types(model, person_seeds)
    spread = float(np.exp(model.satisfaction['log_spread']))
    self.generosity = spread * seeds.normal(person_seeds, 'generosity')
    self._previous = None

  def answer(self, shown: Shown) -> Answer:
    first = self._previous is None or shown.turn == 0
    previous = np.zeros(len(self.types)) if first else self._previous
    position = None
    if shown.columns is not None:
      position = jnp.asarray(screen_position(shown.columns))
    response = jax.device_get(
      _respond(
        self.model,
        jnp.asarray(shown.text),
        jnp.asarray(shown.image),
        jnp.asarray(self.types),
        jnp.asarray(previous, jnp.float32),
        jnp.asarray(self.generosity, jnp.float32),
        position,
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
      utility=self._previous,
    )


def simulated_crowd(
  model: user_model_lib.UserModel,
  known: Sequence[str],
  num: int,
  *,
  seed: int,
) -> Callable[[np.ndarray], SimulatedPeople]:
  """Draws sittings of simulated people.

  Args:
    model: gives types and answers.
    known: what people type.
    num: how many sittings.
    seed: of all that is drawn.

  Returns:
    A function of positions among the sittings to the people who sit there.
  """
  sitting = seeds.derive(seed, 'sitting', np.arange(num))
  pick = seeds.derive(sitting, 'prompt') % np.uint64(len(known))
  return lambda index: SimulatedPeople(
    model, tuple(known[i] for i in pick[index]), sitting[index]
  )


@jax.jit
def _respond(model, text, image, types, previous, generosity, position):
  """What people of the given types [N] would do, for every column [N, L]."""
  offset = generosity[:, None, None]
  utility = user_model_lib.column_utility(model, text, image)  # [N, L, K]
  pick = jax.nn.one_hot(types, model.num_types)[:, None]  # [N, 1, K]
  own = (utility * pick).sum(-1)  # [N, L]
  return {
    'log_probs': (
      user_model_lib.choice_log_probs(model, utility, position) * pick
    ).sum(-1),
    'satisfaction': (
      user_model_lib.expected_satisfaction(model, utility, offset) * pick
    ).sum(-1),
    'comparison': likelihoods.cross_turn_log_probs(
      own - previous[:, None], model.comparison
    ),
    'utility': own,
  }
