"""What the networks say of whole sessions, whatever backbone and credit.

Letters: B sessions of a batch, T turns, L slate columns, C candidates, J twin
heads.
"""

import jax
import jax.numpy as jnp
import ml_collections

from pasta.agent import backbones, inputs, networks, rivals
from pasta.agent.episodes import Episodes
from pasta.agent.settings import GemmaSettings, NetworkSettings
from pasta.types import PyTree


def network_inputs(
  episodes: Episodes,
  constants: inputs.Constants,
  settings: NetworkSettings,
) -> inputs.Read:
  """States [B, T] and slate items [B, T, L] of whole sessions."""
  tokens = inputs.tokens_of(constants, settings, episodes)
  lately = inputs.lately_of(constants, settings, episodes)
  items = inputs.make_items(
    constants,
    settings,
    episodes.log_belief,
    episodes.slate_text,
    episodes.slate_category,
    episodes.slate_utility,
    lately,
  )
  prompt = inputs.prompt_moments(
    constants, settings, episodes.log_belief, episodes.prompt_utility
  )
  states = inputs.States(
    tokens,
    jnp.exp(episodes.log_belief),
    prompt,
    inputs.lately_state(settings, lately, tokens.shape[:2]),
  )
  return states, items


def shown_values(
  params: PyTree,
  episodes: Episodes,
  constants: inputs.Constants,
  settings: NetworkSettings,
  frozen: PyTree = None,
  read: inputs.Read | None = None,
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
  read = read or network_inputs(episodes, constants, settings)
  return backbones.of(settings.backbone).shown_values(
    params, episodes, constants, settings, frozen, read
  )


def state_values(
  params: PyTree,
  episodes: Episodes,
  constants: inputs.Constants,
  settings: NetworkSettings,
  frozen: PyTree = None,
  read: inputs.Read | None = None,
) -> jax.Array:
  """v of the states before each turn: [B, T]. Arguments as `shown_values`."""
  read = read or network_inputs(episodes, constants, settings)
  return backbones.of(settings.backbone).state_values(
    params, episodes, constants, settings, frozen, read
  )


def pool_values(
  params: PyTree,
  episodes: Episodes,
  constants: inputs.Constants,
  settings: NetworkSettings,
  read: inputs.Read | None = None,
) -> jax.Array:
  """f of all logged candidates: [J, B, T, C]. Arguments as `shown_values`.

  Of networks on features alone: the texts of pools are not kept.
  """
  states, _ = read or network_inputs(episodes, constants, settings)
  pool = episodes.pool
  items = inputs.make_items(
    constants,
    settings,
    episodes.log_belief,
    pool.text,
    pool.category,
    pool.utility,
    inputs.lately_of(constants, settings, episodes),
  )
  return networks.Critic(settings).apply(
    {'params': params}, constants, states, items
  )


def settings_of(
  config: ml_collections.ConfigDict,
  example: Episodes,
  gemma: GemmaSettings | None = None,
) -> NetworkSettings:
  """Static network shape from the config, the data's sizes and the Gemma."""
  rivals.check(config.backup, config.credit, example.pool is not None)
  _, num_turns, _, dim = example.slate_text.shape
  return NetworkSettings(
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
    history=config.history,
    projection_dim=config.projection_dim,
    item_text=config.item_text,
    tiring=config.tiring,
    gemma=gemma,
  )
