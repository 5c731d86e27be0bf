"""What the heads of all value networks end with.

Letters: W width, J twin heads.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax


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
