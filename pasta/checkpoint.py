"""Checkpoints of a whole state, atomic, and checked when they are read.

A state is a pytree (also a `flax.struct` dataclass) of arrays and typed keys.
It is stored by orbax as a flat dict {leaf name: array}, next to a table of
every leaf's shape and dtype: orbax itself casts dtypes silently and flax loads
wrong shapes silently. Arrays are stored from one device's copy, so that a
state saved on eight devices can be restored on one.

A kill within a save leaves the steps before it intact.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from pasta import errors, files
from pasta.types import PyTree


class Checkpointer:
  """Saves and restores states by step, keeping the latest few.

  Usage:
    with Checkpointer(directory) as checkpointer:
      restored = checkpointer.restore(jax.eval_shape(init, key))
      step, state = restored or (0, init(key))
      ...
      checkpointer.save(step, state)
  """

  def __init__(self, directory: str, keep: int = 2):
    """Opens `directory`, which is made where it does not exist.

    Args:
      directory: where the steps are; nothing else should be written there.
      keep: number of latest steps that stay on disk, at least 1.

    Raises:
      ValueError: keep < 1.
      PastaError: the directory cannot be made.
    """
    if keep < 1:
      raise ValueError(f'keep is {keep}, expected at least 1')
    self._directory = os.path.abspath(directory)  # orbax refuses relative ones
    try:
      os.makedirs(self._directory, exist_ok=True)
    except OSError as e:
      raise errors.PastaError(
        f'{directory}: cannot be made a checkpoint directory: {e.strerror}'
      ) from e
    self._manager = ocp.CheckpointManager(
      self._directory,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        cleanup_tmp_directories=True,
        enable_async_checkpointing=False,
      ),
    )

  def __enter__(self) -> 'Checkpointer':
    return self

  def __exit__(self, *unused_exception) -> None:
    self.close()

  def close(self) -> None:
    """Waits for what is being written and frees orbax's threads."""
    self._manager.close()

  def latest_step(self) -> int | None:
    """The newest complete step, None where there is none."""
    return self._manager.latest_step()

  def save(self, step: int, state: PyTree) -> None:
    """Writes `state` as `step`; it is on disk when this returns.

    Args:
      step: larger than every step saved before.
      state: pytree of arrays; leaves may be replicated over devices.

    Raises:
      PastaError: the step is not newer than the latest (orbax would silently
        not save), or the directory cannot be written.
    """
    leaves = _named(state)
    table = {name: _describe(leaf) for name, leaf in leaves.items()}
    # Orbax refuses empty arrays and empty trees: the table restores them.
    stored = {name: _to_host(v) for name, v in leaves.items() if v.size}
    items = {'leaves': ocp.args.JsonSave(table)}
    if stored:
      items['state'] = ocp.args.StandardSave(stored)
    try:
      saved = self._manager.save(step, args=ocp.args.Composite(**items))
      self._manager.wait_until_finished()
    except OSError as e:
      raise errors.PastaError(
        f'{self._directory}: step {step} cannot be written: {e}'
      ) from e
    if not saved:
      raise errors.PastaError(
        f'{self._directory}: step {step} was not saved, as step '
        f'{self.latest_step()} is there already'
      )

  def restore(self, abstract_state: PyTree) -> tuple[int, PyTree] | None:
    """Returns the latest (step, state), or None where there is none.

    Args:
      abstract_state: a state, or `jax.eval_shape` of the function that makes
        one; it gives the structure, shapes and dtypes that are expected.

    Returns:
      The step and a state of the structure of `abstract_state`, with arrays
      on the default device.

    Raises:
      PastaError: the structure, a shape or a dtype differs (the message names
        the first leaf and what both sides hold), or files are damaged.
    """
    step = self.latest_step()
    if step is None:
      return None
    where = os.path.join(self._directory, str(step))
    table = self._read(step, leaves=ocp.args.JsonRestore())['leaves']
    expected = _named(abstract_state)
    _check(table, {k: _describe(v) for k, v in expected.items()}, where)
    arrays = {k: np.zeros(v[0], v[1]) for k, v in table.items() if 0 in v[0]}
    template = {k: _host_template(v) for k, v in expected.items() if v.size}
    if template:
      restore = ocp.args.StandardRestore(template)
      arrays |= self._read(step, state=restore)['state']
    leaves = [
      _from_host(arrays[name], leaf, f'{where}: {name}')
      for name, leaf in expected.items()
    ]
    return step, jax.tree.unflatten(jax.tree.structure(abstract_state), leaves)

  def _read(self, step: int, **items) -> Any:
    """Restores items of a step; a damaged file becomes a PastaError."""
    try:
      return self._manager.restore(step, args=ocp.args.Composite(**items))
    except (OSError, ValueError, KeyError) as e:
      raise errors.PastaError(
        f'{os.path.join(self._directory, str(step))}: this checkpoint cannot '
        'be read; delete it to go on from the one before. '
        f'{type(e).__name__}: {str(e)[:200]}'
      ) from e


