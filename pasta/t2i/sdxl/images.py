"""SDXL as a pure function: token ids and seeds to images.

No state and no random numbers but each image's own, so that an image does not
depend on those it shares a batch with. Runs under jit and pmap.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from pasta.t2i.sdxl import pipeline as sdxl_pipeline
from pasta.t2i.sdxl import schedule as sdxl_schedule


@dataclasses.dataclass(frozen=True)
class Settings:
  """How images are made.

  Attributes:
    schedule: the denoising steps.
    guidance: how far to go beyond the prompt, away from the negative prompt;
      up to 1 none, which saves half of the work (few-step models).
    size: height and width, pixels.
    vae_chunk: images decoded at once on a device.
  """

  schedule: sdxl_schedule.Schedule
  guidance: float
  size: int
  vae_chunk: int


def images(
  pipeline: sdxl_pipeline.Pipeline,
  settings: Settings,
  params: Any,
  ids: jax.Array,
  negative_ids: jax.Array,
  seeds: jax.Array,
  index: jax.Array,
) -> jax.Array:
  """Draws images.

  Args:
    pipeline: the networks.
    settings: how to use them.
    params: of the networks, by name.
    ids: token ids for both text encoders, int32 [B, 2, tokens].
    negative_ids: of the negative prompt, int32 [1, 2, tokens]; [1, 2, 0] for
      zeros instead of a text. Unused without guidance.
    seeds: uint32 [B, 2], see `seed_words`.
    index: the image's number among those of its prompt and seed, int32 [B].

  Returns:
    float32 [B, size, size, 3] in [0, 1].
  """
  x = unit_latents(pipeline, settings.size, seeds, index)  # [B, h, w, 4]
  x = denoised(pipeline, settings, params, ids, negative_ids, x)

  def decode(latent):
    return decoded(pipeline, params, latent[None])[0]

  # The VAE's activations at full size are what needs most memory.
  return jax.lax.map(decode, x, batch_size=settings.vae_chunk)


def to_uint8(x: jax.Array) -> jax.Array:
  """Images in [0, 1] as bytes."""
  return jnp.round(x * 255).astype(jnp.uint8)


def seed_words(seeds: np.ndarray) -> np.ndarray:
  """uint64 [B] as uint32 [B, 2]: what `jax.random.key` makes of a seed."""
  chex.assert_type(seeds, np.uint64)
  halves = [seeds >> np.uint64(32), seeds & np.uint64(0xFFFFFFFF)]
  return np.stack(halves, axis=-1).astype(np.uint32)


def unit_latents(
  pipeline: sdxl_pipeline.Pipeline,
  size: int,
  seeds: jax.Array,
  index: jax.Array,
) -> jax.Array:
  """Unit normal noise from fold_in(key(seed), index), float32 [B, h, w, 4]."""
  side = size // pipeline.pixels_per_latent
  shape = (side, side, pipeline.unet.config.in_channels)

  def draw(words, i):
    # Named, as a user's default generator must not change images.
    key = jax.random.wrap_key_data(words, impl='threefry2x32')
    return jax.random.normal(jax.random.fold_in(key, i), shape, jnp.float32)

  return jax.vmap(draw)(seeds, index)


def denoised(
  pipeline: sdxl_pipeline.Pipeline,
  settings: Settings,
  params: Any,
  ids: jax.Array,
  negative_ids: jax.Array,
  latents: jax.Array,
) -> jax.Array:
  """Clean latents from noise, both float32 [B, h, w, 4]; args as `images`."""
  chex.assert_rank([ids, negative_ids, latents], [3, 3, 4])
  batch = len(latents)
  context, pooled = text_features(pipeline, params, ids)
  guided = settings.guidance > 1
  if guided:
    if negative_ids.shape[2] == 0:
      negatives = jnp.zeros_like(context), jnp.zeros_like(pooled)
    else:
      negatives = (
        jnp.repeat(x, batch, axis=0)
        for x in text_features(pipeline, params, negative_ids)
      )
    context, pooled = (
      jnp.concatenate(pair) for pair in zip(negatives, (context, pooled))
    )
  # Original size, top left corner of the crop, target size.
  sizes = (settings.size, settings.size, 0, 0, settings.size, settings.size)
  conditions = {
    'text_embeds': pooled,
    'time_ids': jnp.tile(jnp.array(sizes, jnp.float32), (len(context), 1)),
  }

  def predict(x, timestep):
    x = jnp.concatenate([x, x]) if guided else x
    out = pipeline.unet.apply(
      {'params': params['unet']},
      jnp.transpose(x, (0, 3, 1, 2)),
      jnp.broadcast_to(timestep, len(x)),
      encoder_hidden_states=context,
      added_cond_kwargs=conditions,
    ).sample.astype(jnp.float32)
    out = jnp.transpose(out, (0, 2, 3, 1))
    if guided:
      negative, positive = jnp.split(out, 2)
      out = negative + settings.guidance * (positive - negative)
    return out

  return sdxl_schedule.denoise(settings.schedule, latents, predict)


def text_features(
  pipeline: sdxl_pipeline.Pipeline, params: Any, ids: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """What the UNet sees of texts: context [B, tokens, D] and pooled [B, D]."""
  first, second = (
    encoder(ids[:, i], params=params[name], output_hidden_states=True)
    for i, (name, encoder) in enumerate(
      zip(('text_encoder', 'text_encoder_2'), pipeline.text_encoders)
    )
  )
  context = jnp.concatenate(
    [first.hidden_states[-2], second.hidden_states[-2]], axis=-1
  )
  return context, second.text_embeds


def decoded(
  pipeline: sdxl_pipeline.Pipeline, params: Any, latents: jax.Array
) -> jax.Array:
  """Images float32 [B, H, W, 3] in [0, 1] of clean latents [B, h, w, 4]."""
  x = latents / pipeline.vae.config.scaling_factor
  # Channels last: the VAE guesses the layout by the last axis, wrongly for
  # channels-first latents that are 4 wide.
  x = pipeline.vae.apply(
    {'params': params['vae']}, x, method=pipeline.vae.decode
  ).sample.astype(jnp.float32)
  return jnp.clip(jnp.transpose(x, (0, 2, 3, 1)) / 2 + 0.5, 0, 1)
