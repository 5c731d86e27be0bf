"""Held-out sessions of value learning, and what is measured on them."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta.agent import credit as credit_lib
from pasta.agent import critics, iql
from pasta.agent import episodes as episodes_lib
from pasta.agent.episodes import Episodes
from pasta.types import PyTree


def split(
  episodes: Episodes, key: jax.Array, heldout_fraction: float
) -> tuple[Episodes, Episodes]:
  """Training and held-out sessions; at least one each where there are two."""
  size = len(episodes)
  order = np.asarray(jax.random.permutation(key, size))
  num_heldout = min(max(round(size * heldout_fraction), 1), size - 1)
  heldout, training = np.split(order, [num_heldout])
  return (
    episodes_lib.take(episodes, np.sort(training)),
    episodes_lib.take(episodes, np.sort(heldout)),
  )


def evaluate(
  state: iql.IQLState,
  heldout: Episodes,
  frozen: PyTree = None,
  *,
  config: ml_collections.ConfigDict,
) -> dict[str, jax.Array]:
  """Losses on held-out sessions, and how well q predicts their returns.

  `val/q_return_correlation` is within turns: what remains after each turn's
  mean. It shows whether f knows more than the turn; under an expectile above
  0.5, q is meant to lie above the behaviour's return (`val/q_bias`). The losses
  are IQL's whatever the backup: rivals have no held-out loss of their own.
  """
  settings, constants = state.settings, state.constants
  _, items = critics.network_inputs(heldout, constants, settings)
  f = critics.shown_values(
    state.params['q'], heldout, constants, settings, frozen
  ).mean(0)
  v = critics.state_values(
    state.params['v'], heldout, constants, settings, frozen
  )
  q = credit_lib.credited(f, heldout.choice, config.credit)
  target = heldout.one_step(v, config.discount)
  gain = credit_lib.returns(heldout.reward, config.discount)
  valid = heldout.valid.astype(jnp.float32)
  count = jnp.maximum(valid.sum(), 1.0)

  def mean(x):
    return (x * valid).sum() / count

  def centred(x):
    per_turn = (x * valid).sum(0) / jnp.maximum(valid.sum(0), 1.0)
    return (x - per_turn) * valid

  def correlation(x, y):
    x, y = centred(x), centred(y)
    return (x * y).sum() / jnp.maximum(
      jnp.sqrt((x**2).sum() * (y**2).sum()), 1e-9
    )

  value = credit_lib.slate_value(f, heldout.log_choice, config.credit)
  return {
    'val/loss_v': mean(
      iql.expectile_loss((value - v) / constants.return_scale, config.expectile)
    ),
    'val/loss_q': mean(((target - q) / constants.return_scale) ** 2),
    'val/q_return_correlation': correlation(q, gain),
    'val/m_return_correlation': correlation(
      heldout.expected[..., -1]
      if config.credit == 'slate'
      else credit_lib.credited(items.mean, heldout.choice, config.credit),
      gain,
    ),
    'val/q_bias': mean(q - gain),
    'val/v_mean': mean(v),
    'val/return_mean': mean(gain),
  }
