"""How much memory SDXL takes, and what would fit."""

from typing import Any

import jax

GIB = 2**30  # bytes


def num_bytes(params: Any) -> int:
  """Memory of a tree of arrays."""
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(params))


def what_fits(
  *,
  size: int,
  size_multiple: int,
  batch_size: int,
  vae_chunk: int,
  weights: int,
  needed: int,
  limit: int,
) -> str:
  """Says what would fit into a device's memory.

  Args:
    size: of an image, pixels.
    size_multiple: what divides every size.
    batch_size: images at once on a device.
    vae_chunk: of these, images decoded at once.
    weights: bytes.
    needed: bytes of the compiled program, weights included; 0: not known.
    limit: bytes of the device; 0: not known.
  """
  text = (
    f'not enough memory for SDXL with batch_size {batch_size} at {size} px: '
    f'the weights take {weights / GIB:.2f} GiB on each device'
  )
  if needed:
    text += f', the program {needed / GIB:.2f} GiB with them'
  if limit:
    text += f', and there are {limit / GIB:.2f} GiB'
  if limit and weights > limit:
    return text + "; use dtype 'bfloat16' or devices with more memory"
  # The share of the room for activations that they may take; 0.5 is a guess
  # for where the room or the need are not known.
  share = 0.5
  if limit and needed > weights:
    share = min((limit - weights) / (needed - weights), 0.9)
  batch = int(batch_size * share)
  if batch:
    return text + f'; batch_size {batch} should fit'
  # Activations grow at least with the number of pixels.
  smaller = int(size * share**0.5) // size_multiple * size_multiple
  ways = [f'size {smaller}'] if smaller else []
  if batch_size > 1:
    ways.insert(0, 'batch_size 1')
  if vae_chunk > 1:
    ways.insert(0, 'vae_chunk 1')
  if not ways:
    return text + '; use devices with more memory'
  return text + f'; try {" or ".join(ways)}'
