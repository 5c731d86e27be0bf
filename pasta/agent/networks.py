"""Networks of the value function: f(h, p) for a candidate, v(h) for a state.

Both read the state of every turn of a session in one pass: token t holds what
turn t − 1 showed and what was chosen (token 0: the initial prompt), and the
state h_t is the output at token t, which sees no later token. So T states cost
one pass, and a state is the same whether or not later turns are known.

Letters: T turns, L items of a slate or C candidates, K user types, F token
features, W width, J twin heads.
"""

from collections.abc import Sequence

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from pasta.agent import inputs
from pasta.agent.settings import NetworkSettings


def tail(
  x: jax.Array, dims: Sequence[int], is_zero_at_start: bool
) -> jax.Array:
  """Hidden layers, then one value: [..., W] to [...].

  Called within a module's compact method, whose parameters these become.

  Args:
    x: what the head has made of its inputs.
    dims: sizes of the hidden layers.
    is_zero_at_start: whether all values are 0 before training.
  """
  for dim in dims:
    x = nn.relu(nn.Dense(dim)(x))
  initializer = (
    nn.initializers.zeros
    if is_zero_at_start
    else nn.initializers.lecun_normal()
  )
  return nn.Dense(1, kernel_init=initializer, name='out')(x)[..., 0]


def twins(head: type[nn.Module], num_twins: int) -> type[nn.Module]:
  """J heads with parameters of their own on the same inputs: [J, ...]."""
  return nn.vmap(
    head,
    in_axes=None,
    axis_size=num_twins,
    variable_axes={'params': 0},
    split_rngs={'params': True},
  )


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

  What stands in the current turn alone enters behind the backbone: the belief,
  the worth of the prompt that is extended and, where settings say so, what past
  turns say of people who tire. They follow from the past turns, and those of
  the current turn are all that a policy keeps. With history 'none' the turn is
  all that stands before them.
  """

  settings: NetworkSettings

  @nn.compact
  def __call__(self, states: inputs.States) -> jax.Array:
    s = self.settings
    chex.assert_axis_dimension(states.tokens, -2, s.num_turns)
    turn = self.param(
      'turn', nn.initializers.normal(0.02), (s.num_turns, s.width)
    )
    tokens = states.tokens
    if s.history == 'projected':
      tokens = nn.Dense(s.projection_dim, use_bias=False, name='projection')(
        tokens
      )
    if s.history == 'none':
      x = jnp.broadcast_to(turn, (*tokens.shape[:-1], s.width))
    elif s.backbone == 'transformer':
      x = nn.Dense(s.width)(tokens) + turn
      for _ in range(s.num_layers):
        x = _Block(s.num_heads)(x)
    else:
      # The first layer of a network on all past turns at once, as a sum over
      # turns: its running sum is that layer's output for every state.
      kernel = self.param(
        'kernel',
        nn.initializers.lecun_normal(batch_axis=(0,)),
        (s.num_turns, tokens.shape[-1], s.width),
      )
      # The kernel first: the other order is a transposed product on a CPU, at
      # half the speed.
      x = jnp.einsum('tfw,...tf->...tw', kernel, tokens)
      x = nn.relu(jnp.cumsum(x, -2) + turn)
      x = nn.Dense(s.width)(x)
    belief = states.belief
    if s.belief == 'off':
      belief = jnp.zeros_like(belief)
    x = jnp.concatenate(
      [nn.LayerNorm()(x), belief, states.prompt, states.lately], -1
    )
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
    return tail(x, self.dims[1:], self.is_zero_at_start)


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
    self,
    constants: inputs.Constants,
    states: inputs.States,
    turn: jax.Array | None,
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
    constants: inputs.Constants,
    states: inputs.States,
    items: inputs.Items,
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
    heads = twins(_Head, s.num_twins)
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
  def __call__(
    self, constants: inputs.Constants, states: inputs.States
  ) -> jax.Array:
    s = self.settings
    value = tail(StateEncoder(s)(states), s.head_dims, is_zero_at_start=True)
    value += self.param('offset', nn.initializers.zeros, (s.num_turns,))
    return constants.return_mean + constants.return_scale * value
