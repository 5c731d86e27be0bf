"""How a slate's value is made of its candidates' values, and the reverse.

Letters: B sessions, T turns, L slate columns.
"""

import jax
import jax.numpy as jnp

CREDITS = ('mean', 'choice')


def slate_value(
  values: jax.Array, log_choice: jax.Array, credit: str
) -> jax.Array:
  """q(h, P) from f(h, p_l).

  Args:
    values: f, [..., L].
    log_choice: [..., L], log probability that each column is chosen.
    credit: 'mean', 1/L Σ f (the paper), or 'choice', Σ_l C_l f_l.

  Returns:
    [...].
  """
  if credit == 'mean':
    return values.mean(-1)
  return (jnp.exp(log_choice) * values).sum(-1)


def credited(values: jax.Array, choice: jax.Array, credit: str) -> jax.Array:
  """The value of a decision that its return is regressed on.

  Args:
    values: f, [..., B, T, L].
    choice: int [B, T], -1 where there was none.
    credit: 'mean', the slate's mean, or 'choice', f of the chosen column.

  Returns:
    [..., B, T].
  """
  if credit == 'mean':
    return values.mean(-1)
  chosen = jax.nn.one_hot(choice, values.shape[-1])
  return (values * chosen).sum(-1)


def returns(reward: jax.Array, discount: float) -> jax.Array:
  """Discounted return from each turn on: rewards [..., T] to [..., T]."""

  def step(later, now):
    later = now + discount * later
    return later, later

  start = jnp.zeros(reward.shape[:-1])
  _, out = jax.lax.scan(step, start, jnp.moveaxis(reward, -1, 0), reverse=True)
  return jnp.moveaxis(out, 0, -1)
