"""Beliefs that never move: frozen at the prior, or told the true types.

They measure what the belief is worth to an agent (`train_value.belief`).

Letters: N sessions, K learned types, K* true types.
"""

import os
from collections.abc import Mapping

import ml_collections
import numpy as np

from pasta import workdir as workdir_lib
from pasta.population import population as population_lib
from pasta.population import true_types
from pasta.storage import session_features as features_lib
from pasta.user_model.model import UserModel

_SURE_FLOOR = 1e-6  # a belief's least probability, so that logs stay finite


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
    parts: features by their directory, 'features' (hidden people) and
      'simulated', N sessions in all.

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
      types = true_types.of_simulated_people(features.user_id, model)
      sure = np.eye(model.num_types)[types]
      result.append(np.log(np.maximum(sure, _SURE_FLOOR)))
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
  collected = ml_collections.ConfigDict(
    workdir_lib.read_json(os.path.join(workdir, 'sessions', 'config.json'))
  )
  population = population_lib.build(collected.population)
  types = true_types.of_hidden_people(
    features.user_id, population, collected.num_people, collected.seed
  )
  by_type = true_types.type_beliefs(
    model, features, types, collected.population.num_types
  )
  return by_type, types
