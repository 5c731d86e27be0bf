"""The small CLIP's model, losses and update: pure functions.

Two contrastive terms: the symmetric one of Radford et al. (2021, section 2.3)
between images and captions, and one between each image and the captions of
single values ('at dusk', 'at dawn', ...), slot by slot, which are the negatives
that a batch of rich captions hardly ever holds. Both reach the image tower
through a text tower that knows nothing yet, so linear heads that name each
slot's value help it in training (without them subject, setting and accent were
still near chance after 3,000 steps); they are thrown away afterwards.
"""

import zlib

import chex
import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import transformers

from pasta.t2i.sketch import lexicon
from pasta.types import PyTree

_MASKED = -1e9
_EMBEDDING_SCALE = 0.5
_MAX_LOG_SCALE = float(np.log(100.0))  # Radford et al., section 2.5.
# First and last phrase of each slot, in the order of the lexicon.
_SLOT_ENDS = np.cumsum((0, *lexicon.SLOT_SIZES))
NUM_PHRASES = int(_SLOT_ENDS[-1])


@flax.struct.dataclass
class Batch:
  """One step's data.

  Attributes:
    images: uint8 [B, H, W, 3].
    ids: tokens of the captions, int32 [B, tokens].
    mask: 1 = valid, int32 [B, tokens].
    scenes: int32 [B, S].
    named: whether a caption pins a slot's value, bool [B, S].
    phrase_ids: one caption for every value of every slot, int32 [V, tokens].
    phrase_mask: int32 [V, tokens].
  """

  images: jax.Array
  ids: jax.Array
  mask: jax.Array
  scenes: jax.Array
  named: jax.Array
  phrase_ids: jax.Array
  phrase_mask: jax.Array


@flax.struct.dataclass
class State:
  """What a checkpoint holds: the model, the linear heads, AdamW's moments."""

  params: PyTree
  heads: PyTree
  opt_state: optax.OptState


def init_heads(dim: int) -> dict[str, jax.Array]:
  """Linear maps from embeddings [.., dim] to all values of all slots."""
  return {
    'kernel': jnp.zeros((dim, NUM_PHRASES)),
    'bias': jnp.zeros((NUM_PHRASES,)),
    'regression': jnp.zeros((dim, NUM_PHRASES)),
    'regression_bias': jnp.zeros((NUM_PHRASES,)),
  }


def build_model(
  config: ml_collections.ConfigDict, vocab_size: int
) -> transformers.FlaxCLIPModel:
  """A CLIP of the configured size, without weights (see `init_params`).

  Args:
    config: field `model` of configs/train_clip.py.
    vocab_size: tokens; the last two are the start and the end, as in CLIP.

  Returns:
    The model, for its functions and its configuration.
  """
  text = {
    'hidden_size': config.text_width,
    'intermediate_size': config.text_mlp_dim,
    'num_hidden_layers': config.text_layers,
    'num_attention_heads': config.text_heads,
    'vocab_size': vocab_size,
    'max_position_embeddings': config.max_tokens,
    'bos_token_id': vocab_size - 2,
    # Flax CLIP pools at the first end token; an id of 2 would mean "largest".
    'eos_token_id': vocab_size - 1,
    'pad_token_id': vocab_size - 1,
  }
  vision = {
    'hidden_size': config.vision_width,
    'intermediate_size': config.vision_mlp_dim,
    'num_hidden_layers': config.vision_layers,
    'num_attention_heads': config.vision_heads,
    'image_size': config.image_size,
    'patch_size': config.patch_size,
  }
  dim = config.projection_dim
  clip_config = transformers.CLIPConfig(
    text_config={**text, 'projection_dim': dim},
    vision_config={**vision, 'projection_dim': dim},
    projection_dim=dim,
  )
  size = config.image_size
  return transformers.FlaxCLIPModel(
    clip_config, input_shape=((1, 8), (1, size, size, 3)), _do_init=False
  )


def init_params(key: chex.PRNGKey, model: transformers.FlaxCLIPModel) -> PyTree:
  """Random weights for a narrow model that is trained from scratch.

  Transformers draws all weights with a fixed deviation of about 0.01, made for
  wide pretrained models. Kernels get 1 / sqrt(fan-in) here, and those that
  write into the residual stream a further 1 / sqrt(2 · layers). Embeddings get
  the scale of what they are added to: positions of 0.01 would drown in patches
  of about 1, and an image would start out as a bag of patches.

  Args:
    key: typed key.
    model: from `build_model`.

  Returns:
    The parameters, float32.
  """
  # Transformers uses a key twice, which does not matter for shapes.
  with jax.debug_key_reuse(False):
    shapes = jax.eval_shape(
      lambda: model.init_weights(jax.random.key(0), model.input_shape)
    )
  num_layers = model.config.vision_config.num_hidden_layers

  def init(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator='.')
    if name == 'logit_scale':
      return jnp.float32(model.config.logit_scale_init_value)
    if name.endswith('.bias'):
      return jnp.zeros(leaf.shape)
    if name.endswith('.scale'):
      return jnp.ones(leaf.shape)
    scale = _EMBEDDING_SCALE
    if name.endswith('.kernel'):
      scale = 1.0 / np.sqrt(np.prod(leaf.shape[:-1]))
      if 'out_proj' in name or 'fc2' in name:
        scale /= np.sqrt(2.0 * num_layers)
    # Not hash(): it differs from process to process.
    subkey = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return scale * jax.random.normal(subkey, leaf.shape)

  return jax.tree_util.tree_map_with_path(init, shapes)


