"""SDXL from disk: the same weights in every format, and what goes wrong."""

import json
import shutil

import flax.traverse_util
import huggingface_hub
import numpy as np
import pytest
import tiny_sdxl
from safetensors import numpy as safetensors

from pasta import errors
from pasta.t2i.sdxl import files as sdxl_files
from pasta.t2i.sdxl import pipeline as sdxl_pipeline


@pytest.fixture(autouse=True)
def _known_shapes(monkeypatch):
  """Saves most of the time; test_sdxl.py does without."""
  shapes = tiny_sdxl.shapes()
  monkeypatch.setattr(sdxl_pipeline, 'param_shapes', lambda pipeline: shapes)


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  directory = tmp_path_factory.mktemp('sdxl') / 'torch'
  tiny_sdxl.write(directory)
  return directory


@pytest.fixture
def model(written, tmp_path):
  """A copy to damage."""
  return shutil.copytree(written, tmp_path / 'model')


@pytest.fixture(scope='module')
def flat_params():
  return tiny_sdxl.random_params()


def _replace_weights(model, flat_params, kind, names=sdxl_files.NETWORKS):
  for name in names:
    for file in model.joinpath(name).glob('*model*'):
      file.unlink()
    tiny_sdxl.write_weights(model / name, name, flat_params[name], kind)


def _assert_equal(params, flat_params, rtol=0.0):
  assert set(params) == set(flat_params)
  for name, expected in flat_params.items():
    flat = flax.traverse_util.flatten_dict(params[name])
    assert set(flat) == set(expected)
    for key, x in expected.items():
      np.testing.assert_allclose(
        np.asarray(flat[key], np.float32), x, rtol=rtol, atol=rtol, err_msg=key
      )


def test_all_formats_give_the_same_weights(model, flat_params):
  fingerprints = {}
  for kind in ('torch', 'flax', 'shards', 'fp16'):
    _replace_weights(model, flat_params, kind)
    pipeline = sdxl_pipeline.load(str(model))
    params = pipeline.load_params()
    _assert_equal(params, flat_params, 1e-3 if kind == 'fp16' else 0.0)
    fingerprints[kind] = pipeline.fingerprint(params)
  assert fingerprints['torch'] == fingerprints['flax'] == fingerprints['shards']
  assert fingerprints['fp16'] != fingerprints['torch']


def test_weights_are_cast_and_own_their_memory(model, flat_params):
  pipeline = sdxl_pipeline.load(str(model), dtype='bfloat16')
  params = pipeline.load_params()
  _assert_equal(params, flat_params, 2**-8)
  for x in flax.traverse_util.flatten_dict(params).values():
    assert x.dtype.name == 'bfloat16' and x.flags.c_contiguous
    assert x.base is None  # else the whole file would stay in memory
  assert pipeline.unet.dtype.name == 'bfloat16'


def test_half_precision_copies_come_last(model, flat_params):
  other = {k: 2 * x for k, x in flat_params['vae'].items()}
  tiny_sdxl.write_weights(model / 'vae', 'vae', other, 'fp16')
  params = sdxl_pipeline.load(str(model)).load_params()
  _assert_equal(params, flat_params)


def test_other_weights_of_the_unet(model, flat_params, tmp_path):
  few = {k: x + 1 for k, x in flat_params['unet'].items()}
  tiny_sdxl.write_weights(tmp_path, 'unet', few)
  file = tmp_path / 'diffusion_pytorch_model.safetensors'
  params = sdxl_pipeline.load(str(model), unet=str(file)).load_params()
  _assert_equal(params, flat_params | {'unet': few})
  with pytest.raises(errors.PastaError, match='unet: .*nowhere.*no such'):
    sdxl_pipeline.load(str(model), unet=str(tmp_path / 'nowhere'))
  wrong = model / 'vae' / 'diffusion_pytorch_model.safetensors'
  pipeline = sdxl_pipeline.load(str(model), unet=str(wrong))
  with pytest.raises(errors.PastaError, match='weights of another model'):
    pipeline.load_params()


