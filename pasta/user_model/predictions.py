"""What a user model says of people's feedback before they give it.

Each observation is predicted from the person's earlier ones alone, as the agent
would at that moment, and beside it from another person's: only the gap between
the two is personalisation.

There are two ways. Sessions' people lie side by side on the device and beliefs
go from turn to turn as they do in play, so that how turns compare is predicted,
too. Where people have any number of observations, or those are large, they are
read chunk by chunk and beliefs are sums in float64.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pasta.user_model import (
  belief,
  evidence,
  likelihoods,
  observations,
  packing,
)
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel
from pasta.user_model.sources import Source

_CHUNK_USERS = 128
_CHUNK_OBSERVATIONS = 4096
_CHUNK_BYTES = 2**26  # of inputs that are read at once


class Turns(NamedTuple):
  """U people with O turns each, side by side.

  Attributes:
    text: [U, O, L, D].
    image: [U, O, L, M, D].
    feedback: of the turns [U, O]; choice -1 in padding.
    starts: [U, O], bool, 1 = first turn of another session than the turn
      before.
    mask: [U, O], bool, 1 = observed.
  """

  text: np.ndarray
  image: np.ndarray
  feedback: belief.Feedback
  starts: np.ndarray
  mask: np.ndarray


def turns(source: Source, people: np.ndarray) -> Turns:
  """Some of a source's people, by position; it has `num_places`."""
  batch = source.side_by_side(people)
  mask = batch.weight > 0
  feedback = belief.Feedback(
    **{k: batch.feedback[k] for k in belief.KINDS}, position=batch.position
  )
  feedback = feedback._replace(choice=np.where(mask, feedback.choice, -1))
  text, image, feedback, mask = jax.tree.map(
    lambda x: x.reshape(len(people), -1, *x.shape[1:]),
    (batch.text, batch.image, feedback, mask),
  )
  at = np.minimum(
    source.first[people, None] + np.arange(mask.shape[1]), len(source.row) - 1
  )
  starts = mask & source.starts[at]
  starts[:, 0] = False  # There is nothing to carry over yet.
  return Turns(text, image, feedback, starts, mask)


class ByTurn(NamedTuple):
  """Per observation, [U, O] each; meaningless where a mask is 0.

  Attributes:
    log_prob: of the choice that was made, given all earlier feedback.
    is_correct: the most probable column was chosen, float in {0, 1}.
    confidence: probability of the most probable column.
    mismatched_log_prob: as log_prob, but given another person's earlier
      feedback: only what own adds to that is personalisation.
    mismatched_is_correct: as is_correct, with that belief.
    comparison_correct: the most probable of worse / same / better was said,
      given all earlier feedback and this turn's choice.
    choice_mask: 1 = a choice.
    comparison_mask: 1 = a comparison.
  """

  log_prob: np.ndarray
  is_correct: np.ndarray
  confidence: np.ndarray
  mismatched_log_prob: np.ndarray
  mismatched_is_correct: np.ndarray
  comparison_correct: np.ndarray
  choice_mask: np.ndarray
  comparison_mask: np.ndarray


def sequential(model: UserModel, people: Turns) -> ByTurn:
  """Predictions for U people with O observations, pure; see `ByTurn`."""
  utility = model_lib.column_utility(model, people.text, people.image)
  choice = people.feedback.choice
  beliefs = belief.trajectory(model, utility, people.feedback, people.starts)
  per_type = model_lib.choice_log_probs(
    model, utility, people.feedback.position
  )  # [U, O, L, K]
  before = beliefs.log_types[:, :-1, None]  # [U, O, 1, K]
  log_probs = jax.nn.logsumexp(per_type + before, -1)  # [U, O, L]
  # The next person's belief at the same turn, the first's for the last.
  mismatched = jax.nn.logsumexp(per_type + jnp.roll(before, -1, 0), -1)
  picked = jax.nn.one_hot(choice, utility.shape[2])  # [U, O, L]
  chosen = jnp.einsum('uolk,uol->uok', utility, picked)
  difference = jnp.diff(chosen, axis=1, prepend=chosen[:, :1])
  compared = likelihoods.cross_turn_log_probs(difference, model.comparison)
  # The belief once the choice is known, but not yet what else was said.
  known = before[:, :, 0] + jnp.einsum('uolk,uol->uok', per_type, picked)
  compared = jax.nn.logsumexp(compared + known[..., None], 2)
  answer = jnp.argmax(compared, -1) - 1
  return ByTurn(
    log_prob=(log_probs * picked).sum(-1),
    is_correct=(jnp.argmax(log_probs, -1) == choice).astype(jnp.float32),
    confidence=jnp.exp(log_probs.max(-1)),
    mismatched_log_prob=(mismatched * picked).sum(-1),
    mismatched_is_correct=(jnp.argmax(mismatched, -1) == choice).astype(
      jnp.float32
    ),
    comparison_correct=(answer == people.feedback.comparison).astype(
      jnp.float32
    ),
    choice_mask=people.mask,
    comparison_mask=people.mask & (jnp.abs(people.feedback.comparison) <= 1),
  )


