"""Split-and-merge moves for mini-batch EM.

EM with many types ends with two types that share one group of people while
another covers two groups. A move gives up one type, whose people go to the
type that is most like it, and lets its place take half of a third, split along
the direction in which that one's people disagree most (Ueda, Nakano, Ghahramani
and Hinton 2000). What a move changes is first judged on a sample of people,
then tried by EM against going on without it.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta.types import PyTree
from pasta.user_model import em, evidence, observations, packing
from pasta.user_model.model import UserModel
from pasta.user_model.sources import Source

_POWER_STEPS = 12
# How far apart two halves begin, in nats of a typical person's difference.
_SPREADS = (0.5, 1.0, 2.0, 4.0)


class Move(NamedTuple):
  """Type `removed` goes into `kept`; its place takes half of `split`.

  Attributes:
    removed, kept, split: types; `split` may be `kept`.
    gain: change of the log-likelihood per person that the sample promises.
  """

  removed: int
  kept: int
  split: int
  gain: float


class Halves(NamedTuple):
  """How each type would split.

  Attributes:
    direction: of 'types' parameters, leaves [K, ...], in the length to go.
    gain: change of the sample's log-likelihood per person, by type [K].
  """

  direction: PyTree
  gain: jax.Array


def _joint(
  model: UserModel, batches: em.Batches, config: ml_collections.ConfigDict
) -> tuple[jax.Array, jax.Array]:
  """ℓ_u(k) of the sample's people [S, K] and who is there [S]."""
  found = [
    evidence.weigh(evidence.log_likelihoods(model, b), config)
    for b in batches.values()
  ]
  here = [observations.present(b) for b in batches.values()]
  return jnp.concatenate(found), jnp.concatenate(here)


def halves(
  model: UserModel,
  batches: em.Batches,
  config: ml_collections.ConfigDict,
) -> tuple[Halves, jax.Array]:
  """The best split of every type, and what each removal would cost.

  Types' parameters do not touch each other's likelihoods, so all K directions
  come from the same power iteration on Σ_u γ_u(k) g_u g_uᵀ, with g_u the
  gradient of ℓ_u(k): forward- and reverse-mode products, no gradient per
  person. Lengths come from a line search.

  Args:
    model: K types.
    batches: a sample of people of every data set.
    config: as for `em.update`.

  Returns:
    The splits, and the change of the log-likelihood per person [K, K] when
    the row's type is removed and its share given to the column's.
  """

  def likelihood(types):
    heads = {**model.heads, 'types': types}
    return _joint(model.replace(heads=heads), batches, config)[0]

  types = model.heads['types']
  per_type, here = _joint(model, batches, config)
  joint = model.log_prior + per_type
  marginal = jax.nn.logsumexp(joint, -1)
  # Padding has no responsibilities, and so no say in any direction.
  gamma = jnp.exp(joint - marginal[:, None]) * here[:, None]
  num = jnp.maximum(here.sum(), 1.0)
  _, pull = jax.vjp(likelihood, types)

  # g_u · d of all people at once, and back Σ_u w_u g_u: no g_u is formed.
  def push(direction):
    return jax.jvp(likelihood, (types,), (direction,))[1]  # [S, K]

  def scale(direction, factor):
    return jax.tree.map(
      lambda x: x * factor.reshape(-1, *[1] * (x.ndim - 1)), direction
    )

  # Each type has an iteration, and so a length, of its own.
  def normalise(direction):
    square = sum(
      jnp.sum(x**2, tuple(range(1, x.ndim))) for x in jax.tree.leaves(direction)
    )
    return scale(direction, jax.lax.rsqrt(jnp.maximum(square, 1e-20)))

  # Any start that is not orthogonal to the leading eigenvector will do; the
  # same each time, so that a phase that was cut off proposes the same.
  leaves, structure = jax.tree.flatten(types)
  keys = jax.random.split(jax.random.key(0), len(leaves))
  start = jax.tree.unflatten(
    structure,
    [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)],
  )

  def iterate(_, direction):
    # The mean gradient is what EM itself follows: only spread counts.
    along = push(direction)
    mean = (gamma * along).sum(0) / jnp.maximum(gamma.sum(0), 1e-9)
    (pulled,) = pull(gamma * (along - mean))
    return normalise(pulled)

  direction = jax.lax.fori_loop(0, _POWER_STEPS, iterate, normalise(start))
  spread = (gamma * push(direction) ** 2).sum(0) / jnp.maximum(
    gamma.sum(0), 1e-9
  )
  # A step of this length changes a typical person's ℓ by one nat.
  unit = jax.lax.rsqrt(jnp.maximum(spread, 1e-12))  # [K]

  def gain_at(length):
    step = scale(direction, unit * length)
    both = jnp.logaddexp(
      likelihood(jax.tree.map(jnp.add, types, step)),
      likelihood(jax.tree.map(jnp.subtract, types, step)),
    ) - jnp.log(2.0)
    # Halves with half of η each, ½ (exp ℓ₊ + exp ℓ₋), stand in for exp ℓ; only
    # that type's term of the mixture changes: 1 − γ + γ exp(ℓ_split − ℓ).
    new = jnp.logaddexp(
      jnp.log1p(-_open(gamma)), model.log_prior + both - marginal[:, None]
    )
    return (new * here[:, None]).sum(0) / num

  # How far halves lie apart is not local: tried, and the best kept by type.
  gains = jnp.stack([gain_at(s) for s in _SPREADS])  # [J, K]
  best = gains.argmax(0)
  lengths = unit * jnp.asarray(_SPREADS)[best]
  # Removal of i in favour of j: γ_i goes, η_i is added to η_j.
  share = jnp.exp(model.log_prior)
  boost = share[:, None] / share  # [i, j]: η_i / η_j
  left = jnp.log(
    jnp.maximum(
      1.0 - _open(gamma)[:, :, None] + boost * gamma[:, None, :], 1e-30
    )
  )  # [S, i, j]
  cost = (left * here[:, None, None]).sum(0) / num
  return Halves(scale(direction, lengths), gains.max(0)), cost


