"""All that knows about devices.

Algorithms take `axis_name=None` and call `mean`, `total` and `fold`, which
are identities without an axis. Trainers wrap an update once, by
`pmap_update`, and cut their batches by `shard`. States are not stacked: they
have no device axis, on one device as on many.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from absl import logging

from pasta import errors

AXIS = 'data'  # the name of the device axis


def mean(x: Any, axis: str | None) -> Any:
  """Mean of a pytree over devices; `x` itself when axis is None.

  Mean of gradients of per-device means: the gradient of the global mean when
  all devices hold equally many examples, which `shard` guarantees.
  """
  return x if axis is None else jax.lax.pmean(x, axis)


def total(x: Any, axis: str | None) -> Any:
  """Sum of a pytree over devices; `x` itself when axis is None."""
  return x if axis is None else jax.lax.psum(x, axis)


def fold(key: jax.Array, axis: str | None) -> jax.Array:
  """A key of this device's own; `key` itself when axis is None.

  With it, draws differ between devices, and so between numbers of devices.
  """
  return (
    key if axis is None else jax.random.fold_in(key, jax.lax.axis_index(axis))
  )


def pmap_update(
  step_fn: Callable[..., tuple[Any, Any]],
  *,
  num_devices: int | None = None,
) -> Callable[[Any, Any, jax.Array], tuple[Any, Any]]:
  """Runs a training step on many devices, each with a part of the batch.

  Args:
    step_fn: `step_fn(state, batch, key, *, axis_name) -> (state, metrics)`.
      Both results must be the same on all devices, that is, come from values
      that went through `mean` or `total`: the first device's are returned.
    num_devices: how many of this host's devices; None for all.

  Returns:
    `update(state, batch, key) -> (state, metrics)`; leaves of `batch` are
    [num_devices, B / num_devices, ...] as `shard` makes them, state and key
    have no device axis. The state that goes in is donated: use it no more.
  """
  devices = None  # pmap's own choice, also where there are several processes
  if num_devices is not None:
    local = jax.local_devices()
    if not 1 <= num_devices <= len(local):
      raise ValueError(
        f'num_devices is {num_devices}, expected 1 to {len(local)}'
      )
    devices = local[:num_devices]
  return jax.pmap(
    functools.partial(step_fn, axis_name=AXIS),
    axis_name=AXIS,
    in_axes=(None, 0, None),
    out_axes=None,
    devices=devices,
    donate_argnums=0,
  )


def shard(batch: Any, num_devices: int) -> Any:
  """Cuts every leaf [B, ...] into [num_devices, B / num_devices, ...].

  Raises:
    ValueError: a leaf has no leading axis that num_devices divides.
  """

  def cut(path, x):
    if x.ndim < 1 or x.shape[0] % num_devices:
      raise ValueError(
        f'batch{jax.tree_util.keystr(path)} has shape {x.shape}: its leading '
        f'axis is not divisible by {num_devices} devices'
      )
    return x.reshape((num_devices, x.shape[0] // num_devices) + x.shape[1:])

  return jax.tree_util.tree_map_with_path(cut, batch)


def local_batch_size(global_batch_size: int, *, field: str) -> int:
  """Returns this host's part of a global batch, and logs all three sizes.

  Args:
    global_batch_size: what the config holds, in examples.
    field: name of that config field, for the error.

  Raises:
    PastaError: the number of all hosts' devices does not divide it.
  """
  num_devices = jax.device_count()
  if global_batch_size < 1 or global_batch_size % num_devices:
    raise errors.PastaError(
      f'config field {field!r} is {global_batch_size}, expected a multiple of '
      f'the number of devices, {num_devices}'
    )
  per_device = global_batch_size // num_devices
  per_host = per_device * jax.local_device_count()
  logging.info(
    '%s: %d examples, %d a host (%d of %d), %d a device (%d, %s)',
    field,
    global_batch_size,
    per_host,
    jax.process_index(),
    jax.process_count(),
    per_device,
    num_devices,
    jax.default_backend(),
  )
  return per_host
