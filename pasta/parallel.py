"""All that knows about devices.

Algorithms take `axis_name=None` and call `total`, which is the identity
without an axis. Trainers wrap an update once, by `pmap_update`, and cut their
batches by `shard`. States are not stacked: they have no device axis, on one
device as on many. What else runs on parts of the data is wrapped by
`pmap_parts`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from absl import logging

from pasta import errors

AXIS = 'data'  # the name of the device axis


def total(x: Any, axis: str | None) -> Any:
  """Sum of a pytree over devices; `x` itself when axis is None."""
  return x if axis is None else jax.lax.psum(x, axis)


def pmap_update(
  step_fn: Callable[..., tuple[Any, Any]],
  *,
  num_devices: int | None = None,
) -> Callable[[Any, Any, jax.Array], tuple[Any, Any]]:
  """Runs a training step on many devices, each with a part of the batch.

  Args:
    step_fn: `step_fn(state, batch, key, *, axis_name) -> (state, metrics)`.
      Both results must be the same on all devices, that is, come from values
      that went through `total`: the first device's are returned.
    num_devices: how many of this host's devices; None for all.

  Returns:
    `update(state, batch, key) -> (state, metrics)`; leaves of `batch` are
    [num_devices, B / num_devices, ...] as `shard` makes them, state and key
    have no device axis. The state that goes in is donated: use it no more.
  """
  # None is pmap's own choice, also where there are several processes.
  devices = None if num_devices is None else local_devices(num_devices)
  return jax.pmap(
    functools.partial(step_fn, axis_name=AXIS),
    axis_name=AXIS,
    in_axes=(None, 0, None),
    out_axes=None,
    devices=devices,
    donate_argnums=0,
  )


def pmap_parts(
  fn: Callable[..., Any], *, num_devices: int, in_axes: Any, out_axes: Any
) -> Callable[..., Any]:
  """Runs a function on many devices, each with a part of the data.

  Args:
    fn: takes positional arguments and `axis_name`.
    num_devices: how many of this host's devices.
    in_axes: of each argument, a tree of 0, where leaves are [num_devices, ...],
      a part for each device, and None, where all devices get the same.
    out_axes: the same of what `fn` returns; a None must be the same on all
      devices, as in `pmap_update`.
  """
  return jax.pmap(
    functools.partial(fn, axis_name=AXIS),
    axis_name=AXIS,
    in_axes=in_axes,
    out_axes=out_axes,
    devices=local_devices(num_devices),
  )


def place(parts: Any, num_devices: int) -> Any:
  """Puts leaves [num_devices, ...] on the devices of `pmap_parts`."""
  mesh = jax.sharding.Mesh(local_devices(num_devices), (AXIS,))
  spec = jax.sharding.PartitionSpec(AXIS)
  return jax.device_put(parts, jax.sharding.NamedSharding(mesh, spec))


def replicate(tree: Any, num_devices: int | None = None) -> Any:
  """Puts a copy on every device, for what is the same for all of them.

  Without it every call would copy the tree from the first device again.

  Args:
    tree: of arrays.
    num_devices: the first so many of this host's devices; None for all.
  """
  num_devices = num_devices or jax.local_device_count()
  mesh = jax.sharding.Mesh(local_devices(num_devices), (AXIS,))
  spec = jax.sharding.PartitionSpec()
  return jax.device_put(tree, jax.sharding.NamedSharding(mesh, spec))


def local_devices(num_devices: int) -> list[jax.Device]:
  """The first so many of this host's devices.

  Raises:
    PastaError: there are not so many.
  """
  local = jax.local_devices()
  if not 1 <= num_devices <= len(local):
    raise errors.PastaError(
      f'num_devices is {num_devices}, expected 1 to {len(local)}, the number '
      'of local devices'
    )
  return local[:num_devices]


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
