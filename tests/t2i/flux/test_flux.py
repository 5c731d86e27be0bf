"""Flux behind the interface of text-to-image models."""

import logging
import shutil
import sys

import numpy as np
import pytest
import tiny_flux

from configs import common
from pasta import errors
from pasta.t2i import build as t2i_build
from pasta.t2i.flux import model as flux

_PROMPTS = ('a fox in a forest', 'a red train', 'an animal, at night')
_SEEDS = np.array([1, 2, 2**63], np.uint64)
# Of 255: how a CPU rounds depends on the batch's size.
_TOLERANCE = 1


@pytest.fixture
def torch():
  module = pytest.importorskip('torch')
  pytest.importorskip('accelerate')
  return module


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  # PyTorch's threads wait for each other much longer than these networks take.
  pytest.importorskip('torch').set_num_threads(1)
  pytest.importorskip('accelerate')
  path = tmp_path_factory.mktemp('flux') / 'tiny'
  tiny_flux.write(path)
  return path


@pytest.fixture(scope='module')
def guided(tmp_path_factory, directory):
  """One that takes guidance, as FLUX.1-dev does."""
  path = tmp_path_factory.mktemp('flux') / 'guided'
  tiny_flux.write(path, guidance=True)
  return path


def _model(path, **fields):
  return flux.Flux(
    str(path), **{'size': 32, 'steps': 2, 'max_tokens': 24, **fields}
  )


def _config(path, **fields):
  config = common.world().t2i
  config.update(name='flux', size=32)
  config.flux.update(path=str(path), steps=2, **fields)
  return config


def test_without_pytorch_says_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(errors.PastaError, match=r"pip install -e '.\[flux\]'"):
    t2i_build.build(_config(tmp_path))


def test_images_do_not_depend_on_their_batch(directory):
  together = _model(directory, batch_size=6).generate(_PROMPTS, _SEEDS, 2)
  assert together.shape == (3, 2, 32, 32, 3) and together.dtype == np.uint8
  # Images differ by far more than the tolerance.
  assert together.std(axis=(2, 3)).min() > 10
  flat = together.reshape(6, -1).astype(int)
  distance = abs(flat[:, None] - flat).mean(-1)
  assert distance[~np.eye(6, dtype=bool)].min() > 10
  for batch_size in (1, 3, 4):
    again = _model(directory, batch_size=batch_size).generate(
      _PROMPTS, _SEEDS, 2
    )
    np.testing.assert_allclose(
      again.astype(int), together, rtol=0, atol=_TOLERANCE
    )
  alone = _model(directory).generate(_PROMPTS[2:], _SEEDS[2:], 1)
  np.testing.assert_allclose(
    alone[0, 0].astype(int), together[2, 0], rtol=0, atol=_TOLERANCE
  )


def test_the_same_call_gives_the_same_images(directory):
  model = _model(directory, batch_size=3)
  first = model.generate(_PROMPTS, _SEEDS, 2)
  np.testing.assert_array_equal(model.generate(_PROMPTS, _SEEDS, 2), first)
  model.close()
  np.testing.assert_array_equal(model.generate(_PROMPTS, _SEEDS, 2), first)


def test_images_equal_the_pipeline_s(directory, torch):
  import diffusers

  pipeline = diffusers.FluxPipeline.from_pretrained(directory)
  model = _model(directory)
  got = model.generate(_PROMPTS[:1], _SEEDS[:1], 2)
  expected = pipeline(
    _PROMPTS[0],
    height=32,
    width=32,
    num_inference_steps=2,
    max_sequence_length=24,
    latents=torch.from_numpy(model._noise(1, 1))[None],
    output_type='np',
  ).images[0]
  np.testing.assert_allclose(got[0, 1], 255 * expected, rtol=0, atol=1)


