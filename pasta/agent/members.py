"""Members of a value function: trained at once, each from a key of its own.

What members share is not repeated: states have one axis for members, on what
training moves alone.

Letters: E members, B sessions of a batch, S updates of a call.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pasta import parallel
from pasta.agent import iql
from pasta.agent.settings import NetworkSettings


class Programs(NamedTuple):
  """What a fit runs, compiled, for all members at once.

  Attributes:
    initialise: (keys [E], example, pretrained) -> state.
    update: (state, index [B, E, S], (episodes, frozen)) -> (state, metrics
      [E]); on several devices index is [num_devices, B / num_devices, E, S].
    evaluate: (state, heldout, frozen) -> metrics [E].
  """

  initialise: Callable[..., iql.IQLState]
  update: Callable[..., tuple[iql.IQLState, dict[str, jax.Array]]]
  evaluate: Callable[..., dict[str, jax.Array]]


def axes(settings: NetworkSettings) -> iql.IQLState:
  """Of members' states, for vmap: what members share has none."""
  return iql.IQLState(
    params=0,
    target_params=0,
    opt_state=0,
    step=None,
    constants=None,
    settings=settings,
  )


def programs(
  init: Callable[..., iql.IQLState],
  update_many: Callable[..., tuple[iql.IQLState, dict[str, jax.Array]]],
  evaluate: Callable[..., dict[str, jax.Array]],
  *,
  settings: NetworkSettings,
  num_devices: int,
) -> Programs:
  """Programs of all members from functions of one.

  Args:
    init: (key, example, pretrained) -> state.
    update_many: (state, index [B, S], episodes, *, axis_name, frozen) ->
      (state, metrics).
    evaluate: (state, heldout, frozen) -> metrics.
    settings: of the states' networks.
    num_devices: that share a batch.
  """
  of_states = axes(settings)

  def initialise(keys, example, pretrained):
    return jax.vmap(lambda k: init(k, example, pretrained), out_axes=of_states)(
      keys
    )

  def update(state, index, data, axis_name=None):
    episodes, frozen = data
    return jax.vmap(
      functools.partial(update_many, axis_name=axis_name, frozen=frozen),
      in_axes=(of_states, 1, None),
      out_axes=(of_states, 0),
    )(state, index, episodes)

  return Programs(
    initialise=jax.jit(initialise),
    update=parallel.pmap_update(update)
    if num_devices > 1
    else jax.jit(update, donate_argnums=0),
    evaluate=jax.jit(jax.vmap(evaluate, in_axes=(of_states, None, None))),
  )


def keys(key: jax.Array, num_members: int) -> jax.Array:
  """A key a member, [E]; a member's does not depend on how many there are."""
  return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(num_members))


# Batches of all members [B, E, S], see `iql.batch_index`, from their keys [E].
batches = jax.jit(
  jax.vmap(iql.batch_index, in_axes=(0, *4 * [None]), out_axes=1),
  static_argnums=(2, 3, 4),
)


def mean(metrics: dict[str, jax.Array]) -> dict[str, float]:
  """Means over the members [E]; not finite where one of them is not."""
  return {name: float(jnp.mean(x)) for name, x in metrics.items()}
