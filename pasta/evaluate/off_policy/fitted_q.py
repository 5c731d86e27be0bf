"""Fitted Q evaluation: what a policy would bring, by regression on logs.

  f(h_t, c_t)  →  r_t + γ (1 − done) Σ_c w(c | h_{t+1}) f_target(h_{t+1}, c)

with value learning's critic. At item level (credit 'choice') c_t is the chosen
item and w(c | h) the probability that the policy sells c: with the right choice
model nothing else about a slate matters. For credit 'mean' the slate's mean
stands for f(h_t, c_t) and w is the probability of being shown, over L; people
choose what they like, so this is biased, and here for comparison.

M members are fitted at once, each on its own draw of the people: their spread
is the bootstrap's, fitting included. Everybody is drawn M − 1 times in all, so
that the members' mean stands for all people alike, and is unknown to at least
one member, which doubly robust estimates need.

Letters: N sessions, T turns, C candidates, L slate columns, B sessions of a
batch, S updates, M members, U people.
"""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from pasta import errors
from pasta import metrics as metrics_lib
from pasta import training as training_lib
from pasta.agent import (
  backbones,
  critics,
  iql,
  members,
  normalisation,
  weight_decay,
)
from pasta.agent import credit as credit_lib
from pasta.agent.episodes import Episodes
from pasta.evaluate.off_policy.importance import Estimate

_NORMAL_95 = 1.959964


@flax.struct.dataclass
class Fit:
  """Fitted values of all candidates.

  Attributes:
    values: f, float32 [M, N, T, C].
    counts: how often each member was fitted on a session, int [M, N].
  """

  values: np.ndarray
  counts: np.ndarray

  @property
  def unseen(self) -> np.ndarray:
    """f [N, T, C], the mean over the members who did not see the session."""
    weight = (self.counts == 0).astype(np.float64)
    weight /= weight.sum(0)
    return np.einsum('mn,mntc->ntc', weight, self.values)


def init(
  key: jax.Array, config: ml_collections.ConfigDict, example: Episodes
) -> iql.IQLState:
  """A state of the critic alone; its constants are those of `example`."""
  settings = critics.settings_of(config, example)
  constants = normalisation.make_constants(example, config)
  backbone = backbones.of(settings.backbone)
  params = backbone.init_params(key, constants, settings)['q']
  return iql.IQLState(
    params=params,
    target_params=jax.tree.map(jnp.copy, params),
    opt_state=iql.make_optimizer(config).init(params),
    step=jnp.int32(0),
    constants=constants,
    settings=settings,
  )


def update(
  state: iql.IQLState,
  batch: Episodes,
  weights: jax.Array,
  *,
  config: ml_collections.ConfigDict,
) -> tuple[iql.IQLState, jax.Array]:
  """One step on all turns of B whole sessions, then the target's EMA.

  Args:
    state: the learner.
    batch: B sessions with their pools.
    weights: w, [B, T, C].
    config: what `complete` returns.

  Returns:
    The new state and the loss, in squared standard deviations of the return.
  """
  constants, settings = state.constants, state.settings
  read = critics.network_inputs(batch, constants, settings)
  of_pool = critics.pool_values(
    state.target_params, batch, constants, settings, read
  )
  v = (weights * of_pool.mean(0)).sum(-1)  # [B, T]
  target = batch.one_step(v, config.discount)
  valid = batch.valid.astype(jnp.float32)

  def loss(params):
    # [1, B, T, L]
    f = critics.shown_values(params, batch, constants, settings, read=read)
    error = credit_lib.squared_error(
      f / constants.return_scale,
      target / constants.return_scale,
      batch.choice,
      config.credit,
    )
    return (error * valid).sum() / jnp.maximum(valid.sum(), 1.0)

  value, gradient = jax.value_and_grad(loss)(state.params)
  updates, opt_state = iql.make_optimizer(config).update(
    gradient, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, updates)
  return state.replace(
    params=params,
    target_params=optax.incremental_update(
      params, state.target_params, config.target_rate
    ),
    opt_state=opt_state,
    step=state.step + 1,
  ), value


