"""The user model as one pytree, and what it predicts (paper, section 4)."""

import functools

import chex
import flax
import jax
import jax.numpy as jnp
import numpy as np

from pasta import seeds
from pasta.types import PyTree
from pasta.user_model import likelihoods, scores

_FINEST_TEXT_STD = 1e-6


@flax.struct.dataclass
class UserModel:
  """Parameters of a latent-class user model with K types.

  Attributes:
    heads: parameters of the scorer; 'types' has a leading axis K.
    log_prior: log η [K], normalised.
    choice_log_scale: log τ [].
    habits: of choosing; what is not modelled is left out (see
      `likelihoods.Habits`).
    satisfaction: level [K], log_scale [], log_sigma [], log_spread [].
    comparison: log_scale [], centre [], log_half_width [].
    rating: intercept [], log_slope [], log_sigma []; of ratings with mean 0
      and standard deviation 1.
    feedback_weights: how much each kind of feedback counts in beliefs [];
      0: not at all.
    widening: share of the prior that is mixed into the belief about a person
      between two sessions of theirs [], in [0, 1].
    text: the regression E[R_k | prompt] of `text_utility`.
    constants: what the scorer gets beside features, never trained; here the
      heads' normalisation.
    scorer: static.
  """

  heads: PyTree
  log_prior: jax.Array
  choice_log_scale: jax.Array
  satisfaction: dict[str, jax.Array]
  comparison: dict[str, jax.Array]
  rating: dict[str, jax.Array]
  feedback_weights: dict[str, jax.Array]
  widening: jax.Array
  text: PyTree
  constants: dict[str, jax.Array]
  scorer: scores.Scorer = flax.struct.field(pytree_node=False)
  # Models on disk that were fitted without habits have no such field.
  habits: dict[str, jax.Array] = flax.struct.field(default_factory=dict)

  @property
  def num_types(self) -> int:
    return self.scorer.num_types

  @property
  def text_dim(self) -> int:
    """D of the prompt features that `text_utility` reads."""
    return self.text['mean'].shape[0]


def init(
  key: jax.Array,
  scorer: scores.Scorer,
  constants: dict[str, jax.Array],
  text: jax.Array,
  image: jax.Array,
  text_hidden_dim: int = 128,
) -> UserModel:
  """A model as its scorer begins; with `heads.Heads`, all types feel the same.

  Args:
    key: typed key.
    scorer: the form of the scores.
    constants: for the scorer, e.g. from `heads.normalisation`; may be empty.
    text: inputs of prompts [N, ...]; only shapes matter.
    image: inputs of their images [N, M, ...].
    text_hidden_dim: width of the text regression.
  """
  scores.check_fields(scorer)
  num_types = scorer.num_types
  heads_key, text_key = jax.random.split(key)
  constants = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), constants)
  heads = scorer.init(
    heads_key, jnp.zeros_like(text[:1]), jnp.zeros_like(image[:1]), constants
  )['params']
  return UserModel(
    heads=heads,
    log_prior=jnp.full((num_types,), -np.log(num_types), jnp.float32),
    choice_log_scale=jnp.zeros(()),
    satisfaction={
      'level': jnp.zeros((num_types,)),
      'log_scale': jnp.zeros(()),
      'log_sigma': jnp.asarray(np.log(0.25), jnp.float32),
      'log_spread': jnp.asarray(np.log(0.5), jnp.float32),
    },
    comparison={
      'log_scale': jnp.zeros(()),
      'centre': jnp.zeros(()),
      'log_half_width': jnp.asarray(np.log(0.5), jnp.float32),
    },
    rating={
      'intercept': jnp.zeros(()),
      'log_slope': jnp.zeros(()),
      'log_sigma': jnp.zeros(()),
    },
    feedback_weights={
      'choice': jnp.ones(()),
      'satisfaction': jnp.ones(()),
      'comparison': jnp.ones(()),
    },
    widening=jnp.zeros(()),
    text=init_text(text_key, text.shape[-1], text_hidden_dim, num_types),
    constants=constants,
    scorer=scorer,
  )


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def init_text(
  key: jax.Array, dim: int, hidden_dim: int, num_types: int
) -> dict[str, jax.Array]:
  """Parameters of a text regression that answers 0 for every prompt.

  Two hidden layers; K + 1 outputs: what all types feel on average, and each
  type's deviation from it, each with a scale of its own, because what tells
  types apart is much smaller than what they share.
  """
  first, second = jax.random.split(key)
  num_out = num_types + 1
  return {
    'mean': jnp.zeros((dim,)),
    'std': jnp.ones((dim,)),
    'w1': jax.random.normal(first, (dim, hidden_dim)) * dim**-0.5,
    'b1': jnp.zeros((hidden_dim,)),
    'w2': jax.random.normal(second, (hidden_dim, hidden_dim))
    * (2 / hidden_dim) ** 0.5,
    'b2': jnp.zeros((hidden_dim,)),
    'w3': jnp.zeros((hidden_dim, num_out)),
    'b3': jnp.zeros((num_out,)),
    'skip': jnp.zeros((dim, num_out)),
    'target_mean': jnp.zeros((num_out,)),
    'target_std': jnp.ones((num_out,)),
    'residual_std': jnp.zeros((num_types,)),
  }


