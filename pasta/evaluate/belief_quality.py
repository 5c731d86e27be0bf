"""What beliefs know of fresh people, turn by turn, and whether they know it.

- The log probability of a person's true type before each turn, beside what
  those know who have the population's parameters (`bayes`: from choices,
  `bayes_full`: from all feedback).
- Calibration: of the true type and of the next choice, how probable the
  likeliest is said to be and how often it is right.

All from sessions that were played; intervals are 95 % bootstraps over people.

Letters: N people, T turns, K learned types, K* true types.
"""

from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from pasta import errors, metrics
from pasta.interaction import hidden_people, people
from pasta.population import ceilings
from pasta.population import population as population_lib
from pasta.storage import sessions as sessions_lib
from pasta.storage.session_features import SessionFeatures
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel
from pasta.world import world as world_lib

CEILINGS = ('bayes', 'bayes_full')
_CHUNK_SESSIONS = 100

Estimate = dict[str, float]


def true_type_log_probs(
  name: str,
  population: population_lib.Population,
  crowd: population_lib.Crowd,
  records: list[sessions_lib.Session],
  world: world_lib.World,
  config: ml_collections.ConfigDict,
) -> np.ndarray:
  """What a ceiling knows that sits beside people who use another policy.

  Args:
    name: 'bayes' or 'bayes_full'.
    population: the truth.
    crowd: N sittings.
    records: their sessions of T turns each.
    world: knows what the images show.
    config: `ceilings` of configs/evaluate.py.

  Returns:
    Log probability of each person's true type before each turn and after the
    last, [N, T + 1].
  """
  first = records[0].turns[0]
  ceiling = ceilings.Ceiling(
    name,
    population,
    config,
    images_per_prompt=records[0].images_per_prompt,
    num_columns=len(first.slate),
  )
  ceiling.begin(hidden_people.HiddenPeople(population, crowd))
  rows = np.arange(len(crowd))
  found = [ceiling.log_types()[rows, crowd.types]]
  for turn in range(len(records[0].turns)):
    turns = [r.turns[turn] for r in records]
    ceiling.observe(*_replayed(turns, records[0], turn, world))
    found.append(ceiling.log_types()[rows, crowd.types])
  return np.stack(found, 1)


def _replayed(
  turns: list[sessions_lib.Turn],
  session: sessions_lib.Session,
  number: int,
  world: world_lib.World,
) -> tuple[people.Shown, people.Answer]:
  """What N people saw at a turn, and answered."""
  prompts = [t.prompts for t in turns]
  seeds = np.array([t.seeds for t in turns], np.uint64)
  scenes = world.scenes(
    [p for row in prompts for p in row],
    seeds.reshape(-1),
    session.images_per_prompt,
  )
  shown = people.Shown(
    turn=number,
    prompts=prompts,
    seeds=seeds,
    columns=np.array([t.columns for t in turns]),
    scenes=scenes.reshape(*seeds.shape, *scenes.shape[1:]),
    text=None,
    image=None,
    log_belief=None,
  )
  answer = people.Answer(
    choice=np.array([t.choice for t in turns]),
    satisfaction=np.array(
      [np.nan if t.satisfaction is None else t.satisfaction for t in turns]
    ),
    comparison=np.array([t.comparison for t in turns]) if number else None,
    critiques=('',) * len(turns),
  )
  return shown, answer


@jax.jit
def _choice_log_probs(model, text, image, position, log_belief):
  """Log probability of each column [N, T, L], given beliefs [N, T, K]."""
  utility = model_lib.column_utility(model, text, image)
  per_type = model_lib.choice_log_probs(model, utility, position)
  return jax.nn.logsumexp(per_type + log_belief[:, :, None], -1)


def choice_log_probs(
  model: UserModel, features: SessionFeatures, log_belief: np.ndarray
) -> np.ndarray:
  """What beliefs say of the next choice: log probabilities [N, T, L].

  Args:
    model: the user model.
    features: N sessions.
    log_belief: before each turn and after the last [N, T + 1, K].
  """
  parts = []
  for start in range(0, len(features), _CHUNK_SESSIONS):
    rows = np.arange(start, min(start + _CHUNK_SESSIONS, len(features)))
    position = features.position
    found = _choice_log_probs(
      model,
      features.slate_text[rows],
      features.slate_image[rows],
      None if position is None else position[rows],
      np.asarray(log_belief)[rows, :-1],
    )
    parts.append(np.asarray(found))
  return np.concatenate(parts)