def complete(
  config: ml_collections.ConfigDict,
  credit: str,
  discount: float,
  num_sessions: int,
) -> ml_collections.ConfigDict:
  """The config of one fit: what follows from the rest is filled in."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.credit = credit
    config.discount = discount
    config.backup = 'sarsa'  # of another policy
    config.num_twins = 1  # a minimum of twins would be biased
  return weight_decay.complete(config, num_sessions)


def resample(
  users: np.ndarray, num_members: int, *, seed: int
) -> list[np.ndarray]:
  """The sessions that each member is fitted on, with repetitions.

  Args:
    users: int [N], who each session belongs to.
    num_members: M.
    seed: of the resampling.

  Raises:
    PastaError: fewer than two members, or fewer people than members.
  """
  if num_members < 2:
    raise errors.PastaError(
      f"config field 'num_members' is {num_members}: expected at least 2, "
      'whose spread can be seen'
    )
  _, person = np.unique(users, return_inverse=True)
  num = person.max() + 1
  if num < num_members:
    raise errors.PastaError(
      f'{num} people for fitted Q evaluation with {num_members} members: '
      'expected at least as many people as members'
    )
  rng = np.random.default_rng(seed)
  # M − 1 draws each among the members other than the person's own.
  own = rng.permutation(num) % num_members
  member = rng.integers(num_members - 1, size=(num, num_members - 1))
  member += member >= own[:, None]
  counts = np.zeros((num_members, num), int)
  np.add.at(counts, (member, np.arange(num)[:, None]), 1)
  return [np.repeat(np.arange(len(users)), c[person]) for c in counts]


def fit(
  episodes: Episodes,
  weights: np.ndarray,
  users: np.ndarray,
  config: ml_collections.ConfigDict,
  *,
  credit: str,
  discount: float,
  seed: int,
) -> Fit:
  """Fits M members.

  Args:
    episodes: N sessions with their pools.
    weights: w of the target policy [N, T, C], see above.
    users: int [N].
    config: the field fitted_q of configs/off_policy.py.
    credit: 'choice' or 'mean'.
    discount: γ.
    seed: of resampling, initial parameters and batches.

  Raises:
    PastaError: too few people, or a loss that is not finite.
  """
  rows = resample(users, config.num_members, seed=seed)
  counts = np.stack([np.bincount(r, minlength=len(users)) for r in rows])
  config = ml_collections.FrozenConfigDict(
    complete(config, credit, discount, len(users))
  )
  episodes, weights = jax.tree.map(jnp.asarray, (episodes, weights))
  keys = jax.random.split(jax.random.key(seed), config.num_members)
  state = _init_all(keys, episodes, config=config)
  update_all = functools.partial(_update_all, config=config)
  rng = np.random.default_rng(seed)
  for start in range(0, config.num_steps, config.steps_per_call):
    num = min(config.steps_per_call, config.num_steps - start)
    index = np.stack(
      [rng.choice(r, (num, config.batch_sessions)) for r in rows]
    )
    state, loss = training_lib.call(update_all, state, index, episodes, weights)
    metrics_lib.check_finite(
      {'fitted_q/loss': float(loss)},
      start + num,
      f'{start} to {start + num - 1}',
    )
  return Fit(np.asarray(_values(state, episodes)), counts)


@functools.partial(jax.jit, static_argnames='config')
def _init_all(keys, example, *, config) -> iql.IQLState:
  return jax.vmap(
    lambda key: init(key, config, example),
    out_axes=members.axes(critics.settings_of(config, example)),
  )(keys)


@functools.partial(jax.jit, static_argnames='config', donate_argnums=0)
def _update_all(state, index, episodes, weights, *, config):
  """All members' updates on their batches index [M, S, B]; the mean loss."""

  def of_member(state, index):
    def step(state, rows):
      batch = jax.tree.map(lambda x: x[rows], episodes)
      return update(state, batch, weights[rows], config=config)

    return jax.lax.scan(step, state, index)

  axes = members.axes(state.settings)
  state, losses = jax.vmap(of_member, in_axes=(axes, 0), out_axes=(axes, 0))(
    state, index
  )
  return state, losses.mean()


@jax.jit
def _values(state: iql.IQLState, episodes: Episodes) -> jax.Array:
  """f of all candidates, [M, N, T, C]."""
  return jax.vmap(
    lambda params: critics.pool_values(
      params, episodes, state.constants, state.settings
    ).mean(0)
  )(state.params)


def estimate(fitted: Fit, weights: np.ndarray) -> Estimate:
  """The policy's return: the mean over first turns of Σ_c w(c | h_0) f(h_0, c).

  The interval is from the spread of the members, each on its own people.

  Args:
    fitted: M members.
    weights: w of the target policy [N, T, C].
  """
  first = (weights[None, :, 0] * fitted.values[:, :, 0]).sum(-1)  # [M, N]
  own = (fitted.counts * first).sum(1) / fitted.counts.sum(1)
  value = float(first.mean())
  half = _NORMAL_95 * float(own.std(ddof=1))
  return Estimate(value, value - half, value + half)
