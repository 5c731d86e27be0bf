"""Low-rank adaptation of a pretrained network (LoRA; Hu et al. 2021).

Instead of a kernel W, two thin factors are trained: W + scale · A B. A layer's
output is made of both parts, x W + scale · (x A) B, and the kernels are never
summed: in bfloat16 a sum would round small factors away, and it would cost a
copy of every kernel for each set of factors.

Letters: R rank.
"""

import contextlib
from collections.abc import Iterator, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from pasta import errors
from pasta.types import PyTree

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
    params: nested dicts, such as `gemma_model.load` gives.
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


@contextlib.contextmanager
def applied(lora: PyTree, scale: float) -> Iterator[None]:
  """Within it, Flax's Dense layers that have a LoRA add scale · (x A) B.

  Args:
    lora: of `init`, or the part of it that belongs to the module applied.
    scale: often α / R.
  """

  def add(next_fun, args, kwargs, context):
    y = next_fun(*args, **kwargs)
    factors = lora
    for name in context.module.path:
      factors = factors.get(name, {})
    if not isinstance(context.module, nn.Dense) or 'a' not in factors:
      return y
    a, b = factors['a'].astype(y.dtype), factors['b'].astype(y.dtype)
    return y + scale * (args[0].astype(y.dtype) @ a @ b)

  with nn.intercept_methods(add):
    yield