def test_prompt_seed_and_index_change_the_image(directory):
  model = _model(directory)
  a, b = model.generate(['a cat', 'a dog'], np.array([3, 3]), 1)[:, 0]
  assert abs(a.astype(int) - b).mean() > 1
  # All bits of a seed count, and none of them for the index.
  pairs = [(5, 0), (5, 1), (6, 0), (5 + 2**32, 0), (5 + 2**32, 1)]
  assert len({model._noise(*pair).tobytes() for pair in pairs}) == len(pairs)


def test_noise_is_standard_normal(directory):
  model = _model(directory, size=512, steps=1)
  model._pipeline = model._load()
  noise = model._noise(7, 0)
  assert noise.shape == (32 * 32, 4 * tiny_flux.CHANNELS)
  # 16,384 values: standard errors of 0.008 and 0.006.
  assert abs(noise.mean()) < 0.04 and abs(noise.std() - 1) < 0.03


def test_every_setting_of_the_model_id_changes_images(guided):
  prompts, seeds = ['a quiet harbour at dusk, with many boats'], np.array([1])
  changes = (
    {},
    {'steps': 3},
    {'guidance': 9.0},
    {'max_tokens': 12},
    {'dtype': 'bfloat16'},
  )
  seen = {}
  for change in changes:
    model = _model(guided, **change)
    images = model.generate(prompts, seeds, 1)
    seen[model.model_id] = images.tobytes()
  assert len(seen) == len(set(seen.values())) == len(changes)


def test_model_id_names_no_place_and_no_batch_size(directory, tmp_path):
  model = _model(directory)
  fingerprint = model._layout.fingerprint
  assert model.model_id == f'flux:{fingerprint}@32/2/t24/float32/v1'
  moved = tmp_path / 'moved'
  shutil.copytree(directory, moved)
  # It takes no guidance, so guidance is no part of it.
  same = _model(moved, batch_size=7, guidance=1.0, device='cpu')
  assert same.model_id == model.model_id
  other = tmp_path / 'other'
  tiny_flux.write(other, seed=1)
  assert _model(other).model_id != model.model_id


def test_sizes_share_the_weights(directory):
  small, large = _model(directory), _model(directory, size=48)
  small.generate(_PROMPTS[:1], _SEEDS[:1], 1)
  images = large.generate(_PROMPTS[:1], _SEEDS[:1], 1)
  assert images.shape == (1, 1, 48, 48, 3)
  assert large._pipeline is small._pipeline is not None
  key = next(iter(flux._PIPELINES))
  small.close()
  assert key in flux._PIPELINES
  large.close()
  assert key not in flux._PIPELINES


def test_long_prompts_are_cut_and_counted(directory, caplog):
  model = _model(directory, max_tokens=12)
  # A letter is a token, a space joins the next word's, and an end follows.
  fits, too_long = 'abcdefghij', 'abcdefghijk'
  with caplog.at_level(logging.WARNING, logger='absl'):
    images = model.generate(
      [fits, too_long, too_long + 'xyz'], np.array([1, 1, 1]), 1
    )
  assert model.num_truncated == 2
  messages = [r.getMessage() for r in caplog.records]
  about_prompts = [m for m in messages if 'prompts were cut' in m]
  assert len(about_prompts) == 1
  assert '2 of 3 prompts were cut to 12 tokens' in about_prompts[0]
  # CLIP still sees what T5 does not.
  assert (images[1] != images[2]).any()
  ids = model._pipeline.tokenizer_2([fits, too_long]).input_ids
  assert [len(x) for x in ids] == [12, 13]


def test_no_prompts_give_no_images(directory):
  model = _model(directory)
  assert model.generate([], np.zeros(0, int), 4).shape == (0, 4, 32, 32, 3)
  assert model._pipeline is None


