"""The image tower on all devices of a host."""

import chex
import jax
import numpy as np

from pasta import errors, parallel
from pasta.encoders import clip


class ImageEncoder:
  """Encodes batches of one size over this host's devices.

  Attributes:
    batch_size: images of a call, over all devices.
    dim: D.
  """

  def __init__(
    self, encoder: clip.ClipEncoder, batch_size: int, num_devices: int
  ):
    """Compiles nothing yet.

    Args:
      encoder: whose image tower.
      batch_size: a multiple of the number of devices.
      num_devices: of this host; 0 = all.

    Raises:
      PastaError: the devices do not divide the batch, or are not there.
    """
    num_devices = num_devices or jax.local_device_count()
    if batch_size < 1 or batch_size % num_devices:
      raise errors.PastaError(
        f"config field 'batch_size' is {batch_size}, expected a multiple of "
        f'the number of devices, {num_devices}'
      )
    self.batch_size, self.dim = batch_size, encoder.embedding_dim
    self._resize = encoder.resize
    self._num_devices = num_devices

    def encode(
      params: chex.ArrayTree, images: jax.Array, *, axis_name: str
    ) -> jax.Array:
      del axis_name  # Every image by itself.
      return encoder.apply_image(params, images)

    self._params = parallel.replicate(encoder.params, num_devices)
    self._encode = parallel.pmap_parts(
      encode, num_devices=num_devices, in_axes=(None, 0), out_axes=0
    )

  def __call__(self, images: np.ndarray) -> jax.Array:
    """Starts on pixels uint8 [batch_size, H, W, 3]; gives [batch_size, D]."""
    return self._encode(
      self._params, parallel.shard(images, self._num_devices)
    ).reshape(self.batch_size, self.dim)

  def encode_images(self, images: np.ndarray) -> np.ndarray:
    """As `ClipEncoder.encode_images`: uint8 [N, H, W, 3] to float32 [N, D]."""
    images = self._resize(images)
    out = np.zeros((len(images), self.dim), np.float32)
    results = []
    for start in range(0, len(images), self.batch_size):
      rows = images[start : start + self.batch_size]
      fill = self.batch_size - len(rows)
      rows = np.pad(rows, [(0, fill)] + [(0, 0)] * 3, mode='edge')
      results.append((start, self(rows)))
    for start, result in results:
      part = out[start : start + self.batch_size]
      part[:] = np.asarray(result)[: len(part)]
    return out
