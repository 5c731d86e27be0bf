"""Weights in Hugging Face's layout: values, shards, and what goes wrong."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors import numpy as safetensors

from pasta import errors, pretrained

_SHARDS = (
  'model-00001-of-00002.safetensors',
  'model-00002-of-00002.safetensors',
)


def _tensors():
  rng = np.random.default_rng(0)
  return {
    'a': rng.normal(size=(3, 5)).astype(np.float32),
    'b': rng.normal(size=(4,)).astype(ml_dtypes.bfloat16),
    'c': rng.normal(size=(2, 1, 3)).astype(np.float16),
    'd': rng.integers(-9, 9, (7,)),
    'e': np.array([True, False]),
    'f': np.array(2.5, np.float32),
    'g': np.zeros((0, 3), np.float32),
  }


@pytest.fixture
def sharded(tmp_path):
  tensors = _tensors()
  weight_map = {}
  for shard, names in zip(_SHARDS, ('aceg', 'bdf'), strict=True):
    safetensors.save_file({n: tensors[n] for n in names}, tmp_path / shard)
    weight_map |= dict.fromkeys(names, shard)
  _write_index(tmp_path, weight_map)
  return tmp_path


def _write_index(directory, weight_map):
  content = {'metadata': {'total_size': 1}, 'weight_map': weight_map}
  (directory / pretrained.INDEX_FILE).write_text(json.dumps(content))


def _write_raw(path, header, data=b''):
  """A file with this header, whatever it says."""
  header = header if isinstance(header, bytes) else json.dumps(header).encode()
  path.write_bytes(struct.pack('<Q', len(header)) + header + data)


def _assert_same(got, expected):
  assert set(got) == set(expected)
  for name, x in expected.items():
    assert type(got[name]) is np.ndarray
    assert got[name].dtype == x.dtype, name
    np.testing.assert_array_equal(got[name], x)


def _raises(match):
  return pytest.raises(errors.PastaError, match=match)


def test_single_file_keeps_values_and_dtypes(tmp_path):
  path = tmp_path / pretrained.WEIGHTS_FILE
  safetensors.save_file(_tensors(), path, metadata={'format': 'pt'})
  _assert_same(pretrained.read_safetensors(str(path)), _tensors())
  _assert_same(pretrained.read_weights(str(tmp_path)), _tensors())


def test_shards_are_merged(sharded):
  _assert_same(pretrained.read_weights(str(sharded)), _tensors())


def test_tensors_are_views_and_cannot_be_written(sharded):
  tensors = pretrained.read_weights(str(sharded))
  assert not any(x.flags.owndata or x.flags.writeable for x in tensors.values())
  (sharded / _SHARDS[0]).unlink()  # The mapping outlives the file's name.
  np.testing.assert_array_equal(tensors['a'], _tensors()['a'])


def test_resolve(tmp_path, monkeypatch):
  assert pretrained.resolve(str(tmp_path), ()) == str(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'gemma').mkdir()
  assert pretrained.resolve('~/gemma', ()) == str(tmp_path / 'gemma')
  with _raises(f'{tmp_path}/none: no such model directory'):
    pretrained.resolve(f'{tmp_path}/none', ())
  with _raises('./none: no such model directory'):
    pretrained.resolve('./none', ())
  with _raises("'nobody/nothing' is no directory here, and cannot be fetched"):
    pretrained.resolve('nobody/nothing', ('*.json',))


def test_resolve_uses_the_hubs_cache_offline(tmp_path, monkeypatch):
  repo = tmp_path / 'models--some--model'
  snapshot = repo / 'snapshots' / 'abc'
  snapshot.mkdir(parents=True)
  (repo / 'refs').mkdir()
  (repo / 'refs' / 'main').write_text('abc')
  monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
  assert pretrained.resolve('some/model', ('*.json',)) == str(snapshot)


def test_no_weights(tmp_path):
  (tmp_path / 'pytorch_model.bin').touch()
  with _raises(f'{tmp_path}: holds neither model.safetensors nor'):
    pretrained.read_weights(str(tmp_path))


def test_missing_index(sharded):
  (sharded / pretrained.INDEX_FILE).unlink()
  with _raises(f'holds the shard {_SHARDS[0]} but no {pretrained.INDEX_FILE}'):
    pretrained.read_weights(str(sharded))


@pytest.mark.parametrize(
  ('text', 'match'),
  [
    ('{', 'not readable as JSON'),
    ('[]', 'holds a JSON list'),
    ('{}', 'has no weight_map'),
    ('{"weight_map": {"a": "../x.safetensors"}}', '.* expected the name of'),
    ('{"weight_map": {"a": 1}}', "places the tensor 'a' in 1"),
  ],
)
def test_broken_index(sharded, text, match):
  (sharded / pretrained.INDEX_FILE).write_text(text)
  with _raises(f'{pretrained.INDEX_FILE}: {match}'):
    pretrained.read_weights(str(sharded))


def test_missing_shard(sharded):
  (sharded / _SHARDS[1]).unlink()
  with _raises(f'{_SHARDS[1]}: missing'):
    pretrained.read_weights(str(sharded))


def test_tensor_that_its_shard_lacks(sharded):
  path = sharded / pretrained.INDEX_FILE
  weight_map = json.loads(path.read_text())['weight_map']
  _write_index(sharded, weight_map | {'h': _SHARDS[1]})
  with _raises(f"{_SHARDS[1]}: lacks the tensor 'h'"):
    pretrained.read_weights(str(sharded))


def test_tensor_in_two_shards(sharded):
  tensors = _tensors()
  safetensors.save_file({n: tensors[n] for n in 'abdf'}, sharded / _SHARDS[1])
  with _raises(
    f"{_SHARDS[1]}: holds the tensor 'a', .* places in {_SHARDS[0]}"
  ):
    pretrained.read_weights(str(sharded))


def test_tensor_that_the_index_does_not_know(sharded):
  path = sharded / pretrained.INDEX_FILE
  weight_map = json.loads(path.read_text())['weight_map']
  del weight_map['d']
  _write_index(sharded, weight_map)
  with _raises(f"{_SHARDS[1]}: holds the tensor 'd', .* places in nowhere"):
    pretrained.read_weights(str(sharded))


def test_every_truncation_is_noticed(tmp_path):
  path = tmp_path / pretrained.WEIGHTS_FILE
  safetensors.save_file(_tensors(), path)
  content = path.read_bytes()
  for length in (*range(0, len(content), 7), len(content) - 1):
    path.write_bytes(content[:length])
    with _raises(f'{path}: '):
      pretrained.read_safetensors(str(path))
  path.write_bytes(content + b'x')
  with _raises('bytes, but its header describes'):
    pretrained.read_safetensors(str(path))


def test_missing_file(tmp_path):
  with _raises('none: cannot be read: No such file'):
    pretrained.read_safetensors(str(tmp_path / 'none'))


@pytest.mark.parametrize(
  ('header', 'match'),
  [
    (b'{"a": ', 'header is damaged'),
    (b'\xff\xfe', 'header is damaged'),
    (b'[1]', 'header is damaged'),
    (b'{"a": 1}', "describes 'a' as 1"),
    (
      b'{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},'
      b' "a": {"dtype": "U8", "shape": [0], "data_offsets": [4, 4]}}',
      "its header names 'a' twice",
    ),
    (
      {'a': {'dtype': 'F8_E4M3', 'shape': [4], 'data_offsets': [0, 4]}},
      "the tensor 'a' is F8_E4M3",
    ),
    (
      {'a': {'dtype': 'U8', 'shape': [5], 'data_offsets': [0, 4]}},
      'cannot lie at bytes 0 to 4',
    ),
    (
      {'a': {'dtype': 'U8', 'shape': [-2, -2], 'data_offsets': [0, 4]}},
      "describes 'a' as",
    ),
    (
      {'a': {'dtype': 'U8', 'shape': ['x'], 'data_offsets': [0, 4]}},
      "describes 'a' as",
    ),
    (
      {'a': {'dtype': 'U8', 'shape': [4], 'data_offsets': [2, 6]}},
      "truncated, the tensor 'a' would end",
    ),
  ],
)
def test_damaged_header(tmp_path, header, match):
  path = tmp_path / pretrained.WEIGHTS_FILE
  _write_raw(path, header, b'1234')
  with _raises(f'{path}: .*{match}'):
    pretrained.read_safetensors(str(path))


def test_read_json_names_a_missing_file(tmp_path):
  with _raises('config.json: no such file'):
    pretrained.read_json(str(tmp_path / 'config.json'))


@pytest.mark.parametrize('sharded', [False, True])
def test_other_names_and_half_precision_copies(tmp_path, sharded):
  tensors = {name: np.full(2, i, np.float16) for i, name in enumerate('ab')}
  single, index = pretrained.weight_files('net', 'fp16')
  assert (single, index) == (
    'net.fp16.safetensors',
    'net.safetensors.index.fp16.json',
  )
  if sharded:
    shards = {
      n: f'net.fp16-0000{i}-of-00002.safetensors' for i, n in enumerate('ab', 1)
    }
    for name, shard in shards.items():
      safetensors.save_file({name: tensors[name]}, tmp_path / shard)
    with pytest.raises(errors.PastaError, match=f'but no {index}'):
      pretrained.read_weights(str(tmp_path), 'net', 'fp16')
    (tmp_path / index).write_text(json.dumps({'weight_map': shards}))
  else:
    safetensors.save_file(tensors, tmp_path / single)
  _assert_same(pretrained.read_weights(str(tmp_path), 'net', 'fp16'), tensors)
  with pytest.raises(errors.PastaError, match='neither net.safetensors nor'):
    pretrained.read_weights(str(tmp_path), 'net')
