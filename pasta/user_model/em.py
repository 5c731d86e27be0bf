"""Mini-batch EM over whole users (paper, Algorithm 1).

The E-step and the M-step share one forward pass: responsibilities of a batch
are taken from the very log-likelihoods whose expectation is then improved.
"""

from typing import Any

import chex
import flax
import jax
import jax.numpy as jnp
import ml_collections
import optax

from pasta import parallel
from pasta.user_model import belief, likelihoods
from pasta.user_model import heads as heads_lib
from pasta.user_model import model as model_lib
from pasta.user_model.data import Feedback, UserData, feedback_masks
from pasta.user_model.model import UserModel

Metrics = dict[str, jax.Array]


@flax.struct.dataclass
class EMState:
  """All that EM changes, and what it needs to be resumed.

  Attributes:
    model: the current user model; its text regression is left alone.
    opt_state: optax state over `trainable(model)`.
    type_share: running mean of responsibilities [K].
    step: number of updates done [].
    num_users: people in the training data [], float32: the weight of the
      data against the priors.
    start_key: typed key of this restart's random partition.
  """

  model: UserModel
  opt_state: Any
  type_share: jax.Array
  step: jax.Array
  num_users: jax.Array
  start_key: jax.Array


def trainable(model: UserModel) -> dict[str, Any]:
  """What the M-step's gradient moves; η has a closed form instead."""
  return {
    'heads': model.heads,
    'choice_log_scale': model.choice_log_scale,
    'satisfaction': model.satisfaction,
    'comparison': model.comparison,
  }


def optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """Adam with clipped gradients; warm-up, then a cosine to a hundredth."""
  schedule = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=config.warmup_steps,
    decay_steps=max(config.num_steps, config.warmup_steps + 1),
    end_value=0.01 * config.learning_rate,
  )
  return optax.chain(
    optax.clip_by_global_norm(config.max_grad_norm),
    optax.adam(schedule, b2=0.99),
  )


def init(
  key: jax.Array,
  model: UserModel,
  num_users: int,
  config: ml_collections.ConfigDict,
) -> EMState:
  """A start at `model`; `key` draws the random partition it departs from."""
  return EMState(
    model=model,
    opt_state=optimizer(config).init(trainable(model)),
    type_share=jnp.full((model.num_types,), 1.0 / model.num_types),
    step=jnp.zeros((), jnp.int32),
    num_users=jnp.asarray(num_users, jnp.float32),
    start_key=key,
  )


def log_likelihoods(model: UserModel, data: UserData) -> Feedback:
  """Log-likelihood of each person's feedback under every type, by kind.

  Args:
    model: the user model.
    data: U people with O observations.

  Returns:
    Three arrays [U, K], sums over a person's observations; exactly 0 where
    there is no such feedback.
  """
  num_users, num_obs, num_columns = data.text.shape[:3]
  chex.assert_shape(data.choice, (num_users, num_obs))
  chex.assert_equal_shape_prefix([data.text, data.image], 3)
  utility = model_lib.column_utility(model, data.text, data.image)
  picked = jax.nn.one_hot(data.choice, num_columns)[..., None]
  chosen = jnp.sum(utility * picked, 2)  # [U, O, K]
  difference = jnp.diff(chosen, axis=1, prepend=chosen[:, :1])
  masks = feedback_masks(data)

  def flat(x: jax.Array) -> jax.Array:
    return x.reshape(num_users * num_obs, *x.shape[2:])

  def per_user(x: jax.Array) -> jax.Array:
    return x.reshape(num_users, num_obs, -1).sum(1)

  choice = likelihoods.slate_choice(
    flat(utility), flat(data.choice), flat(masks.choice), model.choice_log_scale
  )
  comparison = likelihoods.cross_turn(
    flat(difference),
    flat(data.comparison),
    flat(masks.comparison),
    model.comparison,
  )
  return Feedback(
    choice=per_user(choice),
    satisfaction=likelihoods.satisfaction(
      chosen, data.satisfaction, masks.satisfaction, model.satisfaction
    ),
    comparison=per_user(comparison),
  )


def user_log_likelihood(
  found: Feedback, config: ml_collections.ConfigDict
) -> jax.Array:
  """ℓ_u(k) [U, K]: the kinds of feedback, weighted by config."""
  return (
    config.choice_weight * found.choice
    + config.satisfaction_weight * found.satisfaction
    + config.comparison_weight * found.comparison
  )


def start_responsibilities(
  state: EMState, user: jax.Array, sharpness: float
) -> jax.Array:
  """Random responsibilities [B, K] that depend on the person alone.

  A softmax of scaled Gumbel noise: with growing sharpness it goes from equal
  shares over a uniform Dirichlet (at 1) to a random partition.
  """
  num_types = state.type_share.shape[0]
  keys = jax.vmap(lambda u: jax.random.fold_in(state.start_key, u))(user)
  noise = jax.vmap(lambda k: jax.random.gumbel(k, (num_types,)))(keys)
  return jax.nn.softmax(sharpness * noise, -1)


def log_map_prior(
  params: dict[str, Any],
  num_users: jax.Array,
  config: ml_collections.ConfigDict,
) -> jax.Array:
  """Log density of the MAP prior per person, up to a constant; [].

  Noise scales of satisfaction and comparison have a prior that grows with the
  data: a person's answers deviate from every type's in a way that types with
  many parameters can fit on the people they were trained on, so maximum
  likelihood sees far less noise than new people have.
  """
  on_heads = heads_lib.log_prior(
    params['heads'],
    params['choice_log_scale'],
    shared_ridge=config.shared_ridge,
    type_ridge=config.type_ridge,
    adapter_ridge=config.adapter_ridge,
  )
  sigma = params['satisfaction']['log_sigma'] - jnp.log(config.typical_sigma)
  scale = params['comparison']['log_scale'] - jnp.log(
    config.typical_comparison_scale
  )
  on_scales = -0.5 * config.scale_ridge * (sigma**2 + scale**2)
  return on_heads / num_users + on_scales


