"""What IQL is compared with: other targets and losses on the same trainer.

- 'sarsa': r_t + γ q_target(h_{t+1}, P_{t+1}) of the slate that was shown next.
- 'monte_carlo': the return that followed, Σ γ^i r_{t+i}.
- 'q_learning': r_t + γ max_P q_target(h_{t+1}, P) over all legal slates of the
  logged candidates (the naive one: most of them were never shown).
- 'conservative': q_learning's target and a penalty that pushes f down on the
  pool and up on what was shown (Kumar et al. 2020, CQL(H)).
- 'cloning': no values: f are logits of the behaviour over the pool.

The last three need the candidates that slates were picked from. In all of them
v is the behaviour's value (expectile 0.5).

RIVALS has an entry for each; one more is one more entry there, and `iql.update`
stays as it is.

Letters: B sessions, T turns, C candidates, L slate columns, J twin heads.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from pasta import errors
from pasta.agent import credit as credit_lib
from pasta.agent import slates
from pasta.agent.episodes import Episodes
from pasta.agent.settings import check_known
from pasta.types import PyTree


@dataclasses.dataclass(frozen=True)
class Step:
  """What is known when an update comes to q.

  Attributes:
    batch: B sessions.
    config: of train_value.
    return_scale: [], the standard deviation of returns.
    target_q: q_target of the shown slates [B, T], the minimum of the twins.
    target_params: of the target critic.
    pool_values: a critic's parameters to f of all logged candidates
      [J, B, T, C]; asked only by rivals that need the pool.
  """

  batch: Episodes
  config: ml_collections.ConfigDict
  return_scale: jax.Array
  target_q: jax.Array
  target_params: PyTree
  pool_values: Callable[[PyTree], jax.Array]


def check(backup: str, credit: str, has_pool: bool) -> None:
  """Refuses a backup that is unknown, or that the data or credit rule out."""
  check_known('backup', backup, BACKUPS)
  if backup in NEED_POOL and not has_pool:
    raise errors.PastaError(
      f"config field 'backup' is '{backup}', which needs the candidates that "
      'slates were picked from: make the features with with_pool = True'
    )
  if backup in NEED_POOL and credit == 'slate':
    raise errors.PastaError(
      f"config field 'backup' is '{backup}', which values candidates one by "
      "one: expected credit 'mean' or 'choice', not 'slate'"
    )


def best_slates(
  f: jax.Array, batch: Episodes, credit: str
) -> tuple[jax.Array, jax.Array]:
  """The best legal slates of the logged pools.

  Args:
    f: of all candidates [B, T, C].
    batch: B sessions with their pools.
    credit: 'mean' or 'choice'.

  Returns:
    Slates int32 [B, T, L] and their values [B, T].
  """
  pool, size = batch.pool, batch.slate.shape[-1]

  def flat(x):
    return x.reshape(-1, *x.shape[2:])

  if credit == 'mean':
    slate = jax.vmap(lambda s, c, v: slates.select_mean(s, c, v, size))(
      flat(f), flat(pool.category), flat(pool.valid)
    )
  else:
    weights = credit_lib.pool_log_weights(
      batch.log_belief,
      pool.utility,
      pool.valid,
      batch.choice_log_scale[:, None],
    )
    slate = jax.vmap(lambda s, w, c, v: slates.select_choice(s, w, c, v, size))(
      flat(f), flat(weights), flat(pool.category), flat(pool.valid)
    )
  slate = slate.reshape(batch.slate.shape)
  log_choice = credit_lib.log_choice(
    batch.log_belief,
    jnp.take_along_axis(pool.utility, slate[..., None], 2),
    batch.choice_log_scale[:, None],
  )
  values = jnp.take_along_axis(f, slate, 2)
  return slate, credit_lib.slate_value(values, log_choice, credit)


def conservative_gap(f: jax.Array, batch: Episodes) -> jax.Array:
  """log Σ_c exp f(h, c) over the pool less the mean of what was shown, [B, T].

  CQL's penalty; also the negative log likelihood, under the logits f, of a
  shown candidate: the loss of behaviour cloning.

  Args:
    f: of all candidates [B, T, C], in standard deviations of the return.
    batch: B sessions with their pools.
  """
  shown = jnp.take_along_axis(f, batch.slate, 2)  # [B, T, L]
  # A turn that is not valid has no valid candidate; it is masked below, but
  # must not make a gradient of infinities.
  usable = batch.pool.valid | ~batch.valid[..., None]
  everywhere = jax.nn.logsumexp(jnp.where(usable, f, -jnp.inf), axis=-1)
  return jnp.where(batch.valid, everywhere - shown.mean(-1), 0.0)


def _sarsa(step: Step) -> jax.Array:
  return step.batch.one_step(step.target_q, step.config.discount)


def _monte_carlo(step: Step) -> jax.Array:
  reward = jnp.where(step.batch.valid, step.batch.reward, 0.0)
  return credit_lib.returns(reward, step.config.discount)


def _q_learning(step: Step) -> jax.Array:
  # The minimum of the twins before the maximum over slates: a maximum finds
  # whatever is overrated, and both twins seldom overrate the same.
  f = step.pool_values(step.target_params).min(0)
  _, value = best_slates(f, step.batch, step.config.credit)
  return step.batch.one_step(value, step.config.discount)


def _gap(step: Step, params: PyTree) -> jax.Array:
  f = step.pool_values(params) / step.return_scale
  # Each twin has a gap of its own, as it has a squared error of its own.
  return jax.vmap(conservative_gap, in_axes=(0, None))(f, step.batch).sum(0)


def _regression(step: Step, params: PyTree, error: jax.Array) -> jax.Array:
  del step, params
  return error


def _conservative(step: Step, params: PyTree, error: jax.Array) -> jax.Array:
  return error + step.config.conservatism * _gap(step, params)


def _cloning(step: Step, params: PyTree, error: jax.Array) -> jax.Array:
  del error  # Logits have no return to regress on.
  return _gap(step, params)


class Rival(NamedTuple):
  """What sets a backup apart from IQL.

  Attributes:
    target: step to what q regresses on, [B, T].
    loss: (step, the critic's parameters, squared error [B, T] from the target,
      in variances of the return) to what is minimised, [B, T].
    expectile: of v; 0.5 is the mean over the behaviour's slates.
    needs_pool: whether it reads the candidates that slates were picked from.
    learns_values: whether f is in units of return.
  """

  target: Callable[[Step], jax.Array]
  loss: Callable[[Step, PyTree, jax.Array], jax.Array] = _regression
  expectile: float = 0.5
  needs_pool: bool = False
  learns_values: bool = True


RIVALS = {
  'sarsa': Rival(_sarsa),
  'monte_carlo': Rival(_monte_carlo),
  'q_learning': Rival(_q_learning, needs_pool=True),
  'conservative': Rival(_q_learning, _conservative, needs_pool=True),
  # Its target enters metrics alone.
  'cloning': Rival(_sarsa, _cloning, needs_pool=True, learns_values=False),
}
BACKUPS = ('iql', *RIVALS)
NEED_POOL = tuple(name for name, rival in RIVALS.items() if rival.needs_pool)
LEARN_VALUES = (
  'iql',
  *(name for name, rival in RIVALS.items() if rival.learns_values),
)
