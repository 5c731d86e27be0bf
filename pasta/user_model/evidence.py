"""What a user model says of people's feedback: log-likelihoods by kind."""

import chex
import jax
import jax.numpy as jnp
import ml_collections

from pasta.user_model import likelihoods, observations
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel
from pasta.user_model.observations import Observations


def observation_log_likelihoods(
  model: UserModel, batch: Observations, utility: jax.Array
) -> dict[str, jax.Array]:
  """Log-likelihood of each observation under every type, by kind.

  Args:
    model: the user model.
    batch: N observations.
    utility: R of their columns [N, L, K].

  Returns:
    Weighted [N, K] for each kind that the data set holds, less satisfactions,
    which hang together by person; exactly 0 where there is no such feedback.
  """
  chex.assert_rank(utility, 3)
  feedback, scale, found = batch.feedback, model.choice_log_scale, {}
  weights = observations.weights(batch)
  if 'choice' in feedback:
    found['choice'] = likelihoods.slate_choice(
      utility,
      feedback['choice'],
      weights['choice'],
      scale,
      batch.available,
      model.habits,
      batch.position,
    )
  if 'pair' in feedback:
    found['pair'] = likelihoods.pair(
      utility, feedback['pair'], weights['pair'], scale
    )
  if 'ranking' in feedback:
    found['ranking'] = likelihoods.ranking(
      utility, feedback['ranking'], weights['ranking'], scale, batch.available
    )
  if 'rating' in feedback:
    found['rating'] = likelihoods.rating(
      utility[:, 0], feedback['rating'], weights['rating'], model.rating
    )
  if 'comparison' in feedback:
    chosen = _chosen(utility, batch)
    found['comparison'] = likelihoods.cross_turn(
      jnp.diff(chosen, axis=0, prepend=chosen[:1]),
      feedback['comparison'],
      weights['comparison'],
      model.comparison,
    )
  return found


def _chosen(utility: jax.Array, batch: Observations) -> jax.Array:
  """Utility of the chosen column [N, K]."""
  picked = jax.nn.one_hot(batch.feedback['choice'], utility.shape[1])
  return jnp.sum(utility * picked[..., None], 1)


def log_likelihoods(
  model: UserModel, batch: Observations
) -> dict[str, jax.Array]:
  """Log-likelihood of each person's feedback under every type, by kind.

  Args:
    model: the user model.
    batch: N observations of up to G people.

  Returns:
    [G, K] for each kind that the data set holds, weighted sums over a person's
    observations; exactly 0 where there is no such feedback.
  """
  utility = model_lib.column_utility(model, batch.text, batch.image)
  found = {
    kind: observations.per_person(value, batch)
    for kind, value in observation_log_likelihoods(
      model, batch, utility
    ).items()
  }
  if 'satisfaction' in batch.feedback:
    found['satisfaction'] = likelihoods.satisfaction(
      _chosen(utility, batch),
      batch.feedback['satisfaction'],
      observations.weights(batch)['satisfaction'],
      model.satisfaction,
      batch.group,
      batch.num_people,
    )
  return found


def weigh(
  found: dict[str, jax.Array], config: ml_collections.ConfigDict
) -> jax.Array:
  """ℓ_u(k) [G, K]: the kinds of feedback, weighted by config."""
  return sum(config.feedback_weights[k] * v for k, v in found.items())
