"""A critic of whole slates, with attention over their columns.

Nothing forces its value to be a sum over columns, as the credits 'mean' and
'choice' do. With base 'myopic' it is a line in the slate's expected utility of
selection plus a residual that starts at zero. Its selector inserts column
after column.

Letters: B sessions, T turns, S slates, N columns of a slate, L columns of the
logged slates, W width, J twin heads.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from pasta.agent import inputs, networks
from pasta.agent.settings import NetworkSettings


@flax.struct.dataclass
class Slates:
  """What the critic reads of slates.

  Attributes:
    items: of the columns [..., S, N, ...].
    mask: bool [..., S, N], the columns that are there; at least one each.
    expected: the slates' expected utility of selection [..., S], normalised.
  """

  items: inputs.Items
  mask: jax.Array
  expected: jax.Array


def normalise_expected(
  constants: inputs.Constants, expected: jax.Array
) -> jax.Array:
  """Expected utilities of selection on the critic's scale."""
  return inputs.normalise(
    expected, constants.expected_mean, constants.expected_scale
  )


def prefixes(
  items: inputs.Items, expected: jax.Array, constants: inputs.Constants
) -> Slates:
  """The first 1, 2, …, L columns of slates.

  Args:
    items: [..., L, ...].
    expected: of the prefixes [..., L], see `expected_selection.of_prefixes`.
    constants: normalisation.

  Returns:
    Slates [..., S = L, N = L].
  """
  size = expected.shape[-1]
  shape = (*expected.shape, size)
  return Slates(
    items=inputs.Items(
      features=jnp.broadcast_to(
        items.features[..., None, :, :], (*shape, items.features.shape[-1])
      ),
      mean=jnp.broadcast_to(items.mean[..., None, :], shape),
      spread=jnp.broadcast_to(items.spread[..., None, :], shape),
    ),
    mask=jnp.broadcast_to(jnp.tril(jnp.ones((size, size), bool)), shape),
    expected=normalise_expected(constants, expected),
  )


class _Head(nn.Module):
  """Values of slates [..., S] in states [..., W].

  Every column reads the others by attention; the slate is their mean.
  """

  dims: tuple[int, ...]
  is_zero_at_start: bool

  @nn.compact
  def __call__(self, state: jax.Array, slates: Slates) -> jax.Array:
    width = self.dims[0]
    x = nn.Dense(width, name='state')(state)[..., None, None, :]
    item = nn.Dense(width, name='item', use_bias=False)
    x = nn.relu(x + item(slates.items.features))  # [..., S, N, W]
    query, key, value = (nn.Dense(width, name=n)(x) for n in ('q', 'k', 'v'))
    logits = jnp.einsum('...nw,...mw->...nm', query, key) * width**-0.5
    logits = jnp.where(slates.mask[..., None, :], logits, -jnp.inf)
    x += jnp.einsum('...nm,...mw->...nw', jax.nn.softmax(logits), value)
    weight = slates.mask[..., None] / slates.mask.sum(-1)[..., None, None]
    x = nn.relu(nn.LayerNorm()((x * weight).sum(-2)))  # [..., S, W]
    x = jnp.concatenate([x, slates.expected[..., None]], -1)
    return networks.tail(x, self.dims[1:] or (width,), self.is_zero_at_start)


class SlateCritic(nn.Module):
  """q(h, P) of whole slates: twin heads on one state encoder."""

  settings: NetworkSettings

  @nn.compact
  def __call__(
    self,
    constants: inputs.Constants,
    states: inputs.States,
    slates: Slates,
    turn: jax.Array | None = None,
  ) -> jax.Array:
    """Values in units of return.

    Args:
      constants: normalisation.
      states: of B sessions.
      slates: [B, T, S, N], or [B, S, N] where turn is given.
      turn: int [B], the one turn that the slates belong to.

    Returns:
      [J, B, T, S], or [J, B, S] where turn is given.
    """
    s = self.settings
    level = networks.Level(s)(constants, states, turn)
    heads = networks.twins(_Head, s.num_twins)
    value = heads(s.head_dims, s.base == 'myopic', name='heads')(
      level.state, slates
    )
    value += level.offset[..., None]
    if s.base == 'myopic':
      slope = self.param('slope', lambda _: constants.slope)
      value += slope * slates.expected
    return level.return_mean[..., None] + constants.return_scale * value
