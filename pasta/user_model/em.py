"""Mini-batch EM over whole people (paper, Algorithm 1).

The E-step and the M-step share one forward pass: responsibilities of a batch
are taken from the very log-likelihoods whose expectation is then improved. A
step takes a batch of every data set that is trained on; with w_s the weight of
data set s and U_s its number of people, the objective per person is

  Σ_s w_s Σ_{u in s} log Σ_k η_k exp ℓ_u(k) / Σ_s w_s U_s
    + log prior / Σ_s w_s U_s
"""

from typing import Any, NamedTuple

import chex
import flax
import jax
import jax.numpy as jnp
import ml_collections
import optax

from pasta import parallel
from pasta.types import PyTree
from pasta.user_model import belief, evidence, habits, observations, scores
from pasta.user_model.model import UserModel
from pasta.user_model.observations import Observations

Batches = dict[str, Observations]
Metrics = dict[str, jax.Array]


@flax.struct.dataclass
class EMState:
  """All that EM changes, and what it needs to be resumed.

  Attributes:
    model: the current user model; its text regression is left alone.
    opt_state: optax state over `trainable(model)`.
    type_share: running mean of responsibilities [K].
    step: number of updates done [].
    num_users: Σ_s w_s U_s [], float32: the weight of the data against the
      priors.
    source_share: w_s U_s / Σ_s w_s U_s [] of each data set.
    start_key: typed key of this restart's random partition.
    start_sharpness: of that partition [], see `start_responsibilities`.
  """

  model: UserModel
  opt_state: PyTree
  type_share: jax.Array
  step: jax.Array
  num_users: jax.Array
  source_share: dict[str, jax.Array]
  start_key: jax.Array
  start_sharpness: jax.Array


def trainable(model: UserModel) -> dict[str, Any]:
  """What the M-step's gradient moves; η has a closed form instead."""
  return {
    'heads': model.heads,
    'choice_log_scale': model.choice_log_scale,
    'habits': model.habits,
    'satisfaction': model.satisfaction,
    'comparison': model.comparison,
    'rating': model.rating,
  }


def optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """Adam with clipped gradients; warm-up, then a cosine to a hundredth.

  An encoder among the parameters ('clip') moves at a rate of its own.
  """
  schedule = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=config.warmup_steps,
    decay_steps=max(config.num_steps, config.warmup_steps + 1),
    end_value=0.01 * config.learning_rate,
  )
  slower = optax.scale(config.encoder_learning_rate / config.learning_rate)
  return optax.chain(
    optax.clip_by_global_norm(config.max_grad_norm),
    optax.adam(schedule, b2=0.99),
    optax.masked(slower, _is_encoder),
  )


def _is_encoder(params: dict[str, Any]) -> dict[str, Any]:
  """Which of the trained parameters belong to an encoder."""

  def within(path, _) -> bool:
    names = [getattr(entry, 'key', None) for entry in path]
    return names[:2] == ['heads', 'clip']

  return jax.tree_util.tree_map_with_path(within, params)


