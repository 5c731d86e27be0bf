"""Per-type scores on top of frozen image and text features (paper, section 4).

s(k, p, I) = c_k · cos(a_k(e_T), b_k(e_I)) + w_k · φ(e_I)

a_k, b_k are low-rank residual adapters, φ the whitened image features beside a
small trunk that all types share. c_k and w_k are a shared part plus the type's
deviation, so that a ridge on deviations alone pulls types towards the
population and not towards indifference. Up-projections and tastes start at
zero; types become different by their first responsibilities.
"""

import dataclasses

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors

AGGREGATIONS = ('max', 'mean', 'log_mean_exp')


@dataclasses.dataclass(frozen=True)
class HeadSettings:
  """What fixes the shapes and the form of the heads (static, hashable).

  Attributes:
    num_types: K.
    embedding_dim: D of the features.
    rank: width of the residual adapters; 0 leaves the features as they are.
    trunk_dim: width of the shared nonlinear trunk; 0 means none.
    aggregation: how M images make a column's utility, one of AGGREGATIONS.
  """

  num_types: int
  embedding_dim: int
  rank: int = 4
  trunk_dim: int = 64
  aggregation: str = 'max'

  def __post_init__(self):
    if self.aggregation not in AGGREGATIONS:
      raise errors.PastaError(
        f'aggregation is {self.aggregation!r}, expected one of {AGGREGATIONS}'
      )
    for field, least in (
      ('num_types', 1),
      ('embedding_dim', 1),
      ('rank', 0),
      ('trunk_dim', 0),
    ):
      if getattr(self, field) < least:
        raise errors.PastaError(
          f'{field} is {getattr(self, field)}, expected at least {least}'
        )


