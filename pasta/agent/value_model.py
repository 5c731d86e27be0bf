"""The trained value function: scores of candidates, values of states.

Letters: B sessions, C candidates.
"""

from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp

from pasta import errors
from pasta.agent import networks
from pasta.agent.history import CandidateSet, History

PyTree = Any


@flax.struct.dataclass
class ValueModel:
  """What a policy needs of value learning.

  Attributes:
    params: {'q': of Critic, 'v': of Value}, the online networks.
    constants: normalisation of the training sessions.
    settings: static shape of the networks.
    score: 'mean' or 'min' over the twin heads, static.
  """

  params: PyTree
  constants: networks.Constants
  settings: networks.NetworkSettings = flax.struct.field(pytree_node=False)
  score: str = flax.struct.field(pytree_node=False, default='mean')


def _states(model: ValueModel, history: History) -> networks.States:
  tokens = jax.vmap(networks.make_tokens, in_axes=(None, None, 0, 0, 0, 0, 0))(
    model.constants,
    model.settings.num_categories,
    history.initial_text,
    history.slate_text,
    history.slate_image,
    history.slate_category,
    history.choice,
  )
  # The belief counts at the current turn only: others are never read out.
  belief = jnp.broadcast_to(
    jnp.exp(history.log_belief)[:, None],
    (*tokens.shape[:2], history.log_belief.shape[-1]),
  )
  return networks.States(tokens, belief)


@jax.jit
def scores(
  model: ValueModel, history: History, candidates: CandidateSet
) -> jax.Array:
  """f(h, p) of every candidate: float32 [B, C], in units of return.

  Args:
    model: the value model.
    history: with leading [B]; turns below num_turns.
    candidates: with leading [B].
  """
  _check(model, history)
  chex.assert_equal_shape_prefix([history.turn, candidates.text], 1)
  items = networks.make_items(
    model.constants,
    model.settings.num_categories,
    history.log_belief,
    candidates.text,
    candidates.category,
    candidates.utility,
  )
  values = networks.Critic(model.settings).apply(
    {'params': model.params['q']},
    model.constants,
    _states(model, history),
    items,
    history.turn,
  )  # [J, B, C]
  return values.min(0) if model.score == 'min' else values.mean(0)


@jax.jit
def state_value(model: ValueModel, history: History) -> jax.Array:
  """v(h), [B], in units of return."""
  _check(model, history)
  values = networks.Value(model.settings).apply(
    {'params': model.params['v']}, model.constants, _states(model, history)
  )
  return jnp.take_along_axis(values, history.turn[:, None], 1)[:, 0]


def _check(model: ValueModel, history: History) -> None:
  """Refuses, while tracing, a history of other sizes than the training's."""
  s = model.settings
  given = (
    history.slate_text.shape[1],
    history.slate_text.shape[-1],
    history.log_belief.shape[-1],
  )
  expected = (s.num_turns, s.embedding_dim, s.num_types)
  if given != expected:
    raise errors.PastaError(
      f'history has (T, D, K) = {given}, the value function was trained on '
      f'{expected}'
    )


def blank(settings: networks.NetworkSettings, score: str) -> ValueModel:
  """A model of the right shapes, whose arrays mean nothing; for loading."""
  s = settings
  dim, turns = s.embedding_dim, s.num_turns
  constants = networks.Constants(
    text_mean=jnp.zeros(dim),
    text_scale=jnp.ones(dim),
    image_mean=jnp.zeros(dim),
    image_scale=jnp.ones(dim),
    utility_mean=jnp.zeros(()),
    utility_scale=jnp.ones(()),
    spread_mean=jnp.zeros(()),
    spread_scale=jnp.ones(()),
    return_mean=jnp.zeros(turns),
    return_scale=jnp.ones(()),
    slope=jnp.ones(()),
  )
  states = networks.States(
    tokens=jnp.zeros((1, turns, 4 * dim + s.num_categories)),
    belief=jnp.zeros((1, turns, s.num_types)),
  )
  items = networks.Items(
    features=jnp.zeros((1, turns, 1, dim + s.num_categories + 2)),
    mean=jnp.zeros((1, turns, 1)),
    spread=jnp.zeros((1, turns, 1)),
  )
  key = jax.random.key(0)
  params = {
    'q': networks.Critic(s).init(key, constants, states, items)['params'],
    'v': networks.Value(s).init(key, constants, states)['params'],
  }
  return ValueModel(params, constants, settings, score)
