"""What the value function's networks read, and their static shape.

Letters: T turns, L items of a slate or C candidates, D embedding width,
G categories, K user types, F token features, W width, J twin heads.
"""

import dataclasses

import chex
import flax.struct
import jax
import jax.numpy as jnp

from pasta import errors
from pasta.agent.credit import CREDITS
from pasta.agent.gemma.base import GemmaSettings

BELIEFS = ('on', 'off', 'prior', 'oracle')
_FEATURE_CLIP = 6.0  # in standard deviations


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
  """Static shape of the networks.

  Attributes:
    backbone: 'transformer', 'mlp', or 'gemma' (see `gemma.networks`).
    base: 'myopic': f is a line in the expected utility plus a residual that
      starts at zero; 'none': f is learned from scratch (the paper).
    width: W, size of the state embedding.
    num_layers: of the transformer.
    num_heads: of attention.
    head_dims: hidden layers of the value heads.
    num_twins: J, heads of f.
    num_turns: T.
    num_categories: G.
    embedding_dim: D.
    num_types: K.
    credit: see `credit.CREDITS`; 'slate' has a critic of its own.
    belief: 'on': the posterior after the choices; 'prior': it never moves;
      'oracle': that of an agent who knows the types. 'off': neither belief nor
      utilities enter.
    gemma: of the backbone 'gemma'; None for others.
  """

  backbone: str
  base: str
  width: int
  num_layers: int
  num_heads: int
  head_dims: tuple[int, ...]
  num_twins: int
  num_turns: int
  num_categories: int
  embedding_dim: int
  num_types: int
  credit: str
  belief: str
  gemma: GemmaSettings | None = None

  def __post_init__(self):
    for field, known in (
      ('backbone', ('transformer', 'mlp', 'gemma')),
      ('base', ('none', 'myopic')),
      ('credit', CREDITS),
      ('belief', BELIEFS),
    ):
      if getattr(self, field) not in known:
        raise errors.PastaError(
          f"config field '{field}' is '{getattr(self, field)}': expected one "
          f'of {known}'
        )
    if (self.backbone == 'gemma') != (self.gemma is not None):
      raise ValueError(f'backbone {self.backbone} with gemma {self.gemma}')
    if self.width % self.num_heads:
      raise errors.PastaError(
        f"config field 'width' is {self.width}: expected a multiple of "
        f"'num_heads', {self.num_heads}"
      )
    if self.belief == 'off' and (
      self.base == 'myopic' or self.credit == 'slate'
    ):
      raise errors.PastaError(
        "config field 'belief' is 'off', but base 'myopic' and credit 'slate' "
        "read utilities under the belief: expected base 'none' and credit "
        "'mean' or 'choice'"
      )


@flax.struct.dataclass
class Constants:
  """Normalisation, computed once from the training sessions; not trained.

  Attributes:
    text_mean, text_scale: [D].
    image_mean, image_scale: [D].
    utility_mean, utility_scale: [], of the expected utility m.
    spread_mean, spread_scale: [], of the spread s.
    expected_mean, expected_scale: [], of a slate's expected utility of
      selection.
    return_mean: [T], mean return from turn t on.
    return_scale: [], standard deviation of the return around that mean.
    slope: [], where the slope of f on the normalised m starts; for credit
      'slate' that of q on the normalised expected utility of selection.
    support_precision: [D, D], inverse covariance of the shown prompts' text
      features, a little shrunk.
    support_limit: [], squared Mahalanobis distance that 95 % of them keep.
  """

  text_mean: jax.Array
  text_scale: jax.Array
  image_mean: jax.Array
  image_scale: jax.Array
  utility_mean: jax.Array
  utility_scale: jax.Array
  spread_mean: jax.Array
  spread_scale: jax.Array
  expected_mean: jax.Array
  expected_scale: jax.Array
  return_mean: jax.Array
  return_scale: jax.Array
  slope: jax.Array
  support_precision: jax.Array
  support_limit: jax.Array


@flax.struct.dataclass
class States:
  """What the networks read of the states h_0 … h_{T−1} of one session.

  Attributes:
    tokens: [T, F], normalised; token t describes turn t − 1.
    belief: [T, K], probabilities over types before turn t's choice.
  """

  tokens: jax.Array
  belief: jax.Array


@flax.struct.dataclass
class Items:
  """What the networks read of candidates (or of a slate's columns).

  Attributes:
    features: [..., D + G + 2]: normalised text, category, expected utility m
      and its spread s.
    mean: [...], m, normalised.
    spread: [...], s, normalised.
  """

  features: jax.Array
  mean: jax.Array
  spread: jax.Array


