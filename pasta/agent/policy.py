"""What every slate policy is: scores, then a slate; one interface.

Temperature 0 shows the best legal slate. A temperature above 0 draws the slate
by a softmax over scores / temperature, after the scores have been standardised
over the pool (mean 0, standard deviation 1 over its valid candidates): one
temperature then means the same for utilities, ranks and values, and for a
person with mild and one with strong tastes. 0.5 gives noisy slates, above 3
nearly random ones.

Letters: B sessions, C candidates, L slate columns, K user types.
"""

import functools
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors
from pasta.agent import credit as credit_lib
from pasta.agent import expected_selection, slates
from pasta.agent.gemma import text as gemma_text
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
    belief: 'on', 'off', 'prior' or 'oracle' (see `inputs`): what the
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
      functools.partial(slates.sample_slate, num_columns=num_columns)
    )(keys, standardise(scores, valid) / temperature, category, valid)
    return Decision(slate, scores, log_propensity, unknown)
  if selector_name == 'mean':
    slate = jax.vmap(
      functools.partial(slates.select_mean, num_columns=num_columns)
    )(scores, category, valid)
  else:
    slate = jax.vmap(
      functools.partial(slates.select_choice, num_columns=num_columns)
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
    response: expected_selection.Response | None = None,
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


class Inserting:
  """Builds slates column by column, by values of whole slates.

  Args:
    policy_id: see Policy.
    insert: (history, candidates) to slates, first values and slate values, as
      `expected_selection.insert` returns them.
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


class Uncategorised:
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


_pool_log_weights = jax.jit(credit_lib.pool_log_weights)
