"""Low-rank adaptation of a pretrained network (LoRA; Hu et al. 2021).

Instead of a kernel W, two thin factors are trained: W + scale · A B. Merging is
a pure function of the frozen base and the small tree, so the network itself
knows nothing of it.

Letters: R rank.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from pasta import errors

PyTree = Any
TARGETS = ('q_proj', 'k_proj', 'v_proj', 'o_proj')  # of Gemma's attention


def init(
  key: jax.Array,
  params: PyTree,
  rank: int,
  targets: Sequence[str] = TARGETS,
) -> PyTree:
  """A LoRA that changes nothing yet: A is normal, B is zero.

  Args:
    key: typed key.
    params: nested dicts, such as `gemma.load` gives.
    rank: R.
    targets: names of the layers whose kernels [in, out] get one, e.g.
      'q_proj' or 'gate_proj'.

  Returns:
    float32 {'a': [in, R], 'b': [R, out]} in place of each such kernel.

  Raises:
    PastaError: a rank below 1, or a target that the model does not have.
  """
  if rank < 1:
    raise errors.PastaError(f'LoRA of rank {rank}: expected at least 1')
  kernels = {
    path[:-1]: x
    for path, x in traverse_util.flatten_dict(params).items()
    if path[-1] == 'kernel'
  }
  known = sorted({path[-1] for path in kernels})
  for target in targets:
    if target not in known:
      raise errors.PastaError(
        f"LoRA target '{target}': this model has {', '.join(known)}"
      )
  chosen = {p: x for p, x in kernels.items() if p[-1] in targets}
  lora = {}
  for one_key, (path, kernel) in zip(
    jax.random.split(key, len(chosen)), chosen.items(), strict=True
  ):
    size, out = kernel.shape
    # With this scale x A is as large as x.
    lora[*path, 'a'] = size**-0.5 * jax.random.normal(one_key, (size, rank))
    lora[*path, 'b'] = jnp.zeros((rank, out))
  return traverse_util.unflatten_dict(lora)


def merge(base_params: PyTree, lora: PyTree, scale: float) -> PyTree:
  """The base with W + scale · A B for every kernel W that has a LoRA.

  Sums are made in float32 and rounded to the base's dtype, which gradients
  with respect to `lora` ignore.

  Args:
    base_params: given to `init`; not modified, and shared where it has no LoRA.
    lora: of `init`.
    scale: often α / R.
  """
  params = traverse_util.flatten_dict(base_params)
  factors = traverse_util.flatten_dict(lora)
  for *path, name in factors:
    if name == 'a':
      kernel = params[*path, 'kernel']
      a, b = factors[*path, 'a'], factors[*path, 'b']
      merged = kernel.astype(jnp.float32) + scale * (a @ b)
      params[*path, 'kernel'] = merged.astype(kernel.dtype)
  return traverse_util.unflatten_dict(params)
