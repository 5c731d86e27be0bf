"""Ceilings: the posterior against Bayes' rule by hand, and their order."""

import types

import jax
import ml_collections
import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.population import ceilings
from pasta.population import population as population_lib
from pasta.t2i.sketch import scene


def make(name, population, num_particles=64):
  config = ml_collections.ConfigDict({'num_particles': num_particles})
  return ceilings.Ceiling(
    name, population, config, images_per_prompt=4, num_columns=4
  )


def people(crowd):
  """What a ceiling reads of people."""
  return types.SimpleNamespace(crowd=crowd)


def shown(scenes):
  """What a ceiling reads of what people see."""
  return types.SimpleNamespace(scenes=scenes)


@pytest.fixture(scope='module')
def population():
  return population_lib.build(common.population())


def test_posterior_is_bayes_rule_over_the_particles(population):
  policy = make('bayes', population)
  crowd = population_lib.draw_crowd(population, 2, 1, seed=9)
  policy.begin(people(crowd))
  rng = np.random.default_rng(0)
  shape = (2, 2, 4, 4, population_lib.NUM_SLOTS)  # two turns
  scenes = rng.integers(0, 4, shape, np.int8)
  choices = np.array([[1, 3], [2, 0]])
  tastes, intents = np.array(policy._tastes), np.array(policy._intents)
  expected = np.zeros((2, 64))
  slot = np.arange(population_lib.NUM_SLOTS)
  for turn in range(2):
    policy.observe(shown(scenes[turn]), choices[turn])
    for i in range(2):
      table = (
        tastes
        + intents * (1 - crowd.named[i])[:, None]
        + crowd.intents[i] * crowd.named[i][:, None]
      )
      column = table[:, slot, scenes[turn, i]].sum(-1).max(-1)  # [P, L]
      logits = column / population.config.choice_noise
      expected[i] += logits[:, choices[turn, i]] - np.log(
        np.exp(logits).sum(-1)
      )
  np.testing.assert_allclose(policy._log_weights, expected, atol=2e-4)
  weights = np.asarray(jax.nn.softmax(policy._log_weights, -1))
  assert (1 / (weights**2).sum(-1) < 64).all()  # Effective particles.


def test_scores_match_sampled_columns(population):
  crowd = population_lib.draw_crowd(population, 1, 1, seed=9)
  policy = make('oracle', population)
  policy.begin(people(crowd))
  prompts = ['a fox, ink drawing', 'a fox in a forest at night', 'a cake']
  scores = np.asarray(policy.scores([prompts]))[0]
  draws = scene.sample(prompts, np.arange(3), 40000)  # [3, 40000, S]
  utility = population_lib.image_utility(crowd, draws[None])[0]
  sampled = utility.reshape(3, -1, 4).max(-1).mean(-1)
  np.testing.assert_allclose(scores, sampled, atol=0.12)


def test_unknown_ceiling_is_named(population):
  with pytest.raises(errors.PastaError, match="'god'"):
    make('god', population)


def test_only_bayes_learns(population):
  crowd = population_lib.draw_crowd(population, 1, 1, seed=9)
  scenes = np.zeros((1, 4, 4, population_lib.NUM_SLOTS), np.int8)
  scenes[0, 1:, :, 2] = np.arange(1, 4)[:, None]
  for name, learns in (('prior', False), ('bayes', True)):
    policy = make(name, population)
    policy.begin(people(crowd))
    before = policy.scores([['a fox, pixel art', 'a fox, oil painting']])
    policy.observe(shown(scenes), np.array([2]))
    after = policy.scores([['a fox, pixel art', 'a fox, oil painting']])
    assert bool(jax.numpy.any(before != after)) == learns
