"""Gemma as one of the backbones that `agent.backbones` knows.

Letters: B sessions, T turns.
"""

import jax
import jax.numpy as jnp

from pasta import errors
from pasta.agent.episodes import Episodes
from pasta.agent.gemma import base as gemma_base
from pasta.agent.gemma import networks as gemma_networks
from pasta.gemma import model as gemma_model


class GemmaBackbone:
  """A pretrained Gemma on texts; credits 'mean' and 'choice'."""

  def init_params(self, key, constants, settings, pretrained=None):
    """See Backbone; they start from the pretrained ones."""
    return gemma_networks.init_params(key, constants, settings, pretrained)

  def shown_values(self, params, episodes, constants, settings, frozen, read):
    """See Backbone."""
    states, items = read
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

  def state_values(self, params, episodes, constants, settings, frozen, read):
    """See Backbone."""
    states, _ = read
    return gemma_networks.value(
      params,
      frozen,
      constants,
      settings,
      episodes.texts.state,
      states.belief,
      _turns(episodes),
    )

  def candidate_values(
    self, params, history, candidates, constants, settings, frozen, items
  ):
    """See Backbone.

    Raises:
      PastaError: the candidates have no texts.
    """
    if candidates.texts is None:
      raise errors.PastaError(
        "a value function with backbone 'gemma' reads texts, and was given "
        'features alone'
      )
    return gemma_networks.critic(
      params,
      frozen,
      constants,
      settings,
      candidates.texts,
      jnp.exp(history.log_belief),
      items,
      history.turn,
    )

  def pretrained_learning_rate(self, config):
    """See Backbone."""
    return config.gemma.learning_rate

  def fingerprints(self, config):
    """See Backbone."""
    gemma_base.check(config)
    return [gemma_model.fingerprint(config.gemma.path)]

  def load(self, config):
    """See Backbone."""
    return gemma_base.load(config)

  def reload(self, fields, path):
    """See Backbone."""
    return gemma_base.reload(fields, path)


def _turns(episodes: Episodes) -> jax.Array:
  """The number of every turn: int [B, T]."""
  shape = episodes.valid.shape
  return jnp.broadcast_to(jnp.arange(shape[1]), shape)
