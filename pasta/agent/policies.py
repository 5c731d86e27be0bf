"""Slate policies: one interface, from the generator's own order to PASTA.

Every policy scores the pool and picks a slate with `selector`. Temperature 0
shows the best legal slate. A temperature above 0 draws the slate by a softmax
over scores / temperature, after the scores have been standardised over the
pool (mean 0, standard deviation 1 over its valid candidates): one temperature
then means the same for utilities, ranks and values, and for a person with mild
and one with strong tastes. 0.5 gives noisy slates, above 3 nearly random ones.

Letters: B sessions, C candidates, L slate columns, K user types.
"""

import functools
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta import errors
from pasta.agent import credit as credit_lib
from pasta.agent import gemma_text, lookahead, networks, selection, selector
from pasta.agent import value_model as value_model_lib
from pasta.agent.history import CandidateSet, Decision, History

SELECTORS = ('mean', 'choice')
_SMALLEST_STD = 1e-6


class Policy(Protocol):
  """Decides which candidates are shown.

  Attributes:
    policy_id: name and parameters, for logs.
    uses_features: False if text, utility and belief may be missing (None).
    renders_pool: whether candidates' utilities come from their images, all of
      which are drawn.
    belief: 'on', 'off', 'prior' or 'oracle' (see `networks`): what the
      history's belief has to be.
    tokeniser: what makes the texts that history and candidates have to hold;
      None for policies that read none.
  """

  policy_id: str
  uses_features: bool
  renders_pool: bool
  belief: str
  tokeniser: gemma_text.Tokeniser | None

  def choose(
    self, history: History, candidates: CandidateSet, key: jax.Array
  ) -> Decision:
    """Picks the slates of B sessions.

    Args:
      history: with leading [B].
      candidates: with leading [B].
      key: typed key, [] for all sessions or [B], one each; with the latter a
        decision does not depend on who else is in the batch.

    Raises:
      ValueError: a pool has fewer than L valid candidates.
    """


def standardise(scores: jax.Array, valid: jax.Array) -> jax.Array:
  """Scores with mean 0 and deviation 1 over the usable candidates, [..., C].

  Non-finite scores stay non-finite.
  """
  usable = valid & jnp.isfinite(scores)
  count = jnp.maximum(usable.sum(-1, keepdims=True), 1)
  mean = jnp.where(usable, scores, 0.0).sum(-1, keepdims=True) / count
  variance = (
    jnp.where(usable, (scores - mean) ** 2, 0.0).sum(-1, keepdims=True) / count
  )
  # A pool of equal scores: what is left of rounding must not be blown up.
  size = jnp.where(usable, jnp.abs(scores), 0.0).max(-1, keepdims=True)
  floor = _SMALLEST_STD * jnp.maximum(size, 1.0)
  return (scores - mean) / jnp.maximum(jnp.sqrt(variance), floor)


@functools.partial(jax.jit, static_argnames=('num_columns', 'selector_name'))
def _select(
  scores,
  log_weights,
  category,
  valid,
  keys,
  temperature,
  *,
  num_columns,
  selector_name,
) -> Decision:
  """Slates for scores [B, C]; temperature is None for the best slate."""
  unknown = jnp.full(scores.shape[0], jnp.nan)
  if temperature is not None:
    slate, log_propensity = jax.vmap(
      functools.partial(selector.sample_slate, num_columns=num_columns)
    )(keys, standardise(scores, valid) / temperature, category, valid)
    return Decision(slate, scores, log_propensity, unknown)
  if selector_name == 'mean':
    slate = jax.vmap(
      functools.partial(selector.select_mean, num_columns=num_columns)
    )(scores, category, valid)
  else:
    slate = jax.vmap(
      functools.partial(selector.select_choice, num_columns=num_columns)
    )(scores, log_weights, category, valid)
  return Decision(slate, scores, jnp.zeros(scores.shape[0]), unknown)


def check_pool(candidates: CandidateSet, num_columns: int) -> None:
  """Raises PastaError where a pool has fewer valid candidates than columns."""
  batch, pool = candidates.category.shape
  smallest = int(np.asarray(candidates.valid).sum(1).min()) if batch else pool
  if min(smallest, pool) < num_columns:
    raise errors.PastaError(
      f'a pool of {smallest} candidates for a slate of {num_columns} columns'
    )


