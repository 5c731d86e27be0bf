"""ClipEncoder against transformers' own pipeline, and its error messages."""

import os
import shutil

import jax
import numpy as np
import pytest
import transformers
from safetensors import numpy as safetensors

from configs import train_clip as config_file
from pasta import errors
from pasta.encoders import clip
from pasta.encoders.training import contrastive, tokenizer

_SIZE = 32
_TEXTS = (
  'a cat',
  "my grandmother's quiet harbour at dusk, watercolor painting, 3 birds",
  '',
  'Zürich ❤ ' + 'very ' * 30,
  'a fox ' * 200,
)


def _write_model(directory):
  """A tiny random CLIP with a tokenizer and an image processor."""
  tokenizer.train(directory, 600, seed=0)
  config = config_file.get_config('smoke').model
  config.update(image_size=_SIZE, patch_size=8, projection_dim=8)
  model = contrastive.build_model(config, vocab_size=600)
  shapes = jax.eval_shape(
    lambda: contrastive.init_params(jax.random.key(0), model)
  )
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: (0.2 * rng.normal(size=x.shape)).astype(np.float32), shapes
  )
  model.save_pretrained(directory, params=params)
  transformers.CLIPImageProcessor(
    size={'shortest_edge': _SIZE},
    crop_size={'height': _SIZE, 'width': _SIZE},
    image_mean=[0.4, 0.5, 0.6],
    image_std=[0.2, 0.3, 0.25],
  ).save_pretrained(directory)


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('clip') / 'tiny-clip')
  _write_model(path)
  return path


@pytest.fixture(scope='module')
def encoder(directory):
  return clip.ClipEncoder.load(directory)


def _unit(x):
  x = np.asarray(x)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_text_equals_transformers(directory, encoder):
  model = transformers.FlaxCLIPModel.from_pretrained(directory)
  # The slow tokenizer shares no code with the one that the encoder uses.
  tokens = transformers.CLIPTokenizer.from_pretrained(directory)
  inputs = tokens(
    list(_TEXTS), padding=True, truncation=True, return_tensors='np'
  )
  assert inputs['input_ids'].shape[1] == 77
  expected = _unit(jax.jit(model.get_text_features)(**inputs))
  np.testing.assert_allclose(encoder.encode_text(_TEXTS), expected, atol=2e-5)


@pytest.mark.parametrize('shape', [(32, 32), (70, 48), (33, 90)])
def test_images_equal_transformers(directory, encoder, shape):
  images = np.random.default_rng(1).integers(
    0, 256, (3, *shape, 3), dtype=np.uint8
  )
  model = transformers.FlaxCLIPModel.from_pretrained(directory)
  processor = transformers.CLIPProcessor(
    transformers.CLIPImageProcessor.from_pretrained(directory),
    transformers.CLIPTokenizerFast.from_pretrained(directory),
  )
  inputs = processor(
    images=list(images), return_tensors='np', input_data_format='channels_last'
  )
  features = jax.jit(model.get_image_features)(inputs['pixel_values'])
  expected = _unit(features)
  np.testing.assert_allclose(encoder.encode_images(images), expected, atol=2e-5)


def test_result_does_not_depend_on_the_batch(encoder):
  rng = np.random.default_rng(2)
  images = rng.integers(0, 256, (70, _SIZE, _SIZE, 3), dtype=np.uint8)
  texts = [f'a cat and {i} birds ' + 'in snow ' * (i % 9) for i in range(70)]
  all_images = encoder.encode_images(images)
  all_texts = encoder.encode_text(texts)
  for i in (0, 64, 69):
    alone = encoder.encode_images(images[i : i + 1])
    np.testing.assert_allclose(alone[0], all_images[i], atol=1e-6)
    alone = encoder.encode_text(texts[i : i + 1])
    np.testing.assert_allclose(alone[0], all_texts[i], atol=1e-6)
  distances = np.linalg.norm(all_texts[0] - all_texts[1:], axis=1)
  assert distances.min() > 1e-3


def test_repeated_and_reordered_texts(encoder):
  a, b = encoder.encode_text(['a whale', 'a very old tree in a garden'])
  repeated = encoder.encode_text(
    ['a very old tree in a garden', 'a whale', 'a whale']
  )
  np.testing.assert_array_equal(repeated, [b, a, a])


def test_shapes_norms_and_empty_input(encoder):
  assert encoder.embedding_dim == 8
  assert encoder.image_size == _SIZE
  assert encoder.max_tokens == 77
  texts = encoder.encode_text(_TEXTS)
  assert texts.dtype == np.float32
  np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, rtol=1e-5)
  assert encoder.encode_text([]).shape == (0, 8)
  empty = np.zeros((0, _SIZE, _SIZE, 3), np.uint8)
  assert encoder.encode_images(empty).shape == (0, 8)


def test_bucket_padding_changes_nothing(encoder):
  # 'a' is one token: lengths 7, 8, 9 lie on both sides of a bucket's end.
  for count in (5, 6, 7):
    text = 'a ' * count
    ids = encoder._token_ids([text])
    assert len(ids[0]) == count + 2
    exact = encoder._encode_ids(
      encoder.params, np.array(ids), np.ones_like(ids)
    )
    np.testing.assert_allclose(encoder.encode_text([text]), exact, atol=1e-6)


def test_num_tokens_counts_before_truncation(encoder):
  counts = encoder.num_tokens(['', 'a a a', 'a ' * 100])
  np.testing.assert_array_equal(counts, [2, 5, 102])


