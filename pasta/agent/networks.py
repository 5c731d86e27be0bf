"""Networks of the value function: f(h, p) for a candidate, v(h) for a state.

Both read the state of every turn of a session in one pass: token t holds what
turn t − 1 showed and what was chosen (token 0: the initial prompt), and the
state h_t is the output at token t, which sees no later token. So T states cost
one pass, and a state is the same whether or not later turns are known.

Letters: T turns, L items of a slate or C candidates, D embedding width,
K user types, F token features, W width, J twin heads.
"""

import dataclasses

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from pasta import errors
from pasta.agent.credit import CREDITS
from pasta.agent.gemma_base import GemmaSettings

BELIEFS = ('on', 'off', 'prior', 'oracle')
_FEATURE_CLIP = 6.0  # in standard deviations


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
  """Static shape of the networks.

  Attributes:
    backbone: 'transformer', 'mlp', or 'gemma' (see `gemma_networks`).
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
    utility = jnp.zeros_like(utility)
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


class _Block(nn.Module):
  """Pre-norm transformer block whose tokens see themselves and the past."""

  num_heads: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    length, width = x.shape[-2:]
    head_dim = width // self.num_heads
    qkv = nn.Dense(3 * width, use_bias=False, name='qkv')(nn.LayerNorm()(x))
    q, k, v = jnp.moveaxis(
      qkv.reshape(*x.shape[:-1], 3, self.num_heads, head_dim), -3, 0
    )
    logits = jnp.einsum('...qhd,...khd->...hqk', q, k) * head_dim**-0.5
    past = jnp.tril(jnp.ones((length, length), bool))
    weights = jax.nn.softmax(jnp.where(past, logits, -jnp.inf))
    mixed = jnp.einsum('...hqk,...khd->...qhd', weights, v)
    x += nn.Dense(width, name='out')(mixed.reshape(x.shape))
    hidden = nn.relu(nn.Dense(2 * width)(nn.LayerNorm()(x)))
    return x + nn.Dense(width)(hidden)


class StateEncoder(nn.Module):
  """[..., T, F] tokens and [..., T, K] beliefs to states [..., T, W].

  The belief enters behind the backbone: it is a function of the past turns,
  and the one of the current turn is all that a policy keeps.
  """

  settings: NetworkSettings

  @nn.compact
  def __call__(self, states: States) -> jax.Array:
    s = self.settings
    chex.assert_axis_dimension(states.tokens, -2, s.num_turns)
    turn = self.param(
      'turn', nn.initializers.normal(0.02), (s.num_turns, s.width)
    )
    if s.backbone == 'transformer':
      x = nn.Dense(s.width)(states.tokens) + turn
      for _ in range(s.num_layers):
        x = _Block(s.num_heads)(x)
    else:
      # The first layer of a network on all past turns at once, as a sum over
      # turns: its running sum is that layer's output for every state.
      kernel = self.param(
        'kernel',
        nn.initializers.lecun_normal(batch_axis=(0,)),
        (s.num_turns, states.tokens.shape[-1], s.width),
      )
      # The kernel first: the other order is a transposed product on a CPU, at
      # half the speed.
      x = jnp.einsum('tfw,...tf->...tw', kernel, states.tokens)
      x = nn.relu(jnp.cumsum(x, -2) + turn)
      x = nn.Dense(s.width)(x)
    belief = states.belief
    if s.belief == 'off':
      belief = jnp.zeros_like(belief)
    x = jnp.concatenate([nn.LayerNorm()(x), belief], -1)
    return nn.relu(nn.Dense(s.width)(x))


class _Head(nn.Module):
  """Value of items [..., N, features] in states [..., W] -> [..., N].

  The first layer is split, so that the state's part is computed once per
  state and not once per candidate.
  """

  dims: tuple[int, ...]
  is_zero_at_start: bool

  @nn.compact
  def __call__(self, state: jax.Array, items: jax.Array) -> jax.Array:
    x = nn.Dense(self.dims[0], name='state')(state)[..., None, :]
    x = nn.relu(x + nn.Dense(self.dims[0], name='item', use_bias=False)(items))
    for dim in self.dims[1:]:
      x = nn.relu(nn.Dense(dim)(x))
    initializer = (
      nn.initializers.zeros
      if self.is_zero_at_start
      else nn.initializers.lecun_normal()
    )
    return nn.Dense(1, kernel_init=initializer, name='out')(x)[..., 0]


@flax.struct.dataclass
class Levels:
  """What a state says before any item is looked at.

  Attributes:
    state: [..., W].
    offset: [...], in standard deviations of the return.
    return_mean: [...], of the state's turn.
  """

  state: jax.Array
  offset: jax.Array
  return_mean: jax.Array


class Level(nn.Module):
  """The state's part of a critic: [B, T], or [B] where a turn is given."""

  settings: NetworkSettings

  @nn.compact
  def __call__(
    self, constants: Constants, states: States, turn: jax.Array | None
  ) -> Levels:
    s = self.settings
    state = StateEncoder(s)(states)
    offset = self.param('offset', nn.initializers.zeros, (s.num_turns,))
    offset += nn.Dense(1, kernel_init=nn.initializers.zeros, name='level')(
      state
    )[..., 0]
    return_mean = constants.return_mean
    if turn is not None:
      state = jnp.take_along_axis(state, turn[:, None, None], 1)[:, 0]
      offset = jnp.take_along_axis(offset, turn[:, None], 1)[:, 0]
      return_mean = return_mean[turn]
    return Levels(state, offset, return_mean)


class Critic(nn.Module):
  """f(h, p): twin heads on one state encoder -> [J, ..., T, N]."""

  settings: NetworkSettings

  @nn.compact
  def __call__(
    self,
    constants: Constants,
    states: States,
    items: Items,
    turn: jax.Array | None = None,
  ) -> jax.Array:
    """Values in units of return.

    Args:
      constants: normalisation.
      states: of B sessions.
      items: [B, T, N, ...], or [B, N, ...] where turn is given.
      turn: int [B], the one turn that the items belong to.

    Returns:
      [J, B, T, N], or [J, B, N] where turn is given.
    """
    s = self.settings
    is_myopic = s.base == 'myopic'
    level = Level(s)(constants, states, turn)
    heads = nn.vmap(
      _Head,
      in_axes=None,
      axis_size=s.num_twins,
      variable_axes={'params': 0},
      split_rngs={'params': True},
    )
    value = heads(s.head_dims, is_myopic, name='heads')(
      level.state, items.features
    )
    value += level.offset[..., None]
    if is_myopic:
      slope = self.param('slope', lambda _: constants.slope)
      bonus = self.param('bonus', nn.initializers.zeros, ())
      value += slope * items.mean + bonus * items.spread
    return level.return_mean[..., None] + constants.return_scale * value


class Value(nn.Module):
  """v(h) -> [..., T], in units of return."""

  settings: NetworkSettings

  @nn.compact
  def __call__(self, constants: Constants, states: States) -> jax.Array:
    s = self.settings
    x = StateEncoder(s)(states)
    for dim in s.head_dims:
      x = nn.relu(nn.Dense(dim)(x))
    value = nn.Dense(1, kernel_init=nn.initializers.zeros, name='out')(x)[
      ..., 0
    ]
    value += self.param('offset', nn.initializers.zeros, (s.num_turns,))
    return constants.return_mean + constants.return_scale * value