class Scored:
  """Scores the pool, then selects; what most policies here have in common.

  Args:
    policy_id: see Policy.
    score: (history, candidates) to scores [B, C].
    num_columns: L.
    uses_features: see Policy.
    renders_pool: see Policy.
    belief: see Policy.
    tokeniser: see Policy.
    temperature: 0 for the best slate.
    selector_name: 'mean' or 'choice', for temperature 0.
    response: how people respond, needed by selector 'choice'.
    credit: 'mean' or 'choice' where scores are values, so that the slate's
      can be predicted from them.
  """

  def __init__(
    self,
    policy_id: str,
    score: Callable[[History, CandidateSet], jax.Array],
    *,
    num_columns: int,
    uses_features: bool = True,
    renders_pool: bool = False,
    belief: str = 'on',
    tokeniser: gemma_text.Tokeniser | None = None,
    temperature: float = 0.0,
    selector_name: str = 'mean',
    response: selection.Response | None = None,
    credit: str | None = None,
  ):
    if not temperature >= 0:
      raise errors.PastaError(
        f'temperature of policy {policy_id} is {temperature}: expected 0 '
        'for the best slate, or more'
      )
    if selector_name not in SELECTORS:
      raise errors.PastaError(
        f"selector is '{selector_name}': expected one of {SELECTORS}"
      )
    if selector_name == 'choice' and response is None:
      raise errors.PastaError(
        f"policy {policy_id} with selector 'choice' needs to know how people "
        'respond (a user model)'
      )
    if selector_name == 'choice' and temperature == 0:
      policy_id += ':choice'
    if temperature > 0 and np.isfinite(temperature):
      policy_id += f':temperature={temperature:g}'
    if belief in ('prior', 'oracle'):
      policy_id += f':belief={belief}'
    self.policy_id = policy_id
    self.uses_features = uses_features
    self.renders_pool = renders_pool
    self.belief = belief
    self.tokeniser = tokeniser
    self.score = score
    self.temperature = temperature
    self._num_columns = num_columns
    self._selector = selector_name
    self._response = response
    self._credit = credit

  def choose(
    self, history: History, candidates: CandidateSet, key: jax.Array
  ) -> Decision:
    """See Policy."""
    check_pool(candidates, self._num_columns)
    batch = candidates.category.shape[0]
    keys = key if key.ndim else jax.random.split(key, batch)
    log_weights = None
    if self._selector == 'choice' and self.temperature == 0:
      log_weights = _pool_log_weights(
        history.log_belief,
        candidates.utility,
        candidates.valid,
        self._response.choice_log_scale,
      )
    decision = _select(
      self.score(history, candidates),
      log_weights,
      candidates.groups,
      candidates.valid,
      keys,
      self.temperature if self.temperature > 0 else None,
      num_columns=self._num_columns,
      selector_name=self._selector,
    )
    if self._credit is None:
      return decision
    return decision.replace(
      predicted=_predicted(
        decision, history, candidates, self._response, self._credit
      )
    )


@functools.partial(jax.jit, static_argnames='credit')
def _predicted(decision, history, candidates, response, credit):
  """Value of the slates [B], by the credit that f was trained with."""
  values = jnp.take_along_axis(decision.scores, decision.slate, 1)
  log_choice = None
  if credit == 'choice':
    utility = jnp.take_along_axis(
      candidates.utility, decision.slate[..., None], 1
    )
    log_choice = credit_lib.log_choice(
      history.log_belief, utility, response.choice_log_scale
    )
  return credit_lib.slate_value(values, log_choice, credit)


class _Inserting:
  """Builds slates column by column, by values of whole slates.

  Args:
    policy_id: see Policy.
    insert: (history, candidates) to slates, first values and slate values, as
      `selection.insert` returns them.
    num_columns: L.
    predicts: whether slate values are in units of return.
    belief: see Policy.
    renders_pool: see Policy.
  """

  uses_features = True
  tokeniser = None

  def __init__(
    self,
    policy_id: str,
    insert: Callable[..., tuple[jax.Array, jax.Array, jax.Array]],
    *,
    num_columns: int,
    predicts: bool,
    belief: str,
    renders_pool: bool = False,
  ):
    if belief in ('prior', 'oracle'):
      policy_id += f':belief={belief}'
    self.policy_id = policy_id
    self.belief = belief
    self.renders_pool = renders_pool
    self._insert = insert
    self._num_columns = num_columns
    self._predicts = predicts

  def choose(
    self, history: History, candidates: CandidateSet, key: jax.Array
  ) -> Decision:
    """See Policy."""
    del key  # Deterministic.
    check_pool(candidates, self._num_columns)
    slate, scores, value = self._insert(history, candidates)
    if not self._predicts:
      value = jnp.full_like(value, jnp.nan)
    return Decision(slate, scores, jnp.zeros(len(scores)), value)


_pool_log_weights = jax.jit(credit_lib.pool_log_weights)