def normalise(x: jax.Array, mean: jax.Array, scale: jax.Array) -> jax.Array:
  """(x − mean) / scale in float32, clipped so that no outlier dominates."""
  return jnp.clip(
    (x.astype(jnp.float32) - mean) / scale, -_FEATURE_CLIP, _FEATURE_CLIP
  )


def moments(
  log_belief: jax.Array, utility: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Expected utility under a belief and its spread over the types.

  m = Σ_k b_k U_k and s = sqrt(Σ_k b_k (U_k − m)²).

  Args:
    log_belief: [..., K].
    utility: [..., N, K].

  Returns:
    m and s, [..., N].
  """
  chex.assert_equal(log_belief.ndim + 1, utility.ndim)
  belief = jnp.exp(log_belief)[..., None, :]
  mean = (belief * utility).sum(-1)
  variance = (belief * (utility - mean[..., None]) ** 2).sum(-1)
  return mean, jnp.sqrt(variance)


def support_excess(constants: Constants, text: jax.Array) -> jax.Array:
  """How far text features [..., D] lie from all that was shown, [...].

  0 within the distance that 95 % of the training slates' prompts keep, 1 at
  twice its square.
  """
  offset = text.astype(jnp.float32) - constants.text_mean
  distance = jnp.einsum(
    '...d,de,...e->...', offset, constants.support_precision, offset
  )
  return jnp.maximum(distance / constants.support_limit - 1.0, 0.0)


def make_items(
  constants: Constants,
  settings: NetworkSettings,
  log_belief: jax.Array,
  text: jax.Array,
  category: jax.Array,
  utility: jax.Array,
) -> Items:
  """Items from text [..., N, D], category [..., N] and utility [..., N, K].

  The belief [..., K] has no item axis.
  """
  if settings.belief == 'off':
    # Not the moments of zeros: compiled for a CPU with jax 0.10.2 they came
    # out as variances of -1e29 or NaN, now and then.
    mean = spread = jnp.zeros(category.shape, jnp.float32)
  else:
    mean, spread = moments(log_belief, utility)
  c = constants
  mean = normalise(mean, c.utility_mean, c.utility_scale)
  spread = normalise(spread, c.spread_mean, c.spread_scale)
  text = normalise(text, c.text_mean, c.text_scale)
  category = jax.nn.one_hot(category, settings.num_categories)
  features = jnp.concatenate(
    [text, category, mean[..., None], spread[..., None]], -1
  )
  return Items(features=features, mean=mean, spread=spread)


def make_tokens(
  constants: Constants,
  num_categories: int,
  initial_text: jax.Array,
  slate_text: jax.Array,
  slate_image: jax.Array,
  slate_category: jax.Array,
  choice: jax.Array,
) -> jax.Array:
  """Tokens of the states h_0 … h_{T−1} of one session.

  A past turn is [chosen text, chosen column's image mean, slate's mean text,
  slate's mean image, chosen category]; the initial prompt stands where a
  chosen text does. Turn T − 1 is never read: what follows it is terminal.

  Args:
    constants: normalisation.
    num_categories: G.
    initial_text: [D].
    slate_text: [T, L, D].
    slate_image: [T, L, D].
    slate_category: int [T, L].
    choice: int [T], -1 where there was none.

  Returns:
    [T, F], F = 4 D + G.
  """
  chex.assert_rank(
    [initial_text, slate_text, slate_image, slate_category, choice],
    [1, 3, 3, 2, 1],
  )
  c = constants
  choice = choice[:-1]
  text = normalise(slate_text[:-1], c.text_mean, c.text_scale)
  image = normalise(slate_image[:-1], c.image_mean, c.image_scale)
  category = jax.nn.one_hot(slate_category[:-1], num_categories)
  is_chosen = jax.nn.one_hot(choice, text.shape[1])  # [T - 1, L]; -1: zeros
  past = jnp.concatenate(
    [
      jnp.einsum('tl,tld->td', is_chosen, text),
      jnp.einsum('tl,tld->td', is_chosen, image),
      text.mean(1),
      image.mean(1),
      jnp.einsum('tl,tlg->tg', is_chosen, category),
    ],
    -1,
  )
  initial = normalise(initial_text, c.text_mean, c.text_scale)
  first = jnp.zeros(past.shape[-1]).at[: initial.shape[0]].set(initial)
  return jnp.concatenate([first[None], past])
