"""A small model of what a T2I model draws: p(image feature | prompt's text).

Images of one prompt differ, and people pick a column by its best image: a mean
is not enough, the whole spread is modelled. In whitened image features u,

  u = μ(x) + exp σ(x) · g(z; x),   z ~ N(0, 1)

with μ, σ and g from a network on the text features x; g is a chain of affine
couplings (RealNVP), so that densities and draws are both exact. What a prompt
leaves open comes out as several humps, which no Gaussian has.

Letters: P prompts, M images of each, D embedding width.
"""

import dataclasses

import chex
import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors
from pasta.types import PyTree
from pasta.user_model import heads

_MAX_LOG_SCALE = 1.5  # of one coupling; tanh keeps it there
_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


@dataclasses.dataclass(frozen=True)
class Settings:
  """What fixes the shapes of the flow (static, hashable).

  Attributes:
    embedding_dim: D, at least 2.
    num_couplings: of the chain; 0 leaves a Gaussian with independent parts.
    hidden_dim: units of each coupling's two hidden layers.
    trunk_dim: units of the two hidden layers that all read the prompt by.
  """

  embedding_dim: int
  num_couplings: int
  hidden_dim: int
  trunk_dim: int

  def __post_init__(self):
    errors.check_least(
      self, embedding_dim=2, num_couplings=0, hidden_dim=1, trunk_dim=1
    )