def save_params(directory: str, tree: PyTree) -> None:
  """Writes a stage's final arrays, replacing those written before.

  The old ones stay until the new ones are complete.

  Args:
    directory: where to; nothing else should be written there.
    tree: pytree of arrays.
  """
  with Checkpointer(directory, keep=1) as checkpointer:
    latest = checkpointer.latest_step()
    checkpointer.save(0 if latest is None else latest + 1, tree)


def load_params(directory: str, abstract_tree: PyTree) -> PyTree:
  """Reads what `save_params` wrote.

  Args:
    directory: the directory given to `save_params`.
    abstract_tree: the expected structure, shapes and dtypes, for example from
      `jax.eval_shape`.

  Returns:
    A tree of the structure of `abstract_tree`.

  Raises:
    PastaError: nothing is there, or it is of other shapes; see
      `Checkpointer.restore`.
  """
  if os.path.isdir(directory):
    with Checkpointer(directory, keep=1) as checkpointer:
      restored = checkpointer.restore(abstract_tree)
    if restored is not None:
      return restored[1]
  raise errors.PastaError(
    f'{directory}: no parameters there; has the stage that writes them '
    'finished?'
  )


def read_info(directory: str, name: str, *, what: str, stage: str) -> Any:
  """Reads the JSON file that stands beside a stage's final arrays.

  Args:
    directory: of both.
    name: the file's name.
    what: what they are, for the error, e.g. 'user model'.
    stage: the stage that writes them, e.g. 'train_user_model'.

  Raises:
    PastaError: it is not there, or is damaged.
  """
  path = os.path.join(directory, name)
  if not os.path.exists(path):
    raise errors.PastaError(
      f'{directory}: no {what} there (expected {name}); run launch.{stage} '
      'first'
    )
  return files.read_json(path)


def _named(tree: PyTree) -> dict[str, Any]:
  """Leaves by name, e.g. 'params.dense.kernel', in flattening order."""
  named = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name = jax.tree_util.keystr(path, simple=True, separator='.') or 'leaf'
    if name in named:
      raise ValueError(f'two leaves of the state are called {name!r}')
    named[name] = leaf if hasattr(leaf, 'dtype') else np.asarray(leaf)
  return named


def _is_key(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _describe(leaf: Any) -> list:
  """A leaf's [shape, dtype], as JSON gives it back."""
  return [list(leaf.shape), str(leaf.dtype)]


def _key_data(leaf: Any) -> Any:
  return jax.eval_shape(jax.random.key_data, leaf)


def _key_impl(leaf: Any) -> str:
  """Name of a key's generator, also for the leaves of `jax.eval_shape`."""
  found = []
  jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
  return found[0]


def _host_template(leaf: Any) -> np.ndarray:
  """What tells orbax to give back a numpy array of the leaf's shape."""
  leaf = _key_data(leaf) if _is_key(leaf) else leaf
  # Zero strides: the template takes no memory.
  return np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)


def _to_host(leaf: Any) -> np.ndarray:
  """One device's copy of an array that is on one or replicated on many."""
  if isinstance(leaf, jax.Array):
    if _is_key(leaf):
      leaf = jax.random.key_data(leaf)
    if not leaf.is_fully_replicated:
      raise ValueError(
        f'a leaf of shape {leaf.shape} is split over devices; states are '
        'replicated (see pasta.parallel)'
      )
    return np.asarray(leaf.addressable_shards[0].data)
  return np.asarray(leaf)


def _from_host(array: np.ndarray, leaf: Any, where: str) -> Any:
  """The restored leaf, checked once more against what was asked for."""
  array = np.asarray(array)
  if _is_key(leaf):
    data = _key_data(leaf)
    _check_leaf(where, array, data)
    return jax.random.wrap_key_data(jnp.asarray(array), impl=_key_impl(leaf))
  _check_leaf(where, array, leaf)
  # Without x64, jax would narrow a 64-bit numpy leaf (a counter, say).
  narrows = jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype
  return array if narrows else jnp.asarray(array)


def _check_leaf(where: str, array: np.ndarray, leaf: Any) -> None:
  if array.shape != tuple(leaf.shape) or array.dtype != leaf.dtype:
    raise errors.PastaError(
      f'{where} was restored as {array.dtype}{list(array.shape)}, expected '
      f'{leaf.dtype}{list(leaf.shape)}'
    )


def _check(table: dict, expected: dict, where: str) -> None:
  """Compares the stored table of leaves with the expected one."""
  extra = [name for name in table if name not in expected]
  if extra:
    raise errors.PastaError(
      f'{where}: holds the array {extra[0]!r}, which this configuration does '
      'not have'
    )
  for name, (shape, dtype) in expected.items():
    if name not in table:
      raise errors.PastaError(
        f'{where}: lacks the array {name!r} {dtype}{shape}, which this '
        'configuration has'
      )
    stored_shape, stored_dtype = table[name]
    if (stored_shape, stored_dtype) != (shape, dtype):
      raise errors.PastaError(
        f'{where}: array {name!r} is {stored_dtype}{stored_shape} there, but '
        f'this configuration expects {dtype}{shape}'
      )