def apply_text(params: dict[str, jax.Array], text: jax.Array) -> jax.Array:
  """Normalised regression outputs [..., K + 1] for text features [..., D]."""
  x = (text - params['mean']) / jnp.maximum(params['std'], _FINEST_TEXT_STD)
  hidden = jax.nn.gelu(x @ params['w1'] + params['b1'])
  hidden = jax.nn.gelu(hidden @ params['w2'] + params['b2'])
  return hidden @ params['w3'] + x @ params['skip'] + params['b3']


def column_utility(
  model: UserModel, text: jax.Array, image: jax.Array
) -> jax.Array:
  """R_θ(k, p, I_1..M) = Agg_m s_θ(k, p, I_m).

  Args:
    model: the user model.
    text: the columns' prompts [..., D] (or what the scorer reads). Where the
      columns of a slate have one prompt, its axis may have size 1.
    image: the columns' images [..., M, D].

  Returns:
    [..., K], float32.
  """
  scorer = model.scorer
  batch = image.shape[: image.ndim - scorer.image_ndim - 1]
  prompts = text.shape[: text.ndim - scorer.text_ndim]
  chex.assert_equal(len(prompts), len(batch))
  chex.assert_equal(prompts[:-1], batch[:-1])
  num_images = image.shape[len(batch)]
  # One prompt for L columns: M images each are L · M images of that prompt.
  columns = 1 if prompts == batch else batch[-1]
  if prompts != batch:
    chex.assert_equal(prompts[-1], 1)
  score = scorer.apply(
    {'params': model.heads},
    _as_input(text.reshape(-1, *text.shape[len(batch) :])),
    _as_input(
      image.reshape(-1, columns * num_images, *image.shape[len(batch) + 1 :])
    ),
    model.constants,
  )  # [N, L · M, K]
  score = score.reshape(-1, num_images, model.num_types)
  if scorer.aggregation == 'max':
    utility = jnp.max(score, 1)
  elif scorer.aggregation == 'mean':
    utility = jnp.mean(score, 1)
  else:
    utility = jax.nn.logsumexp(score, 1) - jnp.log(float(num_images))
  return utility.reshape(*batch, model.num_types)


def _as_input(x: jax.Array) -> jax.Array:
  """Features as float32; tokens and pixels (whole numbers) as they are."""
  return x if jnp.issubdtype(x.dtype, jnp.integer) else x.astype(jnp.float32)


def choice_log_probs(
  model: UserModel, utility: jax.Array, position: jax.Array | None = None
) -> jax.Array:
  """log C(l | k, slate), see `likelihoods.choice_log_probs`.

  Args:
    model: the user model.
    utility: of a slate [..., L, K].
    position: of its columns on the screen [..., L]; None where not known.

  Returns:
    [..., L, K].
  """
  chex.assert_axis_dimension(utility, -1, model.num_types)
  return likelihoods.choice_log_probs(
    utility, model.choice_log_scale, model.habits, position
  )


def expected_satisfaction(
  model: UserModel, utility: jax.Array, offset: jax.Array | float = 0.0
) -> jax.Array:
  """E[satisfaction | k, chosen column] in (0, 1), [..., K].

  Args:
    model: the user model.
    utility: R of the chosen column [..., K].
    offset: generosity of the person in logits (over people normal with
      standard deviation exp(satisfaction['log_spread'])); 0 is the median.
  """
  chex.assert_axis_dimension(utility, -1, model.num_types)
  return likelihoods.satisfaction_mean(utility, model.satisfaction, offset)


def text_utility(model: UserModel, text: jax.Array) -> jax.Array:
  """E[R_k | prompt text] [..., K] by regression, for text [..., D]."""
  chex.assert_axis_dimension(text, -1, model.text_dim)
  params = model.text
  out = apply_text(params, text.astype(jnp.float32))
  out = out * params['target_std'] + params['target_mean']
  return out[..., :1] + out[..., 1:]


def text_residual_std(model: UserModel) -> jax.Array:
  """How far columns lie from `text_utility`: standard deviation [K].

  A prompt leaves open what its images show; a column's utility is its text
  utility plus noise of this size, independent from column to column.
  """
  return model.text['residual_std']


def draw_types(model: UserModel, sitting_seeds: np.ndarray) -> np.ndarray:
  """Types from the model's prior, one a sitting: int [N]."""
  prior = np.exp(np.asarray(model.log_prior, np.float64))
  draw = seeds.uniform(sitting_seeds, 'type')
  return np.minimum(
    (draw[:, None] >= np.cumsum(prior / prior.sum())).sum(1), len(prior) - 1
  )
