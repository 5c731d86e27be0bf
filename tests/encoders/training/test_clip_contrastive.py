"""Losses of the small CLIP, by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import train_clip as config_file
from pasta.encoders.training import clip_metrics, contrastive
from pasta.t2i.sketch import lexicon


class ByHandTest(chex.TestCase):
  """Losses and their parts, compiled and not."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_contrastive_loss_by_hand(self):
    # Unit scale; cosines [[1, 0], [0, -1]].
    text = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    image = jnp.array([[1.0, 0.0], [0.0, -1.0]])
    loss, accuracy = self.variant(contrastive.contrastive_loss)(
      text, image, jnp.array(0.0), jnp.eye(2, dtype=bool)
    )
    # Pair 0: log(e / (e + 1)) twice; pair 1: log(e^-1 / (1 + e^-1)) twice.
    expected = -0.5 * (np.log(np.e / (np.e + 1)) - np.log(1 + np.e))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert accuracy == 0.5

  @chex.variants(with_jit=True, without_jit=True)
  def test_all_captions_true_of_all_images_give_no_loss(self):
    rng = np.random.default_rng(0)
    text, image = jnp.array(rng.normal(size=(2, 3, 4)), jnp.float32)
    everything = jnp.ones((3, 3), bool)
    loss, _ = self.variant(contrastive.contrastive_loss)(
      text, image, jnp.array(2.0), everything
    )
    np.testing.assert_allclose(loss, 0.0, atol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_find_matches(self):
    scenes = jnp.array([[0, 1, 2], [0, 1, 3], [0, 2, 2]])
    named = jnp.array([[1, 1, 0], [1, 1, 1], [1, 0, 0]], bool)
    # Caption 0 says (0, 1, ·): images 0, 1. Caption 1 says (0, 1, 3): image 1.
    # Caption 2 says (0, ·, ·): all.
    expected = [[1, 1, 0], [0, 1, 0], [1, 1, 1]]
    np.testing.assert_array_equal(
      self.variant(contrastive.find_matches)(scenes, named), expected
    )


def test_true_captions_of_other_images_are_no_negatives():
  rng = np.random.default_rng(0)
  text, image = jnp.array(rng.normal(size=(2, 3, 4)), jnp.float32)
  other = image.at[1].set(-2.0 * image[1])
  own = jnp.eye(3, dtype=bool)
  also_true = own.at[0, 1].set(True)

  @jax.jit
  @jax.grad
  def gradient(text, image, matches):
    return contrastive.contrastive_loss(text, image, jnp.array(1.0), matches)[0]

  # Caption 0 is true of image 1: image 1 must not move it.
  np.testing.assert_allclose(
    gradient(text, image, also_true)[0],
    gradient(text, other, also_true)[0],
    atol=1e-6,
  )
  difference = gradient(text, image, own)[0] - gradient(text, other, own)[0]
  assert np.abs(difference).max() > 0.01


def test_regression_loss_is_one_for_no_map_and_zero_for_the_right_one():
  rng = np.random.default_rng(0)
  sizes, dim = lexicon.SLOT_SIZES, contrastive.NUM_PHRASES
  scenes = jnp.stack([rng.integers(0, n, 6) for n in sizes], 1)
  targets = jax.jit(contrastive.value_targets)(
    scenes, jnp.ones(scenes.shape, bool)
  )
  heads = contrastive.init_heads(dim)
  norm = jnp.linalg.norm(targets, axis=1, keepdims=True)
  unit = targets / norm
  # One-hots of n values have mean square 1 − 1/n around 1/n: the unit of loss.
  loss = jax.jit(contrastive.regression_loss)
  none = loss(unit, heads, targets)
  np.testing.assert_allclose(none, 1.0, rtol=1e-5)
  heads['regression'] = jnp.eye(dim) * norm[0] / jnp.sqrt(float(dim))
  right = loss(unit, heads, targets)
  np.testing.assert_allclose(right, 0.0, atol=1e-5)


def test_losses_reject_wrong_shapes():
  x = jnp.zeros((2, 3))
  with pytest.raises(AssertionError):
    contrastive.contrastive_loss(x, x, 0.0, jnp.ones((2, 3), bool))
  with pytest.raises(AssertionError):
    contrastive.phrase_loss(x, x, 0.0, jnp.zeros((2, 8), jnp.int32))


def test_retrieval_of_known_vectors():
  eye = np.eye(100, dtype=np.float32)
  options = {'num_choices': 64, 'num_draws': 20}
  assert clip_metrics.retrieval(eye, eye, **options) == (1.0, 1.0)
  shuffled = eye[::-1].copy()
  assert clip_metrics.retrieval(eye, shuffled, **options)[0] < 0.1
  with pytest.raises(ValueError, match='100 pairs'):
    clip_metrics.retrieval(eye, eye, num_choices=101)


def test_probe_and_zero_shot_read_what_is_there():
  rng = np.random.default_rng(0)
  sizes = lexicon.SLOT_SIZES
  scenes = np.stack([rng.integers(0, n, 1200) for n in sizes], 1)
  # Slot 0 and slot 7 are in the vectors, the others are not.
  image = np.concatenate(
    [np.eye(sizes[0])[scenes[:, 0]], np.eye(sizes[7])[scenes[:, 7]]], 1
  ).astype(np.float32)
  probe = clip_metrics.linear_probe(image, scenes, num_train=900, num_steps=200)
  assert probe['subject'] == 1.0
  assert probe['subject_group'] == 1.0
  assert probe['accent'] == 1.0
  assert probe['style'] < 0.3
  phrases = [np.zeros((n, image.shape[1])) for n in sizes]
  phrases[0] = np.eye(sizes[0], image.shape[1])
  zero_shot = clip_metrics.zero_shot(image, phrases, scenes)
  assert zero_shot['subject'] == 1.0
  assert zero_shot['accent'] < 0.5


def test_initial_weights_have_the_scale_of_their_inputs():
  config = config_file.get_config('smoke').model
  model = contrastive.build_model(config, vocab_size=600)
  params = jax.jit(lambda key: contrastive.init_params(key, model))(
    jax.random.key(0)
  )
  vision = params['vision_model']
  layer = vision['encoder']['layers']['0']
  # 1 / sqrt(fan-in); into the residual stream a further 1 / sqrt(2 · 1).
  width, mlp = config.vision_width, config.vision_mlp_dim
  for kernel, scale in (
    (layer['mlp']['fc1']['kernel'], width**-0.5),
    (layer['mlp']['fc2']['kernel'], (2 * mlp) ** -0.5),
    (layer['self_attn']['q_proj']['kernel'], width**-0.5),
    (layer['self_attn']['out_proj']['kernel'], (2 * width) ** -0.5),
    (vision['embeddings']['patch_embedding']['kernel'], 768**-0.5),
    (vision['embeddings']['position_embedding']['embedding'], 0.5),
  ):
    np.testing.assert_allclose(np.std(kernel), scale, rtol=0.1)
  assert not layer['mlp']['fc1']['bias'].any()
  assert (layer['layer_norm1']['scale'] == 1.0).all()


def test_phrase_loss_by_hand():
  num = contrastive.NUM_PHRASES
  assert num == sum(lexicon.SLOT_SIZES)
  phrases = jnp.eye(num)
  starts = np.cumsum((0, *lexicon.SLOT_SIZES))[:-1]
  # The image has cosine 1 with the first phrase of slot 0, else 0.
  image = jnp.eye(num)[:1]
  scenes = jnp.zeros((1, len(starts)), jnp.int32)
  phrase_loss = jax.jit(contrastive.phrase_loss)
  loss, hits = phrase_loss(image, phrases, 0.0, scenes)
  first = -np.log(np.e / (np.e + lexicon.SLOT_SIZES[0] - 1))
  others = np.log(np.array(lexicon.SLOT_SIZES[1:]))
  np.testing.assert_allclose(
    loss, (first + others.sum()) / len(starts), rtol=1e-5
  )
  assert hits[0] == 1.0
  wrong = scenes.at[0, 0].set(1)
  assert phrase_loss(image, phrases, 0.0, wrong)[1][0] == 0.0


def test_value_targets_are_centred_and_masked():
  sizes = lexicon.SLOT_SIZES
  scenes = jnp.zeros((1, len(sizes)), jnp.int32)
  named = jnp.zeros((1, len(sizes)), bool).at[0, 1].set(True)
  targets = jax.jit(contrastive.value_targets)(scenes, named)[0]
  start = sizes[0]
  of_slot = targets[start : start + sizes[1]]
  np.testing.assert_allclose(of_slot[0], 1 - 1 / sizes[1], rtol=1e-6)
  np.testing.assert_allclose(of_slot.sum(), 0.0, atol=1e-6)
  assert jnp.abs(targets).sum() == jnp.abs(of_slot).sum()


def test_slot_loss_moves_the_logits_of_each_slot_on_its_own():
  starts = np.cumsum((0, *lexicon.SLOT_SIZES))
  scenes = jnp.zeros((1, 8), jnp.int32)
  logits = jnp.zeros((1, contrastive.NUM_PHRASES))
  gradient = jax.jit(jax.grad(lambda z: contrastive.slot_loss(z, scenes)[0]))(
    logits
  )
  for start, size in zip(starts, lexicon.SLOT_SIZES, strict=False):
    # Softmax minus one-hot, over the 8 slots.
    expected = (np.full(size, 1.0 / size) - np.eye(size)[0]) / 8
    np.testing.assert_allclose(
      gradient[0, start : start + size], expected, atol=1e-6
    )
