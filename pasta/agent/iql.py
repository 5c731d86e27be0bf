"""Implicit Q-learning on slates (Kostrikov et al. 2021; the paper's section 5).

Letters: B sessions of a batch, T turns, L slate columns, J twin heads.
"""

import functools

import chex
import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax

from pasta import parallel
from pasta.agent import backbones, critics, inputs, normalisation, rivals
from pasta.agent import credit as credit_lib
from pasta.agent.episodes import Episodes
from pasta.agent.settings import NetworkSettings
from pasta.types import PyTree


@flax.struct.dataclass
class IQLState:
  """Everything that training moves, and what it must not move.

  Attributes:
    params: {'q': of Critic, 'v': of Value}.
    target_params: of Critic; no optimiser ever sees them.
    opt_state: {'q': ..., 'v': ...}.
    step: int32 [], updates made.
    constants: normalisation.
    settings: static shape of the networks.
  """

  params: PyTree
  target_params: PyTree
  opt_state: PyTree
  step: jax.Array
  constants: inputs.Constants
  settings: NetworkSettings = flax.struct.field(pytree_node=False)


def expectile_loss(error: jax.Array, expectile: float) -> jax.Array:
  """|α − 1(u < 0)| u² for u = target − prediction (IQL, eq. 4)."""
  weight = jnp.where(error < 0, 1 - expectile, expectile)
  return weight * error**2


def _largest(x: jax.Array, axis_name: str | None) -> jax.Array:
  """Maximum over devices."""
  return x if axis_name is None else jax.lax.pmax(x, axis_name)


def make_optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """AdamW on a cosine; matrices and the bonus decay, towards plain greedy.

  What is trained of a pretrained backbone does not decay, and has a learning
  rate of its own.
  """
  schedule = optax.warmup_cosine_decay_schedule(
    0.0,
    config.learning_rate,
    config.warmup_steps,
    max(config.num_steps, config.warmup_steps + 1),
    end_value=0.05 * config.learning_rate,
  )

  def in_backbone(path):
    return path[0].key == 'backbone'

  def mask(is_in):
    return functools.partial(
      jax.tree_util.tree_map_with_path, lambda path, _: is_in(path)
    )

  steps = [
    optax.clip_by_global_norm(config.max_gradient_norm),
    optax.adamw(
      schedule,
      weight_decay=config.weight_decay,
      mask=mask(
        lambda path: (
          path[-1].key in ('kernel', 'bonus') and not in_backbone(path)
        )
      ),
    ),
  ]
  rate = backbones.of(config.backbone).pretrained_learning_rate(config)
  if rate is not None:
    # Behind AdamW, whose own step does not depend on a gradient's scale.
    scale = optax.scale(rate / config.learning_rate)
    steps.append(optax.masked(scale, mask(in_backbone)))
  return optax.chain(*steps)


def init(
  key: jax.Array,
  config: ml_collections.ConfigDict,
  example: Episodes,
  settings: NetworkSettings | None = None,
  pretrained: PyTree = None,
) -> IQLState:
  """A state whose constants are those of `example`, the training sessions.

  Args:
    key: typed key.
    config: of train_value.
    example: the training sessions.
    settings: of `settings_of`, which may be left out where there is no Gemma.
    pretrained: parameters of the backbone 'gemma'.
  """
  settings = settings or critics.settings_of(config, example)
  constants = normalisation.make_constants(example, config)
  params = backbones.of(settings.backbone).init_params(
    key, constants, settings, pretrained
  )
  optimizer = make_optimizer(config)
  return IQLState(
    params=params,
    target_params=jax.tree.map(jnp.copy, params['q']),
    opt_state={name: optimizer.init(p) for name, p in params.items()},
    step=jnp.int32(0),
    constants=constants,
    settings=settings,
  )


