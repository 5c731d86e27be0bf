"""Gemma from disk: every layout gives the same parameters; what goes wrong."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_gemma

from pasta import errors, pretrained
from pasta.gemma import model as gemma_model


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  directory = tiny_gemma.write(tmp_path_factory.mktemp('gemma'))
  return gemma_model.load(str(directory), jnp.float32)


def _raises(match):
  return pytest.raises(errors.PastaError, match=match)


def test_one_file_and_shards_are_the_same(tmp_path, model):
  directory = tiny_gemma.write(tmp_path, num_shards=1)
  _, params, _ = gemma_model.load(str(directory), jnp.float32)
  chex.assert_trees_all_equal(params, model[1])


def test_values_by_hand(model):
  tensors = tiny_gemma.tensors()
  layer = model[1]['layers']['1']
  np.testing.assert_array_equal(
    layer['self_attn']['k_proj']['kernel'],
    tensors['model.layers.1.self_attn.k_proj.weight'].T,
  )
  np.testing.assert_array_equal(
    layer['input_layernorm']['weight'],
    tensors['model.layers.1.input_layernorm.weight'],
  )
  np.testing.assert_array_equal(
    model[1]['embed_tokens']['embedding'], tensors['model.embed_tokens.weight']
  )


@pytest.mark.parametrize('stored', ['float32', 'bfloat16'])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_load_casts(tmp_path, stored, dtype):
  directory = tiny_gemma.write(tmp_path, dtype=stored, num_shards=3)
  _, params, _ = gemma_model.load(str(directory), dtype)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
  expected = tiny_gemma.tensors(dtype=stored)['model.norm.weight'].astype(dtype)
  np.testing.assert_array_equal(params['norm']['weight'], expected)


def test_other_names_of_the_same_tensors(model):
  """GemmaModel's names have no prefix; old files hold frequencies."""
  tensors = {
    name.removeprefix('model.'): x for name, x in tiny_gemma.tensors().items()
  }
  tensors['lm_head.weight'] = tensors['embed_tokens.weight']
  tensors['layers.0.self_attn.rotary_emb.inv_freq'] = np.zeros(4)
  params = gemma_model.convert(model[0], tensors, jnp.float32, 'here')
  chex.assert_trees_all_equal(params, model[1])


def _edit_config(directory, **fields):
  path = directory / 'config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _edit_weights(directory, change):
  (directory / pretrained.INDEX_FILE).unlink()
  tensors = tiny_gemma.tensors()
  change(tensors)
  tiny_gemma.write_weights(directory, tensors, 1)


def _replace(name, x):
  return lambda d: _edit_weights(d, lambda tensors: tensors.update({name: x}))


_LAYER = 'model.layers.0.mlp.up_proj.weight'


@pytest.mark.parametrize(
  ('damage', 'match'),
  [
    (lambda d: (d / 'config.json').unlink(), 'config.json: no such file'),
    (lambda d: (d / 'config.json').write_text('{'), 'not readable as JSON'),
    (
      lambda d: _edit_config(d, model_type='gemma2'),
      "model_type is 'gemma2', expected 'gemma'",
    ),
    (lambda d: _edit_config(d, rope_theta=5e5), 'rope_theta is 500000.0'),
    (lambda d: _edit_config(d, vocab_size=150), '200 tokens, but config.json'),
    (
      lambda d: _edit_config(d, num_hidden_layers=3),
      r'missing tensors: model.layers.2.input.*, .* and 4 more$',
    ),
    (
      lambda d: _edit_config(d, num_hidden_layers=1),
      r'unknown tensors: model.layers.1.input.*, .* and 4 more$',
    ),
    (lambda d: (d / 'tokenizer.json').unlink(), 'tokenizer.json: no such file'),
    (
      lambda d: (d / 'tokenizer.json').write_text('{}'),
      'tokenizer.json: not a tokenizer',
    ),
    (
      lambda d: _edit_weights(d, lambda t: t.pop(_LAYER)),
      f'missing tensor: {_LAYER}$',
    ),
    (_replace('model.extra', np.zeros(1)), 'unknown tensor: model.extra$'),
    (
      _replace(_LAYER, np.zeros((32, 48))),
      rf'wrongly shaped tensor: {_LAYER} \(32, 48\) \(expected \(48, 32\)\)$',
    ),
  ],
)
def test_load_refuses(tmp_path, damage, match):
  directory = tiny_gemma.write(tmp_path)
  damage(directory)
  with _raises(f'{directory}.*{match}'):
    gemma_model.load(str(directory))


def test_load_names_a_missing_directory():
  with _raises('/no/where: no such model directory'):
    gemma_model.load('/no/where')
