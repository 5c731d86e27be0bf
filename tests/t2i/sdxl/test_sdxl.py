"""SDXL behind the text-to-image interface, and as a config names it."""

import dataclasses
import logging

import jax
import numpy as np
import pytest
import tiny_sdxl

from configs import common
from pasta import errors
from pasta.t2i import build as t2i_build
from pasta.t2i.sdxl import images as sdxl_images
from pasta.t2i.sdxl import memory
from pasta.t2i.sdxl import model as sdxl
from pasta.t2i.sdxl import pipeline as sdxl_pipeline

_PROMPTS = ['a red fox', 'an owl in the snow, oil painting', 'a boat']
_SEEDS = np.array([0, 2**40, 7], np.uint64)


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  directory = tmp_path_factory.mktemp('sdxl') / 'tiny'
  tiny_sdxl.write(directory)
  return directory


def _config(directory, **fields):
  config = common.world().t2i
  config.name, config.size = 'sdxl', 64
  config.sdxl.path = str(directory)
  config.sdxl.steps = 2
  config.sdxl.spacing = 'trailing'
  config.sdxl.num_devices = 2
  config.sdxl.batch_size = 2
  for name, value in fields.items():
    config.sdxl[name] = value
  return config


@pytest.fixture(scope='module')
def model(directory):
  return t2i_build.build(_config(directory))


@pytest.fixture
def quick(directory):
  """Makes models that draw nothing, with the given fields."""
  params = tiny_sdxl.params()
  pipeline = dataclasses.replace(
    sdxl_pipeline.load(str(directory)), load_params=lambda: params
  )
  fields = {'size': 64, 'spacing': 'trailing', 'steps': 2, 'num_devices': 1}

  return lambda **changed: sdxl.Sdxl(pipeline, **(fields | changed))


def test_images(model):
  images = model.generate(_PROMPTS, _SEEDS, 3)  # 9 images, 4 in a call
  assert images.shape == (3, 3, 64, 64, 3)
  assert images.dtype == np.uint8
  assert model.image_size == 64
  assert images.std() > 20
  seconds = model.compile_seconds
  assert seconds > 0
  assert model.memory_bytes > memory.num_bytes(tiny_sdxl.params())
  # An image does not depend on those beside it, but for rounding.
  alone = model.generate(_PROMPTS[1:2], _SEEDS[1:2], 2)
  apart = images[1:2, :2].astype(int) - alone
  assert np.abs(apart).max() <= 1
  assert np.abs(images.astype(int) - images[::-1]).mean() > 1
  assert model.generate([], np.zeros(0, int), 2).shape == (0, 2, 64, 64, 3)
  model.close()
  again = model.generate(_PROMPTS[1:2], _SEEDS[1:2], 2)
  np.testing.assert_array_equal(again, alone)
  assert model.compile_seconds == seconds  # compiled once
  assert model.num_truncated == 0


def test_bfloat16(directory, model):
  half = t2i_build.build(_config(directory, dtype='bfloat16'))
  assert half.model_id != model.model_id
  assert half.model_id.endswith('/bfloat16/v1')
  apart = half.generate(_PROMPTS[:1], _SEEDS[:1], 1).astype(int)
  apart -= model.generate(_PROMPTS[:1], _SEEDS[:1], 1)
  assert 0 < np.abs(apart).mean() < 4


def test_what_changes_an_image_changes_the_id(quick):
  first = quick()
  assert first.model_id.startswith('sdxl:')
  assert first.model_id.endswith('@64/euler-trailing-2/g5/float32/v1')
  ids = {first.model_id}
  for fields in (
    {'size': 32},
    {'steps': 3},
    {'scheduler': 'ddim'},
    {'spacing': 'linspace'},
    {'guidance': 2.5},
    {'negative_prompt': 'blurry'},
    {'negative_prompt': 'ugly'},
  ):
    ids.add(quick(**fields).model_id)
  assert len(ids) == 8
  for fields in ({'batch_size': 3}, {'vae_chunk': 2}, {'num_devices': 4}):
    assert quick(**fields).model_id == first.model_id


