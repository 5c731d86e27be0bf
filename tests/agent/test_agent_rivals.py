import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pasta import errors
from pasta.agent import critics, iql, rivals

_best_slates = jax.jit(rivals.best_slates, static_argnums=2)
_shown_values = jax.jit(critics.shown_values, static_argnums=3)
_pool_values = jax.jit(critics.pool_values, static_argnums=3)


def _best_by_brute_force(f, category, utility, credit_name, size):
  """Value of the best slate, of all that cover as many categories as can be."""
  most = min(size, len(set(category.tolist())))
  best = -np.inf
  for slate in itertools.combinations(range(len(f)), size):
    slate = list(slate)
    if len(set(category[slate].tolist())) < most:
      continue
    weight = np.exp(utility[slate]) if credit_name == 'choice' else None
    best = max(best, np.average(f[slate].astype(np.float64), weights=weight))
  return best


@pytest.mark.parametrize('credit_name', ['mean', 'choice'])
def test_best_slates_of_the_pool(credit_name, make_episodes):
  episodes = make_episodes(3, pool=True)
  # One type: the choice weights are exact.
  pure = np.full(episodes.log_belief.shape, -100.0, np.float32)
  pure[..., 0] = 0.0
  episodes = episodes.replace(log_belief=pure)
  f = np.random.default_rng(0).normal(size=(3, 4, 7)).astype(np.float32)
  slates, values = jax.device_get(_best_slates(f, episodes, credit_name))
  assert slates.shape == (3, 4, 3)
  for b, t in itertools.product(range(3), range(4)):
    pool = jax.tree.map(lambda x, b=b, t=t: x[b, t], episodes.pool)
    expected = _best_by_brute_force(
      f[b, t], pool.category, pool.utility[:, 0], credit_name, 3
    )
    assert float(values[b, t]) == pytest.approx(expected, abs=1e-5)


def test_q_learning_looks_at_the_best_slate_of_the_next_pool(
  make_episodes, value_config, init_state
):
  c = value_config
  c.backup, c.discount = 'q_learning', 0.9
  batch = make_episodes(8, full=False, pool=True)
  state = init_state(c, batch)
  at = (state.target_params, batch, state.constants, state.settings)
  f = np.asarray(_pool_values(*at)).min(0)
  best = np.asarray(_best_slates(f, batch, 'mean')[1])
  shown = np.asarray(_shown_values(*at)).min(0).mean(-1)
  target = np.array(batch.reward)
  length = np.asarray(batch.valid).sum(1)
  for b in range(8):
    for t in range(length[b] - 1):
      target[b, t] += 0.9 * best[b, t + 1]
  # The best of the pool, not what was shown.
  assert np.abs(best - shown)[np.asarray(batch.valid)].max() > 1e-3
  _, metrics = jax.jit(functools.partial(iql.update, config=c))(state, batch)
  assert float(metrics['train/target_mean']) == pytest.approx(
    target[np.asarray(batch.valid)].mean(), rel=1e-4
  )


def test_the_conservative_gap_by_hand(make_episodes):
  conservative_gap = jax.jit(rivals.conservative_gap)
  batch = make_episodes(1, turns=1, pool=True)
  f = np.zeros((1, 1, 7), np.float32)
  # log Σ_7 e^0 − 0.
  gap = conservative_gap(f, batch)
  assert float(gap[0, 0]) == pytest.approx(np.log(7), rel=1e-6)
  raised = f.copy()
  raised[0, 0, batch.slate[0, 0]] = 2.0
  expected = np.log(3 * np.exp(2.0) + 4) - 2.0
  gap = conservative_gap(raised, batch)
  assert float(gap[0, 0]) == pytest.approx(expected, rel=1e-5)


def _fit(config, state, episodes, num_steps=150):
  config.learning_rate, config.weight_decay = 1e-2, 0.0
  config.num_steps = num_steps
  index = np.tile(np.arange(len(episodes))[:, None], (1, num_steps))
  return jax.jit(functools.partial(iql.update_many, config=config))(
    state, index, episodes
  )[0]


def test_cloning_learns_what_is_shown_and_conservatism_leans_there(
  make_episodes, value_config, init_state
):
  """Behaviour shows the candidates whose first text feature is highest."""
  episodes = make_episodes(32, pool=True)
  first = np.asarray(episodes.pool.text)[..., 0].astype(np.float32)
  slate = np.argsort(-first, axis=-1)[..., :3].astype(np.int32)
  take = np.take_along_axis
  episodes = episodes.replace(
    slate=slate,
    slate_text=take(np.asarray(episodes.pool.text), slate[..., None], 2),
    slate_utility=take(np.asarray(episodes.pool.utility), slate[..., None], 2),
    slate_category=take(episodes.pool.category, slate, 2),
  )
  episodes = jax.tree.map(jnp.asarray, episodes)

  value_config.backup = 'cloning'
  start = init_state(value_config, episodes)

  def shown_share(backup, conservatism=0.0):
    value_config.backup = backup
    value_config.conservatism = conservatism
    state = _fit(value_config, start, episodes)
    f = _pool_values(
      state.params['q'], episodes, state.constants, state.settings
    )
    top = np.argsort(-np.asarray(f).mean(0), axis=-1)[..., :3]
    return float((top[..., None] == slate[..., None, :]).any(-1).mean())

  # Three of seven are shown: a guess would be right for 0.43.
  assert shown_share('cloning') > 0.8
  assert shown_share('conservative', 5.0) > 0.6


def test_what_a_rival_needs_is_named(make_episodes, value_config):
  value_config.backup = 'td3'
  with pytest.raises(errors.PastaError, match="'backup' is 'td3'"):
    critics.settings_of(value_config, make_episodes(4))
  value_config.backup = 'q_learning'
  with pytest.raises(errors.PastaError, match='with_pool'):
    critics.settings_of(value_config, make_episodes(4))
  value_config.credit = 'slate'
  with pytest.raises(errors.PastaError, match="'mean' or 'choice'"):
    critics.settings_of(value_config, make_episodes(4, pool=True))
