"""Per-type scores on top of frozen image and text features (paper, section 4).

s(k, p, I) = c_k · cos(a_k(e_T), b_k(e_I)) + w_k · φ(e_I)

a_k, b_k are low-rank residual adapters, φ the whitened image features beside a
small trunk that all types share. c_k and w_k are a shared part plus the type's
deviation, so that a ridge on deviations alone pulls types towards the
population and not towards indifference. Up-projections and tastes start at
zero; types become different by their first responsibilities.
"""

import dataclasses
from collections.abc import Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors
from pasta.user_model import model as model_lib
from pasta.user_model import scores

_TOWERS = ('text', 'image')


@dataclasses.dataclass(frozen=True)
class HeadSettings:
  """What fixes the shapes and the form of the heads (static, hashable).

  Attributes:
    num_types: K.
    embedding_dim: D of the features.
    rank: width of the residual adapters; 0 leaves the features as they are.
    trunk_dim: width of the shared nonlinear trunk; 0 means none.
    aggregation: how M images make a column's utility, one of
      scores.AGGREGATIONS.
  """

  num_types: int
  embedding_dim: int
  rank: int = 4
  trunk_dim: int = 64
  aggregation: str = 'max'

  def __post_init__(self):
    scores.check_fields(self)
    errors.check_least(self, embedding_dim=1, rank=0, trunk_dim=0)


class Heads(scores.Scorer):
  """Scores of all types at once.

  The collection 'params' holds 'types' (leading axis K): 'taste' [K, F],
  'scale' [K] and the adapters 'text_down', 'text_up', 'image_down', 'image_up'
  [K, D, r]; beside it what is shared: 'scale', 'taste' and the trunk.
  Normalisation constants are an argument.
  """

  settings: HeadSettings

  @property
  def num_types(self) -> int:
    return self.settings.num_types

  @property
  def aggregation(self) -> str:
    return self.settings.aggregation

  @nn.compact
  def __call__(
    self, text: jax.Array, image: jax.Array, constants: dict[str, jax.Array]
  ) -> jax.Array:
    """Returns s [N, M, K] for text [N, D] and image [N, M, D]."""
    settings = self.settings
    chex.assert_rank([text, image], [2, 3])
    chex.assert_equal(text.shape[-1], settings.embedding_dim)
    chex.assert_equal(image.shape[-1], settings.embedding_dim)
    chex.assert_equal(text.shape[0], image.shape[0])
    zeros = nn.initializers.zeros_init()
    taste_dim = settings.embedding_dim + settings.trunk_dim
    types = self.param('types', self._init_types, taste_dim)
    shared_scale = self.param('scale', nn.initializers.constant(0.5), ())
    shared = self.param('taste', zeros, (taste_dim,))
    weights = (shared + types['taste']).T  # [F, K]
    on_image = _adapters(types, 'image_down', 'text_up', 'image_up')
    if not settings.trunk_dim:
      # Whitening the K weights instead of the images costs D / K times less.
      weights = constants['image_whiten'] @ weights
      on_image['taste'] = weights
    image_parts = _multiply(image, on_image)
    if settings.trunk_dim:
      inputs = (image - constants['image_mean']) @ constants['image_whiten']
      hidden = nn.tanh(nn.Dense(settings.trunk_dim, name='trunk')(inputs))
      taste = jnp.concatenate([inputs, hidden], -1) @ weights  # [N, M, K]
    else:
      taste = image_parts['taste'] - constants['image_mean'] @ weights
    cosine = _cosine(text, image, image_parts, types)
    cosine = (cosine - constants['cosine_mean']) / constants['cosine_std']
    return (shared_scale + types['scale']) * cosine + taste

  def _init_types(self, key: jax.Array, taste_dim: int) -> dict[str, jax.Array]:
    num, settings = self.settings.num_types, self.settings
    types = {'taste': jnp.zeros((num, taste_dim)), 'scale': jnp.zeros((num,))}
    if settings.rank:
      shape = num, settings.embedding_dim, settings.rank
      for name, tower_key in zip(_TOWERS, jax.random.split(key), strict=True):
        down = (
          jax.random.normal(tower_key, shape) * settings.embedding_dim**-0.5
        )
        types |= {f'{name}_down': down, f'{name}_up': jnp.zeros(shape)}
    return types

  def log_prior(
    self, params: dict, log_scale: jax.Array, ridges: dict[str, float]
  ) -> jax.Array:
    """Log density of the MAP prior on the heads, up to a constant; [].

    Tastes are measured in log-odds of a choice, that is, times τ: otherwise a
    large τ over small weights would evade the prior.

    Args:
      params: the heads' 'params'.
      log_scale: log τ [].
      ridges: precisions of the shared tastes and the trunk ('shared'), of the
        types' deviations in scale and taste ('type'), and of the adapters'
        entries ('adapter').
    """
    square = scores.sum_of_squares
    types = params['types']
    adapters = {k: v for k, v in types.items() if k not in ('scale', 'taste')}
    in_log_odds = jnp.exp(2 * log_scale)
    shared = in_log_odds * square(params['taste'])
    shared += square(params.get('trunk', {}))
    return -0.5 * (
      ridges['shared'] * shared
      + ridges['type'] * in_log_odds * square([types['taste'], types['scale']])
      + ridges['adapter'] * square(adapters)
    )


def _adapters(types: dict[str, jax.Array], *names: str) -> dict[str, jax.Array]:
  """Adapters [K, D, r] by name as matrices [D, r · K]; {} where rank is 0."""
  return {
    name: types[name].transpose(1, 2, 0).reshape(types[name].shape[1], -1)
    for name in names
    if name in types
  }


