"""How likely a policy was to show a logged slate, and to sell a logged item.

At item level an action is the candidate that the person ends up choosing:

  π(c | h) = Σ_P π(P | h) C(c | h, P),

with the learned choice model C. A deterministic policy rarely shows a logged
slate, but often a slate with the logged item in it.

Sums over slates are means over S sampled ones. For the chosen item, whose
probability is divided by, slates are drawn that hold it and are weighted with
their exact propensity, which leaves little noise.

Letters: N sessions, T turns, C candidates, L slate columns, S slates,
B decisions.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors
from pasta.agent import credit as credit_lib
from pasta.agent import episodes as episodes_lib
from pasta.agent import policy as policy_lib
from pasta.agent import slates as slates_lib
from pasta.agent.episodes import Episodes
from pasta.agent.history import CandidateSet, History
from pasta.storage import sessions

_CHUNK_DECISIONS = 64
# Above all other logits by more than Gumbel noise can be: always drawn first.
_FIRST = 60.0
# Factors on τ that a calibration tries: 1/20 to 3, in steps of 5 %.
_LOG_FACTORS = np.arange(-60, 23, dtype=np.float32) * 0.05
_TOLERANCE = 0.01  # of a log propensity that is computed again from scores
_TEMPERATURE = re.compile(r':temperature=([0-9.e+-]+|inf)')


@flax.struct.dataclass
class Propensities:
  """A policy at the logged turns; zeros where a turn is not valid.

  Attributes:
    log_slate: [N, T], log π(logged slate as a set | h), -inf for never.
    log_item: [N, T], log π(chosen item | h).
    chosen: [N, T, C], π(c | h) of every candidate; sums to 1.
    shown: [N, T, C], probability that c is in the slate, over L; sums to 1.
  """

  log_slate: np.ndarray
  log_item: np.ndarray
  chosen: np.ndarray
  shown: np.ndarray


@flax.struct.dataclass
class _Decisions:
  """B logged decisions: what was known, what was shown, what was chosen."""

  history: History
  candidates: CandidateSet
  slate: jax.Array  # int32 [B, L]
  item: jax.Array  # int32 [B], the chosen candidate
  choice_log_scale: jax.Array  # [B]


def of_policy(
  policy: policy_lib.Policy,
  episodes: Episodes,
  log_prior: jax.Array,
  *,
  key: jax.Array,
  num_slates: int,
) -> Propensities:
  """What a policy would do at the logged turns.

  Args:
    policy: one that needs no images of candidates.
    episodes: N sessions with their pools.
    log_prior: [K], the belief of policies whose belief never moves.
    key: typed key, of the sampled slates.
    num_slates: S, for stochastic policies.

  Raises:
    PastaError: the policy needs what logs do not hold.
  """
  if policy.renders_pool or policy.belief == 'oracle' or policy.tokeniser:
    raise errors.PastaError(
      f'policy {policy.policy_id} needs images of all candidates, the true '
      'types or candidates as text, which features of logged sessions do not '
      'hold'
    )
  # `_of_logits` knows the law of slates that are spread over categories.
  is_known_law = isinstance(policy, policy_lib.Scored) and policy.use_categories
  temperature = policy.temperature if is_known_law else 0.0

  def one_chunk(decisions, keys, rows):
    del rows
    history = decisions.history
    if policy.belief == 'prior':
      history = history.replace(
        log_belief=jnp.broadcast_to(log_prior, history.log_belief.shape)
      )
    if temperature > 0:
      scores = policy.score(history, decisions.candidates)
      logits = policy_lib.standardise(scores, decisions.candidates.valid)
      return _of_logits(decisions, logits / temperature, keys, num_slates)
    decision = policy.choose(history, decisions.candidates, keys)
    if not (decision.log_propensity == 0).all():
      raise errors.PastaError(
        f'policy {policy.policy_id} draws slates by a law of its own: expected '
        'one that scores candidates, or that is deterministic'
      )
    return _of_slates(decisions, decision.slate)

  return _collect(episodes, one_chunk, key)


def of_logits(
  logits: np.ndarray, episodes: Episodes, *, key: jax.Array, num_slates: int
) -> Propensities:
  """The same of slates drawn by `slates.sample_slate` from logits [N, T, C].

  With the same key, equal logits give equal propensities to the last bit.
  """

  def one_chunk(decisions, keys, rows):
    return _of_logits(decisions, jnp.asarray(logits[rows]), keys, num_slates)

  return _collect(episodes, one_chunk, key)


def _collect(
  episodes: Episodes,
  one_chunk: Callable[..., Propensities],
  key: jax.Array,
) -> Propensities:
  """Runs over all valid turns in chunks of one size."""
  num, turns = np.nonzero(np.asarray(episodes.valid))
  device = jax.tree.map(jnp.asarray, episodes)
  size = len(num)
  parts = []
  for start in range(0, size, _CHUNK_DECISIONS):
    index = np.minimum(np.arange(start, start + _CHUNK_DECISIONS), size - 1)
    rows = (num[index], turns[index])
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(index))
    part = one_chunk(_gather(device, *rows), keys, rows)
    kept = min(_CHUNK_DECISIONS, size - start)
    parts.append(jax.tree.map(lambda x, n=kept: np.asarray(x)[:n], part))

  def spread(*x):
    x = np.concatenate(x)
    out = np.zeros((*episodes.valid.shape, *x.shape[1:]), x.dtype)
    out[num, turns] = x
    return out

  return jax.tree.map(spread, *parts)


@jax.jit
def _gather(episodes: Episodes, rows: jax.Array, turns: jax.Array):
  pool = jax.tree.map(lambda x: x[rows, turns], episodes.pool)
  slate = episodes.slate[rows, turns]
  choice = episodes.choice[rows, turns]
  return _Decisions(
    history=episodes_lib.history_at(episodes, rows, turns),
    candidates=pool,
    slate=slate,
    item=jnp.take_along_axis(slate, choice[:, None], 1)[:, 0],
    choice_log_scale=episodes.choice_log_scale[rows],
  )


@functools.partial(jax.jit, static_argnames='num_slates')
def _of_logits(
  decisions: _Decisions, logits: jax.Array, keys: jax.Array, num_slates: int
) -> Propensities:
  """Propensities [B, ...] of slates drawn from logits [B, C]."""
  num_columns = decisions.slate.shape[1]

  def one(d, logits, key):
    category, valid = d.candidates.category, d.candidates.valid
    usable = valid & jnp.isfinite(logits)
    logits = jnp.where(usable, logits, 0.0)
    candidates = jnp.arange(logits.shape[0])

    def draw(logits, key):
      # A score that was not finite is as good as padding here.
      return jax.vmap(
        lambda k: slates_lib.sample_slate(
          k, jnp.where(usable, logits, jnp.nan), category, valid, num_columns
        )
      )(jax.random.split(key, num_slates))

    def log_propensity(slate):
      return slates_lib.set_log_propensity(
        logits, category, usable, slate, valid=valid
      )

    def log_choice(slate):
      return credit_lib.log_choice(
        d.history.log_belief, d.candidates.utility[slate], d.choice_log_scale
      )

    free_key, held_key = jax.random.split(key)
    slates, _ = draw(logits, free_key)  # [S, L]
    chosen = jnp.zeros_like(logits).at[slates]
    chosen = chosen.add(jnp.exp(jax.vmap(log_choice)(slates))) / num_slates
    shown = jnp.zeros_like(logits).at[slates].add(1.0)
    held, log_held = draw(
      jnp.where(candidates == d.item, logits.max() + _FIRST, logits), held_key
    )
    # Each slate with the chosen item, weighted from the law it was drawn from
    # to the policy's own, times the chance that the person chooses the item.
    log_ratio = jax.vmap(log_propensity)(held) - log_held
    log_chosen = jnp.where(
      held == d.item, jax.vmap(log_choice)(held), -jnp.inf
    ).max(1)
    return Propensities(
      log_slate=log_propensity(d.slate),
      log_item=jax.nn.logsumexp(log_ratio + log_chosen) - jnp.log(num_slates),
      chosen=chosen,
      shown=shown / (num_slates * num_columns),
    )

  return jax.vmap(one)(decisions, logits, keys)


@jax.jit
def _of_slates(decisions: _Decisions, slate: jax.Array) -> Propensities:
  """Propensities [B, ...] of a policy that shows slate [B, L] for certain."""

  def one(d, slate):
    log_choice = credit_lib.log_choice(
      d.history.log_belief, d.candidates.utility[slate], d.choice_log_scale
    )
    empty = jnp.zeros(d.candidates.category.shape, jnp.float32)
    is_same = (jnp.sort(slate) == jnp.sort(d.slate)).all()
    return Propensities(
      log_slate=jnp.where(is_same, 0.0, -jnp.inf),
      log_item=jnp.where(slate == d.item, log_choice, -jnp.inf).max(),
      chosen=empty.at[slate].set(jnp.exp(log_choice)),
      shown=empty.at[slate].set(1 / slate.shape[0]),
    )

  return jax.vmap(one)(decisions, slate)


def calibrated(episodes: Episodes) -> Episodes:
  """Episodes whose τ is that under which the logged choices are likeliest.

  The user model's τ belongs to utilities of images. Slates that were never
  shown have none, and utilities from text alone say less: with the same τ,
  people would seem to be surer of what they choose than they are.
  """
  arrays = jax.tree.map(
    jnp.asarray,
    (
      episodes.log_belief,
      episodes.slate_utility,
      episodes.choice,
      episodes.valid,
      episodes.choice_log_scale,
    ),
  )
  likelihood = np.asarray(
    jax.lax.map(lambda offset: _log_likelihood(offset, *arrays), _LOG_FACTORS)
  )
  log_scale = episodes.choice_log_scale + _LOG_FACTORS[likelihood.argmax()]
  return episodes.replace(
    choice_log_scale=log_scale,
    log_choice=np.asarray(
      credit_lib.log_choice(
        episodes.log_belief, episodes.slate_utility, log_scale[:, None]
      )
    ),
  )


@jax.jit
def _log_likelihood(offset, log_belief, utility, choice, valid, log_scale):
  """Of the logged choices, when log τ moves by an offset."""
  log_choice = credit_lib.log_choice(
    log_belief, utility, (log_scale + offset)[:, None]
  )
  index = jnp.maximum(choice, 0)[..., None]
  chosen = jnp.take_along_axis(log_choice, index, 2)[..., 0]
  return jnp.where(valid, chosen, 0.0).sum()


def behaviour_logits(
  records: Mapping[str, sessions.Session],
  session_id: Sequence[str],
  shape: tuple[int, int, int],
) -> np.ndarray:
  """The logits that logged slates were drawn from, from the logged scores.

  Args:
    records: sessions by id.
    session_id: N of them, or of others, whose log is not there.
    shape: (N, T, C).

  Returns:
    float32 [N, T, C]; NaN where scores or temperature are not in the log.
  """
  scores = np.full(shape, np.nan, np.float32)
  temperature = np.full((shape[0], 1, 1), np.nan, np.float32)
  for i, name in enumerate(session_id):
    if name not in records:
      continue
    record = records[name]
    temperature[i] = _temperature(record.policy_id)
    for t, turn in enumerate(record.turns):
      if turn.scores is not None:
        # None, of a candidate that was left out, becomes NaN.
        scores[i, t] = np.array(turn.scores, np.float32)
  standardised = policy_lib.standardise(
    jnp.asarray(scores), np.isfinite(scores)
  )
  return np.asarray(standardised) / temperature


def _temperature(policy_id: str) -> float:
  """What a logged policy drew its slates with; NaN if it drew none."""
  if policy_id == 'random':
    return np.inf
  found = _TEMPERATURE.search(policy_id)
  return float(found[1]) if found else np.nan


def agrees(
  behaviour: Propensities, logits: np.ndarray, episodes: Episodes
) -> np.ndarray:
  """Whether logits give the propensities that were logged, bool [N].

  Args:
    behaviour: `of_logits` of the logits.
    logits: of `behaviour_logits`, [N, T, C].
    episodes: with log_propensity.
  """
  gap = np.abs(behaviour.log_slate - np.asarray(episodes.log_propensity))
  known = np.isfinite(logits).any(-1)
  return (((gap <= _TOLERANCE) & known) | ~np.asarray(episodes.valid)).all(1)
