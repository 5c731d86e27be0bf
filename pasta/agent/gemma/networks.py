"""f(h, p) and v(h) read off texts: a Gemma, and small heads on top of it.

They are what `networks.Critic` and `networks.Value` are of features, with the
same base, offsets and units. The belief, which no text tells, and a candidate's
expected utility with its spread enter behind the Gemma, at the heads.

f and v have a trained part of their own each: {'backbone': a LoRA, all
parameters, or nothing; 'head': of the values; and what the base adds}. The
frozen Gemma below is one for all, and an argument of its own.

Letters: N candidates of a state, S tokens of a text, W hidden size, K user
types, J twin heads, T turns.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from pasta.agent import inputs
from pasta.agent.gemma import backbone as gemma_backbone
from pasta.agent.gemma.base import GemmaSettings
from pasta.agent.history import Texts
from pasta.gemma import lora

PyTree = Any
_NUM_OF_ITEM = 2  # numbers beside an item's text: m and s


def init_params(
  key: jax.Array,
  constants: inputs.Constants,
  settings: inputs.NetworkSettings,
  pretrained_params: PyTree,
) -> PyTree:
  """Fresh parameters: {'q': of `critic`, 'v': of `value`}."""
  q_key, v_key = jax.random.split(key)
  s = settings
  q = _init_one(
    q_key, s, pretrained_params, _critic_head(s), s.num_types + _NUM_OF_ITEM
  )
  if s.base == 'myopic':
    q |= {'slope': constants.slope, 'bonus': jnp.zeros(())}
  v = _init_one(v_key, s, pretrained_params, _value_head(s), s.num_types)
  return {'q': q, 'v': v}


def critic(
  params: PyTree,
  frozen: PyTree,
  constants: inputs.Constants,
  settings: inputs.NetworkSettings,
  texts: Texts,
  belief: jax.Array,
  items: inputs.Items,
  turn: jax.Array,
) -> jax.Array:
  """f(h, p) in units of return.

  Args:
    params: of 'q' in `init_params`.
    frozen: of `gemma.base.Base`.
    constants: normalisation.
    settings: static shape.
    texts: [..., N], each candidate behind its state.
    belief: [..., K], probabilities over types.
    items: [..., N], of which m and s are read.
    turn: int [...].

  Returns:
    [J, ..., N].
  """
  chex.assert_equal_shape([texts.length, items.mean, items.spread])
  chex.assert_equal_shape([texts.length[..., 0], belief[..., 0], turn])
  belief = jnp.broadcast_to(
    _known(belief, settings)[..., None, :],
    (*texts.length.shape, belief.shape[-1]),
  )
  beside = [belief, items.mean[..., None], items.spread[..., None]]
  value = _critic_head(settings).apply(
    {'params': params['head']},
    _encode(params['backbone'], frozen, settings.gemma, texts),
    jnp.concatenate(beside, -1),
  )
  value += params['offset'][turn][..., None]
  if settings.base == 'myopic':
    value += params['slope'] * items.mean + params['bonus'] * items.spread
  return constants.return_mean[turn][..., None] + constants.return_scale * value


def value(
  params: PyTree,
  frozen: PyTree,
  constants: inputs.Constants,
  settings: inputs.NetworkSettings,
  texts: Texts,
  belief: jax.Array,
  turn: jax.Array,
) -> jax.Array:
  """v(h) [...] in units of return, from states as texts [...].

  The arguments are those of `critic`.
  """
  chex.assert_equal_shape([texts.length, belief[..., 0], turn])
  (out,) = _value_head(settings).apply(
    {'params': params['head']},
    _encode(params['backbone'], frozen, settings.gemma, texts),
    _known(belief, settings),
  )
  out += params['offset'][turn]
  return constants.return_mean[turn] + constants.return_scale * out


def _critic_head(settings: inputs.NetworkSettings) -> gemma_backbone.ValueHead:
  return gemma_backbone.ValueHead(
    settings.head_dims,
    settings.num_twins,
    is_zero_at_start=settings.base == 'myopic',
  )


def _value_head(settings: inputs.NetworkSettings) -> gemma_backbone.ValueHead:
  return gemma_backbone.ValueHead(settings.head_dims, num_twins=1)


def _init_one(
  key: jax.Array,
  settings: inputs.NetworkSettings,
  pretrained_params: PyTree,
  head: gemma_backbone.ValueHead,
  num_beside: int,
) -> dict[str, PyTree]:
  lora_key, head_key = jax.random.split(key)
  g = settings.gemma
  backbone = {}
  if g.tuning == 'lora':
    backbone = lora.init(lora_key, pretrained_params, g.rank, g.targets)
  elif g.tuning == 'full':
    backbone = pretrained_params
  encoding = jnp.zeros((1, g.architecture.hidden_size))
  beside = jnp.zeros((1, num_beside))
  return {
    'backbone': backbone,
    'head': head.init(head_key, encoding, beside)['params'],
    'offset': jnp.zeros(settings.num_turns),
  }


def _known(belief: jax.Array, settings: inputs.NetworkSettings) -> jax.Array:
  return jnp.zeros_like(belief) if settings.belief == 'off' else belief


def _encode(
  trained: PyTree, frozen: PyTree, settings: GemmaSettings, texts: Texts
) -> jax.Array:
  """Encodings [..., W], of at most chunk_texts texts at a time."""
  size = texts.ids.shape[-1]
  params, factors = frozen, None
  if settings.tuning == 'full':
    params = trained
  elif settings.tuning == 'lora':
    factors = trained

  def encode(ids, length):
    # A text of no token would be nothing to attend to.
    mask = jnp.arange(size) < jnp.maximum(length, 1)[:, None]
    return gemma_backbone.encode(
      settings.architecture,
      params,
      ids,
      mask,
      settings.dtype,
      remat=settings.remat,
      lora=factors,
      lora_scale=settings.lora_scale,
    )

  ids, length = texts.ids.reshape(-1, size), texts.length.reshape(-1)
  num, chunk = len(length), settings.chunk_texts
  if num <= chunk:
    encoding = encode(ids, length)
  else:
    fill = -num % chunk
    chunks = (
      jnp.pad(ids, ((0, fill), (0, 0))).reshape(-1, chunk, size),
      jnp.pad(length, (0, fill)).reshape(-1, chunk),
    )
    encoding = jax.lax.map(lambda x: encode(*x), chunks)
    encoding = encoding.reshape(num + fill, -1)[:num]
  return encoding.reshape(*texts.length.shape, -1)