@pytest.mark.parametrize(
  'prompts, seeds, count, message',
  [
    (['a', 'b'], [1], 1, r'seeds.*\(2,\)'),
    (['a'], [-1], 1, 'seeds.*non-negative'),
    (['a'], [0], 0, 'images_per_prompt.*0'),
    ('a', [1], 1, 'prompts'),
  ],
)
def test_bad_calls_are_refused(directory, prompts, seeds, count, message):
  with pytest.raises(ValueError, match=message):
    _model(directory).generate(prompts, np.array(seeds), count)


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'size': 40}, 't2i.size.*multiple of 16.*40'),
    ({'size': 0}, 't2i.size.*multiple of 16.*0'),
    ({'steps': 0}, 't2i.flux.steps.*1 to 1000.*0'),
    ({'max_tokens': 513}, 't2i.flux.max_tokens.*1 to 512.*513'),
    ({'batch_size': 0}, 't2i.flux.batch_size.*1 or more.*0'),
    ({'guidance': -1.0}, 't2i.flux.guidance.*-1'),
    ({'guidance': float('nan')}, 't2i.flux.guidance.*nan'),
    ({'dtype': 'float16'}, 't2i.flux.dtype.*float16'),
    ({'device': 'gpu'}, 't2i.flux.device.*gpu'),
    ({'device': 'meta'}, 't2i.flux.device.*meta'),
    ({'device': 'cuda:99'}, r't2i.flux.device.*cuda:99.*\d CUDA devices'),
    ({'offload': True, 'device': 'cpu'}, 't2i.flux.offload.*CPU'),
  ],
)
def test_bad_settings_are_refused(directory, fields, message):
  with pytest.raises(errors.PastaError, match=message):
    _model(directory, **fields)


def test_no_such_directory(torch, tmp_path):
  with pytest.raises(errors.PastaError, match='no such model directory'):
    _model(tmp_path / 'nothing')
  with pytest.raises(errors.PastaError, match='has no model_index.json'):
    _model(tmp_path)


def test_weights_that_are_missing_are_not_drawn(directory, tmp_path):
  from safetensors import numpy as safetensors

  broken = tmp_path / 'broken'
  shutil.copytree(directory, broken)
  path = broken / 'text_encoder/model.safetensors'
  tensors = safetensors.load_file(path)
  del tensors['text_model.final_layer_norm.weight']
  safetensors.save_file(tensors, path, metadata={'format': 'pt'})
  with pytest.raises(
    errors.PastaError,
    match=r"text_encoder: lacks 1 .*'text_model.final_layer_norm.weight'",
  ):
    _model(broken).generate(['a'], np.array([1]), 1)


def test_weights_of_another_shape_are_refused(directory, tmp_path):
  broken = tmp_path / 'broken'
  shutil.copytree(directory, broken)
  tiny_flux.edit(broken / 'vae/config.json', latent_channels=8)
  with pytest.raises(errors.PastaError, match='cannot be loaded as a Flux'):
    _model(broken).generate(['a'], np.array([1]), 1)


def test_images_that_are_not_finite_are_refused(directory, torch):
  model = _model(directory)
  model._pipeline = pipeline = model._load()
  with torch.no_grad():
    next(pipeline.vae.decoder.parameters()).fill_(float('nan'))
  with pytest.raises(errors.PastaError, match='not finite in float32'):
    model.generate(['a'], np.array([1]), 1)


@pytest.mark.parametrize('kind', ['cuda', 'cpu'])
def test_out_of_memory_says_what_fits(directory, torch, monkeypatch, kind):
  model = _model(directory, batch_size=4)

  def draw(texts, noise):
    if kind == 'cuda':
      raise torch.OutOfMemoryError('CUDA out of memory.')
    return torch.empty(2**59)

  monkeypatch.setattr(model, '_draw', draw)
  with pytest.raises(
    errors.PastaError, match=r'batch_size 4 at 32 px.*batch_size=2'
  ):
    model.generate(['a'], np.array([1]), 4)


def test_build_makes_it(directory):
  config = _config(directory, max_tokens=24)
  model = t2i_build.build(config)
  assert model.model_id == _model(directory).model_id
  assert model.image_size == 32
  model.generate(['a fox'], np.array([1]), 1)
  model.close()