def init(
  key: jax.Array,
  model: UserModel,
  num_users: dict[str, float],
  start_sharpness: float,
  config: ml_collections.ConfigDict,
) -> EMState:
  """A start at `model`; `key` draws the random partition it departs from.

  Args:
    key: typed key.
    model: the user model.
    num_users: w_s U_s of each data set.
    start_sharpness: of the partition: 1 Dirichlet, higher harder.
    config: as for `update`.
  """
  total = float(sum(num_users.values()))
  return EMState(
    model=model,
    opt_state=optimizer(config).init(trainable(model)),
    type_share=jnp.exp(model.log_prior),
    step=jnp.zeros((), jnp.int32),
    num_users=jnp.asarray(total, jnp.float32),
    source_share={
      k: jnp.asarray(v / total, jnp.float32) for k, v in num_users.items()
    },
    start_key=key,
    start_sharpness=jnp.asarray(start_sharpness, jnp.float32),
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
  scorer: scores.Scorer,
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
  ridges = {
    'shared': config.shared_ridge,
    'type': config.type_ridge,
    'adapter': config.adapter_ridge,
  }
  on_heads = scorer.log_prior(
    params['heads'], params['choice_log_scale'], ridges
  )
  sigma = params['satisfaction']['log_sigma'] - jnp.log(config.typical_sigma)
  scale = params['comparison']['log_scale'] - jnp.log(
    config.typical_comparison_scale
  )
  on_scales = -0.5 * config.scale_ridge * (sigma**2 + scale**2)
  on_habits = habits.log_prior(params['habits'], habits.prior(config))
  return (on_heads + on_habits) / num_users + on_scales


class Annealing(NamedTuple):
  """How responsibilities are made at a step.

  Attributes:
    share: of the start's responsibilities [].
    sharpness: of those, see `start_responsibilities` [].
    temperature: of the posterior [].
  """

  share: jax.Array
  sharpness: jax.Array
  temperature: jax.Array


def annealing(state: EMState, config: ml_collections.ConfigDict) -> Annealing:
  """Types first learn from a random partition, then the temperature falls.

  Before they do so, all types learn the same from everybody: what people share
  is then not left to whichever type finds it first.
  """
  begin = config.shared_steps + config.start_steps
  share = jnp.where(state.step < begin, 1.0, 0.0)
  done = (state.step - begin) / max(config.anneal_steps, 1)
  power = jnp.clip(1.0 - done, 0.0, 1.0)
  ratio = config.start_temperature / config.end_temperature
  temperature = config.end_temperature * ratio**power
  sharpness = jnp.where(
    state.step < config.shared_steps, 0.0, state.start_sharpness
  )
  return Annealing(share, sharpness, temperature)


def e_step(
  state: EMState, user: jax.Array, joint: jax.Array, schedule: Annealing
) -> jax.Array:
  """Responsibilities γ of a batch's people.

  γ_u ∝ exp((log η + ℓ_u) / temperature); in the first steps the start's.

  Args:
    state: before the step.
    user: who they are [G].
    joint: log η + ℓ_u(k) [G, K].
    schedule: from `annealing`.

  Returns:
    [G, K].
  """
  posterior = jax.nn.softmax(joint / schedule.temperature, -1)
  start = start_responsibilities(state, user, schedule.sharpness)
  return schedule.share * start + (1.0 - schedule.share) * posterior


def m_step(
  state: EMState,
  grads: dict[str, Any],
  gamma: jax.Array,
  num_people: jax.Array,
  config: ml_collections.ConfigDict,
) -> tuple[EMState, Metrics]:
  """One optax step on what is trained, and η in closed form.

  Args:
    state: before the step.
    grads: of − Σ_u Σ_k γ_u(k) ℓ_u(k) per person, for `trainable`.
    gamma: mean responsibilities of the batch [K].
    num_people: in the batch, over all devices and data sets [].
    config: as for `update`.

  Returns:
    The state after the step; the prior's share of the loss, and norms.
  """
  params = trainable(state.model)

  def negative_log_prior(params):
    scorer = state.model.scorer
    return -log_map_prior(scorer, params, state.num_users, config)

  # Apart from the batch's loss: the prior counts once, not once a device.
  penalty, prior_grads = jax.value_and_grad(negative_log_prior)(params)
  grads = jax.tree.map(jnp.add, grads, prior_grads)
  updates, opt_state = optimizer(config).update(grads, state.opt_state, params)
  # A batch moves η by its share of all people: after an epoch η rests on all.
  rate = jnp.clip(num_people / state.num_users, config.min_share_rate, 1.0)
  type_share = state.type_share + rate * (gamma - state.type_share)
  log_prior = jax.nn.log_softmax(
    jnp.log(type_share * state.num_users + config.pseudo_count)
  )
  new_state = state.replace(
    model=state.model.replace(
      log_prior=log_prior, **optax.apply_updates(params, updates)
    ),
    opt_state=opt_state,
    type_share=type_share,
    step=state.step + 1,
  )
  return new_state, {
    'prior_penalty': penalty,
    'grad_norm': optax.tree.norm(grads),
    'update_norm': optax.tree.norm(updates),
    'param_norm': optax.tree.norm(params),
  }


def update(
  state: EMState,
  batches: Batches,
  *,
  config: ml_collections.ConfigDict,
  axis_name: str | None = None,
) -> tuple[EMState, Metrics]:
  """One EM step on a batch of whole people of every data set.

  E: γ_u ∝ exp((log η + ℓ_u) / temperature), no gradient; in the first steps
     γ comes from the start instead (`e_step`, `annealing`).
  M: one optax step on − Σ_s share_s Σ_u Σ_k γ_u(k) ℓ_u(k) / B_s
     − log prior / U; η from running means of γ with pseudo-counts (`m_step`).

  Args:
    state: before the step.
    batches: by data set, B_s people each (of this device, under pmap).
    config: `configs/train_user_model.py`.
    axis_name: pmap's axis, or None.

  Returns:
    The new state and scalars, the same on all devices.
  """
  chex.assert_equal(set(batches), set(state.source_share))
  schedule = annealing(state, config)
  # People count only where something was observed: a batch may be padded.
  here = {name: observations.present(b) for name, b in batches.items()}  # [G]
  count = jax.tree.map(
    lambda x: jnp.maximum(parallel.total(x.sum(), axis_name), 1.0), here
  )

  def loss(params):
    """− Σ_s share_s Σ_u Σ_k γ_u(k) ℓ_u(k) / B_s, and sums of the E-step."""
    model = state.model.replace(**params)
    value, sums = 0.0, {}
    for name, batch in batches.items():
      # The only forward pass: E-step and gradient read the same ℓ.
      found = evidence.log_likelihoods(model, batch)
      per_type = evidence.weigh(found, config)  # [G, K]
      # EM holds γ fixed while ℓ improves: no gradient flows through it.
      joint = jax.lax.stop_gradient(state.model.log_prior + per_type)
      gamma = e_step(state, batch.user, joint, schedule)
      expected = jnp.sum(gamma * per_type, -1) * here[name]
      # Divided by the global count, so that gradients add over devices.
      part = state.source_share[name] / count[name]
      value -= part * expected.sum()
      for key, x in {
        'gamma': gamma * here[name][:, None],
        'marginal': jax.nn.logsumexp(joint, -1) * here[name],
        'entropy': _entropy(joint) * here[name],
      }.items():
        sums[key] = sums.get(key, 0.0) + part * x.sum(0)
      for key, x in _by_kind(state.model, batch, found, here[name]).items():
        sums[key] = sums.get(key, 0.0) + x
    return value, jax.lax.stop_gradient(sums)

  (value, sums), grads = jax.value_and_grad(loss, has_aux=True)(
    trainable(state.model)
  )
  value, sums, grads = parallel.total((value, sums, grads), axis_name)
  num_people = sum(jax.tree.leaves(count))
  state, parts = m_step(state, grads, sums['gamma'], num_people, config)
  metrics = {
    'loss': value + parts['prior_penalty'],
    'log_likelihood': sums['marginal'],
    'objective': sums['marginal'] - parts['prior_penalty'],
    'responsibility_entropy': sums['entropy'],
    'effective_types': belief.effective_types(state.model.log_prior),
    'temperature': schedule.temperature,
    **parts,
  }
  for kind in sorted({k for batch in batches.values() for k in batch.feedback}):
    weight = jnp.maximum(sums[f'{kind}_weight'], 1e-9)
    metrics[f'{kind}_log_likelihood'] = sums[kind] / weight
  return state, metrics


def _entropy(joint: jax.Array) -> jax.Array:
  """Of the posterior at temperature 1, nats [G]."""
  return belief.entropy(jax.nn.log_softmax(joint, -1))


def _by_kind(
  model: UserModel,
  batch: Observations,
  found: dict[str, jax.Array],
  here: jax.Array,
) -> Metrics:
  """Of each kind of feedback: KIND, its log-likelihood, and KIND_weight.

  Args:
    model: for η.
    batch: of G people.
    found: log-likelihoods by kind [G, K].
    here: 1 where there is a person [G].

  Returns:
    Sums over the batch's people and observations, [] each.
  """
  sums = {}
  for kind, mask in observations.masks(batch).items():
    given = jax.nn.logsumexp(model.log_prior + found[kind], -1)
    sums[kind] = jnp.sum(given * here)
    sums[f'{kind}_weight'] = jnp.sum(mask * batch.weight)
  return sums
