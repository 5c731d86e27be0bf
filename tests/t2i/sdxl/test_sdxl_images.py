"""SDXL as a pure function: batches, devices, guidance, diffusers' own loop."""

import dataclasses
import functools
import types

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_sdxl

from pasta import parallel
from pasta.t2i.sdxl import images as sdxl_images
from pasta.t2i.sdxl import schedule as sdxl_schedule

_SIZE = 64
_NO_IDS = np.zeros((1, 2, 0), np.int32)


@pytest.fixture(scope='module')
def pipeline():
  return tiny_sdxl.pipeline()


@pytest.fixture(scope='module')
def params():
  return tiny_sdxl.params()


@pytest.fixture(scope='module')
def settings():
  schedule = sdxl_schedule.build('ddim', 'leading', 2, tiny_sdxl.noise())
  return sdxl_images.Settings(schedule, 5.0, _SIZE, 2)


@pytest.fixture(scope='module')
def rows():
  """Sixteen images of four prompts: ids, seeds, index."""
  rng = np.random.default_rng(0)
  ids = np.full((4, 2, 77), 1999, np.int32)
  ids[:, :, 0] = 1998
  ids[:, :, 1:9] = rng.integers(1000, size=(4, 1, 8))
  seeds = np.array([0, 1, 2**40, 2**64 - 1], np.uint64)
  return (
    np.repeat(ids, 4, axis=0),
    np.repeat(sdxl_images.seed_words(seeds), 4, axis=0),
    np.tile(np.arange(4, dtype=np.int32), 4),
  )


@pytest.fixture(scope='module')
def draw(pipeline, settings, params):
  """Images of some rows, on so many devices with so many at once on each."""

  @functools.cache
  def program(num_devices):
    def images(params, ids, negative_ids, seeds, index, axis_name):
      del axis_name
      return sdxl_images.images(
        pipeline, settings, params, ids, negative_ids, seeds, index
      )

    return parallel.pmap_parts(
      images,
      num_devices=num_devices,
      in_axes=(None, 0, None, 0, 0),
      out_axes=0,
    )

  def draw(ids, seeds, index, num_devices=1):
    ids, seeds, index = parallel.shard((ids, seeds, index), num_devices)
    out = program(num_devices)(params, ids, _NO_IDS, seeds, index)
    return np.asarray(out).reshape(-1, _SIZE, _SIZE, 3)

  return draw


@pytest.fixture(scope='module')
def sixteen(draw, rows):
  """All rows on eight devices, two on each."""
  return draw(*rows, num_devices=8)


def test_images_do_not_depend_on_devices_and_batches(draw, rows, sixteen):
  assert sixteen.shape == (16, _SIZE, _SIZE, 3)
  assert sixteen.dtype == np.float32
  alone = draw(*(x[5:6] for x in rows))
  np.testing.assert_allclose(alone, sixteen[5:6], atol=1e-4)
  backwards = draw(*(x[[9, 5, 0]] for x in rows))
  np.testing.assert_allclose(backwards, sixteen[[9, 5, 0]], atol=1e-4)
  np.testing.assert_allclose(draw(*rows), sixteen, atol=1e-4)


def test_images_depend_on_seed_index_and_prompt(draw, rows, sixteen):
  flat = sixteen.reshape(16, -1)
  distances = np.abs(flat[:, None] - flat[None]).mean(-1)
  assert (distances + np.eye(16)).min() > 0.01
  ids, seeds, index = (x[[9, 5, 0]] for x in rows)
  other = draw(ids[[1, 2, 0]], seeds, index)
  assert np.abs(other - sixteen[[9, 5, 0]]).mean((1, 2, 3)).min() > 1e-4


def test_the_loop_is_that_of_diffusers(
  pipeline, params, rows, sixteen, monkeypatch
):
  scheduler = diffusers.FlaxDDIMScheduler.from_config(tiny_sdxl.SCHEDULER)
  peer = diffusers.FlaxStableDiffusionXLPipeline(
    *pipeline.text_encoders,
    pipeline.vae,
    *pipeline.tokenizers,
    pipeline.unet,
    scheduler,
  )
  ids, seeds, index = (x[[0, 5, 9]] for x in rows)
  latents = sdxl_images.unit_latents(pipeline, _SIZE, seeds, index)
  state = scheduler.create_state()

  @jax.jit
  def run(params, ids, latents):
    return peer._generate(
      ids,
      params | {'scheduler': state},
      None,
      2,
      _SIZE,
      _SIZE,
      5.0,
      jnp.transpose(latents, (0, 3, 1, 2)),
    )

  np.testing.assert_allclose(
    run(params, ids, latents), sixteen[[0, 5, 9]], atol=1e-4
  )