class Coupling(nn.Module):
  """Scale and shift of one half of u, from the other half and the prompt."""

  width: int
  hidden_dim: int

  @nn.compact
  def __call__(
    self, half: jax.Array, prompt: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """(log scale, shift) [P, M, width] for half [P, M, ·], prompt [P, ·]."""
    seen = nn.Dense(self.hidden_dim, use_bias=False, name='prompt')(prompt)
    hidden = nn.gelu(nn.Dense(self.hidden_dim)(half) + seen[:, None])
    hidden = nn.gelu(nn.Dense(self.hidden_dim)(hidden))
    # Zeros: a chain begins as the identity.
    zeros = nn.initializers.zeros_init()
    out = nn.Dense(2 * self.width, kernel_init=zeros)(hidden)
    log_scale, shift = jnp.split(out, 2, -1)
    return _MAX_LOG_SCALE * jnp.tanh(log_scale / _MAX_LOG_SCALE), shift


class Flow(nn.Module):
  """The density of whitened image features, given normalised text features."""

  settings: Settings

  def setup(self):
    settings = self.settings
    dim = settings.embedding_dim
    small = nn.initializers.normal(0.01)
    self._layers = [nn.Dense(settings.trunk_dim) for _ in range(2)]
    self._mean = nn.Dense(dim)
    self._log_scale = nn.Dense(dim, kernel_init=small)
    self._couplings = [
      Coupling(dim - dim // 2, settings.hidden_dim)
      for _ in range(settings.num_couplings)
    ]

  def _order(self, i: int) -> np.ndarray:
    """Which coordinates coupling i keeps (first half) and moves."""
    return np.random.default_rng(i).permutation(self.settings.embedding_dim)

  def _read(self, text: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """μ and σ [P, 1, D], and what couplings see of the prompt [P, ·]."""
    hidden = text
    for layer in self._layers:
      hidden = nn.gelu(layer(hidden))
    hidden = jnp.concatenate([hidden, text], -1)
    return (
      self._mean(hidden)[:, None],
      self._log_scale(hidden)[:, None],
      hidden,
    )

  def __call__(self, text: jax.Array, u: jax.Array) -> jax.Array:
    """log p(u | text) [P, M] for text [P, D] and u [P, M, D]."""
    chex.assert_rank([text, u], [2, 3])
    half = self.settings.embedding_dim // 2
    mean, log_scale, prompt = self._read(text)
    z = (u - mean) * jnp.exp(-log_scale)
    log_det = -log_scale.sum(-1)  # [P, 1]
    for i, coupling in enumerate(self._couplings):
      z = z[..., self._order(i)]
      kept, moved = z[..., :half], z[..., half:]
      log_scale, shift = coupling(kept, prompt)
      z = jnp.concatenate([kept, moved * jnp.exp(log_scale) + shift], -1)
      log_det = log_det + log_scale.sum(-1)
    dim = self.settings.embedding_dim
    return log_det - 0.5 * jnp.sum(z**2, -1) - dim * _HALF_LOG_2PI

  def draw(self, text: jax.Array, z: jax.Array) -> jax.Array:
    """u [P, M, D] for text [P, D] and standard normal z [P, M, D]."""
    chex.assert_rank([text, z], [2, 3])
    half = self.settings.embedding_dim // 2
    mean, log_scale, prompt = self._read(text)
    for i in reversed(range(len(self._couplings))):
      kept, moved = z[..., :half], z[..., half:]
      scale, shift = self._couplings[i](kept, prompt)
      z = jnp.concatenate([kept, (moved - shift) * jnp.exp(-scale)], -1)
      z = z[..., np.argsort(self._order(i))]
    return mean + jnp.exp(log_scale) * z


@flax.struct.dataclass
class Surrogate:
  """A flow and the units it is in.

  Attributes:
    params: of `Flow`.
    constants: text_mean, text_std [D]; image_mean [D], image_whiten and its
      inverse image_colour [D, D].
    settings: static.
  """

  params: PyTree
  constants: dict[str, jax.Array]
  settings: Settings = flax.struct.field(pytree_node=False)


def constants_of(
  text: np.ndarray, image: np.ndarray, floor: float
) -> dict[str, np.ndarray]:
  """The units of a surrogate, from training columns.

  Args:
    text: [P, D].
    image: [P, M, D].
    floor: see `heads.normalisation`.
  """
  found = heads.normalisation([(text, image)], floor)
  text = np.asarray(text, np.float64)
  return {
    'text_mean': text.mean(0).astype(np.float32),
    'text_std': np.maximum(text.std(0), 1e-4).astype(np.float32),
    'image_mean': found['image_mean'],
    'image_whiten': found['image_whiten'],
    'image_colour': np.linalg.inv(
      found['image_whiten'].astype(np.float64)
    ).astype(np.float32),
  }


def init(
  key: jax.Array, settings: Settings, constants: dict[str, np.ndarray]
) -> Surrogate:
  """A surrogate that knows nothing of prompts yet."""
  dim = settings.embedding_dim
  params = Flow(settings).init(key, jnp.zeros((1, dim)), jnp.zeros((1, 1, dim)))
  return Surrogate(
    params=params['params'],
    constants=jax.tree.map(jnp.asarray, constants),
    settings=settings,
  )


def log_density(
  model: Surrogate, text: jax.Array, image: jax.Array, blur: jax.Array
) -> jax.Array:
  """log p(u | prompt) of images, in nats, of whitened features u [P, M].

  Features lie on a sphere, where a density may grow without end: they are
  blurred first.

  Args:
    model: the surrogate.
    text: [P, D].
    image: [P, M, D].
    blur: what is added to u [P, M, D].
  """
  constants = model.constants
  whitened = image.astype(jnp.float32) - constants['image_mean']
  whitened = whitened @ constants['image_whiten']
  return Flow(model.settings).apply(
    {'params': model.params}, _normalised(model, text), whitened + blur
  )


def draw(model: Surrogate, text: jax.Array, noise: jax.Array) -> jax.Array:
  """Image features of length 1, [P, M, D].

  Args:
    model: the surrogate.
    text: prompts' features [P, D].
    noise: standard normal [P, M, D].
  """
  constants = model.constants
  whitened = Flow(model.settings).apply(
    {'params': model.params}, _normalised(model, text), noise, method='draw'
  )
  image = constants['image_mean'] + whitened @ constants['image_colour']
  norm = jnp.linalg.norm(image, axis=-1, keepdims=True)
  return image / jnp.maximum(norm, 1e-6)


def _normalised(model: Surrogate, text: jax.Array) -> jax.Array:
  constants = model.constants
  text = text.astype(jnp.float32) - constants['text_mean']
  return text / constants['text_std']
