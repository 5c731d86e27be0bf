"""Backbones: what a value function reads values off, one object each.

`critics`, `value_model` and `iql` ask `of` for the backbone that settings or a
config name, and know nothing else about it.

Letters: B sessions, T turns, L slate columns, C candidates, J twin heads.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import ml_collections

from pasta.agent import inputs, networks, slate_critic, tiring
from pasta.agent.episodes import Episodes
from pasta.agent.history import CandidateSet, History
from pasta.agent.inputs import Constants, Items, Read
from pasta.agent.settings import BACKBONES, NetworkSettings, check_known
from pasta.types import PyTree


class Backbone(Protocol):
  """Networks for f(h, p) and v(h); what it is given is as in `critics`."""

  def init_params(
    self,
    key: jax.Array,
    constants: Constants,
    settings: NetworkSettings,
    pretrained: PyTree = None,
  ) -> PyTree:
    """Fresh parameters: {'q': of the critic, 'v': of the value}."""

  def shown_values(
    self,
    params: PyTree,
    episodes: Episodes,
    constants: Constants,
    settings: NetworkSettings,
    frozen: PyTree,
    read: Read,
  ) -> jax.Array:
    """f of each shown column [J, B, T, L], see `critics.shown_values`."""

  def state_values(
    self,
    params: PyTree,
    episodes: Episodes,
    constants: Constants,
    settings: NetworkSettings,
    frozen: PyTree,
    read: Read,
  ) -> jax.Array:
    """v of the states before each turn: [B, T]."""

  def candidate_values(
    self,
    params: PyTree,
    history: History,
    candidates: CandidateSet,
    constants: Constants,
    settings: NetworkSettings,
    frozen: PyTree,
    items: Items,
  ) -> jax.Array:
    """f of the candidates of one turn, what a policy sees: [J, B, C]."""

  def pretrained_learning_rate(
    self, config: ml_collections.ConfigDict
  ) -> float | None:
    """Of what is pretrained in it; None where nothing is."""

  def fingerprints(self, config: ml_collections.ConfigDict) -> list[str]:
    """Of what training starts from beside the data.

    Raises:
      PastaError: a config field that this backbone cannot have.
    """

  def load(self, config: ml_collections.ConfigDict) -> Any | None:
    """What is pretrained in it (`gemma.base.Base`), None where nothing is."""

  def reload(self, fields: Mapping[str, Any], path: str) -> Any | None:
    """The same, for a value function that was saved with these settings."""


class _Features:
  """Networks on features, of all credits."""

  def init_params(self, key, constants, settings, pretrained=None):
    """See Backbone."""
    del pretrained
    s = settings
    turns, dim = (1, s.num_turns), s.embedding_dim
    token_dim = 4 * dim + s.num_categories
    lately = None
    if s.tiring:
      shown = jnp.zeros((*turns, dim))
      lately = tiring.Lately(shown, jnp.zeros((*turns, 2)), shown)
    states = inputs.States(
      tokens=jnp.zeros((*turns, 0 if s.history == 'none' else token_dim)),
      belief=jnp.zeros((*turns, s.num_types)),
      prompt=jnp.zeros((*turns, 2)),
      lately=inputs.lately_state(s, lately, turns),
    )
    shape = (*turns, 1)
    items = inputs.make_items(
      constants,
      s,
      jnp.zeros((*turns, s.num_types)),
      jnp.zeros((*shape, dim)),
      jnp.zeros(shape, jnp.int32),
      jnp.zeros((*shape, s.num_types)),
      lately,
    )
    q_key, v_key = jax.random.split(key)
    if s.credit == 'slate':
      slates = slate_critic.prefixes(items, jnp.zeros(shape), constants)
      q = slate_critic.SlateCritic(s).init(q_key, constants, states, slates)
    else:
      q = networks.Critic(s).init(q_key, constants, states, items)
    v = networks.Value(s).init(v_key, constants, states)
    return {'q': q['params'], 'v': v['params']}

  def shown_values(self, params, episodes, constants, settings, frozen, read):
    """See Backbone."""
    del frozen
    states, items = read
    if settings.credit != 'slate':
      critic = networks.Critic(settings)
      return critic.apply({'params': params}, constants, states, items)
    slates = slate_critic.prefixes(items, episodes.expected, constants)
    critic = slate_critic.SlateCritic(settings)
    return critic.apply({'params': params}, constants, states, slates)

  def state_values(self, params, episodes, constants, settings, frozen, read):
    """See Backbone."""
    del episodes, frozen
    states, _ = read
    return networks.Value(settings).apply({'params': params}, constants, states)

  def candidate_values(
    self, params, history, candidates, constants, settings, frozen, items
  ):
    """See Backbone."""
    del candidates, frozen
    states = inputs.states_at(constants, settings, history)
    return networks.Critic(settings).apply(
      {'params': params}, constants, states, items, history.turn
    )

  def pretrained_learning_rate(self, config):
    """See Backbone."""
    del config

  def fingerprints(self, config):
    """See Backbone."""
    del config
    return []

  def load(self, config):
    """See Backbone."""
    del config

  def reload(self, fields, path):
    """See Backbone."""
    del fields, path


_FEATURES = _Features()


def of(name: str) -> Backbone:
  """The backbone of a config or of settings.

  Raises:
    PastaError: there is none of that name.
  """
  check_known('backbone', name, BACKBONES)
  if name != 'gemma':
    return _FEATURES
  # Nobody else needs the packages behind it.
  from pasta.agent.gemma import values

  return values.GemmaBackbone()