def test_noise_is_that_of_the_seed(pipeline):
  seeds = np.array([0, 3, 2**32 + 3, 2**64 - 1], np.uint64)
  index = np.array([0, 1, 1, 2], np.int32)
  got = sdxl_images.unit_latents(
    pipeline, 32, sdxl_images.seed_words(seeds), index
  )
  assert got.shape == (4, 4, 4, 4)
  key = jax.random.fold_in(jax.random.key(3), 1)
  np.testing.assert_allclose(
    got[1], jax.random.normal(key, (4, 4, 4)), rtol=1e-5
  )
  # The upper half of a seed counts.
  assert np.abs(got[1] - got[2]).max() > 0.1
  with jax.enable_x64(True):
    key = jax.random.fold_in(jax.random.key(2**32 + 3), 1)
    expected = jax.random.normal(key, (4, 4, 4), jnp.float32)
  np.testing.assert_allclose(got[2], expected, rtol=1e-5)


def test_noise_does_not_depend_on_the_default_generator(pipeline):
  args = pipeline, 32, np.array([[0, 7]], np.uint32), np.array([2], np.int32)
  expected = sdxl_images.unit_latents(*args)
  with jax.default_prng_impl('rbg'):
    got = sdxl_images.unit_latents(*args)
  np.testing.assert_array_equal(got, expected)


def test_small_latents_are_not_drawn_transposed(pipeline, params):
  # 32 px: latents are 4 wide, as many as they have channels.
  latents = np.random.default_rng(0).normal(size=(1, 4, 4, 4))
  latents = latents.astype(np.float32)

  @jax.jit
  def decode(params, x):
    return (
      sdxl_images.decoded(pipeline, params, x),
      pipeline.vae.apply(
        {'params': params['vae']},
        x / 0.13025,
        method=lambda vae, x: vae.decoder(vae.post_quant_conv(x)),
      ),
    )

  got, expected = decode(params, latents)
  assert got.shape == (1, 32, 32, 3)
  np.testing.assert_allclose(got, np.clip(expected / 2 + 0.5, 0, 1), atol=1e-5)


class _Unet:
  """Answers mean(context) + 10 · mean(pooled) + 0.001 · mean(sizes)."""

  config = types.SimpleNamespace(in_channels=4)

  def __init__(self):
    self.batches = []

  def apply(self, variables, x, t, encoder_hidden_states, added_cond_kwargs):
    assert x.shape[1] == 4 and t.shape == x.shape[:1]
    self.batches.append(len(x))
    answer = (
      encoder_hidden_states.mean((1, 2))
      + 10 * added_cond_kwargs['text_embeds'].mean(-1)
      + 0.001 * added_cond_kwargs['time_ids'].mean(-1)
    )
    sample = jnp.broadcast_to(answer[:, None, None, None], x.shape)
    return types.SimpleNamespace(sample=sample)


def _encoder(ids, params, output_hidden_states):
  """Context: the ids twice as large; pooled: their first."""
  del params, output_hidden_states
  states = [None, 2.0 * ids[:, :, None], None]
  return types.SimpleNamespace(hidden_states=states, text_embeds=ids[:, :1])


@pytest.mark.parametrize(
  ('guidance', 'negative', 'answer'),
  [
    # Ids 3 and 4: context mean(6, 8) = 7, pooled 10 · 4, sizes
    # 0.001 · (4 · 8) / 6 = 0.00533; without a text only the last.
    (0.0, None, 47.00533),
    (1.0, None, 47.00533),
    (3.0, None, 0.00533 + 3 * 47),
    # Ids 1 and 2: 3 + 20 + 0.00533, then 3 · (47 - 23) from there.
    (3.0, (1, 2), 23.00533 + 3 * 24),
  ],
)
def test_guidance(pipeline, guidance, negative, answer):
  unet = _Unet()
  pipeline = dataclasses.replace(
    pipeline, unet=unet, text_encoders=(_encoder, _encoder)
  )
  steps = sdxl_schedule.Steps(
    timestep=np.array([5.0], np.float32),
    input_scale=np.ones(1, np.float32),
    clean_x=np.zeros(1, np.float32),
    clean_out=np.ones(1, np.float32),
    next_x=np.zeros(1, np.float32),
    next_clean=np.ones(1, np.float32),
    next_last=np.zeros(1, np.float32),
  )
  settings = sdxl_images.Settings(
    sdxl_schedule.Schedule(steps, 1.0), guidance, 8, 1
  )
  ids = np.tile(np.array([[[3], [4]]], np.int32), (2, 1, 5))
  negative_ids = np.zeros((1, 2, 0), np.int32)
  if negative is not None:
    negative_ids = np.tile(np.array(negative, np.int32)[:, None], (1, 1, 5))
  params = {'text_encoder': {}, 'text_encoder_2': {}, 'unet': {}}
  latents = jnp.zeros((2, 1, 1, 4))
  got = sdxl_images.denoised(
    pipeline, settings, params, ids, negative_ids, latents
  )
  np.testing.assert_allclose(got, np.full((2, 1, 1, 4), answer), rtol=1e-5)
  assert set(unet.batches) == {4 if guidance > 1 else 2}


def test_bytes():
  x = jnp.array([0.0, 0.5 / 255 - 1e-4, 0.5, 254.6 / 255, 1.0])
  got = sdxl_images.to_uint8(x)
  assert got.dtype == jnp.uint8
  # 127.5 rounds to the even 128.
  assert got.tolist() == [0, 0, 128, 255, 255]
