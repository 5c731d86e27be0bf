"""Does the fit find planted types? An experiment against the Bayes limit.

Choices are drawn from planted types, a model is fitted, and people are assigned
to types: as well as the truth would (the Bayes limit, on the same draws)?
"""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from scipy import optimize

from pasta.latent_class import choices, full_batch, pooled, search
from pasta.latent_class import model as latent_class

_FOUND = 0.9  # correlation of utilities from which a type counts as found


@dataclasses.dataclass(frozen=True)
class Planted:
  """Choices of people with known types.

  Attributes:
    features: [N, L, D].
    choice: [N].
    user: [N].
    types: of each person [U].
    model: the truth.
  """

  features: np.ndarray
  choice: np.ndarray
  user: np.ndarray
  types: np.ndarray
  model: latent_class.LatentClass


def plant(
  num_users: int, config: ml_collections.ConfigDict, seed: int
) -> Planted:
  """Draws people, their types and their choices."""
  rng = np.random.default_rng([config.seed, seed])
  shape = (config.num_types, config.num_features)
  coefficients = config.taste_scale * rng.standard_normal(shape)
  types = rng.integers(config.num_types, size=num_users)
  user = np.repeat(np.arange(num_users), config.choices_per_user)
  features = rng.standard_normal(
    (len(user), config.num_columns, config.num_features)
  )
  utility = np.einsum('nld,nd->nl', features, coefficients[types[user]])
  choice = np.argmax(utility + rng.gumbel(size=utility.shape), 1)
  share = np.full(config.num_types, 1.0 / config.num_types)
  return Planted(
    features,
    choice,
    user,
    types,
    latent_class.LatentClass(coefficients, np.log(share)),
  )


def adjusted_rand_index(one: np.ndarray, other: np.ndarray) -> float:
  """Agreement of two partitions (Hubert and Arabie 1985): 1 same, 0 chance.

  Args:
    one: labels [U].
    other: labels [U].
  """
  one, other = (np.unique(x, return_inverse=True)[1] for x in (one, other))
  table = np.zeros((one.max() + 1, other.max() + 1))
  np.add.at(table, (one, other), 1)

  def pairs(x: np.ndarray) -> float:
    return float((x * (x - 1) / 2).sum())

  both, rows, columns = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
  chance = rows * columns / pairs(np.array([len(one)]))
  highest = (rows + columns) / 2
  return 1.0 if highest == chance else (both - chance) / (highest - chance)


def match_types(true: np.ndarray, found: np.ndarray) -> np.ndarray:
  """For each true type the found one that is most like it, one to one.

  Args:
    true: coefficients [K, D].
    found: coefficients [K, D].
  """
  distance = ((true[:, None] - found[None]) ** 2).sum(-1)
  return optimize.linear_sum_assignment(distance)[1]


def utility_correlations(
  planted: Planted, model: latent_class.LatentClass
) -> np.ndarray:
  """Correlation of true and found utilities over alternatives, by type [K].

  Utilities matter within a choice set only, so each set's mean is taken off.
  """
  match = match_types(planted.model.coefficients, model.coefficients)
  centred = planted.features - planted.features.mean(1, keepdims=True)
  centred = centred.reshape(-1, centred.shape[-1])
  true = centred @ planted.model.coefficients.T
  found = centred @ model.coefficients[match].T
  return np.array(
    [np.corrcoef(t, f)[0, 1] for t, f in zip(true.T, found.T, strict=True)]
  )


def log_likelihood_from_truth(
  planted: Planted, options: latent_class.Options
) -> float:
  """What EM reaches when it starts at the true types; nats."""
  with jax.enable_x64(options.dtype == 'float64'):
    data, _ = choices.make(
      planted.features,
      planted.choice,
      planted.user,
      dtype=np.dtype(options.dtype).type,
    )
    data = jax.tree.map(jnp.asarray, data)
    prior = pooled.fit_pooled(data, options).prior
    gamma = np.eye(options.num_types)[planted.types]
    state = search.climb(data, prior, options, gamma)
  return float(full_batch.host_posterior(state)[1].sum())


def measure(planted: Planted, options: dict) -> dict[str, float]:
  """Fits the model and compares it with the truth."""
  data = planted.features, planted.choice, planted.user
  fit = latent_class.fit(*data, **options)
  _, limit = latent_class.posterior(planted.model, *data)
  correlations = utility_correlations(planted, fit.model)
  return {
    'log_likelihood': fit.log_likelihood,
    'log_likelihood_from_truth': log_likelihood_from_truth(
      planted, fit.options
    ),
    'types_found': int((correlations > _FOUND).sum()),
    'num_moves_taken': fit.num_moves_taken,
    'rand_index': adjusted_rand_index(
      planted.types, fit.responsibilities.argmax(1)
    ),
    'bayes_rand_index': adjusted_rand_index(planted.types, limit.argmax(1)),
    'worst_utility_correlation': float(correlations.min()),
    'largest_coefficient': float(np.abs(fit.model.coefficients).max()),
    'largest_true_coefficient': float(np.abs(planted.model.coefficients).max()),
    'effective_types': fit.effective_types,
    'share_at_best': fit.share_at_best,
  }
