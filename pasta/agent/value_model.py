"""The trained value function: scores of candidates, values of slates.

Letters: B sessions, C candidates, L slate columns, S slates, E members of an
ensemble.
"""

import functools

import chex
import flax.struct
import jax
import jax.numpy as jnp

from pasta import errors
from pasta.agent import (
  backbones,
  expected_selection,
  inputs,
  slate_critic,
)
from pasta.agent.history import CandidateSet, History
from pasta.agent.settings import NetworkSettings
from pasta.types import PyTree


@flax.struct.dataclass
class ValueModel:
  """What a policy needs of value learning.

  Attributes:
    params: {'q': of the critic, 'v': of Value}, the online networks, with a
      leading axis of E ensemble members.
    constants: normalisation of the training sessions.
    settings: static shape of the networks.
    score: 'mean' or 'min' over the twin heads, static.
    predicts: whether values are estimates of a session's return: not where
      critics are logits of behaviour, rewards sparse or discounted; static.
    frozen: what the backbone 'gemma' has besides, the same for all members;
      never written to a file. None for others.
  """

  params: PyTree
  constants: inputs.Constants
  settings: NetworkSettings = flax.struct.field(pytree_node=False)
  score: str = flax.struct.field(pytree_node=False, default='mean')
  predicts: bool = flax.struct.field(pytree_node=False, default=True)
  frozen: PyTree = None

  @property
  def num_members(self) -> int:
    """E, independently trained members of the ensemble."""
    return jax.tree.leaves(self.params)[0].shape[0]


def member(model: ValueModel, index: int) -> ValueModel:
  """The model of one member alone.

  Raises:
    PastaError: there is no such member.
  """
  if not 0 <= index < model.num_members:
    raise errors.PastaError(
      f'value function has {model.num_members} members, there is no member '
      f'{index}: expected 0 to {model.num_members - 1}, or -1 for all'
    )
  params = jax.tree.map(lambda x: x[index : index + 1], model.params)
  return model.replace(params=params)


def _items(
  model: ValueModel, history: History, candidates: CandidateSet
) -> inputs.Items:
  _check(model, history)
  chex.assert_equal_shape_prefix([history.turn, candidates.text], 1)
  lately = inputs.lately_of(model.constants, model.settings, history)
  rows = jnp.arange(len(history.turn))
  lately = jax.tree.map(lambda x: x[rows, history.turn], lately)
  return inputs.make_items(
    model.constants,
    model.settings,
    history.log_belief,
    candidates.text,
    candidates.category,
    candidates.utility,
    lately,
  )


def _pessimistic(values: jax.Array, pessimism: jax.Array | float) -> jax.Array:
  """Mean over members less their spread: [E, ...] to [...]."""
  return values.mean(0) - pessimism * values.std(0)


def _twins(model: ValueModel, values: jax.Array) -> jax.Array:
  return values.min(0) if model.score == 'min' else values.mean(0)


@jax.jit
def scores(
  model: ValueModel,
  history: History,
  candidates: CandidateSet,
  pessimism: jax.Array | float = 0.0,
  support_weight: jax.Array | float = 0.0,
) -> jax.Array:
  """f(h, p) of every candidate: float32 [B, C], in units of return.

  Args:
    model: the value model; credit 'slate' has no f, see `insert`.
    history: with leading [B]; turns below num_turns.
    candidates: with leading [B].
    pessimism: standard deviations over the members to take off.
    support_weight: standard deviations of the return to take off per unit of
      `inputs.support_excess`: for candidates unlike all that was shown.
  """
  items = _items(model, history, candidates)

  def of_member(params):
    f = backbones.of(model.settings.backbone).candidate_values(
      params,
      history,
      candidates,
      model.constants,
      model.settings,
      model.frozen,
      items,
    )  # [J, B, C]
    return _twins(model, f)

  penalty = inputs.support_excess(model.constants, candidates.text)
  return (
    _pessimistic(jax.vmap(of_member)(model.params['q']), pessimism)
    - support_weight * model.constants.return_scale * penalty
  )


@functools.partial(jax.jit, static_argnames='num_columns')
def insert(
  model: ValueModel,
  history: History,
  candidates: CandidateSet,
  response: expected_selection.Response,
  pessimism: jax.Array | float = 0.0,
  *,
  num_columns: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Slates by greedy insertion, of a model with credit 'slate'.

  Args:
    model: the value model.
    history: with leading [B].
    candidates: with leading [B].
    response: how people respond to slates.
    pessimism: standard deviations over the members to take off.
    num_columns: L.

  Returns:
    Slates int32 [B, L], the value of each candidate alone [B, C], and those
    of the slates [B].
  """
  items = _items(model, history, candidates)
  states = inputs.states_at(model.constants, model.settings, history)
  critic = slate_critic.SlateCritic(model.settings)
  rows = jnp.arange(history.turn.shape[0])[:, None, None]

  def value_of(sets, expected):
    slates = slate_critic.Slates(
      items=jax.tree.map(lambda x: x[rows, sets], items),
      mask=jnp.ones(sets.shape, bool),
      expected=slate_critic.normalise_expected(model.constants, expected),
    )

    def of_member(params):
      return _twins(
        model,
        critic.apply(
          {'params': params}, model.constants, states, slates, history.turn
        ),
      )  # [B, S]

    return _pessimistic(jax.vmap(of_member)(model.params['q']), pessimism)

  return expected_selection.insert(
    value_of,
    history.log_belief,
    candidates,
    response,
    num_columns,
  )


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


def blank(
  settings: NetworkSettings,
  num_members: int,
  pretrained: PyTree = None,
  **static: str | bool,
) -> ValueModel:
  """A model of the right shapes, whose arrays mean nothing; for loading.

  Args:
    settings: static shape of the networks.
    num_members: E.
    pretrained: parameters of the backbone 'gemma'.
    **static: the model's `score` and `predicts`.
  """
  dim, turns = settings.embedding_dim, settings.num_turns
  constants = inputs.Constants(
    text_mean=jnp.zeros(dim),
    text_scale=jnp.ones(dim),
    image_mean=jnp.zeros(dim),
    image_scale=jnp.ones(dim),
    utility_mean=jnp.zeros(()),
    utility_scale=jnp.ones(()),
    spread_mean=jnp.zeros(()),
    spread_scale=jnp.ones(()),
    expected_mean=jnp.zeros(()),
    expected_scale=jnp.ones(()),
    return_mean=jnp.zeros(turns),
    return_scale=jnp.ones(()),
    slope=jnp.ones(()),
    support_precision=jnp.eye(dim),
    support_limit=jnp.ones(()),
  )
  backbone = backbones.of(settings.backbone)
  params = jax.vmap(
    lambda k: backbone.init_params(k, constants, settings, pretrained)
  )(jax.random.split(jax.random.key(0), num_members))
  return ValueModel(params, constants, settings, **static)
