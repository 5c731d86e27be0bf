"""What every slate policy is: scores, then a slate; one interface.

Temperature 0 shows the best legal slate. A temperature above 0 draws the slate
by a softmax over scores / temperature, after the scores have been standardised
over the pool (mean 0, standard deviation 1 over its valid candidates): one
temperature then means the same for utilities, ranks and values, and for a
person with mild and one with strong tastes. 0.5 gives noisy slates, above 3
nearly random ones.

Letters: B sessions, C candidates, L slate columns, K user types.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors
from pasta.agent import credit as credit_lib
from pasta.agent import expected_selection, slates
from pasta.agent.history import CandidateSet, Decision, History
from pasta.agent.settings import Tokeniser

_SMALLEST_STD = 1e-6


@dataclasses.dataclass(kw_only=True, eq=False)
class Policy:
  """Decides which candidates are shown, to one batch of sittings at a time.

  A sitting goes: `begin`, then for every turn `see`, `choose` and `observe`.
  A policy whose decision follows from what `choose` is given leaves the others
  as they are.

  Attributes:
    name: who it is, and its own parameters.
    num_columns: L.
    uses_features: False if text, utility and belief may be missing (None).
    renders_pool: whether candidates' utilities come from their images, all of
      which are drawn.
    belief: 'on', 'off', 'prior' or 'oracle' (see `settings`): what the
      history's belief has to be.
    tokeniser: what makes the texts that candidates have to hold; None for
      policies that read none.
    use_categories: whether a slate is spread over categories; values see them
      in any case.
    feedback: the kinds (`belief.KINDS`) that the belief hears; (): as the user
      model has it.
    num_candidates: C of its pools; 0: the world's.
  """

  name: str
  num_columns: int
  uses_features: bool = True
  renders_pool: bool = False
  belief: str = 'on'
  tokeniser: Tokeniser | None = None
  use_categories: bool = True
  feedback: tuple[str, ...] = ()
  num_candidates: int = 0

  @property
  def policy_id(self) -> str:
    """Name and parameters, for logs."""
    policy_id = self.name + self._drawing()
    if self.belief in ('prior', 'oracle'):
      policy_id += f':belief={self.belief}'
    if self.feedback:
      policy_id += f':feedback={"+".join(self.feedback)}'
    if self.num_candidates:
      policy_id += f':candidates={self.num_candidates}'
    return policy_id + ':no_categories' * (not self.use_categories)

  def begin(self, people: Any) -> None:
    """N people (`interaction.people`) sit down."""

  def see(self, texts: Sequence[Sequence[str]]) -> None:
    """The turn's candidates [N][C], as they are written."""

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
      PastaError: a pool has fewer than L valid candidates.
    """
    _check_pool(candidates, self.num_columns)
    if not self.use_categories:
      candidates = candidates.replace(group=jnp.zeros_like(candidates.category))
    batch = candidates.category.shape[0]
    keys = key if key.ndim else jax.random.split(key, batch)
    return self._choose(history, candidates, keys)

  def observe(self, shown: Any, answer: Any) -> None:
    """Sees what was shown and what N people answered to it.

    Args:
      shown: `interaction.people.Shown`.
      answer: `interaction.people.Answer`.
    """

  def _drawing(self) -> str:
    """How slates are made of scores, as a part of the policy's id."""
    return ''

  def _choose(
    self, history: History, candidates: CandidateSet, keys: jax.Array
  ) -> Decision:
    """`choose` with keys [B]."""
    raise NotImplementedError


def _check_pool(candidates: CandidateSet, num_columns: int) -> None:
  """Raises PastaError where a pool has fewer valid candidates than columns."""
  batch, pool = candidates.category.shape
  smallest = int(np.asarray(candidates.valid).sum(1).min()) if batch else pool
  if min(smallest, pool) < num_columns:
    raise errors.PastaError(
      f'a pool of {smallest} candidates for a slate of {num_columns} columns'
    )


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


class Selector(NamedTuple):
  """How the best slate of scored candidates is picked.

  Attributes:
    name: in configs, and in the ids of policies whose selector reads weights.
    select: of `slates`.
    reads_weights: whether it reads log weights of a choice behind the scores.
  """

  name: str
  select: Callable[..., jax.Array]
  reads_weights: bool


