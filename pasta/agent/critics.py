"""What the networks say of whole sessions, whatever backbone and credit.

Letters: B sessions of a batch, T turns, L slate columns, C candidates, J twin
heads.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from pasta.agent import inputs, networks, rivals, slate_critic
from pasta.agent.episodes import Episodes
from pasta.agent.gemma import networks as gemma_networks
from pasta.agent.gemma.base import Base

PyTree = Any
Read = tuple[inputs.States, inputs.Items]  # what the networks read


def network_inputs(
  episodes: Episodes,
  constants: inputs.Constants,
  settings: inputs.NetworkSettings,
) -> Read:
  """States [B, T] and slate items [B, T, L] of whole sessions."""
  tokens = jax.vmap(inputs.make_tokens, in_axes=(None, None, 0, 0, 0, 0, 0))(
    constants,
    settings.num_categories,
    episodes.initial_text,
    episodes.slate_text,
    episodes.slate_image,
    episodes.slate_category,
    episodes.choice,
  )
  items = inputs.make_items(
    constants,
    settings,
    episodes.log_belief,
    episodes.slate_text,
    episodes.slate_category,
    episodes.slate_utility,
  )
  return inputs.States(tokens, jnp.exp(episodes.log_belief)), items


def shown_values(
  params: PyTree,
  episodes: Episodes,
  constants: inputs.Constants,
  settings: inputs.NetworkSettings,
  frozen: PyTree = None,
  read: Read | None = None,
) -> jax.Array:
  """What the critic says of the slates that were shown.

  Args:
    params: of the critic.
    episodes: B sessions.
    constants: normalisation.
    settings: static shape of the networks.
    frozen: of the backbone 'gemma' (`gemma.base.Base`).
    read: what `network_inputs` returns, where it is at hand.

  Returns:
    f of each column [J, B, T, L]; for credit 'slate' q of the slate's first
    1, …, L columns.
  """
  states, items = read or network_inputs(episodes, constants, settings)
  if settings.backbone == 'gemma':
    return gemma_networks.critic(
      params,
      frozen,
      constants,
      settings,
      episodes.texts.shown,
      states.belief,
      items,
      _turns(episodes),
    )
  if settings.credit != 'slate':
    critic = networks.Critic(settings)
    return critic.apply({'params': params}, constants, states, items)
  slates = slate_critic.prefixes(items, episodes.expected, constants)
  critic = slate_critic.SlateCritic(settings)
  return critic.apply({'params': params}, constants, states, slates)


def state_values(
  params: PyTree,
  episodes: Episodes,
  constants: inputs.Constants,
  settings: inputs.NetworkSettings,
  frozen: PyTree = None,
  read: Read | None = None,
) -> jax.Array:
  """v of the states before each turn: [B, T]. Arguments as `shown_values`."""
  states, _ = read or network_inputs(episodes, constants, settings)
  if settings.backbone == 'gemma':
    return gemma_networks.value(
      params,
      frozen,
      constants,
      settings,
      episodes.texts.state,
      states.belief,
      _turns(episodes),
    )
  return networks.Value(settings).apply({'params': params}, constants, states)


def _turns(episodes: Episodes) -> jax.Array:
  """The number of every turn: int [B, T]."""
  shape = episodes.valid.shape
  return jnp.broadcast_to(jnp.arange(shape[1]), shape)


def pool_values(
  params: PyTree,
  episodes: Episodes,
  constants: inputs.Constants,
  settings: inputs.NetworkSettings,
  read: Read | None = None,
) -> jax.Array:
  """f of all logged candidates: [J, B, T, C]. Arguments as `shown_values`."""
  states, _ = read or network_inputs(episodes, constants, settings)
  pool = episodes.pool
  items = inputs.make_items(
    constants,
    settings,
    episodes.log_belief,
    pool.text,
    pool.category,
    pool.utility,
  )
  return networks.Critic(settings).apply(
    {'params': params}, constants, states, items
  )


def settings_of(
  config: ml_collections.ConfigDict,
  example: Episodes,
  base: Base | None = None,
) -> inputs.NetworkSettings:
  """Static network shape from the config, the data's sizes and the Gemma."""
  rivals.check(config.backup, config.credit, example.pool is not None)
  _, num_turns, _, dim = example.slate_text.shape
  return inputs.NetworkSettings(
    backbone=config.backbone,
    base=config.base,
    width=config.width,
    num_layers=config.num_layers,
    num_heads=config.num_heads,
    head_dims=tuple(config.head_dims),
    num_twins=config.num_twins,
    num_turns=num_turns,
    num_categories=config.num_categories,
    embedding_dim=dim,
    num_types=example.log_belief.shape[-1],
    credit=config.credit,
    belief=config.belief,
    gemma=None if base is None else base.settings,
  )


def init_params(
  key: jax.Array,
  constants: inputs.Constants,
  settings: inputs.NetworkSettings,
  pretrained: PyTree = None,
) -> PyTree:
  """Fresh parameters: {'q': of the critic, 'v': of Value}.

  Those of the backbone 'gemma' start from the pretrained ones.
  """
  s = settings
  if s.backbone == 'gemma':
    return gemma_networks.init_params(key, constants, s, pretrained)
  states = inputs.States(
    tokens=jnp.zeros((1, s.num_turns, 4 * s.embedding_dim + s.num_categories)),
    belief=jnp.zeros((1, s.num_turns, s.num_types)),
  )
  shape = (1, s.num_turns, 1)
  items = inputs.Items(
    features=jnp.zeros((*shape, s.embedding_dim + s.num_categories + 2)),
    mean=jnp.zeros(shape),
    spread=jnp.zeros(shape),
  )
  q_key, v_key = jax.random.split(key)
  if s.credit == 'slate':
    slates = slate_critic.prefixes(items, jnp.zeros(shape), constants)
    q = slate_critic.SlateCritic(s).init(q_key, constants, states, slates)
  else:
    q = networks.Critic(s).init(q_key, constants, states, items)
  v = networks.Value(s).init(v_key, constants, states)
  return {'q': q['params'], 'v': v['params']}
