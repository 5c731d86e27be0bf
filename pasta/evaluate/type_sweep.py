"""What a sweep over numbers of types measures of each fit."""

import functools
import itertools
import time
from typing import Any

import jax
import ml_collections
import numpy as np

from pasta.latent_class import recovery
from pasta.storage import session_features as features_lib
from pasta.user_model import (
  belief,
  em,
  evaluate,
  evidence,
  packing,
  predictions,
  sources,
)
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel
from pasta.user_model.sources import Source

_TIMED_UPDATES = 200
_CHUNK_USERS = 128


def split_people(
  features: features_lib.SessionFeatures, test_share: float, seed: int
) -> tuple[features_lib.SessionFeatures, features_lib.SessionFeatures]:
  """Sessions of some people and of the others; at least one on each side."""
  users = np.unique(features.user_id)
  count = int(np.clip(round(test_share * len(users)), 1, len(users) - 1))
  chosen = np.random.default_rng(seed).permutation(users)[:count]
  is_test = np.isin(features.user_id, chosen)
  return (
    features.select(np.flatnonzero(~is_test)),
    features.select(np.flatnonzero(is_test)),
  )


def measure(
  model: UserModel,
  train: features_lib.SessionFeatures,
  test: features_lib.SessionFeatures,
  config: ml_collections.ConfigDict,
) -> dict[str, Any]:
  """Metrics of one fit.

  Args:
    model: the fit.
    train: what it was fitted on.
    test: other people's sessions.
    config: `configs/train_user_model.py`, of the fit.

  Returns:
    `evaluate.evaluate` on the test people; 'assignments', each one's most
    probable type given all of their feedback; 'bic' and 'num_parameters' on the
    train people; 'step_megabytes', memory of a step of EM; and
    'update_microseconds', time of one person's belief update.
  """
  settings = config.sources.sessions
  grouping = settings.max_observations, settings.membership
  known = sources.from_sessions(train, *grouping)
  new = sources.from_sessions(test, *grouping)
  num_parameters = _count(model)
  total = _log_likelihood(model, known, config)
  return {
    **evaluate.evaluate(model, new),
    'assignments': _assign(model, new),
    'bic': -2 * total + num_parameters * float(np.log(known.num_users)),
    'num_parameters': num_parameters,
    'step_megabytes': _step_bytes(model, known, config) / 2**20,
    'update_microseconds': _update_seconds(model, new) * 1e6,
  }


def _assign(model: UserModel, source: Source) -> list[int]:
  """Each person's most probable type, given all of their feedback."""
  people = predictions.turns(source, np.arange(source.num_users))
  utility = model_lib.column_utility(model, people.text, people.image)
  beliefs = belief.trajectory(model, utility, people.feedback, people.starts)
  return np.asarray(beliefs.log_types[:, -1].argmax(-1)).tolist()


def add_stability(rows: list[dict]) -> None:
  """Replaces assignments by how well the seeds of each K agree in them.

  'stability' is the mean adjusted Rand index over pairs of seeds; without a
  second seed there is none.
  """
  assignments = [np.array(r.pop('assignments')) for r in rows]
  for row in rows:
    same = [
      a for r, a in zip(rows, assignments) if r['num_types'] == row['num_types']
    ]
    agreement = [
      recovery.adjusted_rand_index(a, b)
      for a, b in itertools.combinations(same, 2)
    ]
    if agreement:
      row['stability'] = float(np.mean(agreement))


def _count(model: UserModel) -> int:
  """Parameters that EM has fitted: shared ones, deviations, type shares."""
  leaves = jax.tree.leaves(em.trainable(model))
  return sum(np.size(x) for x in leaves) + model.num_types - 1


_log_likelihoods = jax.jit(evidence.log_likelihoods)


def _log_likelihood(
  model: UserModel, source: Source, config: ml_collections.ConfigDict
) -> float:
  """Marginal log-likelihood of all feedback, nats."""
  total = 0.0
  for index, count in packing.chunks(source.num_users, _CHUNK_USERS):
    found = _log_likelihoods(model, source.side_by_side(index))
    joint = model.log_prior + evidence.weigh(found, config)
    marginal = np.logaddexp.reduce(np.asarray(joint, np.float64), axis=1)
    total += marginal[:count].sum()
  return float(total)


def _step_bytes(
  model: UserModel, source: Source, config: ml_collections.ConfigDict
) -> int:
  """Memory of one EM step: its arguments, state and intermediate results."""
  people = np.arange(config.sources.sessions.batch_users) % source.num_users
  batches = {'sessions': source.side_by_side(people)}
  state = em.init(
    jax.random.key(0), model, {'sessions': source.num_users}, 1.0, config
  )
  step = jax.jit(functools.partial(em.update, config=config))
  found = step.lower(state, batches).compile().memory_analysis()
  return found.argument_size_in_bytes + found.temp_size_in_bytes


def _update_seconds(model: UserModel, source: Source) -> float:
  """Median time of one person's belief update, features to posterior."""

  @jax.jit
  def update(model, known, text, image, feedback):
    utility = model_lib.column_utility(model, text, image)
    return belief.update(model, known, utility, feedback)

  known = belief.initial(model, 1)
  first = source.read(np.arange(1))
  feedback = belief.Feedback(
    **{k: first.feedback[k] for k in belief.KINDS}, position=first.position
  )
  arrays = first.text, first.image, feedback
  times = []
  for _ in range(_TIMED_UPDATES):
    started = time.perf_counter()
    jax.block_until_ready(update(model, known, *arrays))
    times.append(time.perf_counter() - started)
  return float(np.median(times))