@functools.partial(jax.jit, static_argnames=('select', 'num_columns'))
def _best_slates(select, per_candidate, category, valid, *, num_columns):
  """Slates [B, L] from what a selector reads of candidates, [B, C] each."""
  return jax.vmap(functools.partial(select, num_columns=num_columns))(
    *per_candidate, category, valid
  )


@functools.partial(jax.jit, static_argnames='num_columns')
def _draw_slates(scores, temperature, category, valid, keys, *, num_columns):
  """Slates [B, L] drawn from scores [B, C], and their log propensity [B]."""
  return jax.vmap(
    functools.partial(slates.sample_slate, num_columns=num_columns)
  )(keys, standardise(scores, valid) / temperature, category, valid)


_pool_log_weights = jax.jit(credit_lib.pool_log_weights)


@dataclasses.dataclass(kw_only=True, eq=False)
class Scored(Policy):
  """Scores the pool, then selects; what most policies here have in common.

  Attributes:
    score: (history, candidates) to scores [B, C].
    selector: picks the slate where the temperature is 0.
    temperature: 0 for the best slate.
    response: how people respond, for selectors that read weights.
    credit: 'mean' or 'choice' where scores are values, so that the slate's
      can be predicted from them.
  """

  score: Callable[[History, CandidateSet], jax.Array]
  selector: Selector
  temperature: float = 0.0
  response: expected_selection.Response | None = None
  credit: str | None = None

  def __post_init__(self):
    if not self.temperature >= 0:
      raise errors.PastaError(
        f'temperature of policy {self.name} is {self.temperature}: expected 0 '
        'for the best slate, or more'
      )
    if self.selector.reads_weights and self.response is None:
      raise errors.PastaError(
        f"policy {self.name} with selector '{self.selector.name}' needs to "
        'know how people respond (a user model)'
      )

  def _drawing(self) -> str:
    if self.temperature == 0:
      return f':{self.selector.name}' if self.selector.reads_weights else ''
    # Infinite: uniform slates, which the name 'random' says.
    is_said = self.name == 'random' and np.isinf(self.temperature)
    return '' if is_said else f':temperature={self.temperature:g}'

  def _choose(
    self, history: History, candidates: CandidateSet, keys: jax.Array
  ) -> Decision:
    # Before the scores: both are compiled programs of their own.
    per_candidate = ()
    if self.selector.reads_weights and self.temperature == 0:
      per_candidate = (
        _pool_log_weights(
          history.log_belief,
          candidates.utility,
          candidates.valid,
          self.response.choice_log_scale,
        ),
      )
    scores = self.score(history, candidates)
    where = candidates.groups, candidates.valid
    log_propensity = jnp.zeros(len(scores))
    if self.temperature > 0:
      slate, log_propensity = _draw_slates(
        scores, self.temperature, *where, keys, num_columns=self.num_columns
      )
    else:
      slate = _best_slates(
        self.selector.select,
        (scores, *per_candidate),
        *where,
        num_columns=self.num_columns,
      )
    predicted = jnp.full(len(scores), jnp.nan)
    if self.credit is not None:
      predicted = _predicted(
        scores, slate, history, candidates, self.response, self.credit
      )
    return Decision(slate, scores, log_propensity, predicted)


@functools.partial(jax.jit, static_argnames='credit')
def _predicted(scores, slate, history, candidates, response, credit):
  """Value of the slates [B], by the credit that f was trained with."""
  values = jnp.take_along_axis(scores, slate, 1)
  log_choice = None
  if credit == 'choice':
    utility = jnp.take_along_axis(candidates.utility, slate[..., None], 1)
    log_choice = credit_lib.log_choice(
      history.log_belief, utility, response.choice_log_scale
    )
  return credit_lib.slate_value(values, log_choice, credit)


@dataclasses.dataclass(kw_only=True, eq=False)
class Inserting(Policy):
  """Builds slates column by column, by values of whole slates.

  Attributes:
    insert: (history, candidates) to slates, first values and slate values, as
      `expected_selection.insert` returns them.
    predicts: whether slate values are in units of return.
  """

  insert: Callable[..., tuple[jax.Array, jax.Array, jax.Array]]
  predicts: bool

  def _choose(
    self, history: History, candidates: CandidateSet, keys: jax.Array
  ) -> Decision:
    del keys  # Deterministic.
    slate, scores, value = self.insert(history, candidates)
    if not self.predicts:
      value = jnp.full_like(value, jnp.nan)
    return Decision(slate, scores, jnp.zeros(len(scores)), value)
