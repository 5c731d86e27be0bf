"""The belief over types: a posterior kept online, in log space.

  b_t(k) ∝ b_{t−1}(k) · P(all feedback of turn t | k)

with the same likelihood functions that the user model is fitted with (paper,
section 4): the choice, the satisfaction with what was chosen, and whether it
was better or worse than the turn before. How generous a person is with their
satisfaction is not known either, and is the same in all their turns. So a
belief is kept jointly over type and generosity, and the types' is its margin.

A belief is about lasting taste. `carried` takes it from one session of a person
to the next.

Letters: B people, T turns, L columns, K user types, J values of generosity.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import flax
import jax
import jax.numpy as jnp

from pasta.user_model import likelihoods
from pasta.user_model.model import UserModel

KINDS = ('choice', 'satisfaction', 'comparison')


@flax.struct.dataclass
class Belief:
  """What is believed of B people.

  Attributes:
    log_joint: over type and generosity, normalised [B, K, J].
    previous: R of the column that was chosen last in this session [B, K]; NaN
      where none was yet.
  """

  log_joint: jax.Array
  previous: jax.Array

  @property
  def log_types(self) -> jax.Array:
    """Log belief over types, normalised [B, K]."""
    return jax.nn.logsumexp(self.log_joint, -1)


class Feedback(NamedTuple):
  """What B people answered at a turn, or with axes [B, T] at T turns.

  Attributes:
    choice: chosen column, int; −1: no choice, and then nothing else counts.
    satisfaction: in [0, 1]; NaN where not given.
    comparison: −1 worse, 0 same, 1 better than the turn before, int; others:
      not given.
    position: of the columns on the screen, with an axis [L] behind the others,
      see `likelihoods.choice_log_probs`; None: not known.
  """

  choice: jax.Array
  satisfaction: jax.Array
  comparison: jax.Array
  position: jax.Array | None = None


def initial(model: UserModel, batch: int) -> Belief:
  """The prior for `batch` people."""
  log_joint = model.log_prior[:, None] + likelihoods.offset_log_prior()
  return Belief(
    log_joint=jnp.tile(log_joint[None], (batch, 1, 1)),
    previous=jnp.full((batch, model.num_types), jnp.nan),
  )


def update(
  model: UserModel, belief: Belief, utility: jax.Array, feedback: Feedback
) -> Belief:
  """The belief after one more turn.

  Each kind of feedback counts with the model's `feedback_weights`; 0 leaves it
  out.

  Args:
    model: the user model.
    belief: of B people.
    utility: R of the slate's columns [B, L, K].
    feedback: of the turn, [B].
  """
  chex.assert_rank([utility, feedback.choice], [3, 1])
  chex.assert_equal_shape_prefix(
    jax.tree.leaves((belief, utility, feedback)), 1
  )
  here = feedback.choice >= 0
  picked = jax.nn.one_hot(
    feedback.choice, utility.shape[1], dtype=utility.dtype
  )
  chosen = jnp.sum(utility * picked[..., None], 1)  # [B, K]
  # What was not chosen adds nothing, whatever else was said.
  of_choice = likelihoods.slate_choice(
    utility,
    feedback.choice,
    here,
    model.choice_log_scale,
    habits=model.habits,
    position=feedback.position,
  )
  of_comparison = likelihoods.cross_turn(
    chosen - belief.previous,
    feedback.comparison,
    here
    & (jnp.abs(feedback.comparison) <= 1)
    & jnp.isfinite(belief.previous).all(-1),
    model.comparison,
  )
  of_satisfaction = likelihoods.satisfaction_by_offset(
    chosen,
    feedback.satisfaction,
    here & jnp.isfinite(feedback.satisfaction),
    model.satisfaction,
  )
  weights = model.feedback_weights
  log_joint = (
    belief.log_joint
    + weights['satisfaction'] * of_satisfaction
    + (weights['choice'] * of_choice + weights['comparison'] * of_comparison)[
      ..., None
    ]
  )
  log_joint = jax.nn.log_softmax(log_joint, (-2, -1))
  return Belief(
    log_joint=jnp.where(here[:, None, None], log_joint, belief.log_joint),
    previous=jnp.where(here[:, None], chosen, jnp.nan),
  )


def hearing(model: UserModel, kinds: Sequence[str]) -> UserModel:
  """The user model whose beliefs hear nothing but these KINDS; (): its own."""
  if not kinds:
    return model
  weights = {
    kind: weight if kind in kinds else jnp.zeros_like(weight)
    for kind, weight in model.feedback_weights.items()
  }
  return model.replace(feedback_weights=weights)


def carried(model: UserModel, belief: Belief) -> Belief:
  """The belief that the same people's next session starts from.

  People change: it is widened by a share of the prior, `model.widening`, so
  that nothing is ever ruled out. What was chosen last is forgotten.
  """
  fresh = initial(model, belief.previous.shape[0])
  return Belief(
    log_joint=jnp.logaddexp(
      jnp.log1p(-model.widening) + belief.log_joint,
      jnp.log(model.widening) + fresh.log_joint,
    ),
    previous=fresh.previous,
  )


def trajectory(
  model: UserModel,
  utility: jax.Array,
  feedback: Feedback,
  starts: jax.Array | None = None,
) -> Belief:
  """Beliefs before each of T turns and after the last, from the prior.

  Args:
    model: the user model.
    utility: [B, T, L, K].
    feedback: of the turns, [B, T].
    starts: bool [B, T], 1 = the first turn of another session of the person,
      whose belief is carried over; None: all turns are one session's.

  Returns:
    A belief with axes [B, T + 1].
  """
  chex.assert_rank([utility, feedback.choice], [4, 2])
  chex.assert_equal_shape_prefix(jax.tree.leaves((utility, feedback)), 2)
  start = initial(model, utility.shape[0])
  if starts is None:
    starts = jnp.zeros(feedback.choice.shape, bool)

  def step(belief, turn):
    utility, feedback, starts = turn
    before = _where(starts, carried(model, belief), belief)
    belief = update(model, before, utility, feedback)
    return belief, (before, belief)

  turns = jax.tree.map(
    lambda x: jnp.moveaxis(x, 1, 0), (utility, feedback, starts)
  )
  _, (before, after) = jax.lax.scan(step, start, turns)
  return jax.tree.map(
    lambda x, y: jnp.moveaxis(jnp.concatenate([x, y[-1:]]), 0, 1), before, after
  )


def _where(mask: jax.Array, one: Belief, other: Belief) -> Belief:
  """The one belief where the mask [B] is 1, else the other."""
  return jax.tree.map(
    lambda x, y: jnp.where(mask.reshape(-1, *(1,) * (x.ndim - 1)), x, y),
    one,
    other,
  )


def entropy(log_belief: jax.Array) -> jax.Array:
  """Entropy in nats over the last axis of normalised logs, [...]."""
  return -jnp.sum(
    jnp.where(jnp.isfinite(log_belief), jnp.exp(log_belief) * log_belief, 0.0),
    -1,
  )


def effective_types(log_belief: jax.Array) -> jax.Array:
  """exp(entropy): between 1 and K, [...]; of log η, the types in use."""
  return jnp.exp(entropy(log_belief))