def update(
  state: IQLState,
  batch: Episodes,
  *,
  config: ml_collections.ConfigDict,
  axis_name: str | None = None,
  frozen: PyTree = None,
) -> tuple[IQLState, dict[str, jax.Array]]:
  """One IQL update on all turns of B whole sessions, in this order.

    1. V: minimise E[|α − 1(u<0)| u²], u = q_target(h_t, P_t) − v(h_t), with
       q_target the minimum over the *target* twins of the slate's value. The
       expectile acts over actions: q has averaged over next states already.
    2. Q: minimise E[(r_t + γ (1 − done) v_new(h_{t+1}) − q(h_t, P_t))²] summed
       over the twins, with v_new the value *after* step 1, no gradient through
       it, and done on a session's last turn. For credit 'choice', q here is f
       of the chosen column.
       The rivals (`config.backup`, see `rivals`) regress on other targets with
       other losses, and have an expectile of their own.
    3. The target parameters move by EMA towards the q of step 2.

  Errors are in units of `return_scale`, so losses compare across data.

  Args:
    state: the learner.
    batch: B sessions; turns that are not valid carry no weight.
    config: of train_value.
    axis_name: of the devices that share the batch.
    frozen: parameters of the backbone 'gemma' that no update moves.

  Returns:
    The new state and metrics, scalars.
  """
  chex.assert_rank([batch.slate_text, batch.reward], [4, 2])
  settings, constants = state.settings, state.constants
  rival = rivals.RIVALS.get(config.backup)  # None: this is IQL.
  valid = batch.valid.astype(jnp.float32)
  # Sums over sessions divided by the global count, so that devices with
  # different numbers of turns still weigh every turn the same.
  count = jnp.maximum(parallel.total(valid.sum(), axis_name), 1.0)
  optimizer = make_optimizer(config)
  # Once for all networks: left to them, the compiler does not share it.
  read = critics.network_inputs(batch, constants, settings)

  def mean(x):
    return parallel.total((x * valid).sum(), axis_name) / count

  def descend(name, loss):
    (_, out), gradient = jax.value_and_grad(loss, has_aux=True)(
      state.params[name]
    )
    gradient = jax.tree.map(
      lambda g: parallel.total(g, axis_name) / count, gradient
    )
    updates, opt_state = optimizer.update(
      gradient, state.opt_state[name], state.params[name]
    )
    params = optax.apply_updates(state.params[name], updates)
    return params, opt_state, out, optax.tree.norm(gradient)

  def value(params):  # [B, T]
    return critics.state_values(
      params, batch, constants, settings, frozen, read
    )

  # 1. V. The minimum of the twins: what one overrates, the other seldom does.
  target_f = critics.shown_values(
    state.target_params, batch, constants, settings, frozen, read
  )
  target_q = credit_lib.slate_value(
    target_f, batch.log_choice, config.credit
  ).min(0)
  expectile = config.expectile if rival is None else rival.expectile

  def value_loss(params):
    v = value(params)
    error = (target_q - v) / constants.return_scale
    loss = expectile_loss(error, expectile)
    return (loss * valid).sum(), (loss, v)

  v_params, v_opt_state, (v_loss, v), v_norm = descend('v', value_loss)

  # 2. Q. `one_step` adds nothing behind a session's last turn.
  if rival is None:
    target = batch.one_step(value(v_params), config.discount)
  else:
    step = rivals.Step(
      batch=batch,
      config=config,
      return_scale=constants.return_scale,
      target_q=target_q,
      target_params=state.target_params,
      pool_values=lambda params: critics.pool_values(
        params, batch, constants, settings, read
      ),
    )
    target = rival.target(step)

  def critic_loss(params):
    # [J, B, T, L]
    f = critics.shown_values(params, batch, constants, settings, frozen, read)
    loss = credit_lib.squared_error(
      f / constants.return_scale,
      target / constants.return_scale,
      batch.choice,
      config.credit,
    )
    if rival is not None:
      loss = rival.loss(step, params, loss)
    q = credit_lib.credited(f, batch.choice, config.credit)  # [J, B, T]
    return (loss * valid).sum(), (loss, q)

  q_params, q_opt_state, (q_loss, q), q_norm = descend('q', critic_loss)

  # 3. The targets' EMA.
  target_params = optax.incremental_update(
    q_params, state.target_params, config.target_rate
  )
  metrics = {
    'train/loss_v': mean(v_loss),
    'train/loss_q': mean(q_loss),
    'train/v_mean': mean(v),
    'train/q_mean': mean(q.mean(0)),
    'train/advantage_mean': mean(target_q - v),
    'train/target_mean': mean(target),
    'train/v_max': _largest(
      jnp.where(batch.valid, v, -jnp.inf).max(), axis_name
    ),
    'train/v_min': -_largest(
      jnp.where(batch.valid, -v, -jnp.inf).max(), axis_name
    ),
    'train/q_max': _largest(
      jnp.where(batch.valid, q, -jnp.inf).max(), axis_name
    ),
    'train/q_min': -_largest(
      jnp.where(batch.valid, -q, -jnp.inf).max(), axis_name
    ),
    'train/v_gradient_norm': v_norm,
    'train/q_gradient_norm': q_norm,
  }
  state = state.replace(
    params={'q': q_params, 'v': v_params},
    target_params=target_params,
    opt_state={'q': q_opt_state, 'v': v_opt_state},
    step=state.step + 1,
  )
  return state, metrics


def update_many(
  state: IQLState,
  index: jax.Array,
  episodes: Episodes,
  *,
  config: ml_collections.ConfigDict,
  axis_name: str | None = None,
  frozen: PyTree = None,
) -> tuple[IQLState, dict[str, jax.Array]]:
  """`update` on the batches index [B, S] of episodes; metrics are the last's.

  The losses are the means over the S updates, which also shows a value that
  was not finite in between. Norms of parameters, and of how far all S updates
  moved them, are taken once: the norm of each of Adam's steps, which are never
  written to memory otherwise, would cost a sixth of the time.
  """
  start = state.params

  def step(state, rows):
    batch = jax.tree.map(lambda x: x[rows], episodes)
    return update(
      state, batch, config=config, axis_name=axis_name, frozen=frozen
    )

  state, metrics = jax.lax.scan(step, state, index.T)
  last = {
    name: x.mean(0) if name.startswith('train/loss') else x[-1]
    for name, x in metrics.items()
  }
  for name, params in state.params.items():
    moved = optax.tree.sub(params, start[name])
    last[f'train/{name}_update_norm'] = optax.tree.norm(moved)
    last[f'train/{name}_parameter_norm'] = optax.tree.norm(params)
  return state, last


def batch_index(
  key: jax.Array, step: jax.Array, num_updates: int, batch: int, size: int
) -> jax.Array:
  """Sessions of the updates step … step + num_updates − 1: int [B, S].

  Update i draws from fold_in(key, i) alone, however updates are grouped.
  """
  keys = jax.vmap(lambda i: jax.random.fold_in(key, step + i))(
    jnp.arange(num_updates)
  )
  return jax.vmap(
    lambda k: jax.random.randint(k, (batch,), 0, size), out_axes=1
  )(keys)
