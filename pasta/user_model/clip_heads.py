"""Scores straight from tokens and pixels: heads on a CLIP that is trained too.

The way of PickScore (Kirstain et al. 2023), with types: the encoder is a part
of the user model's parameters, and EM moves it together with the heads.
"""

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from pasta.user_model import heads

Encode = Callable[..., jax.Array]


class ClipHeads(heads.Heads):
  """`heads.Heads` behind an encoder; its weights are the parameter 'clip'.

  Attributes:
    init_clip: () -> the weights to start from.
    apply_text: (weights, ids [B, tokens], mask) -> unit vectors [B, D].
    apply_image: (weights, pixels [B, H, W, 3]) -> unit vectors [B, D].
  """

  init_clip: Callable[[], dict]
  apply_text: Encode
  apply_image: Encode
  image_ndim: ClassVar[int] = 3

  @nn.compact
  def __call__(
    self, text: jax.Array, image: jax.Array, constants: dict[str, jax.Array]
  ) -> jax.Array:
    """Returns s [N, M, K] for ids [N, tokens] and pixels [N, M, H, W, 3]."""
    clip = self.param('clip', lambda _: self.init_clip())
    text = self.apply_text(clip, text, jnp.ones_like(text))
    pixels = image.reshape(-1, *image.shape[2:])
    image = self.apply_image(clip, pixels).reshape(*image.shape[:2], -1)
    return super().__call__(text, image, constants)
