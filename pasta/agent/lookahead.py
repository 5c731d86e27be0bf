"""Planning at decision time, by rollouts through the learned user model.

Which slate is best for the rest of the session, and not for this turn alone?
Slates to start with are the best one under the belief and the best one for
each type. In a rollout a type is drawn from the belief, and a person of that
type answers; the belief moves as it would; the next slates are the best of the
same set under the new belief. Later turns are thought to have the pool of this
one: what candidates a choice would bring is for the generator to say, and
asking it for every rollout would cost a call to a language model each. Nothing
is rendered.

Letters: B sessions, P slates to start with, R rollouts, C candidates, L slate
columns, K user types.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from pasta.agent import expected_selection
from pasta.agent.history import CandidateSet, Decision, History
from pasta.agent.policy import Policy


def slates_to_start_with(
  log_belief: jax.Array,
  candidates: CandidateSet,
  response: expected_selection.Response,
  num_columns: int,
) -> jax.Array:
  """The best slate under the belief, then that for each type: [B, K + 1, L]."""
  num_types = log_belief.shape[-1]

  def best(belief):
    return expected_selection.insert(
      lambda sets, expected: expected,
      belief,
      candidates,
      response,
      num_columns,
    )[0]

  def for_type(k):
    sure = jnp.where(jnp.arange(num_types) == k, 0.0, -jnp.inf)
    return best(jnp.broadcast_to(sure, log_belief.shape))

  # One type after the other: all at once would hold K times the draws.
  of_types = jax.lax.map(for_type, jnp.arange(num_types))  # [K, B, L]
  return jnp.concatenate(
    [best(log_belief)[:, None], jnp.moveaxis(of_types, 0, 1)], 1
  )


def _rollouts(
  key: jax.Array,
  log_belief: jax.Array,
  utility: jax.Array,
  remaining: jax.Array,
  response: expected_selection.Response,
  num_turns: int,
  num_rollouts: int,
) -> jax.Array:
  """Mean utility of what is picked, summed over the turns that remain: [P].

  Args:
    key: typed key, the same draws for all slates.
    log_belief: [K].
    utility: of the slates' columns [P, L, K], from text.
    remaining: turns to go, this one included, [].
    response: τ and σ.
    num_turns: T.
    num_rollouts: R.
  """
  num_slates, size, num_types = utility.shape
  scale = jnp.exp(response.choice_log_scale)
  # A sure belief in each type: EUS is linear in the belief, so that later turns
  # value every slate by one product with it.
  expected = jax.vmap(
    lambda u: expected_selection.of_prefixes(
      jnp.log(jnp.eye(num_types)),
      jnp.broadcast_to(u, (num_types, *u.shape)),
      response,
    )[:, -1]
  )(utility)  # [P, K], of each slate for each type

  def rollout(key, first):
    type_key, answers = jax.random.split(key)
    # The person stays who they are; only the agent's belief moves.
    true_type = jax.random.categorical(type_key, log_belief)

    def turn(carry, t):
      belief, total, slate = carry
      noise_key, choice_key = jax.random.split(jax.random.fold_in(answers, t))
      # One error of text a column, the same for all types: it is the image.
      noise = jax.random.normal(noise_key, (size, 1))
      seen = utility[slate] + response.residual_std * noise  # [L, K]
      log_probs = jax.nn.log_softmax(scale * seen, axis=0)
      choice = jax.random.categorical(choice_key, log_probs[:, true_type])
      # All rollouts run T turns, to have one shape; those beyond the session
      # count nothing.
      total += jnp.where(t < remaining, seen[choice, true_type], 0.0)
      belief = jax.nn.log_softmax(belief + log_probs[choice])
      return (belief, total, jnp.argmax(expected @ jnp.exp(belief))), None

    start = (log_belief, jnp.zeros(()), first)
    return jax.lax.scan(turn, start, jnp.arange(num_turns))[0][1]

  # The same keys for every first slate: their differences scatter less.
  keys = jax.random.split(key, num_rollouts)
  return jax.vmap(
    lambda first: jax.vmap(lambda k: rollout(k, first))(keys).mean()
  )(jnp.arange(num_slates))


@functools.partial(jax.jit, static_argnames=('num_columns', 'num_rollouts'))
def choose(
  history: History,
  candidates: CandidateSet,
  response: expected_selection.Response,
  keys: jax.Array,
  *,
  num_columns: int,
  num_rollouts: int,
) -> Decision:
  """The slate whose rollouts bring most; see `policy.Policy`.

  Args:
    history: with leading [B].
    candidates: with leading [B].
    response: τ and σ of the user model.
    keys: typed keys [B].
    num_columns: L.
    num_rollouts: R, from each of the K + 1 slates.
  """
  slates = slates_to_start_with(
    history.log_belief, candidates, response, num_columns
  )
  rows = jnp.arange(slates.shape[0])
  num_turns = history.choice.shape[1]
  values = jax.vmap(
    functools.partial(
      _rollouts,
      response=response,
      num_turns=num_turns,
      num_rollouts=num_rollouts,
    )
  )(
    keys,
    history.log_belief,
    candidates.utility[rows[:, None, None], slates],
    num_turns - history.turn,
  )  # [B, P]
  best = values.argmax(1)
  slate = slates[rows, best]
  # A candidate is worth as much as the best slate that holds it.
  holds = (slates[..., None] == jnp.arange(candidates.category.shape[1])).any(
    2
  )  # [B, P, C]
  scores = jnp.where(holds, values[..., None], -jnp.inf).max(1)
  # In no slate: no better than the worst, and finite, as logs need it.
  floor = values.min(1, keepdims=True)
  return Decision(
    slate=slate,
    scores=jnp.maximum(scores, floor),
    log_propensity=jnp.zeros(len(rows)),
    predicted=jnp.full(len(rows), jnp.nan),
  )


@dataclasses.dataclass(kw_only=True, eq=False)
class Planning(Policy):
  """Rollouts through the user model, see above.

  Attributes:
    response: τ and σ of the user model.
    num_rollouts: R, from each of the slates to start with.
  """

  response: expected_selection.Response
  num_rollouts: int

  def _choose(
    self, history: History, candidates: CandidateSet, keys: jax.Array
  ) -> Decision:
    return choose(
      history,
      candidates,
      self.response,
      keys,
      num_columns=self.num_columns,
      num_rollouts=self.num_rollouts,
    )