def test_settings_and_weights_change_the_fingerprint(model):
  seen = set()

  def check():
    pipeline = sdxl_pipeline.load(str(model))
    fingerprint = pipeline.fingerprint(pipeline.load_params())
    assert fingerprint not in seen
    seen.add(fingerprint)

  check()
  _edit(model / 'vae/config.json', scaling_factor=0.2)
  check()
  _edit(model / 'scheduler/scheduler_config.json', beta_end=0.02)
  check()
  _edit(model / 'tokenizer_2/tokenizer_config.json', pad_token='"')
  _edit(model / 'tokenizer_2/special_tokens_map.json', pad_token='"')
  check()
  _edit(model / 'model_index.json', force_zeros_for_empty_prompt=False)
  check()
  # Records of how a file was saved change nothing.
  _edit(model / 'unet/config.json', _diffusers_version='0.1', _name_or_path='x')
  with pytest.raises(AssertionError):
    check()


@pytest.mark.parametrize(
  ('removed', 'message'),
  [
    ('model_index.json', 'no model_index.json, so it is no pipeline'),
    ('unet/config.json', 'has no unet/config.json'),
    ('scheduler', 'has no scheduler/scheduler_config.json'),
    ('tokenizer_2/merges.txt', 'has no tokenizer_2/vocab.json and merges.txt'),
    (
      'text_encoder/model.safetensors',
      r'no text_encoder/model.safetensors \(or flax_model.msgpack\)',
    ),
    (
      'vae',
      'no vae/config.json; no vae/diffusion_pytorch_model.safetensors',
    ),
  ],
)
def test_a_directory_that_lacks_something(model, removed, message):
  path = model / removed
  shutil.rmtree(path) if path.is_dir() else path.unlink()
  with pytest.raises(errors.PastaError, match=message) as e:
    sdxl_pipeline.load(str(model))
  assert str(e.value).startswith(str(model))


def test_pickles_are_refused_with_the_way_out(model):
  weights = model / 'unet' / 'diffusion_pytorch_model.safetensors'
  weights.rename(weights.with_suffix('.bin'))
  with pytest.raises(errors.PastaError, match='only diffusion_pytorch_model.b'):
    sdxl_pipeline.load(str(model))


@pytest.mark.parametrize(
  ('file', 'fields', 'message'),
  [
    (
      'model_index.json',
      {'_class_name': 'StableDiffusionPipeline'},
      'is a StableDiffusionPipeline, expected a StableDiffusionXLPipeline',
    ),
    (
      'unet/config.json',
      {'addition_embed_type': None},
      "addition_embed_type is None; expected 'text_time'",
    ),
    (
      'unet/config.json',
      {'cross_attention_dim': 768},
      'unet: cross_attention_dim is 768, expected 96 to fit the widths of both',
    ),
    ('unet/config.json', {'in_channels': 9}, 'unet: in_channels is 9'),
    ('unet/config.json', {'block_out_channels': [48, 64]}, 'multiples of 32'),
    ('vae/config.json', {'latent_channels': 16}, 'expected 16 to fit the VAE'),
    ('vae/config.json', {'latents_mean': [1.0]}, r'latents_mean is \[1.0\]'),
    ('text_encoder/config.json', {'hidden_size': 'x'}, 'no network of SDXL'),
    ('vae/config.json', {'block_out_channels': 7}, 'channels is 7, expected'),
    ('text_encoder/config.json', {'vocab_size': 99}, 'tokenizer has 2000 tok'),
    ('text_encoder/config.json', {'num_hidden_layers': 1}, 'has 1 layers'),
    (
      'scheduler/scheduler_config.json',
      {'prediction_type': 'flow'},
      'scheduler_config.json: prediction_type is',
    ),
  ],
)
def test_a_pipeline_that_is_no_sdxl(model, file, fields, message):
  _edit(model / file, **fields)
  with pytest.raises(errors.PastaError, match=message) as e:
    sdxl_pipeline.load(str(model))
  assert str(model) in str(e.value)