def test_truncation_keeps_the_beginning(encoder):
  head = 'a b ' * 60  # 75 tokens fit beside start and end.
  a, b = encoder.encode_text([head + 'cat', head + 'a quiet dog'])
  np.testing.assert_array_equal(a, b)
  c = encoder.encode_text(['b ' + head])[0]
  assert np.abs(a - c).max() > 1e-3


def test_encoder_id_follows_the_weights(directory, encoder, tmp_path):
  assert encoder.encoder_id.startswith('tiny-clip@')
  model = transformers.FlaxCLIPModel.from_pretrained(directory)
  copy = tmp_path / 'tiny-clip'
  shutil.copytree(directory, copy)
  model.params['logit_scale'] = model.params['logit_scale'] + 1.0
  model.save_pretrained(copy)
  assert clip.ClipEncoder.load(str(copy)).encoder_id != encoder.encoder_id
  again = clip.ClipEncoder.load(directory)
  assert again.encoder_id == encoder.encoder_id


def torch_tensors(directory):
  """The weights under PyTorch's names, in its layout."""
  model = transformers.FlaxCLIPModel.from_pretrained(directory)
  tensors = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(model.params):
    name = jax.tree_util.keystr(path, simple=True, separator='.')
    leaf = np.asarray(leaf)
    if name.endswith('.kernel'):
      # PyTorch has [out, in] and, for convolutions, [out, in, h, w].
      leaf = leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf.T
    stem, _, last = name.rpartition('.')
    if last in ('kernel', 'scale', 'embedding'):
      name = f'{stem}.weight'
    tensors[name] = np.array(leaf, order='C')
  return tensors


def torch_copy(directory, target, tensors):
  """An encoder's directory with these weights in place of Flax's."""
  shutil.copytree(directory, target)
  os.remove(target / 'flax_model.msgpack')
  path = target / 'model.safetensors'
  safetensors.save_file(tensors, path, metadata={'format': 'pt'})


@pytest.mark.parametrize(
  'name',
  [
    'visual_projection.weight',
    'vision_model.encoder.layers.0.layer_norm1.bias',
    'text_model.embeddings.token_embedding.weight',
    'logit_scale',
  ],
)
def test_a_missing_tensor_is_not_drawn_at_random(directory, tmp_path, name):
  tensors = torch_tensors(directory)
  del tensors[name]
  torch_copy(directory, tmp_path / 'c', tensors)
  with pytest.raises(errors.PastaError, match=f'has no tensor {name!r}'):
    clip.ClipEncoder.load(str(tmp_path / 'c'))


@pytest.mark.parametrize('name', ['model.safetensors', 'flax_model.msgpack'])
def test_a_pointer_of_git_lfs_is_called_that(directory, tmp_path, name):
  shutil.copytree(directory, tmp_path / 'c')
  os.remove(tmp_path / 'c' / 'flax_model.msgpack')
  (tmp_path / 'c' / name).write_text(
    'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'
  )
  with pytest.raises(errors.PastaError, match=f'{name}: is a pointer of Git'):
    clip.ClipEncoder.load(str(tmp_path / 'c'))


def test_loads_torch_safetensors(directory, encoder, tmp_path):
  copy = tmp_path / 'torch-clip'
  torch_copy(directory, copy, torch_tensors(directory))
  loaded = clip.ClipEncoder.load(str(copy))
  np.testing.assert_allclose(
    loaded.encode_text(_TEXTS), encoder.encode_text(_TEXTS), atol=1e-6
  )
  assert loaded.encoder_id.split('@')[1] == encoder.encoder_id.split('@')[1]


@pytest.mark.parametrize(
  'removed',
  [
    ('config.json',),
    ('flax_model.msgpack',),
    ('tokenizer.json', 'merges.txt'),
    ('preprocessor_config.json',),
  ],
)
def test_missing_file_is_named(directory, tmp_path, removed):
  copy = tmp_path / 'broken'
  shutil.copytree(directory, copy)
  for name in removed:
    os.remove(copy / name)
  with pytest.raises(errors.PastaError, match=str(copy)) as e:
    clip.ClipEncoder.load(str(copy))
  assert removed[-1] in str(e.value)
  assert '\n' not in str(e.value)


def test_damaged_weights_are_named(directory, tmp_path):
  copy = tmp_path / 'damaged'
  shutil.copytree(directory, copy)
  with open(copy / 'flax_model.msgpack', 'r+b') as f:
    f.truncate(1000)
  with pytest.raises(errors.PastaError, match='damaged'):
    clip.ClipEncoder.load(str(copy))


def test_missing_weights_are_named(directory, tmp_path):
  copy = tmp_path / 'incomplete'
  shutil.copytree(directory, copy)
  model = transformers.FlaxCLIPModel.from_pretrained(directory)
  params = dict(model.params)
  del params['text_projection']
  model.save_pretrained(copy, params=params)
  with pytest.raises(errors.PastaError, match=r'text_projection\.kernel'):
    clip.ClipEncoder.load(str(copy))


def test_missing_directory():
  with pytest.raises(errors.PastaError, match='/no/such/directory'):
    clip.ClipEncoder.load('/no/such/directory')


def test_bad_input(encoder):
  with pytest.raises(ValueError, match='one str'):
    encoder.encode_text('a cat')
  with pytest.raises(ValueError, match=r'texts\[1\].*int'):
    encoder.encode_text(['a cat', 3])
  with pytest.raises(ValueError, match='float32'):
    encoder.encode_images(np.zeros((1, 8, 8, 3), np.float32))
  with pytest.raises(ValueError, match=r'\[8, 8, 3\]'):
    encoder.encode_images(np.zeros((8, 8, 3), np.uint8))
