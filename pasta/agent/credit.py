"""How a slate's value is made of its candidates' values, and the reverse.

Letters: B sessions, T turns, L slate columns, K user types.
"""

import chex
import jax
import jax.numpy as jnp

CREDITS = ('mean', 'choice', 'slate')


def log_choice(
  log_belief: jax.Array,
  utility: jax.Array,
  choice_log_scale: jax.Array | float,
  mask: jax.Array | None = None,
) -> jax.Array:
  """Log probability that each column is chosen, under a belief over types.

  log Σ_k b_k softmax_l(τ U_k(l)), the user model's choice model.

  Args:
    log_belief: [..., K].
    utility: [..., L, K].
    choice_log_scale: log τ, [...] or a number.
    mask: bool [..., L], the columns that are there; all where left out.

  Returns:
    [..., L], -inf for columns that are not there.
  """
  chex.assert_equal(log_belief.ndim + 1, utility.ndim)
  scale = jnp.exp(jnp.asarray(choice_log_scale))
  logits = scale.reshape(scale.shape + (1, 1) * (scale.ndim > 0)) * utility
  if mask is not None:
    logits = jnp.where(mask[..., None], logits, -jnp.inf)
  log_probs = jax.nn.log_softmax(logits, axis=-2)
  return jax.nn.logsumexp(log_belief[..., None, :] + log_probs, axis=-1)


def pool_log_weights(
  log_belief: jax.Array,
  utility: jax.Array,
  valid: jax.Array,
  choice_log_scale: jax.Array | float,
) -> jax.Array:
  """Weights w with C(l | slate) roughly proportional to w_l.

  w(p) = Σ_k b_k exp(τ U_k(p)) / Σ_p' exp(τ U_k(p')), the probability that
  the person would pick p out of the whole pool. For one type this is exact
  (a softmax keeps its odds when alternatives are left out). For a mixture no
  fixed weights are: those of a slate depend on what else is in it. Normalising
  each type over the pool keeps one with large utilities from deciding alone.

  Args:
    log_belief: [..., K].
    utility: [..., C, K].
    valid: bool [..., C].
    choice_log_scale: log τ, [...] or a number.

  Returns:
    log w, [..., C]; -inf where not valid.
  """
  log_weights = log_choice(
    log_belief,
    jnp.where(valid[..., None], utility, 0.0),
    choice_log_scale,
    valid,
  )
  return jnp.where(valid, log_weights, -jnp.inf)


def slate_value(
  values: jax.Array, log_choice: jax.Array, credit: str
) -> jax.Array:
  """q(h, P) from f(h, p_l).

  Args:
    values: f, [..., L]; for credit 'slate' q of the slate's prefixes.
    log_choice: [..., L], log probability that each column is chosen.
    credit: 'mean', 1/L Σ f (the paper); 'choice', Σ_l C_l f_l; 'slate', the
      value of the whole slate as it is.

  Returns:
    [...].
  """
  if credit == 'mean':
    return values.mean(-1)
  if credit == 'slate':
    return values[..., -1]
  return (jnp.exp(log_choice) * values).sum(-1)


def credited(values: jax.Array, choice: jax.Array, credit: str) -> jax.Array:
  """The value of a decision that its return is regressed on.

  Args:
    values: f, [..., B, T, L].
    choice: int [B, T], -1 where there was none.
    credit: 'mean', the slate's mean; 'choice', f of the chosen column; 'slate',
      the whole slate's value.

  Returns:
    [..., B, T].
  """
  if credit == 'mean':
    return values.mean(-1)
  if credit == 'slate':
    return values[..., -1]
  chosen = jax.nn.one_hot(choice, values.shape[-1])
  return (values * chosen).sum(-1)


def squared_error(
  values: jax.Array, target: jax.Array, choice: jax.Array, credit: str
) -> jax.Array:
  """Squared error of what the return is regressed on, summed over twins.

  For credit 'slate' it is the mean over the slate's prefixes that hold the
  chosen column. Under a softmax choice those are fair samples of the prefix as
  a slate of its own (independence of irrelevant alternatives), and they are
  what the selector values while it inserts column after column.

  Args:
    values: [J, B, T, L].
    target: [B, T].
    choice: int [B, T].
    credit: one of CREDITS.

  Returns:
    [B, T].
  """
  if credit != 'slate':
    return ((target - credited(values, choice, credit)) ** 2).sum(0)
  holds_choice = jnp.arange(values.shape[-1]) >= choice[..., None]  # [B, T, L]
  error = ((target[..., None] - values) ** 2).sum(0) * holds_choice
  return error.sum(-1) / jnp.maximum(holds_choice.sum(-1), 1)


def returns(reward: jax.Array, discount: float) -> jax.Array:
  """Discounted return from each turn on: rewards [..., T] to [..., T]."""

  def step(later, now):
    later = now + discount * later
    return later, later

  start = jnp.zeros(reward.shape[:-1])
  _, out = jax.lax.scan(step, start, jnp.moveaxis(reward, -1, 0), reverse=True)
  return jnp.moveaxis(out, 0, -1)
