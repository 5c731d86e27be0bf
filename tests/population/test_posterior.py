"""The exact posterior against enumeration: each kind of feedback by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from configs import common
from pasta.population import population as population_lib
from pasta.population import posterior

NUM_TURNS = 3
SLOT = np.arange(population_lib.NUM_SLOTS)


@pytest.fixture(scope='module')
def population():
  """Two types, nobody deviates, nobody has anything in mind."""
  config = common.population()
  config.num_types = 2
  config.type_concentration = 20.0  # both have people
  config.type_scale = 0.3  # alike: no answer settles who it is
  config.person_scale = config.intent_scale = config.intent_share = 0.0
  return population_lib.build(config)


@pytest.fixture(scope='module')
def heard():
  """Scenes [T, 1, L, M, S] and answers [T, 1] of one person, any they like."""
  rng = np.random.default_rng(0)
  shape = (NUM_TURNS, 1, 4, 4, population_lib.NUM_SLOTS)
  return {
    'scenes': rng.integers(0, 4, shape, np.int8),
    'choice': np.array([[2], [0], [3]]),
    'satisfaction': np.array([[0.31], [0.0], [1.0]], np.float32),
    'comparison': np.array([[0], [1], [0]]),
  }


def _utilities(population, heard, kind):
  """What a type feels for the columns [T, L], and for those chosen [T]."""
  scenes = heard['scenes'][:, 0]
  column = population.tastes[kind][SLOT, scenes].sum(-1).max(-1)
  return column, column[np.arange(NUM_TURNS), heard['choice'][:, 0]]


def _of_choices(population, heard, kind):
  column, chosen = _utilities(population, heard, kind)
  logits = column / population.config.choice_noise
  return (
    chosen / population.config.choice_noise - np.log(np.exp(logits).sum(1))
  ).sum()


def _of_satisfaction(population, heard, kind):
  """∫ p(g) Π_t p(satisfaction_t | utility_t, g) dg, by quadrature."""
  c = population.config
  _, chosen = _utilities(population, heard, kind)

  def joint(generosity):
    result = stats.norm.pdf(generosity, scale=c.generosity_spread)
    logit = c.satisfaction_slope * (chosen - population.center) + generosity
    for x, level in zip(heard['satisfaction'][:, 0], 1 / (1 + np.exp(-logit))):
      told = stats.norm(level, c.satisfaction_noise)
      result *= told.cdf(0) if x == 0 else told.sf(1) if x == 1 else told.pdf(x)
    return result

  return np.log(integrate.quad(joint, -3, 3, epsabs=0, epsrel=1e-9)[0])


def _of_comparisons(population, heard, kind):
  c = population.config
  _, chosen = _utilities(population, heard, kind)
  result = 0.0
  for t in range(1, NUM_TURNS):
    felt = stats.norm(chosen[t] - chosen[t - 1], c.comparison_noise)
    low = felt.cdf(-c.comparison_threshold)
    high = felt.sf(c.comparison_threshold)
    probs = {-1: low, 0: 1 - low - high, 1: high}
    result += np.log(probs[heard['comparison'][t, 0]])
  return result


BY_HAND = (_of_choices, _of_satisfaction, _of_comparisons)


def _found(population, heard):
  """Log probability of type 1 over type 0, by particles."""
  particles = posterior.draw(population, 40, with_types=True)
  noise = posterior.noise(population)
  told = posterior.Told(
    jnp.zeros((1, *population_lib.VALID.shape)),
    jnp.ones((1, population_lib.NUM_SLOTS)),
  )
  state = posterior.initial(particles, 1, noise.log_share)
  for t in range(NUM_TURNS):
    state = posterior.update(
      state,
      particles,
      told,
      noise,
      heard['scenes'][t],
      jnp.zeros(heard['scenes'][t].shape[:2]),
      heard['choice'][t],
      heard['satisfaction'][t],
      heard['comparison'][t] if t else None,
    )
  weights = np.asarray(state.log_weights)[0]
  is_one = np.isclose(
    particles.tastes, population.tastes[1].astype(np.float32)
  ).all((1, 2))
  assert 0 < is_one.sum() < 40
  # All particles of a type are one person.
  for same in (weights[is_one], weights[~is_one]):
    np.testing.assert_allclose(same, same[0], atol=1e-4)
  return weights[is_one][0] - weights[~is_one][0]


def test_posterior_is_bayes_rule_over_both_types(population, heard):
  expected = [
    np.array([f(population, heard, kind) for f in BY_HAND]) for kind in (0, 1)
  ]
  ratio = expected[1] - expected[0]
  assert (np.abs(ratio) > 0.05).all()  # Each kind of feedback says something.
  found = _found(population, heard)
  assert found == pytest.approx(ratio.sum(), abs=1e-3)


def test_generosity_is_one_shift_a_person(population):
  """Twice the same surprise is explained by one generosity, not by two."""
  noise = posterior.noise(population)
  found = jax.jit(jax.vmap(posterior.log_satisfaction, (None, 0, None)))(
    jnp.full((1,), population.center), jnp.array([0.65, np.nan]), noise
  )
  surprise, silent = np.exp(np.asarray(found, np.float64))[:, 0]
  prior = np.exp(np.asarray(noise.log_share, np.float64))
  assert prior.sum() == pytest.approx(1, abs=1e-6)
  assert prior @ surprise**2 > 1.1 * (prior @ surprise) ** 2
  assert (silent == 1).all()


def test_resampling_is_systematic():
  # 8 draws of weights 1/2, 1/4, 1/4, 0.
  log_weights = jnp.log(jnp.array([0.5, 0.25, 0.25, 0.0])) + 7.0
  found = np.asarray(posterior.resampled(log_weights, 8))
  assert found.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
