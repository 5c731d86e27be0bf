"""What beliefs know of true types, by hand and against ceilings that played."""

import jax
import ml_collections
import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.evaluate import belief_quality
from pasta.interaction import hidden_people, loop
from pasta.population import ceilings, posterior
from pasta.population import population as population_lib
from pasta.world import world as world_lib

SIZES = world_lib.Sizes(num_turns=3, num_columns=4, images_per_prompt=4)
CONFIG = ml_collections.ConfigDict(
  {'num_particles': 256, 'slate_particles': 16}
)


@pytest.fixture(scope='module')
def world():
  config = common.world()
  config.t2i.num_workers = 0
  world = world_lib.World(config)
  yield world
  world.close()


def test_table_by_hand():
  # Two people of true types 1 and 0; before the first turn and after it.
  probs = np.array([[[0.5, 0.5], [0.2, 0.8]], [[0.6, 0.4], [0.3, 0.7]]])
  choices = np.array([[[0.1, 0.9]], [[0.6, 0.4]]])
  found = belief_quality.table(
    np.log(probs),
    np.array([1, 0]),
    {'bayes': np.array([[-1.0, -0.5], [-3.0, -1.5]])},
    np.log(choices),
    np.array([[1], [1]]),
    seed=0,
  )
  before, after = found['true_type']
  expected = (np.log(0.5) + np.log(0.6)) / 2
  assert before['log_prob']['mean'] == pytest.approx(expected)
  assert before['bayes']['mean'] == -2.0 and after['bayes']['mean'] == -1.0
  # After the turn 0.8 and 0.7 are said, of which the first alone is right.
  assert after['stated']['mean'] == pytest.approx(0.75)
  assert after['right']['mean'] == 0.5
  assert after['gap']['mean'] == pytest.approx(0.25)
  assert after['gap']['low'] <= 0.25 <= after['gap']['high']
  (choice,) = found['next_choice']
  expected = (np.log(0.9) + np.log(0.4)) / 2
  assert choice['log_prob']['mean'] == pytest.approx(expected)
  assert choice['stated']['mean'] == pytest.approx(0.75)
  assert choice['right']['mean'] == 0.5


def test_a_ceiling_beside_the_sessions_knows_what_it_knew_in_them(world):
  population = population_lib.build(common.population())
  crowd = population_lib.draw_crowd(population, 5, 1, seed=11)
  ceiling = ceilings.Ceiling(
    'bayes_full', population, CONFIG, images_per_prompt=4, num_columns=4
  )
  people = hidden_people.HiddenPeople(population, crowd)
  played = loop.run(world, people, ceiling, SIZES, jax.random.key(0)).sessions

  def told(name):
    return belief_quality.true_type_log_probs(
      name, population, crowd, played, world, CONFIG
    )

  found = told('bayes_full')
  assert found.shape == (5, 4)
  rows = np.arange(5)
  np.testing.assert_allclose(
    found[:, -1], ceiling.log_types()[rows, crowd.types], atol=1e-4
  )
  # Before anything is said: the share of particles of that type.
  types = posterior.drawn_types(population, 256)
  share = np.bincount(types, minlength=24) / 256
  np.testing.assert_allclose(
    np.exp(found[:, 0]), np.maximum(share[crowd.types], 1e-3 / 256), rtol=1e-4
  )
  assert np.abs(told('bayes') - found).max() > 0.01


def test_sessions_of_other_people_are_refused(world):
  population = population_lib.build(common.population())
  crowd = population_lib.draw_crowd(population, 2, 1, seed=11)
  with pytest.raises(errors.PastaError, match='expected one of each of the 2'):
    belief_quality.measure(
      None, None, [], None, None, population, crowd, world, CONFIG, seed=0
    )