@pytest.mark.parametrize('kind', ['torch', 'flax'])
def test_weights_of_another_model(model, flat_params, kind):
  flat = dict(flat_params['unet'])
  key = ('conv_in', 'kernel')

  def check(message):
    changed = flat_params | {'unet': flat}
    _replace_weights(model, changed, kind, ['unet'])
    with pytest.raises(errors.PastaError, match=message) as e:
      sdxl_pipeline.load(str(model)).load_params()
    assert 'these are the weights of another model' in str(e.value)
    assert str(model / 'unet') in str(e.value)

  flat[key] = np.zeros((3, 3, 9, 32), np.float32)
  check(r'conv_in.kernel is \[3, 3, 9, 32\], expected \[3, 3, 4, 32\]')
  del flat[key]
  check('has no conv_in.kernel')
  flat[key] = flat_params['unet'][key]
  flat['time_embedding', 'cond_proj', 'kernel'] = np.zeros((4, 4), np.float32)
  check(r'holds time_embedding.cond_proj.\w+, which the model does not have')


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('diffusion_pytorch_model.safetensors', 'truncated'),
    ('diffusion_flax_model.msgpack', 'damaged, or no Flax weights'),
  ],
)
def test_a_damaged_file(model, flat_params, name, message):
  kind = 'flax' if 'flax' in name else 'torch'
  _replace_weights(model, flat_params, kind, ['vae'])
  path = model / 'vae' / name
  path.write_bytes(path.read_bytes()[:5000])
  with pytest.raises(errors.PastaError, match=message) as e:
    sdxl_pipeline.load(str(model)).load_params()
  assert str(path) in str(e.value)


def test_no_such_directory(tmp_path):
  with pytest.raises(errors.PastaError, match='no such model .*stabilityai'):
    sdxl_pipeline.load(str(tmp_path / 'nowhere'))


@pytest.mark.parametrize('has_half', [True, False])
def test_the_hub_gives_only_what_is_used(
  written, tmp_path, monkeypatch, has_half
):
  # A hub: everything that is asked for and there is copied.
  hub, cache = tmp_path / 'hub', tmp_path / 'cache'
  shutil.copytree(written, hub)
  if has_half:
    for name, flat in tiny_sdxl.random_params().items():
      tiny_sdxl.write_weights(hub / name, name, flat, 'fp16')
  (hub / 'sd_xl_base_1.0.safetensors').write_text('not of diffusers')
  files = [str(p.relative_to(hub)) for p in hub.rglob('*') if p.is_file()]

  def download(repo, allow_patterns):
    assert repo == 'someone/sdxl'
    for file in huggingface_hub.utils.filter_repo_objects(
      files, allow_patterns=allow_patterns
    ):
      (cache / file).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(hub / file, cache / file)
    return str(cache)

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', download)
  sdxl_pipeline.load('someone/sdxl', dtype='bfloat16')
  got = {str(p.relative_to(cache)) for p in cache.rglob('*.safetensors')}
  infix = '.fp16' if has_half else ''
  assert got == {
    f'{name}/{stem}{infix}.safetensors'
    for name, stem in sdxl_files.NETWORKS.items()
  }
  sdxl_pipeline.load('someone/sdxl', dtype='bfloat16').load_params()


def test_files_of_the_wrong_kind(model):
  # A tensor without a place is named, not skipped.
  path = model / 'text_encoder_2' / 'model.safetensors'
  tensors = safetensors.load_file(path) | {'logit_scale': np.ones(1)}
  safetensors.save_file(tensors, path)
  with pytest.raises(errors.PastaError, match='holds logit_scale, which'):
    sdxl_pipeline.load(str(model)).load_params()


def _edit(path, **fields):
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))