@jax.jit
def _rank_score(candidates: CandidateSet) -> jax.Array:
  """The generator's own order: 0 for its first candidate, down to −1."""
  batch, pool = candidates.category.shape
  return jnp.broadcast_to(-jnp.arange(pool) / pool, (batch, pool))


@jax.jit
def _utility_score(
  history: History, candidates: CandidateSet, spread_weight: float
) -> jax.Array:
  mean, spread = networks.moments(history.log_belief, candidates.utility)
  return mean + spread_weight * spread


def lmm(num_columns: int, temperature: float = 0.0) -> Policy:
  """The generator's own order, one a category (the paper's baseline)."""
  return Scored(
    'lmm',
    lambda history, candidates: _rank_score(candidates),
    num_columns=num_columns,
    uses_features=False,
    temperature=temperature,
  )


def random(num_columns: int) -> Policy:
  """Legal slates at random: a uniform candidate, then one of the rest, …"""
  return Scored(
    'random',
    lambda history, candidates: _rank_score(candidates),
    num_columns=num_columns,
    uses_features=False,
    temperature=np.inf,
  )


def optimistic(
  num_columns: int,
  spread_weight: float,
  *,
  renders_pool: bool = False,
  **options,
) -> Policy:
  """Σ_k b_k U_k plus spread_weight times its standard deviation.

  With spread_weight 0 this is `greedy`, and with renders_pool, which has all
  candidates drawn and judges their images, `greedy_rendered`.
  """
  policy_id = (
    f'optimistic:spread_weight={spread_weight:g}' if spread_weight else 'greedy'
  )
  return Scored(
    policy_id + '_rendered' * renders_pool,
    lambda history, candidates: _utility_score(
      history, candidates, spread_weight
    ),
    num_columns=num_columns,
    renders_pool=renders_pool,
    **options,
  )


def greedy_slate(
  num_columns: int,
  response: selection.Response,
  *,
  belief: str = 'on',
  renders_pool: bool = False,
) -> Policy:
  """The slate with the best expected utility of selection, see `selection`.

  Where `greedy` takes the best columns one by one, this one hedges between
  types. With renders_pool the candidates' images are known: nothing scatters.
  """
  if renders_pool:
    response = response.replace(
      residual_std=jnp.zeros_like(response.residual_std)
    )
  insert = jax.jit(
    lambda history, candidates: selection.insert(
      lambda sets, expected: expected,
      history.log_belief,
      candidates.utility,
      candidates.groups,
      candidates.valid,
      response,
      num_columns,
    )
  )
  return _Inserting(
    'greedy_slate' + '_rendered' * renders_pool,
    insert,
    num_columns=num_columns,
    predicts=False,
    belief=belief,
    renders_pool=renders_pool,
  )


class _Planning:
  """Rollouts through the user model, see `lookahead`."""

  uses_features = True
  renders_pool = False
  tokeniser = None

  def __init__(
    self,
    num_columns: int,
    response: selection.Response,
    num_rollouts: int,
    belief: str,
  ):
    self.policy_id = f'lookahead:num_rollouts={num_rollouts}'
    self.belief = belief
    self._num_columns = num_columns
    self._response = response
    self._num_rollouts = num_rollouts

  def choose(
    self, history: History, candidates: CandidateSet, key: jax.Array
  ) -> Decision:
    """See Policy."""
    check_pool(candidates, self._num_columns)
    keys = key if key.ndim else jax.random.split(key, len(history.turn))
    return lookahead.choose(
      history,
      candidates,
      self._response,
      keys,
      num_columns=self._num_columns,
      num_rollouts=self._num_rollouts,
    )


class _Uncategorised:
  """A policy that may show several candidates of one category."""

  def __init__(self, policy: Policy):
    self.policy_id = f'{policy.policy_id}:no_categories'
    self.uses_features = policy.uses_features
    self.renders_pool = policy.renders_pool
    self.belief = policy.belief
    self.tokeniser = policy.tokeniser
    self._policy = policy

  def choose(
    self, history: History, candidates: CandidateSet, key: jax.Array
  ) -> Decision:
    """See Policy. Values still see the categories."""
    free = candidates.replace(group=jnp.zeros_like(candidates.category))
    return self._policy.choose(history, free, key)