class TypeHead(nn.Module):
  """What one type's score differs in from the shared one."""

  rank: int

  @nn.compact
  def __call__(
    self, text: jax.Array, image: jax.Array, taste: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the adapted cosine, the scale's and the taste's deviation.

    Args:
      text: [N, D].
      image: [N, M, D].
      taste: [N, M, F], inputs of the linear taste.

    Returns:
      cosine [N, M], scale deviation [], taste deviation [N, M].
    """
    dim = text.shape[-1]
    small = nn.initializers.normal(dim**-0.5)
    zeros = nn.initializers.zeros_init()
    weight = self.param('taste', zeros, (taste.shape[-1],))
    scale = self.param('scale', zeros, ())
    # The adapted vectors e + U z with z = A e are never formed: all products
    # and norms follow from r-dimensional projections, M·r numbers and not M·D.
    # (Sums of products: XLA's batched products of such sizes are slow on CPUs.)
    dot = jnp.sum(text[:, None] * image, -1)
    text_square = jnp.sum(text**2, -1)
    image_square = jnp.sum(image**2, -1)
    if self.rank:
      text_down = self.param('text_down', small, (dim, self.rank))
      text_up = self.param('text_up', zeros, (dim, self.rank))
      image_down = self.param('image_down', small, (dim, self.rank))
      image_up = self.param('image_up', zeros, (dim, self.rank))
      z_text = text @ text_down  # [N, r]
      z_image = image @ image_down  # [N, M, r]
      text_by_text, text_by_image = text @ text_up, text @ image_up
      image_by_text, image_by_image = image @ text_up, image @ image_up
      cross = z_text @ (text_up.T @ image_up)  # [N, r]
      dot = (
        dot
        + jnp.sum(z_text[:, None] * image_by_text, -1)
        + jnp.sum((text_by_image + cross)[:, None] * z_image, -1)
      )
      text_square = text_square + jnp.sum(
        z_text * (2 * text_by_text + z_text @ (text_up.T @ text_up)), -1
      )
      image_square = image_square + jnp.sum(
        z_image * (2 * image_by_image + z_image @ (image_up.T @ image_up)), -1
      )
    norm = jnp.sqrt(
      jnp.maximum(text_square[:, None] * image_square, 1e-12)
    )  # [N, M]
    return dot / norm, scale, taste @ weight


class Heads(nn.Module):
  """Scores of all types in one batched product; parameters as in TypeHead.

  The collection 'params' holds 'types' (leading axis K) beside what is shared:
  'scale', 'taste' and the trunk. Normalisation constants are an argument.
  """

  settings: HeadSettings

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
    taste = (image - constants['image_mean']) @ constants['image_whiten']
    if settings.trunk_dim:
      hidden = nn.tanh(nn.Dense(settings.trunk_dim, name='trunk')(taste))
      taste = jnp.concatenate([taste, hidden], -1)  # [N, M, F]
    types = nn.vmap(
      TypeHead,
      in_axes=None,
      out_axes=-1,
      axis_size=settings.num_types,
      variable_axes={'params': 0},
      split_rngs={'params': True},
    )(settings.rank, name='types')
    cosine, scale, deviation = types(text, image, taste)  # [N, M, K], [K]
    shared_scale = self.param('scale', nn.initializers.constant(0.5), ())
    shared = self.param(
      'taste', nn.initializers.zeros_init(), (taste.shape[-1],)
    )
    cosine = (cosine - constants['cosine_mean']) / constants['cosine_std']
    common = (taste @ shared)[..., None]  # [N, M, 1]
    return (shared_scale + scale) * cosine + common + deviation


def normalisation(
  text: np.ndarray, image: np.ndarray, floor: float = 0.02
) -> dict[str, np.ndarray]:
  """Computes the heads' constants from training columns.

  Args:
    text: [N, D], prompts' features.
    image: [N, M, D], features of the images that belong to them.
    floor: added to the eigenvalues of the images' covariance, as a share of
      their mean, so that whitening doesn't blow up directions of pure noise.

  Returns:
    image_mean [D], image_whiten [D, D], cosine_mean [], cosine_std [].
  """
  text = np.asarray(text, np.float64)
  image = np.asarray(image, np.float64)
  flat = image.reshape(-1, image.shape[-1])
  mean = flat.mean(0)
  covariance = (flat - mean).T @ (flat - mean) / len(flat)
  values, vectors = np.linalg.eigh(covariance)
  values = np.maximum(values, 0.0)
  scale = 1.0 / np.sqrt(values + floor * values.mean() + 1e-8)
  # The symmetric root: unlike principal axes it doesn't flip signs between
  # machines, and coordinates stay near the encoder's.
  whiten = (vectors * scale) @ vectors.T
  norm = np.linalg.norm(text, axis=-1)[:, None] * np.linalg.norm(image, axis=-1)
  cosine = np.einsum('nd,nmd->nm', text, image) / np.maximum(norm, 1e-6)
  return {
    'image_mean': mean.astype(np.float32),
    'image_whiten': whiten.astype(np.float32),
    'cosine_mean': np.float32(cosine.mean()),
    'cosine_std': np.float32(max(cosine.std(), 1e-3)),
  }


def log_prior(
  params: dict,
  log_scale: jax.Array,
  *,
  shared_ridge: float,
  type_ridge: float,
  adapter_ridge: float,
) -> jax.Array:
  """Log density of the MAP prior on the heads, up to a constant; [].

  Tastes are measured in log-odds of a choice, that is, times τ: otherwise a
  large τ over small weights would evade the prior.

  Args:
    params: the heads' 'params'.
    log_scale: log τ [].
    shared_ridge: precision of the shared tastes and the trunk.
    type_ridge: precision of the types' deviations in scale and taste.
    adapter_ridge: precision of the adapters' entries.
  """

  def square(*arrays) -> jax.Array:
    return sum(jnp.sum(x**2) for x in arrays)

  types = params['types']
  adapters = [v for k, v in types.items() if k not in ('scale', 'taste')]
  trunk = jax.tree.leaves(params.get('trunk', {}))
  in_log_odds = jnp.exp(2 * log_scale)
  return -0.5 * (
    shared_ridge * (in_log_odds * square(params['taste']) + square(*trunk))
    + type_ridge * in_log_odds * square(types['taste'], types['scale'])
    + adapter_ridge * square(*adapters)
  )
