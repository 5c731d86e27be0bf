"""Off-policy evaluation: estimates from logs, and the truth where it is known.

Letters: N sessions, T turns, C candidates, L slate columns, K user types.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from pasta import metrics
from pasta.agent import episodes as episodes_lib
from pasta.agent import policy as policy_lib
from pasta.agent.episodes import Episodes
from pasta.evaluate.off_policy import fitted_q, importance, propensities
from pasta.evaluate.off_policy.importance import Estimate
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.user_model import model as user_model_lib

_LEVELS = ('slate', 'item')
NAMES = (
  'fqe',
  'fqe_mean',
  *(
    f'{kind}_{level}'
    for kind in ('pdis', 'wpdis', 'dr', 'wdr')
    for level in _LEVELS
  ),
)


@dataclasses.dataclass(frozen=True)
class Logs:
  """Logged sessions and what is known of the policy that made them.

  Attributes:
    episodes: N sessions with their pools.
    users: int [N], who each session belongs to.
    log_behaviour: by level, 'slate' or 'item': log μ of what was logged
      [N, T]; not there where importance sampling is refused.
    refusals: by level, why it is.
  """

  episodes: Episodes
  users: np.ndarray
  log_behaviour: dict[str, np.ndarray]
  refusals: dict[str, str]


def read_logs(
  config: ml_collections.ConfigDict,
  features: features_lib.SessionFeatures,
  model: user_model_lib.UserModel,
  records: Mapping[str, sessions_lib.Session],
) -> Logs:
  """Prepares logged sessions; those without a single choice are left out.

  Args:
    config: configs/off_policy.py.
    features: of the sessions, with pools.
    model: gives beliefs, utilities and choice probabilities.
    records: the sessions by id, for the behaviour's scores.
  """
  features = features.select(np.flatnonzero(features.choice[:, 0] >= 0))
  episodes = episodes_lib.from_features(
    features, model, reward=config.reward, with_pool=True
  )
  log_scale = episodes.choice_log_scale[0]
  episodes = propensities.calibrated(episodes)
  logging.info(
    'choice scale on text, of that on images: %.2f',
    np.exp(episodes.choice_log_scale[0] - log_scale),
  )
  _, users = np.unique(features.user_id, return_inverse=True)
  log_behaviour, refusals = known_behaviour(
    config, episodes, features.session_id, records
  )
  return Logs(episodes, users, log_behaviour, refusals)


def known_behaviour(
  config: ml_collections.ConfigDict,
  episodes: Episodes,
  session_id: Sequence[str],
  records: Mapping[str, sessions_lib.Session],
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """What Logs.log_behaviour and Logs.refusals hold."""
  valid, size = episodes.valid, len(episodes)
  log_slate = episodes.log_propensity
  is_choice = episodes.pool.category.shape[-1] > episodes.slate.shape[-1]
  unknown = (np.isnan(log_slate) & valid).any(1).sum()
  certain = ((log_slate == 0) & valid & is_choice).any(1).sum()
  if unknown:
    why = f"field 'log_propensity' is unknown in {unknown} of {size} sessions"
    return {}, dict.fromkeys(_LEVELS, why)
  if certain:
    why = (
      f"field 'log_propensity' is 0 in {certain} of {size} sessions: their "
      'slates were certain, so they say nothing of others'
    )
    return {}, dict.fromkeys(_LEVELS, why)
  logits = propensities.behaviour_logits(
    records, session_id, episodes.pool.category.shape
  )
  behaviour = propensities.of_logits(
    logits, episodes, key=_slate_key(config), num_slates=config.num_slates
  )
  foreign = (~propensities.agrees(behaviour, logits, episodes)).sum()
  if foreign:
    why = (
      f"fields 'scores' and 'policy_id' of {foreign} of {size} sessions do not "
      "give their 'log_propensity'"
    )
    return {'slate': log_slate}, {'item': why}
  return {'slate': log_slate, 'item': behaviour.log_item}, {}


def _slate_key(config: ml_collections.ConfigDict) -> jax.Array:
  """One key for behaviour and targets: their sampling noise then cancels."""
  return jax.random.key(config.seed)


def evaluate(
  config: ml_collections.ConfigDict,
  logs: Logs,
  targets: Mapping[str, policy_lib.Policy],
  model: user_model_lib.UserModel,
  truth: Mapping[str, metrics.Interval],
) -> dict:
  """All estimates of all target policies, as plain JSON values."""
  episodes = logs.episodes
  gamma = config.discount ** np.arange(episodes.reward.shape[1])
  returns = (gamma * episodes.reward).sum(1)
  logged = importance.Terms(returns[:, None], np.ones((len(episodes), 1)))
  uniform = np.ones_like(episodes.reward, np.float64)
  results = {
    'num_sessions': len(episodes),
    'num_people': int(logs.users.max()) + 1,
    'logged': dataclasses.asdict(
      importance.estimate(
        logged,
        uniform,
        logs.users,
        min_effective_sessions=0,
        seed=config.seed,
      )
    ),
    'policies': {},
  }
  for name, policy in targets.items():
    logging.info('off-policy evaluation of %s', policy.policy_id)
    target = propensities.of_policy(
      policy,
      episodes,
      jnp.asarray(model.log_prior),
      key=_slate_key(config),
      num_slates=config.num_slates,
    )
    found = estimates(config, logs, target)
    true = truth.get(name)
    rows = {
      key: dataclasses.asdict(value)
      | {
        'error': None
        if None in (true, value.value)
        else value.value - true.mean
      }
      for key, value in found.items()
    }
    results['policies'][name] = {
      'policy_id': policy.policy_id,
      'truth': None if true is None else true._asdict(),
      'estimates': rows,
    }
  return results


def estimates(
  config: ml_collections.ConfigDict,
  logs: Logs,
  target: propensities.Propensities,
) -> dict[str, Estimate]:
  """Every estimate of one target policy's return, by NAMES."""
  episodes, result = logs.episodes, {}
  fits = {}
  for name, credit, weights in (
    ('fqe', 'choice', target.chosen),
    ('fqe_mean', 'mean', target.shown),
  ):
    fits[name] = fitted_q.fit(
      episodes,
      weights,
      logs.users,
      config.fitted_q,
      credit=credit,
      discount=config.discount,
      seed=config.seed,
    )
    result[name] = fitted_q.estimate(fits[name], weights)
  f = fits['fqe'].unseen  # [N, T, C]
  shown = np.take_along_axis(f, episodes.slate, 2)  # [N, T, L]
  column = np.maximum(episodes.choice, 0)[..., None]
  q = {
    'slate': (np.exp(episodes.log_choice) * shown).sum(-1),
    'item': np.take_along_axis(shown, column, 2)[..., 0],
  }
  v = np.where(episodes.valid, (target.chosen * f).sum(-1), 0.0)
  for level in _LEVELS:
    names = [f'{kind}_{level}' for kind in ('pdis', 'wpdis', 'dr', 'wdr')]
    if level in logs.refusals:
      refused = Estimate(refusal=logs.refusals[level])
      result |= dict.fromkeys(names, refused)
      continue
    weights = importance.cumulative_weights(
      getattr(target, f'log_{level}'),
      logs.log_behaviour[level],
      episodes.valid,
    )
    q_level = np.where(episodes.valid, q[level], 0.0)
    for name, is_weighted in zip(names, 2 * (False, True)):
      options = {'discount': config.discount, 'self_normalised': is_weighted}
      terms = (
        importance.doubly_robust(
          weights, episodes.reward, q_level, v, **options
        )
        if 'dr' in name
        else importance.per_decision(weights, episodes.reward, **options)
      )
      result[name] = importance.estimate(
        terms,
        weights,
        logs.users,
        min_effective_sessions=config.min_effective_sessions,
        seed=config.seed,
      )
  return {name: result[name] for name in NAMES}


def table(results: Mapping) -> list[str]:
  """`evaluate`'s results as lines for a terminal."""

  def interval(mean, low, high, **_):
    return f'{mean:6.3f} [{low:6.3f}, {high:6.3f}]'

  logged = dict(results['logged'])
  lines = [
    f'{results["num_sessions"]} logged sessions of {results["num_people"]} '
    f'people, return {interval(logged.pop("value"), **logged)}'
  ]
  for name, row in results['policies'].items():
    truth = row['truth']
    known = f', true return {interval(**truth)}' if truth else ''
    lines.append(f'{name} ({row["policy_id"]}){known}')
    for estimator, found in row['estimates'].items():
      line = f'  {estimator:<12}'
      if found['value'] is None:
        lines.append(f'{line}refused: {found["refusal"]}')
        continue
      line += interval(found['value'], found['low'], found['high'])
      if found['error'] is not None:
        line += f'  error {found["error"]:+.3f}'
      if found['effective_sessions'] is not None:
        line += f'  effective sessions {found["effective_sessions"]:.1f}'
      lines.append(line)
  return lines