def pasta(
  num_columns: int,
  value_model: value_model_lib.ValueModel,
  response: selection.Response,
  *,
  temperature: float = 0.0,
  selector_name: str = 'mean',
  pessimism: float = 0.0,
  support_weight: float = 0.0,
) -> Policy:
  """The learned value f(h, p), or of whole slates for credit 'slate'.

  Args:
    num_columns: L.
    value_model: all its members are averaged.
    response: how people respond to slates.
    temperature: 0 for the best slate.
    selector_name: 'mean' or 'choice', for temperature 0.
    pessimism: deviations over the members that are taken off a score.
    support_weight: what is taken off for candidates unlike all that was shown.

  Raises:
    PastaError: an option that a critic of whole slates cannot have.
  """
  settings = value_model.settings
  policy_id = 'pasta'
  if pessimism:
    policy_id += f':pessimism={pessimism:g}'
  if support_weight:
    policy_id += f':support_weight={support_weight:g}'
  if settings.credit == 'slate':
    if temperature or support_weight:
      raise errors.PastaError(
        "policy 'pasta' with credit 'slate' is deterministic and has no "
        'penalty a candidate: expected temperature and support_weight 0'
      )
    return _Inserting(
      policy_id + ':slate',
      lambda history, candidates: value_model_lib.insert(
        value_model,
        history,
        candidates,
        response,
        pessimism,
        num_columns=num_columns,
      ),
      num_columns=num_columns,
      predicts=value_model.predicts,
      belief=settings.belief,
    )
  return Scored(
    policy_id,
    lambda history, candidates: value_model_lib.scores(
      value_model, history, candidates, pessimism, support_weight
    ),
    num_columns=num_columns,
    belief=settings.belief,
    tokeniser=settings.gemma and settings.gemma.tokeniser,
    credit=settings.credit if value_model.predicts else None,
    temperature=temperature,
    selector_name=selector_name,
    response=response,
  )


NAMES = (
  'lmm',
  'random',
  'greedy',
  'greedy_rendered',
  'greedy_slate',
  'greedy_slate_rendered',
  'lookahead',
  'optimistic',
  'pasta',
)
_DETERMINISTIC = ('greedy_slate', 'greedy_slate_rendered', 'lookahead')
_NEED_RESPONSE = (*_DETERMINISTIC, 'pasta')


def build(
  config: ml_collections.ConfigDict,
  *,
  num_columns: int,
  value_model: value_model_lib.ValueModel | None = None,
  response: selection.Response | None = None,
) -> Policy:
  """The policy that a config names.

  Args:
    config: see configs/common.py:policy.
    num_columns: L.
    value_model: needed by 'pasta'.
    response: how people respond, `selection.learned` of a user model; needed
      by selector 'choice', 'greedy_slate' and 'pasta'.

  Raises:
    PastaError: an unknown name, selector, belief or temperature; no value
      model or user model where one is needed.
  """
  policy = _build(config, num_columns, value_model, response)
  return policy if config.use_categories else _Uncategorised(policy)


def _build(config, num_columns, value_model, response) -> Policy:
  name, temperature = config.name, config.temperature
  if config.belief not in ('on', 'prior', 'oracle'):
    raise errors.PastaError(
      f"belief of policy {name} is '{config.belief}': expected 'on', 'prior' "
      "or 'oracle'; pasta's is the one it was trained with"
    )
  if response is None and name in _NEED_RESPONSE:
    raise errors.PastaError(
      f"policy '{name}' needs a user model: run launch.train_user_model first"
    )
  if name == 'lmm':
    return lmm(num_columns, temperature)
  if name == 'random':
    return random(num_columns)
  if temperature and name in _DETERMINISTIC:
    raise errors.PastaError(
      f"policy '{name}' is deterministic: expected temperature 0, not "
      f'{temperature}'
    )
  if name in ('greedy_slate', 'greedy_slate_rendered'):
    return greedy_slate(
      num_columns,
      response,
      belief=config.belief,
      renders_pool=name.endswith('_rendered'),
    )
  if name == 'lookahead':
    return _Planning(num_columns, response, config.num_rollouts, config.belief)
  if name in ('greedy', 'greedy_rendered', 'optimistic'):
    return optimistic(
      num_columns,
      config.spread_weight if name == 'optimistic' else 0.0,
      renders_pool=name == 'greedy_rendered',
      belief=config.belief,
      temperature=temperature,
      selector_name=config.selector,
      response=response,
    )
  if name == 'pasta':
    if value_model is None:
      raise errors.PastaError(
        "policy 'pasta' needs a value model: run launch.train_value first"
      )
    if config.member >= 0:
      value_model = value_model_lib.member(value_model, config.member)
    return pasta(
      num_columns,
      value_model,
      response,
      temperature=temperature,
      selector_name=config.selector,
      pessimism=config.pessimism,
      support_weight=config.support_weight,
    )
  raise errors.PastaError(f"policy is '{name}': expected one of {NAMES}")
