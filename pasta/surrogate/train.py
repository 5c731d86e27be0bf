"""Maximum likelihood for surrogates: pure functions.

Letters: M images of a prompt, D embedding width, B columns of a batch, S
updates of a call.
"""

import functools

import flax
import jax
import jax.numpy as jnp
import ml_collections
import optax

from pasta.surrogate import flow
from pasta.surrogate.flow import Surrogate
from pasta.types import PyTree


@flax.struct.dataclass
class State:
  """Where a fit is: the parameters, and the best so far."""

  params: PyTree
  opt_state: optax.OptState
  best_params: PyTree
  best_score: jax.Array
  best_step: jax.Array


def make_optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """AdamW on a cosine, with a warm-up and clipped gradients."""
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, config.learning_rate, config.warmup_steps, config.num_steps
  )
  return optax.chain(
    optax.clip_by_global_norm(config.max_gradient_norm),
    optax.adamw(schedule, weight_decay=config.weight_decay),
  )


def init(params: PyTree, optimizer: optax.GradientTransformation) -> State:
  """The state in which a fit begins, from parameters of `flow.init`."""
  return State(
    params=params,
    opt_state=optimizer.init(params),
    best_params=params,
    best_score=jnp.full((), -jnp.inf, jnp.float32),
    best_step=jnp.zeros((), jnp.int32),
  )


def loss(
  params: PyTree,
  model: Surrogate,
  text: jax.Array,
  image: jax.Array,
  blur: jax.Array,
) -> jax.Array:
  """−log p(image | prompt), the mean over images, in nats [].

  Args:
    params: take the place of the model's own.
    model: the surrogate.
    text: prompts' features [B, D].
    image: features of their images [B, M, D].
    blur: what is added to whitened features, see `flow.log_density`.
  """
  model = model.replace(params=params)
  return -flow.log_density(model, text, image, blur).mean()


def update(
  state: State,
  model: Surrogate,
  text: jax.Array,
  image: jax.Array,
  key: jax.Array,
  *,
  optimizer: optax.GradientTransformation,
  blur: float,
) -> tuple[State, dict[str, jax.Array]]:
  """One step on one batch.

  Args:
    state: the learner.
    model: the surrogate, for its units and settings.
    text: prompts' features [B, D].
    image: features of their images [B, M, D].
    key: of the blur.
    optimizer: from `make_optimizer`.
    blur: its standard deviation.
  """
  added = blur * jax.random.normal(jax.random.fold_in(key, 1), image.shape)
  value, gradient = jax.value_and_grad(loss)(
    state.params, model, text, image, added
  )
  updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
  metrics = {
    'train/loss': value,
    'train/gradient_norm': optax.tree.norm(gradient),
  }
  params = optax.apply_updates(state.params, updates)
  return state.replace(params=params, opt_state=opt_state), metrics


def update_many(
  state: State,
  model: Surrogate,
  text: jax.Array,
  image: jax.Array,
  keys: jax.Array,
  *,
  optimizer: optax.GradientTransformation,
  blur: float,
) -> tuple[State, dict[str, jax.Array]]:
  """`update` on batches text [S, B, D], image [S, B, M, D], with keys [S].

  Returns:
    The new state and metrics [S].
  """

  def step(state, batch):
    return update(state, model, *batch, optimizer=optimizer, blur=blur)

  return jax.lax.scan(step, state, (text, image, keys))


def step_keys(key: jax.Array, step: int, num: int) -> jax.Array:
  """Keys of the updates step … step + num − 1, [num]; each is its own."""
  return jax.vmap(lambda i: jax.random.fold_in(key, i))(
    jnp.arange(step, step + num)
  )


@functools.partial(jax.jit, static_argnums=(1, 2))
def batches(keys: jax.Array, batch: int, size: int) -> jax.Array:
  """Which of `size` columns each update sees, int [S, B], for keys [S]."""
  return jax.vmap(
    lambda key: jax.random.randint(
      jax.random.fold_in(key, 0), (batch,), 0, size
    )
  )(keys)


def keep_best(state: State, score: float, step: int) -> State:
  """Keeps the parameters if their held-out score is the best so far."""
  if score > float(state.best_score):
    state = state.replace(
      best_params=state.params,
      best_score=jnp.asarray(score, jnp.float32),
      best_step=jnp.asarray(step, jnp.int32),
    )
  return state
