"""What IQL is compared with: other targets and losses on the same trainer.

- 'sarsa': r_t + γ q_target(h_{t+1}, P_{t+1}) of the slate that was shown next.
- 'monte_carlo': the return that followed, Σ γ^i r_{t+i}.
- 'q_learning': r_t + γ max_P q_target(h_{t+1}, P) over all legal slates of the
  logged candidates (the naive one: most of them were never shown).
- 'conservative': q_learning's target and a penalty that pushes f down on the
  pool and up on what was shown (Kumar et al. 2020, CQL(H)).
- 'cloning': no values: f are logits of the behaviour over the pool.

The last three need the candidates that slates were picked from.

Letters: B sessions, T turns, C candidates, L slate columns, J twin heads.
"""

import jax
import jax.numpy as jnp

from pasta import errors
from pasta.agent import credit as credit_lib
from pasta.agent import slates
from pasta.agent.episodes import Episodes

BACKUPS = (
  'iql',
  'sarsa',
  'monte_carlo',
  'q_learning',
  'conservative',
  'cloning',
)
NEED_POOL = ('q_learning', 'conservative', 'cloning')


def check(backup: str, credit: str, has_pool: bool) -> None:
  """Refuses a backup that is unknown, or that the data or credit rule out."""
  if backup not in BACKUPS:
    raise errors.PastaError(
      f"config field 'backup' is '{backup}': expected one of {BACKUPS}"
    )
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
  shown = jnp.take_along_axis(f, batch.slate, 2)
  # A turn that is not valid has no valid candidate; it is masked below, but
  # must not make a gradient of infinities.
  usable = batch.pool.valid | ~batch.valid[..., None]
  everywhere = jax.nn.logsumexp(jnp.where(usable, f, -jnp.inf), axis=-1)
  return jnp.where(batch.valid, everywhere - shown.mean(-1), 0.0)
