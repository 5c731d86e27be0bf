"""What an agent would believe that is told a person's true type.

It bounds what a better belief could be worth: compare an agent with belief
'oracle' with the same agent with 'on' and 'prior'.

Letters: N sessions, U people, K learned types, K* true types.
"""

import os
import re
from collections.abc import Mapping

import jax
import ml_collections
import numpy as np

from pasta import errors, files
from pasta.population import population as population_lib
from pasta.storage import session_features as features_lib
from pasta.storage.session_features import SessionFeatures
from pasta.user_model import belief as belief_lib
from pasta.user_model import model as user_model_lib
from pasta.user_model.model import UserModel

_HIDDEN = re.compile(r'p(-?\d+)-(\d+)')
_SIMULATED = re.compile(r's([0-9a-f]{16})')
_SMALLEST = 1e-6


@jax.jit
def _final_belief(user_model, text, image, feedback):
  utility = user_model_lib.column_utility(user_model, text, image)
  found = belief_lib.trajectory(user_model, utility, feedback)
  return found.log_types[:, -1]


def type_beliefs(
  user_model: user_model_lib.UserModel,
  features: SessionFeatures,
  types: np.ndarray,
  num_true_types: int,
) -> np.ndarray:
  """The mean belief about people of each true type, after all they said.

  Args:
    user_model: the learned types.
    features: N sessions that the user model was trained on.
    types: true type of each session's person, int [N].
    num_true_types: K*.

  Returns:
    Log beliefs [K*, K]; the prior for true types that nobody has.
  """
  belief, first = person_beliefs(user_model, features)
  result = np.tile(
    np.exp(np.asarray(user_model.log_prior, np.float64)), (num_true_types, 1)
  )
  for k in range(num_true_types):
    found = belief[types[first] == k]
    if len(found):
      result[k] = found.mean(0)
  result = np.maximum(result, _SMALLEST)
  return np.log(result / result.sum(1, keepdims=True))


def person_beliefs(
  user_model: user_model_lib.UserModel, features: SessionFeatures
) -> tuple[np.ndarray, np.ndarray]:
  """Beliefs about people after all that they said in all their sessions.

  Args:
    user_model: the learned types.
    features: N sessions of U people.

  Returns:
    Beliefs [U, K], and the position of each person's first session [U].
  """
  log_prior = np.asarray(user_model.log_prior, np.float64)
  evidence = (
    np.asarray(
      _final_belief(
        user_model,
        features.slate_text,
        features.slate_image,
        belief_lib.Feedback(
          features.choice,
          features.satisfaction,
          features.comparison,
          features.position,
        ),
      ),
      np.float64,
    )
    - log_prior
  )  # [N, K]
  _, first, person = np.unique(
    features.user_id, return_index=True, return_inverse=True
  )
  total = np.zeros((len(first), len(log_prior)))
  np.add.at(total, person, evidence)
  total += log_prior
  belief = np.exp(total - total.max(1, keepdims=True))
  return belief / belief.sum(1, keepdims=True), first


def composition(
  user_model: user_model_lib.UserModel,
  features: SessionFeatures,
  types: np.ndarray,
  type_prior: np.ndarray,
) -> np.ndarray:
  """Whom each learned type stands for: P(true type | learned type).

  P(k* | belief b) is then Σ_k b(k) P(k* | k).

  Args:
    user_model: the learned types.
    features: N sessions of people whom the user model was trained on; never of
      those whose true types are then told from beliefs.
    types: true type of each session's person, int [N].
    type_prior: shares of the true types [K*].

  Returns:
    float64 [K, K*], rows sum to 1.
  """
  belief, first = person_beliefs(user_model, features)
  seen = belief.T @ np.eye(len(type_prior))[types[first]]
  # As if one more person of unknown type had each learned one.
  seen += np.asarray(type_prior)
  return seen / seen.sum(1, keepdims=True)