def table(
  log_types: np.ndarray,
  types: np.ndarray,
  truth: Mapping[str, np.ndarray],
  log_choices: np.ndarray,
  choice: np.ndarray,
  *,
  seed: int,
) -> dict[str, Any]:
  """Beliefs turn by turn.

  Args:
    log_types: log probabilities of the true types [N, T + 1, K*].
    types: the true ones [N].
    truth: `true_type_log_probs` by ceiling, [N, T + 1] each.
    log_choices: what was said of the next choices [N, T, L].
    choice: those that were made [N, T].
    seed: of the intervals.

  Returns:
    'true_type', a row for each turn before it and one after the last:
    'log_prob' and one field for each ceiling's; 'stated', the mean probability
    of the likeliest type, 'right', how often it is the true one, 'gap', the
    first less the second. 'next_choice', a row for each turn, with the same
    fields. Estimates are {'mean', 'low', 'high'}.
  """
  rows = np.arange(len(types))

  def estimate(values: np.ndarray) -> Estimate:
    return metrics.bootstrap_mean(values, seed=seed)._asdict()

  def row(log_probs: np.ndarray, happened: np.ndarray) -> dict[str, Estimate]:
    stated = np.exp(log_probs.max(-1))
    right = (log_probs.argmax(-1) == happened).astype(np.float64)
    return {
      'log_prob': estimate(log_probs[rows, happened]),
      'stated': estimate(stated),
      'right': estimate(right),
      'gap': estimate(stated - right),
    }

  of_types = [
    row(log_types[:, turn], types)
    | {name: estimate(found[:, turn]) for name, found in truth.items()}
    for turn in range(log_types.shape[1])
  ]
  of_choices = [
    row(log_choices[:, turn], choice[:, turn])
    for turn in range(log_choices.shape[1])
  ]
  return {'true_type': of_types, 'next_choice': of_choices}


def measure(
  model: UserModel,
  features: SessionFeatures,
  records: list[sessions_lib.Session],
  log_belief: np.ndarray,
  composition: np.ndarray,
  population: population_lib.Population,
  crowd: population_lib.Crowd,
  world: world_lib.World,
  config: ml_collections.ConfigDict,
  *,
  seed: int,
) -> dict[str, Any]:
  """How good beliefs were in sessions of fresh people; see `table`.

  Args:
    model: the user model.
    features: of the N sessions.
    records: the sessions themselves, of T turns each.
    log_belief: before each turn and after the last [N, T + 1, K].
    composition: P(true type | learned type), `true_types.composition`.
    population: the truth.
    crowd: the N sittings.
    world: knows what the images show.
    config: `ceilings` of configs/evaluate.py.
    seed: of the intervals.

  Raises:
    PastaError: sessions of other people, or of other lengths.
  """
  lengths = {len(r.turns) for r in records}
  if tuple(r.user_id for r in records) != crowd.user_ids or len(lengths) != 1:
    raise errors.PastaError(
      f'{len(records)} sessions of {sorted(lengths)} turns: expected one of '
      f'each of the {len(crowd)} people, all of the same length'
    )
  truth = {
    name: true_type_log_probs(name, population, crowd, records, world, config)
    for name in CEILINGS
  }
  log_types = np.log(np.exp(np.asarray(log_belief, np.float64)) @ composition)
  return table(
    log_types,
    crowd.types,
    truth,
    choice_log_probs(model, features, log_belief),
    features.choice.astype(np.int64),
    seed=seed,
  )


def lines(results: Mapping[str, Any]) -> list[str]:
  """What beliefs knew before the last turn, as lines for a terminal."""
  row = results['true_type'][-2]
  said = ', '.join(
    f'{row[name]["mean"]:.2f} {what}'
    for name, what in (
      ('log_prob', 'learned'),
      ('bayes', 'true posterior of choices'),
      ('bayes_full', 'of all feedback'),
    )
  )
  return [f'log P(true type) before the last turn: {said}']
