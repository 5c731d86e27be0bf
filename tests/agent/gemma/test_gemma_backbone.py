"""Gemma as a backbone: encodings, LoRA, heads, and learning from text."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_gemma
import transformers
from flax import traverse_util

from pasta import errors
from pasta.agent.gemma import backbone as gemma_backbone
from pasta.agent.gemma import text as gemma_text
from pasta.gemma import lora
from pasta.gemma import model as gemma_model

_STATE = gemma_text.describe_state('a cat', (), 5)
_PROMPTS = ('two dogs', 'a cat, oil painting', 'an old house', 'the rain')
_WIDTH = tiny_gemma.CONFIG['hidden_size']


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  return tiny_gemma.write(tmp_path_factory.mktemp('gemma') / 'sharded')


@pytest.fixture(scope='module')
def model(directory):
  return gemma_model.load(str(directory), jnp.float32)


@pytest.fixture(scope='module')
def encode(model):
  return jax.jit(
    functools.partial(gemma_backbone.encode, model[0]),
    static_argnames=('dtype', 'remat'),
  )


def _tokens(tokenizer, max_length=64):
  candidates = [gemma_text.describe_candidate(p, 'style') for p in _PROMPTS]
  ids, mask = gemma_text.tokenise(tokenizer, [_STATE], [candidates], max_length)
  return ids[0], mask[0]


def _raises(match):
  return pytest.raises(errors.PastaError, match=match)


def test_same_as_transformers(tmp_path, model, encode):
  """Transformers loads one file itself, by a conversion of its own."""
  config, params, tokenizer = model
  directory = tiny_gemma.write(tmp_path, num_shards=1)
  reference = transformers.FlaxGemmaForCausalLM.from_pretrained(directory)
  chex.assert_trees_all_equal(params, reference.params['model'])
  ids, mask = _tokens(tokenizer)
  positions = np.maximum(mask.cumsum(-1) - 1, 0)
  out = reference(ids, mask, positions, output_hidden_states=True)
  last = mask.sum(-1) - 1
  assert len(set(last)) > 1
  rows = np.arange(len(ids))
  got = encode(params, ids, mask, dtype=jnp.float32)
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(
    got, out.hidden_states[-1][rows, last], rtol=1e-5, atol=1e-5
  )
  # Gemma's output layer is its embedding.
  np.testing.assert_allclose(
    got @ params['embed_tokens']['embedding'].T,
    out.logits[rows, last],
    rtol=1e-4,
    atol=1e-4,
  )


def test_padding_changes_nothing(model, encode):
  _, params, tokenizer = model
  ids, mask = _tokens(tokenizer)
  expected = encode(params, ids, mask, dtype=jnp.float32)
  rng = np.random.default_rng(0)
  noise = np.where(mask == 1, ids, rng.integers(0, 200, ids.shape))
  np.testing.assert_array_equal(
    encode(params, noise, mask, dtype=jnp.float32), expected
  )
  longer = [np.pad(x, ((0, 0), (0, 40))) for x in (ids, mask)]
  np.testing.assert_allclose(
    encode(params, *longer, dtype=jnp.float32), expected, atol=1e-5
  )
  length = mask[0].sum()
  np.testing.assert_allclose(
    encode(params, ids[0, :length], mask[0, :length], dtype=jnp.float32),
    expected[0],
    atol=1e-5,
  )


def test_leading_axes_jit_and_vmap_agree(model, encode):
  _, params, tokenizer = model
  ids, mask = map(jnp.asarray, _tokens(tokenizer))
  flat = encode(params, ids, mask, dtype=jnp.float32)
  plain = functools.partial(encode, params, dtype=jnp.float32)
  grouped = plain(ids.reshape(2, 1, 2, -1), mask.reshape(2, 1, 2, -1) == 1)
  assert grouped.shape == (2, 1, 2, _WIDTH)
  np.testing.assert_allclose(grouped.reshape(4, -1), flat, atol=1e-5)
  np.testing.assert_allclose(jax.vmap(plain)(ids, mask), flat, atol=1e-5)


def test_empty_rows_are_finite(model, encode):
  ids = jnp.zeros((2, 8), jnp.int32)
  out = encode(model[1], ids, ids, dtype=jnp.bfloat16)
  assert np.isfinite(out).all()


def test_bfloat16_is_close(model, encode):
  _, params, tokenizer = model
  ids, mask = _tokens(tokenizer)
  exact = encode(params, ids, mask, dtype=jnp.float32)
  small = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
  for p in (params, small):
    out = encode(p, ids, mask, dtype=jnp.bfloat16)
    assert out.dtype == jnp.float32
    error = np.linalg.norm(out - exact, axis=-1)
    assert (error < 0.03 * np.linalg.norm(exact, axis=-1)).all()


def test_remat_changes_memory_only(model, encode):
  _, params, tokenizer = model
  ids, mask = _tokens(tokenizer)

  def loss(params, remat):
    return (
      encode(params, ids, mask, dtype=jnp.float32, remat=remat) ** 2
    ).sum()

  gradient = jax.jit(jax.value_and_grad(loss), static_argnums=1)
  plain, checkpointed = gradient(params, False), gradient(params, True)
  chex.assert_trees_all_close(plain, checkpointed, rtol=1e-4, atol=1e-4)
  # Every parameter counts.
  assert all(jnp.any(g != 0) for g in jax.tree.leaves(plain[1]))
  assert 'remat' in str(jax.make_jaxpr(loss, static_argnums=1)(params, True))


def test_too_many_tokens(model):
  ids = jnp.zeros((1, 129), jnp.int32)
  with _raises('129 tokens, but this Gemma has 128 positions'):
    gemma_backbone.encode(model[0], model[1], ids, ids)


def test_lora_starts_as_the_base(model, encode):
  params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model[1])
  tree = lora.init(jax.random.key(0), params, 4)
  assert set(tree['layers']['1']['self_attn']) == set(lora.TARGETS)
  assert set(tree['layers']['1']) == {'self_attn'}
  factors = tree['layers']['0']['self_attn']['k_proj']
  assert factors['a'].shape == (_WIDTH, 4) and factors['b'].shape == (4, 8)
  assert {x.dtype for x in jax.tree.leaves(tree)} == {jnp.dtype(jnp.float32)}
  # Two kernels of one shape differ.
  other = tree['layers']['1']['self_attn']['k_proj']
  assert not np.allclose(factors['a'], other['a'])
  ids, mask = _tokens(model[2])
  np.testing.assert_array_equal(
    encode(params, ids, mask, lora=tree, lora_scale=2.0),
    encode(params, ids, mask),
  )


def _merged(params, tree, scale):
  """The kernels that a LoRA stands for, W + scale · A B."""
  params = traverse_util.flatten_dict(params)
  factors = traverse_util.flatten_dict(tree)
  for *path, name in factors:
    if name == 'a':
      product = factors[*path, 'a'] @ factors[*path, 'b']
      params[*path, 'kernel'] += scale * product
  return traverse_util.unflatten_dict(params)


def test_lora_is_a_sum_of_kernels(model, encode):
  _, params, tokenizer = model
  ids, mask = _tokens(tokenizer)
  every = {
    path[-2]
    for path in traverse_util.flatten_dict(params)
    if path[-1] == 'kernel'
  }
  assert len(every) == 7
  tree = lora.init(jax.random.key(0), params, 2, sorted(every))
  tree = jax.tree.map(lambda x: x + 0.1, tree)
  plain = functools.partial(encode, ids=ids, mask=mask, dtype=jnp.float32)
  got = plain(params, lora=tree, lora_scale=0.5)
  np.testing.assert_allclose(
    got, plain(_merged(params, tree, 0.5)), rtol=1e-4, atol=1e-4
  )
  assert np.abs(got - plain(params)).max() > 0.1


def test_lora_by_hand():
  # x = [1, 2], W = 1: x W = [3, 3]; A = [[1], [2]]: x A = 5; B = [[10, 20]]:
  # half of [50, 100] is added.
  params = {'params': {'kernel': jnp.ones((2, 2))}}
  tree = {'a': jnp.array([[1.0], [2.0]]), 'b': jnp.array([[10.0, 20.0]])}
  layer, x = nn.Dense(2, use_bias=False), jnp.array([1.0, 2.0])
  with lora.applied(tree, 0.5):
    np.testing.assert_array_equal(layer.apply(params, x), [28, 53])
  np.testing.assert_array_equal(layer.apply(params, x), [3, 3])


def test_lora_gradients_at_the_start(model):
  """B's are not zero; A's are, as A is multiplied by B = 0."""
  config, params, tokenizer = model
  ids, mask = _tokens(tokenizer)
  tree = lora.init(jax.random.key(0), params, 2, ('q_proj', 'down_proj'))

  @jax.jit
  def gradient(tree):
    def loss(tree):
      return gemma_backbone.encode(
        config, params, ids, mask, jnp.float32, lora=tree
      ).sum()

    return jax.grad(loss)(tree)

  start = gradient(tree)
  for path, g in jax.tree_util.tree_leaves_with_path(start):
    assert bool(jnp.any(g != 0)) == (path[-1].key == 'b')
  moved = jax.tree.map(lambda x, g: x + 0.01 * g, tree, start)
  assert all(jnp.any(g != 0) for g in jax.tree.leaves(gradient(moved)))


def test_lora_refuses(model):
  with _raises('LoRA of rank 0'):
    lora.init(jax.random.key(0), model[1], 0)
  with _raises("LoRA target 'query': this model has down_proj, .*q_proj"):
    lora.init(jax.random.key(0), model[1], 1, ('q_proj', 'query'))


def test_value_head():
  encoding = 30 * jax.random.normal(jax.random.key(1), (2, 3, _WIDTH))
  beside = jnp.ones((2, 3, 5))
  head = gemma_backbone.ValueHead((8, 4), 2)
  value, _ = jax.jit(head.init_with_output)(
    jax.random.key(0), encoding.astype(jnp.bfloat16), beside
  )
  assert value.shape == (2, 2, 3) and value.dtype == jnp.float32
  assert not value.any()
  head = gemma_backbone.ValueHead((8,), 3, is_zero_at_start=False)
  value, _ = jax.jit(head.init_with_output)(jax.random.key(0), encoding, beside)
  assert value.shape == (3, 2, 3)
  # Twins start differently, and at the scale of one.
  assert not np.allclose(value[0], value[1])
  assert 0.1 < np.std(value) < 3
