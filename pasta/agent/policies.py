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
from pasta.agent import networks, selector
from pasta.agent import value_model as value_model_lib
from pasta.agent.history import CandidateSet, Decision, History

SELECTORS = ('mean', 'choice')
_SMALLEST_STD = 1e-6


class Policy(Protocol):
  """Decides which candidates are shown.

  Attributes:
    policy_id: name and parameters, for logs.
    uses_features: False if text, utility and belief may be missing (None).
  """

  policy_id: str
  uses_features: bool

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


def choice_log_weights(
  log_belief: jax.Array,
  utility: jax.Array,
  valid: jax.Array,
  choice_log_scale: jax.Array,
) -> jax.Array:
  """Weights w with C(l | slate) roughly proportional to w_l.

  w(p) = Σ_k b_k exp(τ U_k(p)) / Σ_p' exp(τ U_k(p')), the probability that
  the person would pick p out of the whole pool. For one type this is exact
  (a softmax keeps its odds when alternatives are left out). For a mixture no
  fixed weights are: those of a slate depend on what else is in it. Normalising
  each type over the pool keeps one with large utilities from deciding alone.

  Args:
    log_belief: [..., K].
    utility: [..., C, K].
    valid: bool [..., C].
    choice_log_scale: log τ, [].

  Returns:
    log w, [..., C]; -inf where not valid.
  """
  logits = jnp.exp(choice_log_scale) * utility
  logits = jnp.where(valid[..., None], logits, -jnp.inf)
  log_probs = jax.nn.log_softmax(logits, axis=-2)
  return jax.nn.logsumexp(log_belief[..., None, :] + log_probs, axis=-1)


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
  if temperature is not None:
    slate, log_propensity = jax.vmap(
      functools.partial(selector.sample_slate, num_columns=num_columns)
    )(keys, standardise(scores, valid) / temperature, category, valid)
    return Decision(slate, scores, log_propensity)
  if selector_name == 'mean':
    slate = jax.vmap(
      functools.partial(selector.select_mean, num_columns=num_columns)
    )(scores, category, valid)
  else:
    slate = jax.vmap(
      functools.partial(selector.select_choice, num_columns=num_columns)
    )(scores, log_weights, category, valid)
  return Decision(slate, scores, jnp.zeros(scores.shape[0]))


class _Scored:
  """Scores the pool, then selects; what all policies here have in common."""

  def __init__(
    self,
    policy_id: str,
    score: Callable[[History, CandidateSet], jax.Array],
    *,
    num_columns: int,
    uses_features: bool,
    temperature: float = 0.0,
    selector_name: str = 'mean',
    choice_log_scale: jax.Array | float | None = None,
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
    if selector_name == 'choice' and choice_log_scale is None:
      raise errors.PastaError(
        f"policy {policy_id} with selector 'choice' needs choice_log_scale of "
        'the user model'
      )
    if selector_name == 'choice' and temperature == 0:
      policy_id += ':choice'
    if temperature > 0 and np.isfinite(temperature):
      policy_id += f':temperature={temperature:g}'
    self.policy_id = policy_id
    self.uses_features = uses_features
    self._score = score
    self._num_columns = num_columns
    self._temperature = temperature
    self._selector = selector_name
    self._choice_log_scale = choice_log_scale

  def choose(
    self, history: History, candidates: CandidateSet, key: jax.Array
  ) -> Decision:
    """See Policy."""
    batch, pool = candidates.category.shape
    smallest = int(np.asarray(candidates.valid).sum(1).min()) if batch else pool
    if min(smallest, pool) < self._num_columns:
      raise errors.PastaError(
        f'a pool of {smallest} candidates for a slate of '
        f'{self._num_columns} columns'
      )
    keys = key if key.ndim else jax.random.split(key, batch)
    log_weights = None
    if self._selector == 'choice' and self._temperature == 0:
      log_weights = _choice_log_weights(
        history.log_belief,
        candidates.utility,
        candidates.valid,
        self._choice_log_scale,
      )
    return _select(
      self._score(history, candidates),
      log_weights,
      candidates.category,
      candidates.valid,
      keys,
      self._temperature if self._temperature > 0 else None,
      num_columns=self._num_columns,
      selector_name=self._selector,
    )


_choice_log_weights = jax.jit(choice_log_weights)


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
  return _Scored(
    'lmm',
    lambda history, candidates: _rank_score(candidates),
    num_columns=num_columns,
    uses_features=False,
    temperature=temperature,
  )


def random(num_columns: int) -> Policy:
  """Legal slates at random: a uniform candidate, then one of the rest, …"""
  return _Scored(
    'random',
    lambda history, candidates: _rank_score(candidates),
    num_columns=num_columns,
    uses_features=False,
    temperature=np.inf,
  )


def optimistic(
  num_columns: int,
  spread_weight: float,
  temperature: float = 0.0,
  *,
  selector_name: str = 'mean',
  choice_log_scale: jax.Array | float | None = None,
) -> Policy:
  """Σ_k b_k U_k plus spread_weight times its standard deviation.

  With spread_weight 0 this is `greedy`.
  """
  policy_id = (
    f'optimistic:spread_weight={spread_weight:g}' if spread_weight else 'greedy'
  )
  return _Scored(
    policy_id,
    lambda history, candidates: _utility_score(
      history, candidates, spread_weight
    ),
    num_columns=num_columns,
    uses_features=True,
    temperature=temperature,
    selector_name=selector_name,
    choice_log_scale=choice_log_scale,
  )


def pasta(
  num_columns: int,
  value_model: value_model_lib.ValueModel,
  temperature: float = 0.0,
  *,
  selector_name: str = 'mean',
  choice_log_scale: jax.Array | float | None = None,
) -> Policy:
  """The learned value f(h, p)."""
  return _Scored(
    'pasta',
    lambda history, candidates: value_model_lib.scores(
      value_model, history, candidates
    ),
    num_columns=num_columns,
    uses_features=True,
    temperature=temperature,
    selector_name=selector_name,
    choice_log_scale=choice_log_scale,
  )


NAMES = ('lmm', 'random', 'greedy', 'optimistic', 'pasta')


def build(
  config: ml_collections.ConfigDict,
  *,
  num_columns: int,
  value_model: value_model_lib.ValueModel | None = None,
  choice_log_scale: jax.Array | float | None = None,
) -> Policy:
  """The policy that a config names.

  Args:
    config: fields name, temperature, selector ('mean' or 'choice'),
      spread_weight (of 'optimistic').
    num_columns: L.
    value_model: needed by 'pasta'.
    choice_log_scale: log τ of the user model, needed by selector 'choice'.

  Raises:
    PastaError: an unknown name, selector or temperature; no value model.
  """
  name, temperature = config.name, config.temperature
  options = {
    'selector_name': config.selector,
    'choice_log_scale': choice_log_scale,
  }
  if name == 'lmm':
    return lmm(num_columns, temperature)
  if name == 'random':
    return random(num_columns)
  if name == 'greedy':
    return optimistic(num_columns, 0.0, temperature, **options)
  if name == 'optimistic':
    return optimistic(num_columns, config.spread_weight, temperature, **options)
  if name == 'pasta':
    if value_model is None:
      raise errors.PastaError(
        "policy 'pasta' needs a value model: run launch.train_value first"
      )
    return pasta(num_columns, value_model, temperature, **options)
  raise errors.PastaError(f"policy is '{name}': expected one of {NAMES}")