def _open(gamma: jax.Array) -> jax.Array:
  """Responsibilities below 1: the logarithm of the rest is finite."""
  return jnp.minimum(gamma, 1.0 - 1e-6)


def sample(
  data: Mapping[str, Source], config: ml_collections.ConfigDict, key: jax.Array
) -> em.Batches:
  """Up to `config.move_users` people of every data set, to judge moves by.

  Args:
    data: by name.
    config: as for `em.update`.
    key: typed key that draws who.
  """
  found = {}
  for name, source in data.items():
    limit = config.sources[name].max_observations
    packer = packing.Packer(
      source.first,
      source.user,
      key,
      max_observations=limit,
      batch_users=config.move_users,
      batch_observations=limit * config.move_users,
      name=name,
    )
    found[name] = source.batch(packer(0))
  return found


def propose(
  model: UserModel, batches: em.Batches, config: ml_collections.ConfigDict
) -> tuple[list[Move], PyTree]:
  """The most promising moves, and the directions of their splits."""
  compiled = jax.jit(functools.partial(halves, config=config))
  found, cost = compiled(model, batches)
  return rank(found.gain, cost, config.num_moves), found.direction


def rank(gain: np.ndarray, cost: np.ndarray, num_moves: int) -> list[Move]:
  """The most promising moves; no type is removed or split in most of them.

  Args:
    gain: of splitting each type [K].
    cost: of removing the row's type in favour of the column's [K, K].
    num_moves: at most so many.
  """
  num_types = len(gain)
  cost = np.where(np.eye(num_types, dtype=bool), -np.inf, np.asarray(cost))
  kept = cost.argmax(1)
  moves = [
    Move(i, int(kept[i]), j, float(cost[i, kept[i]] + gain[j]))
    for i in range(num_types)
    for j in range(num_types)
    if i != j
  ]
  chosen, most = [], (num_moves + 1) // 2
  for move in sorted(moves, key=lambda move: -move.gain):
    same = [m for m in chosen if m.removed == move.removed]
    alike = [m for m in chosen if m.split == move.split]
    if len(chosen) < num_moves and max(len(same), len(alike)) < most:
      chosen.append(move)
  return chosen


def apply(state: em.EMState, move: Move, direction: PyTree) -> em.EMState:
  """The state after a move; optimizer moments stay.

  Args:
    state: before.
    move: which types.
    direction: of `Halves`.
  """
  model = state.model
  removed, kept, split = move.removed, move.kept, move.split

  def halve(x, d):
    return x.at[removed].set(x[split] + d[split]).at[split].add(-d[split])

  level = model.satisfaction['level']
  share = state.type_share
  share = share.at[kept].add(share[removed])
  share = share.at[removed].set(0.5 * share[split])
  share = share.at[split].multiply(0.5)
  return state.replace(
    type_share=share,
    model=model.replace(
      heads={
        **model.heads,
        'types': jax.tree.map(halve, model.heads['types'], direction),
      },
      satisfaction={
        **model.satisfaction,
        'level': level.at[removed].set(level[split]),
      },
      log_prior=jax.nn.log_softmax(jnp.log(jnp.maximum(share, 1e-9))),
    ),
  )