def make_optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """AdamW, linear warmup and cosine decay to zero; matrices decay only."""
  schedule = optax.warmup_cosine_decay_schedule(
    0.0,
    config.learning_rate,
    config.warmup_steps,
    max(config.num_steps, config.warmup_steps + 1),
  )
  return optax.chain(
    optax.clip_by_global_norm(config.max_grad_norm),
    optax.adamw(
      schedule,
      b2=config.adam_b2,
      weight_decay=config.weight_decay,
      mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params),
    ),
  )


def find_matches(scenes: jax.Array, named: jax.Array) -> jax.Array:
  """Which captions are true of which images.

  Args:
    scenes: the images' values, [B, S].
    named: whether caption i pins its own image's value, [B, S].

  Returns:
    bool [B captions, B images]; the diagonal is true.
  """
  chex.assert_equal_shape([scenes, named])
  same = scenes[:, None, :] == scenes[None, :, :]  # [B, B, S]
  return jnp.all(same | ~named[:, None, :], axis=-1)


def contrastive_loss(
  text: jax.Array, image: jax.Array, log_scale: jax.Array, matches: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Symmetric cross-entropy over a batch, without the false negatives.

  Args:
    text: unit vectors, [B, D].
    image: unit vectors, [B, D].
    log_scale: logarithm of the inverse temperature, [].
    matches: captions that are true of images, [B, B]; off the diagonal these
      are left out of both softmaxes.

  Returns:
    The loss and the share of captions that find their image, both [].
  """
  chex.assert_equal_shape([text, image])
  size = len(text)
  chex.assert_shape(matches, (size, size))
  own = jnp.eye(size, dtype=bool)
  logits = jnp.exp(log_scale) * text @ image.T  # [B captions, B images]
  logits = jnp.where(matches & ~own, _MASKED, logits)
  of_image = jnp.diagonal(jax.nn.log_softmax(logits, axis=1))
  of_text = jnp.diagonal(jax.nn.log_softmax(logits, axis=0))
  accuracy = jnp.mean(jnp.argmax(logits, axis=1) == jnp.arange(size))
  return -0.5 * jnp.mean(of_image + of_text), accuracy


def slot_loss(
  logits: jax.Array, scenes: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Cross-entropy of each slot's value among that slot's values.

  Args:
    logits: of every value of every slot, [B, V].
    scenes: true values, int [B, S].

  Returns:
    The mean over slots [] and the accuracy of every slot [S].
  """
  chex.assert_shape(logits, (len(scenes), NUM_PHRASES))
  chex.assert_shape(scenes, (len(logits), len(lexicon.SLOT_SIZES)))
  losses, hits = [], []
  for slot, size in enumerate(lexicon.SLOT_SIZES):
    start = _SLOT_ENDS[slot]
    of_slot = logits[:, start : start + size]
    losses.append(
      optax.softmax_cross_entropy_with_integer_labels(of_slot, scenes[:, slot])
    )
    hits.append(jnp.argmax(of_slot, axis=1) == scenes[:, slot])
  return jnp.mean(jnp.stack(losses)), jnp.mean(jnp.stack(hits), axis=1)


def regression_loss(
  unit: jax.Array, heads: dict[str, jax.Array], targets: jax.Array
) -> jax.Array:
  """Squared error of one-hot values as a linear map of unit vectors.

  Cross-entropy is content once classes can be told apart; a linear utility on
  frozen features needs the values themselves, which this asks for.

  Args:
    unit: unit vectors [B, D].
    heads: from `init_heads`.
    targets: one-hot values less their frequencies, [B, V].

  Returns:
    The mean over images of the error, in units of the targets' mean square.
  """
  chex.assert_shape(targets, (len(unit), NUM_PHRASES))
  # Coordinates of unit size, whatever the embedding's width.
  inputs = unit * jnp.sqrt(float(unit.shape[1]))
  error = inputs @ heads['regression'] + heads['regression_bias'] - targets
  weight = _value_weights(targets.dtype)
  return jnp.mean(jnp.sum(error**2 * weight, axis=1))


def value_targets(scenes: jax.Array, named: jax.Array) -> jax.Array:
  """Centred one-hot values [B, V]; zero in slots that are not named [B, S]."""
  columns = []
  for slot, size in enumerate(lexicon.SLOT_SIZES):
    one_hot = jax.nn.one_hot(scenes[:, slot], size)
    columns.append((one_hot - 1.0 / size) * named[:, slot, None])
  return jnp.concatenate(columns, axis=1)


def _value_weights(dtype: jnp.dtype) -> jax.Array:
  """One over the slots' number and their one-hots' variance, [V]."""
  return jnp.concatenate(
    [
      jnp.full((n,), 1.0 / (1.0 - 1.0 / n) / len(lexicon.SLOT_SIZES), dtype)
      for n in lexicon.SLOT_SIZES
    ]
  )


def phrase_loss(
  image: jax.Array, phrases: jax.Array, log_scale: jax.Array, scenes: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """`slot_loss` of the cosines between images and one phrase a value.

  Args:
    image: unit vectors, [B, D].
    phrases: unit vectors, [V, D].
    log_scale: logarithm of the inverse temperature, [].
    scenes: true values, int [B, S].
  """
  chex.assert_shape(phrases, (NUM_PHRASES, image.shape[1]))
  return slot_loss(jnp.exp(log_scale) * image @ phrases.T, scenes)


def update(
  state: State,
  batch: Batch,
  key: chex.PRNGKey,
  *,
  model: transformers.FlaxCLIPModel,
  optimizer: optax.GradientTransformation,
  phrase_weight: float,
  head_weight: float,
  regression_weight: float,
  pixel_mean: float,
  pixel_std: float,
) -> tuple[State, dict[str, jax.Array]]:
  """One step on one batch; the temperature is clipped afterwards.

  Args:
    state: parameters and optimiser state.
    batch: see `Batch`.
    key: flips a random half of the images left to right.
    model: gives the functions; its own parameters are not used.
    optimizer: from `make_optimizer`.
    phrase_weight: weight of `phrase_loss`.
    head_weight: weight of `slot_loss` by linear heads.
    regression_weight: weight of `regression_loss`, of images and of captions.
    pixel_mean: subtracted from pixels in [0, 1].
    pixel_std: divides them.

  Returns:
    The new state and metrics.
  """
  flip = jax.random.bernoulli(key, shape=(len(batch.images), 1, 1, 1))
  pixels = jnp.where(flip, batch.images[:, :, ::-1], batch.images)
  pixels = (pixels.astype(jnp.float32) / 255.0 - pixel_mean) / pixel_std
  pixels = jnp.transpose(pixels, (0, 3, 1, 2))

  def loss_fn(trained):
    params, heads = trained
    image = model.get_image_features(pixels, params=params)
    head, _ = slot_loss(image @ heads['kernel'] + heads['bias'], batch.scenes)
    image = _unit(image)
    text = _unit(model.get_text_features(batch.ids, batch.mask, params=params))
    phrases = _unit(
      model.get_text_features(
        batch.phrase_ids, batch.phrase_mask, params=params
      )
    )
    log_scale = params['logit_scale']
    pair, accuracy = contrastive_loss(
      text, image, log_scale, find_matches(batch.scenes, batch.named)
    )
    phrase, slot_accuracy = phrase_loss(image, phrases, log_scale, batch.scenes)
    everything = jnp.ones_like(batch.named)
    of_image, of_text = (
      regression_loss(unit, heads, value_targets(batch.scenes, named))
      for unit, named in ((image, everything), (text, batch.named))
    )
    loss = pair + phrase_weight * phrase + head_weight * head
    loss += regression_weight * (of_image + of_text)
    metrics = {
      'train/loss': loss,
      'train/contrastive_loss': pair,
      'train/phrase_loss': phrase,
      'train/head_loss': head,
      'train/image_regression_loss': of_image,
      'train/text_regression_loss': of_text,
      'train/retrieval': accuracy,
      'train/scale': jnp.exp(log_scale),
    }
    for slot, name in enumerate(lexicon.SLOT_NAMES):
      metrics[f'train/{name}'] = slot_accuracy[slot]
    return loss, metrics

  trained = (state.params, state.heads)
  grads, metrics = jax.grad(loss_fn, has_aux=True)(trained)
  updates, opt_state = optimizer.update(grads, state.opt_state, trained)
  params, heads = optax.apply_updates(trained, updates)
  params['logit_scale'] = jnp.clip(params['logit_scale'], 0.0, _MAX_LOG_SCALE)
  metrics['train/grad_norm'] = optax.tree.norm(grads)
  return State(params=params, heads=heads, opt_state=opt_state), metrics


def _unit(x: jax.Array) -> jax.Array:
  return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