def _annealing(
  step: jax.Array, config: ml_collections.ConfigDict
) -> tuple[jax.Array, jax.Array]:
  """Share of the start's responsibilities and temperature at a step, [].

  Types first learn from a random partition (after a stretch in which all
  learn the same from everybody), then the temperature falls.
  """
  begin = config.shared_steps + config.start_steps
  share = jnp.where(step < begin, 1.0, 0.0)
  done = (step - begin) / max(config.anneal_steps, 1)
  power = jnp.clip(1.0 - done, 0.0, 1.0)
  ratio = config.start_temperature / config.end_temperature
  return share, config.end_temperature * ratio**power


def update(
  state: EMState,
  batch: UserData,
  *,
  config: ml_collections.ConfigDict,
  axis_name: str | None = None,
) -> tuple[EMState, Metrics]:
  """One EM step on a batch of whole users.

  E: γ_u ∝ exp((log η + ℓ_u) / temperature), no gradient; in the first steps
     γ comes from the start instead (`_annealing`).
  M: one optax step on − Σ_u Σ_k γ_u(k) ℓ_u(k) / B − log prior(heads) / U;
     η from running sums of γ with pseudo-counts.

  Args:
    state: before the step.
    batch: B users (of this device, under pmap).
    config: `configs/train_user_model.py`.
    axis_name: pmap's axis, or None.

  Returns:
    The new state and scalars, the same on all devices.
  """
  share, temperature = _annealing(state.step, config)
  # People count only where something was observed: a batch may be padded.
  present = batch.mask.any(1).astype(jnp.float32)  # [B]
  count = jnp.maximum(parallel.total(present.sum(), axis_name), 1.0)
  sharpness = jnp.where(
    state.step < config.shared_steps, 0.0, config.start_sharpness
  )
  start = start_responsibilities(state, batch.user, sharpness)

  def loss(params):
    found = log_likelihoods(state.model.replace(**params), batch)
    per_type = user_log_likelihood(found, config)  # [B, K]
    joint = jax.lax.stop_gradient(state.model.log_prior + per_type)
    posterior = jax.nn.softmax(joint / temperature, -1)
    gamma = share * start + (1.0 - share) * posterior
    expected = jnp.sum(gamma * per_type, -1) * present
    marginal = jnp.sum(jax.nn.logsumexp(joint, -1) * present)
    choice = jax.nn.logsumexp(state.model.log_prior + found.choice, -1)
    kinds = feedback_masks(batch)
    sums = {
      'gamma': (gamma * present[:, None]).sum(0),
      'marginal': marginal,
      'entropy': jnp.sum(
        belief.entropy(jax.nn.log_softmax(joint, -1)) * present
      ),
      'choice': jnp.sum(choice * present),
      'num_choices': kinds.choice.sum().astype(jnp.float32),
    }
    # Divided by the global count, so that gradients add over devices.
    return -expected.sum() / count, jax.lax.stop_gradient(sums)

  def negative_log_prior(params):
    return -log_map_prior(params, state.num_users, config)

  params = trainable(state.model)
  (value, sums), grads = jax.value_and_grad(loss, has_aux=True)(params)
  value, sums, grads = parallel.total((value, sums, grads), axis_name)
  penalty, prior_grads = jax.value_and_grad(negative_log_prior)(params)
  grads = jax.tree.map(jnp.add, grads, prior_grads)
  updates, opt_state = optimizer(config).update(grads, state.opt_state, params)
  rate = jnp.clip(count / state.num_users, config.min_share_rate, 1.0)
  type_share = state.type_share + rate * (
    sums['gamma'] / count - state.type_share
  )
  log_prior = jnp.log(
    type_share * state.num_users + config.pseudo_count
  ) - jnp.log(state.num_users + config.pseudo_count * type_share.shape[0])
  log_prior = jax.nn.log_softmax(log_prior)
  new_state = state.replace(
    model=state.model.replace(
      log_prior=log_prior, **optax.apply_updates(params, updates)
    ),
    opt_state=opt_state,
    type_share=type_share,
    step=state.step + 1,
  )
  metrics = {
    'loss': value + penalty,
    'log_likelihood': sums['marginal'] / count,
    'objective': sums['marginal'] / count - penalty,
    'choice_log_likelihood': sums['choice']
    / jnp.maximum(sums['num_choices'], 1.0),
    'responsibility_entropy': sums['entropy'] / count,
    'effective_types': belief.effective_types(log_prior),
    'temperature': temperature,
    'prior_penalty': penalty,
    'grad_norm': optax.tree.norm(grads),
    'update_norm': optax.tree.norm(updates),
    'param_norm': optax.tree.norm(params),
  }
  return new_state, metrics


def update_many(
  state: EMState,
  data: UserData,
  index: jax.Array,
  *,
  config: ml_collections.ConfigDict,
) -> tuple[EMState, Metrics]:
  """`update` on S batches of `data`, scanned.

  Args:
    state: before the steps.
    data: the training people, on the device.
    index: positions in `data` [S, B].
    config: as for `update`.

  Returns:
    The new state and the metrics of every step [S].
  """
  chex.assert_rank(index, 2)

  def step(state, row):
    return update(state, data.select(row), config=config)

  return jax.lax.scan(step, state, index)
