"""Flux's files: what is missing or foreign is named, without PyTorch."""

import shutil

import pytest
import tiny_flux

from pasta import errors
from pasta.t2i.flux import files

_GIB = files.GIB


@pytest.fixture
def directory(tmp_path):
  path = tmp_path / 'flux'
  tiny_flux.write_layout(path)
  return path


def test_layout(directory):
  layout = files.read(str(directory))
  assert not layout.takes_guidance
  assert layout.size_multiple == tiny_flux.SIZE_MULTIPLE
  assert dict(layout.num_params) == {
    'text_encoder': 4,
    'text_encoder_2': 5,
    'transformer': 6,
    'vae': 7,
  }
  assert layout.tensors['vae'] == {'x'}
  tiny_flux.edit(directory / 'transformer/config.json', guidance_embeds=True)
  assert files.read(str(directory)).takes_guidance


def test_fingerprint_names_what_a_model_is_not_where(directory, tmp_path):
  expected = files.read(str(directory)).fingerprint
  other = tmp_path / 'other'
  shutil.copytree(directory, other)
  config = other / 'transformer/config.json'
  tiny_flux.edit(config, _name_or_path='/x', transformers_version='4.0')
  assert files.read(str(other)).fingerprint == expected
  seen = {expected}
  for name, fields in (
    ('scheduler/scheduler_config.json', {'shift': 3.0}),
    ('transformer/config.json', {'guidance_embeds': True}),
    ('tokenizer_2/tokenizer_config.json', {'extra_ids': 7}),
  ):
    tiny_flux.edit(other / name, **fields)
    seen.add(files.read(str(other)).fingerprint)
  with (other / 'tokenizer/merges.txt').open('a') as f:
    f.write('a b\n')
  seen.add(files.read(str(other)).fingerprint)
  shutil.copy(
    other / 'vae/diffusion_pytorch_model.safetensors',
    other / 'transformer/diffusion_pytorch_model.safetensors',
  )
  seen.add(files.read(str(other)).fingerprint)
  assert len(seen) == 6


@pytest.mark.parametrize(
  'name',
  [
    'model_index.json',
    'scheduler/scheduler_config.json',
    'text_encoder/config.json',
    'text_encoder/model.safetensors',
    'text_encoder_2/config.json',
    'text_encoder_2/model.safetensors',
    'tokenizer/vocab.json',
    'tokenizer/merges.txt',
    'tokenizer/tokenizer_config.json',
    'tokenizer_2/tokenizer.json',
    'tokenizer_2/tokenizer_config.json',
    'transformer/config.json',
    'transformer/diffusion_pytorch_model.safetensors',
    'vae/config.json',
    'vae/diffusion_pytorch_model.safetensors',
  ],
)
def test_a_missing_file_is_named(directory, name):
  (directory / name).unlink()
  with pytest.raises(errors.PastaError, match=f'{directory}: has no {name}'):
    files.read(str(directory))


def test_all_that_is_missing_is_named(directory):
  shutil.rmtree(directory / 'vae')
  shutil.rmtree(directory / 'tokenizer_2')
  with pytest.raises(errors.PastaError) as e:
    files.read(str(directory))
  assert 'vae/config.json' in str(e.value)
  assert 'tokenizer_2/tokenizer.json' in str(e.value)
  assert 'text_encoder/' not in str(e.value)


def test_no_pipeline_says_what_is_there(tmp_path):
  (tmp_path / 'flux1-dev.safetensors').touch()
  with pytest.raises(errors.PastaError, match='holds flux1-dev.safetensors'):
    files.read(str(tmp_path))


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'_class_name': 'Flux2Pipeline'}, 'is a Flux2Pipeline, expected a Flux'),
    ({'vae': ['diffusers', 'AutoencoderTiny']}, 'vae is .*AutoencoderKL'),
    ({'transformer': [None, None]}, 'transformer is .*FluxTransformer2DModel'),
    ({'scheduler': ['os', 'system']}, r"scheduler is \['os', 'system'\]"),
    ({'extra': ['os', 'system']}, r"extra is \['os', 'system'\]"),
  ],
)
def test_other_pipelines_are_refused(directory, fields, message):
  tiny_flux.edit(directory / 'model_index.json', **fields)
  with pytest.raises(errors.PastaError, match=f'model_index.json: {message}'):
    files.read(str(directory))


@pytest.mark.parametrize(
  'name, fields, message',
  [
    (
      'scheduler/scheduler_config.json',
      {'stochastic_sampling': True},
      'stochastic_sampling',
    ),
    ('vae/config.json', {'block_out_channels': 4}, 'block_out_channels is 4'),
  ],
)
def test_configs_that_cannot_be_used_are_refused(
  directory, name, fields, message
):
  tiny_flux.edit(directory / name, **fields)
  with pytest.raises(errors.PastaError, match=f'{name}: {message}'):
    files.read(str(directory))


def _what_fits(**fields):
  return files.what_fits(
    **{
      'weights': {'transformer': 22 * _GIB, 'text_encoder_2': 10 * _GIB},
      'batch_size': 4,
      'size': 1024,
      'size_multiple': 16,
      'offload': False,
      'available': 80 * _GIB,
      'total': 80 * _GIB,
      **fields,
    }
  )


def test_what_fits():
  text = _what_fits()
  assert 'batch_size 4 at 1024 px: its weights take 32.0 GiB of 80.0' in text
  # Half the batch, offloading, or half the pixels: 724 -> 720.
  assert text.endswith(
    't2i.flux.batch_size=2 or t2i.flux.offload=True (frees 10.0 GiB) or '
    't2i.size=720'
  )
  assert 'JAX' not in text
  # The larger network fits alone.
  text = _what_fits(available=24 * _GIB, total=24 * _GIB)
  assert text.endswith('keeps one network at a time there, at most 22.0 GiB')
  # Nothing fits.
  for offload in (False, True):
    text = _what_fits(available=20 * _GIB, total=20 * _GIB, offload=offload)
    assert "a device with more memory, or t2i.flux.device='cpu'" in text
  # Somebody else has most of it.
  text = _what_fits(available=20 * _GIB)
  assert 'others hold the rest of 80.0; XLA_PYTHON_CLIENT_PREALLOCATE' in text
  text = _what_fits(batch_size=1, offload=True)
  assert text.endswith('take 22.0 GiB of 80.0; try t2i.size=720')