_sequential = jax.jit(sequential)


def by_turn(model: UserModel, source: Source) -> ByTurn:
  """`sequential` in chunks of people, on the host.

  Args:
    model: the user model.
    source: at least one person; with `num_places`.
  """
  parts = []
  for index, count in packing.chunks(source.num_users, _CHUNK_USERS):
    part = jax.device_get(_sequential(model, turns(source, index)))
    parts.append([x[:count] for x in part])
  return ByTurn(*(np.concatenate(x) for x in zip(*parts)))


class ByObservation(NamedTuple):
  """Of N observations, in a source's order.

  Attributes:
    log_likelihood: under each type [N, K], less weights.
    utility: R of the columns [N, L, K].
    log_belief: before the observation, from the person's earlier ones [N, K].
    mismatched: the same from another person's [N, K].
    person: position of each observation's person [N].
  """

  log_likelihood: np.ndarray
  utility: np.ndarray
  log_belief: np.ndarray
  mismatched: np.ndarray
  person: np.ndarray


@jax.jit
def _measure(model: UserModel, batch: observations.Observations):
  utility = model_lib.column_utility(model, batch.text, batch.image)
  found = evidence.observation_log_likelihoods(model, batch, utility)
  # What tells types apart first: a choice, not how it compares.
  return utility, next(iter(found.values()))


def by_observation(model: UserModel, source: Source) -> ByObservation:
  """Likelihoods and beliefs of all observations, read chunk by chunk.

  Args:
    model: the user model.
    source: at least one person. Of sessions, the choices alone are used.
  """
  utility, likelihood = [], []
  fits = _CHUNK_BYTES * source.num_observations // max(source.num_bytes, 1)
  size = int(np.clip(fits, 1, _CHUNK_OBSERVATIONS))
  for at, count in packing.chunks(source.num_observations, size):
    batch = source.read(at).replace(
      user=np.zeros(1, np.int32),
      group=np.zeros(len(at), np.int32),
      weight=np.ones(len(at), np.float32),
    )
    found = jax.device_get(_measure(model, batch))
    utility.append(found[0][:count])
    likelihood.append(found[1][:count])
  likelihood = np.concatenate(likelihood)
  person, place = _places(source.first)
  total = np.concatenate(
    [np.zeros((1, likelihood.shape[1])), np.cumsum(likelihood, 0, np.float64)]
  )
  first = np.asarray(source.first)
  log_prior = np.asarray(model.log_prior, np.float64)
  num = np.diff(first)

  def belief(who: np.ndarray, count: np.ndarray) -> np.ndarray:
    seen = total[first[who] + count] - total[first[who]]
    joint = log_prior + seen
    return joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)

  other = (person + 1) % source.num_users
  return ByObservation(
    log_likelihood=likelihood,
    utility=np.concatenate(utility),
    log_belief=belief(person, place),
    mismatched=belief(other, np.minimum(place, num[other])),
    person=person,
  )


def _places(first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Person of each observation, and how many of theirs came before."""
  count = np.diff(first)
  person = np.repeat(np.arange(len(count)), count)
  return person, np.arange(first[-1]) - np.repeat(first[:-1], count)


def first_preferred(model: UserModel, found: ByObservation) -> np.ndarray:
  """Probability that the first of two columns is preferred [N]."""
  scale = np.exp(np.asarray(model.choice_log_scale, np.float64))
  difference = scale * (found.utility[:, 0] - found.utility[:, 1])
  first = 1.0 / (1.0 + np.exp(-difference))
  return (np.exp(found.log_belief) * first).sum(-1)
