"""A critic of whole slates, with attention over their columns.

It measures what the decompositions of `credit` lose: nothing forces its value
to be a sum over columns. Its selector inserts column after column.

Letters: B sessions, T turns, S slates, N columns of a slate, C candidates,
F item features, W width, J twin heads, K user types.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from pasta.agent import credit, networks, selector


@flax.struct.dataclass
class Slates:
  """What the critic reads of slates.

  Attributes:
    items: of the columns [..., S, N, ...].
    mask: bool [..., S, N], the columns that are there; at least one each.
    log_choice: [..., S, N], how likely each is chosen.
  """

  items: networks.Items
  mask: jax.Array
  log_choice: jax.Array


def prefixes(
  items: networks.Items,
  log_belief: jax.Array,
  utility: jax.Array,
  choice_log_scale: jax.Array,
) -> Slates:
  """The first 1, 2, …, L columns of slates.

  Args:
    items: [..., L, ...].
    log_belief: [..., K].
    utility: [..., L, K].
    choice_log_scale: log τ, [...] or [].

  Returns:
    Slates [..., S = L, N = L].
  """
  size = utility.shape[-2]
  shape = (*utility.shape[:-2], size, size)
  mask = jnp.broadcast_to(jnp.tril(jnp.ones((size, size), bool)), shape)

  def repeat(x, trailing):
    axis = x.ndim - 1 - trailing
    return jnp.broadcast_to(
      jnp.expand_dims(x, axis), (*x.shape[:axis], size, *x.shape[axis:])
    )

  items = networks.Items(
    features=repeat(items.features, 1),
    mean=repeat(items.mean, 0),
    spread=repeat(items.spread, 0),
  )
  scale = jnp.asarray(choice_log_scale)
  log_choice = credit.log_choice(
    jnp.broadcast_to(
      log_belief[..., None, :],
      (*log_belief.shape[:-1], size, log_belief.shape[-1]),
    ),
    repeat(utility, 1),
    jnp.broadcast_to(
      scale.reshape(scale.shape + (1,) * (len(shape) - 1 - scale.ndim)),
      shape[:-1],
    ),
    mask,
  )
  return Slates(items, mask, log_choice)


class _Head(nn.Module):
  """Values of slates [..., S] in states [..., W].

  Every column reads the others by attention; the slate's value is the mean of
  what the columns say, weighted by how likely each is chosen.
  """

  dims: tuple[int, ...]
  is_zero_at_start: bool

  @nn.compact
  def __call__(
    self, state: jax.Array, slates: Slates, base: jax.Array
  ) -> jax.Array:
    width = self.dims[0]
    x = nn.Dense(width, name='state')(state)[..., None, None, :]
    item = nn.Dense(width, name='item', use_bias=False)
    x = nn.relu(x + item(slates.items.features))  # [..., S, N, W]
    query, key, value = (nn.Dense(width, name=n)(x) for n in ('q', 'k', 'v'))
    logits = jnp.einsum('...nw,...mw->...nm', query, key) * width**-0.5
    logits = jnp.where(slates.mask[..., None, :], logits, -jnp.inf)
    x += jnp.einsum('...nm,...mw->...nw', jax.nn.softmax(logits), value)
    for dim in self.dims[1:]:
      x = nn.relu(nn.Dense(dim)(x))
    initializer = (
      nn.initializers.zeros
      if self.is_zero_at_start
      else nn.initializers.lecun_normal()
    )
    f = base + nn.Dense(1, kernel_init=initializer, name='out')(x)[..., 0]
    return (jnp.exp(slates.log_choice) * f).sum(-1)


class SlateCritic(nn.Module):
  """q(h, P) of whole slates: twin heads on one state encoder."""

  settings: networks.NetworkSettings

  @nn.compact
  def __call__(
    self,
    constants: networks.Constants,
    states: networks.States,
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
    base = jnp.zeros_like(slates.items.mean)
    if s.base == 'myopic':
      slope = self.param('slope', lambda _: constants.slope)
      bonus = self.param('bonus', nn.initializers.zeros, ())
      base = slope * slates.items.mean + bonus * slates.items.spread
    heads = nn.vmap(
      _Head,
      in_axes=None,
      axis_size=s.num_twins,
      variable_axes={'params': 0},
      split_rngs={'params': True},
    )
    value = heads(s.head_dims, s.base == 'myopic', name='heads')(
      level.state, slates, base
    )
    value += level.offset[..., None]
    return level.return_mean[..., None] + constants.return_scale * value


def insert(
  value_of,
  items: networks.Items,
  utility: jax.Array,
  category: jax.Array,
  valid: jax.Array,
  log_belief: jax.Array,
  choice_log_scale: jax.Array,
  num_columns: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Builds slates by inserting the best next column, L times.

  Args:
    value_of: Slates [B, S, N] to values [B, S].
    items: candidates [B, C, ...].
    utility: [B, C, K].
    category: int [B, C].
    valid: bool [B, C].
    log_belief: [B, K].
    choice_log_scale: log τ, [].
    num_columns: L.

  Returns:
    slates int32 [B, L], the value of each candidate as a slate of its own
    [B, C], the values of the slates [B].
  """
  batch, pool = category.shape
  rows = jnp.arange(batch)
  slate = jnp.zeros((batch, 0), jnp.int32)
  used = taken = jnp.zeros_like(valid)
  first = value = None
  for _ in range(num_columns):
    # Every slate so far with every candidate added: [B, C, n].
    sets = jnp.concatenate(
      [
        jnp.broadcast_to(slate[:, None], (batch, pool, slate.shape[1])),
        jnp.broadcast_to(jnp.arange(pool)[:, None], (batch, pool, 1)),
      ],
      -1,
    )

    def pick(x, sets=sets):
      return x[rows[:, None, None], sets]

    log_probs = credit.log_choice(
      jnp.broadcast_to(
        log_belief[:, None], (batch, pool, log_belief.shape[-1])
      ),
      pick(utility),
      choice_log_scale,
    )
    scores = value_of(
      Slates(jax.tree.map(pick, items), jnp.ones(sets.shape, bool), log_probs)
    )
    usable = valid & jnp.isfinite(scores)
    allowed = selector.allowed(usable, valid, used, taken)
    best = jnp.argmax(
      jnp.where(allowed, jnp.where(usable, scores, 0.0), -jnp.inf), -1
    )
    first = scores if first is None else first
    value = scores[rows, best]
    slate = jnp.concatenate([slate, best[:, None].astype(jnp.int32)], 1)
    used |= category == category[rows, best][:, None]
    taken |= jnp.arange(pool) == best[:, None]
  return slate, first, value