def _multiply(
  x: jax.Array, matrices: dict[str, jax.Array]
) -> dict[str, jax.Array]:
  """x @ m for all matrices [D, n], by one wide product."""
  if not matrices:
    return {}
  widths = [m.shape[1] for m in matrices.values()]
  found = x @ jnp.concatenate(list(matrices.values()), 1)
  parts = jnp.split(found, np.cumsum(widths)[:-1], -1)
  return dict(zip(matrices, parts, strict=True))


def _cosine(
  text: jax.Array,
  image: jax.Array,
  image_parts: dict[str, jax.Array],
  types: dict[str, jax.Array],
) -> jax.Array:
  """cos(a_k(e_T), b_k(e_I)) of low-rank residual adapters, [N, M, K].

  The adapted vectors e + U z with z = A e are never formed: all products and
  norms follow from r-dimensional projections. Types are the last axis of all
  that is summed over r: sums along short last axes are slow.

  Args:
    text: [N, D].
    image: [N, M, D].
    image_parts: the images' products with `_adapters`, [N, M, r · K] each.
    types: with the adapters [K, D, r]; without them features are taken as
      they are and the result is [N, M, 1].
  """
  # A product with ones: XLA's own sums over two factors are ten times slower
  # on a CPU.
  dot = (text[:, None] * image) @ jnp.ones((text.shape[-1], 1), text.dtype)
  text_square = jnp.sum(text**2, -1)[:, None]
  image_square = jnp.sum(image**2, -1)[..., None]
  if 'text_up' in types:
    text_up, image_up = types['text_up'], types['image_up']
    num_types, _, rank = text_up.shape

    def unfold(x):  # [..., r · K] -> [..., r, K]
      return x.reshape(*x.shape[:-1], rank, num_types)

    def through(z, left, right):  # [..., r, K] times leftᵀ right [K, r, r]
      gram = jnp.einsum('kds,kdr->srk', left, right)
      return jnp.sum(z[..., :, None, :] * gram, -3)

    on_text = _adapters(types, 'text_down', 'text_up', 'image_up')
    of_text = {k: unfold(v) for k, v in _multiply(text, on_text).items()}
    of_image = {k: unfold(v) for k, v in image_parts.items() if k != 'taste'}
    z_text, z_image = of_text['text_down'], of_image['image_down']
    cross = through(z_text, text_up, image_up)
    dot = (
      dot
      + jnp.sum(z_text[:, None] * of_image['text_up'], -2)
      + jnp.sum((of_text['image_up'] + cross)[:, None] * z_image, -2)
    )
    text_square = text_square + jnp.sum(
      z_text * (2 * of_text['text_up'] + through(z_text, text_up, text_up)), -2
    )
    image_square = image_square + jnp.sum(
      z_image
      * (2 * of_image['image_up'] + through(z_image, image_up, image_up)),
      -2,
    )
  norm = jnp.sqrt(jnp.maximum(text_square[:, None] * image_square, 1e-12))
  return dot / norm


def normalisation(
  columns: Sequence[tuple[np.ndarray, np.ndarray]], floor: float = 0.02
) -> dict[str, np.ndarray]:
  """Computes the heads' constants from training columns.

  Args:
    columns: of each data set, prompts' features [N, D] and those of the images
      that belong to them [N, M, D].
    floor: added to the eigenvalues of the images' covariance, as a share of
      their mean, so that whitening doesn't blow up directions of pure noise.

  Returns:
    image_mean [D], image_whiten [D, D], cosine_mean [], cosine_std [].
  """
  flat = np.concatenate(
    [np.asarray(i, np.float64).reshape(-1, i.shape[-1]) for _, i in columns]
  )
  mean = flat.mean(0)
  covariance = (flat - mean).T @ (flat - mean) / len(flat)
  values, vectors = np.linalg.eigh(covariance)
  values = np.maximum(values, 0.0)
  scale = 1.0 / np.sqrt(values + floor * values.mean() + 1e-8)
  # The symmetric root: unlike principal axes it doesn't flip signs between
  # machines, and coordinates stay near the encoder's.
  whiten = (vectors * scale) @ vectors.T
  cosine = np.concatenate([_similarity(*pair).ravel() for pair in columns])
  return {
    'image_mean': mean.astype(np.float32),
    'image_whiten': whiten.astype(np.float32),
    'cosine_mean': np.float32(cosine.mean()),
    'cosine_std': np.float32(max(cosine.std(), 1e-3)),
  }


def _similarity(text: np.ndarray, image: np.ndarray) -> np.ndarray:
  """Cosine similarities [N, M] of prompts [N, D] and images [N, M, D]."""
  text, image = np.asarray(text, np.float64), np.asarray(image, np.float64)
  norm = np.linalg.norm(text, axis=-1)[:, None] * np.linalg.norm(image, axis=-1)
  return np.einsum('nd,nmd->nm', text, image) / np.maximum(norm, 1e-6)


def init_model(
  key: jax.Array,
  settings: HeadSettings,
  columns: Sequence[tuple[np.ndarray, np.ndarray]],
  whitening_floor: float = 0.02,
  text_hidden_dim: int = 128,
) -> model_lib.UserModel:
  """A user model with these heads, all of whose types feel the same.

  Args:
    key: typed key.
    settings: shapes and form of the heads.
    columns: as for `normalisation`; one at least.
    whitening_floor: likewise.
    text_hidden_dim: width of the text regression.
  """
  text, image = columns[0]
  return model_lib.init(
    key,
    Heads(settings),
    normalisation(columns, whitening_floor),
    text,
    image,
    text_hidden_dim,
  )