def of_hidden_people(
  user_ids: tuple[str, ...],
  true_population: population_lib.Population,
  num_people: int,
  seed: int,
) -> np.ndarray:
  """True types of people whom `draw_crowd` drew from `seed`, int [N].

  Raises:
    PastaError: somebody is not one of them.
  """
  crowd = population_lib.draw_crowd(true_population, num_people, 1, seed=seed)
  found = [_HIDDEN.fullmatch(u) for u in user_ids]
  for user_id, match in zip(user_ids, found):
    if not match or int(match[1]) != seed or int(match[2]) >= num_people:
      raise errors.PastaError(
        f'user {user_id} is not one of the {num_people} hidden people of seed '
        f"{seed}: belief 'oracle' needs people whose true type is known"
      )
  return crowd.types[[int(m[2]) for m in found]]


def of_simulated_people(
  user_ids: tuple[str, ...], user_model: user_model_lib.UserModel
) -> np.ndarray:
  """Learned types that simulated people were drawn with, int [N]."""
  found = [_SIMULATED.fullmatch(u) for u in user_ids]
  for user_id, match in zip(user_ids, found):
    if not match:
      raise errors.PastaError(
        f'user {user_id} is not a simulated one: belief '
        "'oracle' needs people whose true type is known"
      )
  seeds = np.array([int(m[1], 16) for m in found], np.uint64)
  return user_model_lib.draw_types(user_model, seeds)


def training_belief(
  mode: str,
  workdir: str,
  model: UserModel,
  parts: Mapping[str, features_lib.SessionFeatures],
) -> np.ndarray | None:
  """The fixed log beliefs of all training sessions, or None.

  Args:
    mode: 'prior' or 'oracle'; others have no fixed belief.
    workdir: the working directory.
    model: the user model.
    parts: features by their directory: 'features' are of hidden people, all
      others of simulated ones; N sessions in all.

  Returns:
    [N, K].

  Raises:
    PastaError: people whose true type is not known.
  """
  num = sum(len(p) for p in parts.values())
  if mode == 'prior':
    return np.tile(np.asarray(model.log_prior), (num, 1))
  if mode != 'oracle':
    return None
  result = []
  for name, features in parts.items():
    if name == 'features':
      by_type, types = hidden_types(workdir, model, features)
      result.append(by_type[types])
    else:
      types = of_simulated_people(features.user_id, model)
      sure = np.eye(model.num_types)[types]
      result.append(np.log(np.maximum(sure, _SMALLEST)))
  return np.concatenate(result).astype(np.float32)


def hidden_types(
  workdir: str, model: UserModel, features: features_lib.SessionFeatures
) -> tuple[np.ndarray, np.ndarray]:
  """What is believed of each true type, and who has which.

  Args:
    workdir: the working directory; WORKDIR/sessions tells the population.
    model: the user model.
    features: N sessions of that population.

  Returns:
    Log beliefs [K*, K], and the true type of each session's person [N].
  """
  true_population, types = _trained_on(workdir, features)
  num_true_types = len(true_population.type_prior)
  return type_beliefs(model, features, types, num_true_types), types


def hidden_composition(
  workdir: str,
  model: UserModel,
  features: features_lib.SessionFeatures,
  population: population_lib.Population,
) -> np.ndarray | None:
  """`composition` of a user model that was trained on hidden people [K, K*].

  Args:
    workdir: the working directory; WORKDIR/sessions tells the population.
    model: the user model.
    features: N sessions that it was trained on.
    population: whose true types are meant.

  Returns:
    None where the user model was trained on others, whose types are not known.
  """
  if not all(_HIDDEN.fullmatch(u) for u in features.user_id):
    return None
  true_population, types = _trained_on(workdir, features)
  if not np.array_equal(true_population.tastes, population.tastes):
    return None
  return composition(model, features, types, population.type_prior)


def _trained_on(
  workdir: str, features: features_lib.SessionFeatures
) -> tuple[population_lib.Population, np.ndarray]:
  """The population that sessions came from, and the people's types [N]."""
  collected = ml_collections.ConfigDict(
    files.read_json(os.path.join(workdir, 'sessions', 'config.json'))
  )
  true_population = population_lib.build(collected.population)
  types = of_hidden_people(
    features.user_id, true_population, collected.num_people, collected.seed
  )
  return true_population, types