def test_long_prompts_are_cut_counted_and_reported(quick, caplog):
  model = quick()
  with caplog.at_level(logging.WARNING, 'absl'):
    ids = model._token_ids(['a fox ' * 100, 'a fox', 'an owl ' * 99])
  (line,) = [r.getMessage() for r in caplog.records]
  assert '2 of 3 prompts were cut to 77 tokens' in line
  assert "'a fox a fox" in line and len(line) < 200
  assert model.num_truncated == 2
  assert ids.shape == (3, 2, 77)
  # Start, 75 tokens, end; the second tokenizer pads with '!', the token 0.
  np.testing.assert_array_equal(ids[[0, 2], :, -1], 1999)
  np.testing.assert_array_equal(ids[0, 0], ids[0, 1])
  assert ids[1, 0].tolist() == [*ids[1, 0, :4].tolist(), *[1999] * 73]
  assert ids[1, 1].tolist() == [*ids[1, 0, :4].tolist(), *[0] * 73]
  assert ids[1, 0, 3] == 1999 and ids[1, 0, 0] == 1998
  model._token_ids(['short'])
  assert model.num_truncated == 2


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'size': 72}, 'size: expected a multiple of 16 pixels, got 72'),
    ({'size': 0}, 'size: expected a multiple of 16 pixels, got 0'),
    ({'size': (64, 32)}, r'images are square; got \(64, 32\)'),
    ({'steps': 0}, 'steps: expected 1 or more, got 0'),
    ({'scheduler': 'heun'}, "scheduler: .* got 'heun'"),
    ({'batch_size': 0}, 'batch_size: expected 1 or more, got 0'),
    ({'vae_chunk': 0}, 'vae_chunk: expected 1 or more, got 0'),
    ({'guidance': float('nan')}, 'guidance: expected 0 or more, got nan'),
    ({'guidance': -1.0}, 'guidance: expected 0 or more'),
    (
      {'guidance': 1.0, 'negative_prompt': 'x'},
      'negative_prompt: has no effect with guidance 1.0',
    ),
    ({'num_devices': 9}, 'num_devices is 9, expected 1 to 8'),
  ],
)
def test_settings_out_of_range(quick, fields, message):
  with pytest.raises(errors.PastaError, match=message):
    quick(**fields)


def test_arguments_out_of_range(quick):
  model = quick()
  with pytest.raises(ValueError, match='prompts: expected a sequence'):
    model.generate('a fox', np.array([1]), 1)
  with pytest.raises(ValueError, match=r'seeds: expected shape \(1,\)'):
    model.generate(['a fox'], np.array([1, 2]), 1)
  with pytest.raises(ValueError, match='images_per_prompt: expected at least'):
    model.generate(['a fox'], np.array([1]), 0)


def test_warnings(quick, caplog):
  with caplog.at_level(logging.WARNING, 'absl'):
    quick()
    assert not caplog.records
    quick(spacing='leading', steps=4)
    quick(size=256)
  begin, size = (r.getMessage() for r in caplog.records)
  assert '4 leading steps begin at step 751 of 1000' in begin
  assert 'drawing at 256 px, the model was trained for 64 px' in size


def test_a_config_that_names_no_model(directory):
  with pytest.raises(errors.PastaError, match='dtype is .float16., expected'):
    t2i_build.build(_config(directory, dtype='float16'))
  with pytest.raises(errors.PastaError, match='no such model directory'):
    t2i_build.build(_config(directory / 'nowhere'))


@pytest.mark.parametrize('when', ['weights', 'compiling', 'drawing'])
def test_not_enough_memory(quick, monkeypatch, when):
  def fail(*unused_args):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')

  if when == 'weights':
    monkeypatch.setattr(sdxl.parallel, 'replicate', fail)
    with pytest.raises(errors.PastaError, match='not enough memory for SDXL'):
      quick()
    return
  model = quick(batch_size=4)
  if when == 'compiling':
    monkeypatch.setattr(sdxl_images, 'images', fail)
  else:
    monkeypatch.setattr(model, '_program', fail)
  message = 'batch_size 4 at 64 px: .* 0.01 GiB .*batch_size 2 should fit'
  with pytest.raises(errors.PastaError, match=message):
    model.generate(['a fox'], np.array([1]), 4)


def test_other_failures_stay_as_they_are(quick, monkeypatch):
  def fail(*unused_args):
    raise jax.errors.JaxRuntimeError('INTERNAL: broken')

  model = quick()
  monkeypatch.setattr(model, '_program', fail)
  with pytest.raises(jax.errors.JaxRuntimeError, match='INTERNAL'):
    model.generate(['a fox'], np.array([1]), 1)


@pytest.mark.parametrize(
  ('fields', 'expected'),
  [
    # 10 GiB for 8 images, 7 there: 8 · 0.7 = 5.6.
    ({'needed': 17, 'limit': 14}, 'batch_size 5 should fit'),
    # Compiled for what fits, but other things take memory: a tenth less.
    ({'needed': 12, 'limit': 14}, 'batch_size 7 should fit'),
    ({'limit': 6}, "use dtype 'bfloat16' or devices with more memory"),
    ({'batch_size': 1, 'needed': 17, 'limit': 12}, 'try size 704'),
    (
      {'batch_size': 1, 'needed': 17, 'limit': 12, 'vae_chunk': 2},
      'try vae_chunk 1 or size 704',
    ),
    # A twentieth of what 8 images need.
    (
      {'needed': 107, 'limit': 12},
      'try batch_size 1 or size 224',
    ),
    ({'size': 32, 'batch_size': 1}, 'use devices with more memory'),
  ],
)
def test_what_would_fit(fields, expected):
  # Weights of 7 GiB, images of 1024 px in multiples of 32; fields in GiB.
  fields = {
    name: value * 2**30 if name in ('needed', 'limit') else value
    for name, value in fields.items()
  }
  defaults = {
    'size': 1024,
    'size_multiple': 32,
    'batch_size': 8,
    'vae_chunk': 1,
    'weights': 7 * 2**30,
    'needed': 0,
    'limit': 0,
  }
  text = memory.what_fits(**(defaults | fields))
  assert text.endswith(expected)
  assert '7.00 GiB on each device' in text
