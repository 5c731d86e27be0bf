"""Ceilings: the posterior against Bayes' rule by hand, and their order."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.agent import history as history_lib
from pasta.interaction import hidden_people
from pasta.population import ceilings
from pasta.population import population as population_lib
from pasta.t2i.sketch import lexicon, scene


def make(name, population, num_particles=64):
  config = ml_collections.ConfigDict(
    {'num_particles': num_particles, 'slate_particles': 32}
  )
  return ceilings.Ceiling(
    name, population, config, images_per_prompt=4, num_columns=4
  )


def people(crowd):
  """What a ceiling reads of people."""
  return types.SimpleNamespace(crowd=crowd)


def shown(scenes, columns=None):
  """What a ceiling reads of what people see."""
  if columns is None:
    columns = np.tile(np.arange(4), (len(scenes), 1))
  return types.SimpleNamespace(scenes=scenes, columns=columns)


def answer(choice, satisfaction=0.5, comparison=None):
  """What a ceiling reads of what people answer."""
  choice = np.asarray(choice)
  return types.SimpleNamespace(
    choice=choice,
    satisfaction=np.full(len(choice), satisfaction),
    comparison=comparison,
  )


@pytest.fixture(scope='module')
def population():
  return population_lib.build(common.population())


@pytest.mark.parametrize('careless,bias', [(0.0, 0.0), (0.3, 0.5)])
def test_posterior_is_bayes_rule_over_the_particles(careless, bias):
  config = common.population()
  config.update(careless_share=careless, position_bias=bias)
  population = population_lib.build(config)
  policy = make('bayes', population)
  crowd = population_lib.draw_crowd(population, 2, 1, seed=9)
  policy.begin(people(crowd))
  rng = np.random.default_rng(0)
  shape = (2, 2, 4, 4, population_lib.NUM_SLOTS)  # two turns
  scenes = rng.integers(0, 4, shape, np.int8)
  choices = np.array([[1, 3], [2, 0]])
  columns = np.array([[2, 0, 3, 1], [1, 3, 0, 2]])  # In both turns.
  # Entry 2 stands first for the first person, then 0, 3, 1.
  place = np.array([[2, 0, 3, 1], [1, 3, 0, 2]]) / 3
  tastes = np.array(policy._particles.tastes)
  intents = np.array(policy._particles.intents)
  expected = np.zeros((2, 64))
  slot = np.arange(population_lib.NUM_SLOTS)
  for turn in range(2):
    policy.observe(shown(scenes[turn], columns), answer(choices[turn]))
    for i in range(2):
      table = (
        tastes
        + intents * (1 - crowd.named[i])[:, None]
        + crowd.intents[i] * crowd.named[i][:, None]
      )
      column = table[:, slot, scenes[turn, i]].sum(-1).max(-1)  # [P, L]
      odds = np.exp((column + bias * place[i]) / config.choice_noise)
      prob = odds[:, choices[turn, i]] / odds.sum(-1)
      expected[i] += np.log((1 - careless) * prob + careless / 4)
  found = policy._posterior.log_weights
  np.testing.assert_allclose(found, expected, atol=2e-4)
  weights = np.asarray(jax.nn.softmax(found, -1))
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


@pytest.mark.parametrize(
  'name', [n for n, kind in ceilings._KINDS.items() if not kind.foresight]
)
def test_who_hears_what(population, name):
  """Scores move with each kind of feedback that a ceiling hears."""
  crowd = population_lib.draw_crowd(population, 1, 1, seed=9)
  scenes = np.zeros((1, 4, 4, population_lib.NUM_SLOTS), np.int8)
  scenes[0, 1:, :, 2] = np.arange(1, 4)[:, None]
  texts = [['a fox, pixel art', 'a fox, oil painting']]

  def after(*answers):
    policy = make(name, population)
    policy.begin(people(crowd))
    for one in answers:
      policy.observe(shown(scenes), one)
    return policy.scores(texts)

  first = answer([2])
  hears = ceilings._KINDS[name].hears
  assert bool((after(first) != after()).any()) == ('choice' in hears)
  happier = answer([2], satisfaction=0.9)
  assert bool((after(happier) != after(first)).any()) == (
    'satisfaction' in hears
  )
  better, worse = (answer([1], comparison=np.array([x])) for x in (1, -1))
  assert bool((after(first, better) != after(first, worse)).any()) == (
    'comparison' in hears
  )


def test_what_is_told_is_added_to_every_particle(population):
  crowd = population_lib.draw_crowd(population, 3, 1, seed=9)
  for name, scale in (('type_told', 0.1), ('oracle', 0.0)):
    policy = make(name, population)
    policy.begin(people(crowd))
    told = np.asarray(policy._told.known)
    expected = (
      crowd.intents * crowd.named[..., None] + (population.tastes[crowd.types])
    )
    if name == 'oracle':
      expected = crowd.tastes + crowd.intents
    np.testing.assert_allclose(told, expected, atol=1e-6)
    # What is left to learn are deviations of a person, or nothing.
    assert np.asarray(policy._particles.tastes).std() <= scale


def test_hedging_slates_hold_something_for_each_type():
  """Two types of 3/5 and 2/5: columns serve the first, a hedge serves both."""
  config = common.population()
  config.num_types, config.person_scale, config.common_scale = 2, 0.0, 0.0
  config.intent_scale = config.intent_share = 0.0
  population = population_lib.build(config)
  tastes = np.zeros_like(population.tastes)
  style = lexicon.SLOT_NAMES.index('style')
  names = [v.name for v in lexicon.SLOTS['style']]
  ink, oil, pixel = (names.index(n) for n in ('ink', 'oil', 'pixel_art'))
  tastes[0, style, [ink, oil]] = 4.0, 3.0
  tastes[1, style, pixel] = 3.0
  population = dataclasses.replace(
    population, tastes=tastes, type_prior=np.array([0.6, 0.4])
  )
  crowd = population_lib.draw_crowd(population, 1, 1, seed=9)
  crowd = dataclasses.replace(crowd, named=np.zeros_like(crowd.named))
  texts = [['a fox, oil painting', 'a fox, ink drawing', 'a fox, pixel art']]
  pool = history_lib.CandidateSet(
    category=jnp.array([[0, 1, 2]]),
    valid=jnp.ones((1, 3), bool),
    text=None,
    utility=None,
  )
  for name, expected in (('bayes', {0, 1}), ('bayes_slate', {1, 2})):
    config = ml_collections.ConfigDict(
      {'num_particles': 200, 'slate_particles': 50}
    )
    policy = ceilings.Ceiling(
      name, population, config, images_per_prompt=4, num_columns=2
    )
    policy.begin(people(crowd))
    policy.see(texts)
    decision = policy.choose(None, pool, jax.random.key(0))
    assert set(np.asarray(decision.slate)[0].tolist()) == expected, name
    assert np.isfinite(decision.scores).all()


def test_all_score_the_boredom_of_the_turn():
  config = common.population()
  config.habituation = 0.5
  population = population_lib.build(config)
  crowd = population_lib.draw_crowd(population, 6, 1, seed=9)
  assert 0 < crowd.habituation.sum() < 6
  sitting = hidden_people.HiddenPeople(population, crowd)
  policy = make('oracle', population)
  policy.begin(sitting)
  rng = np.random.default_rng(0)
  boredom = np.zeros_like(crowd.tastes)
  for turn in range(3):
    scenes = rng.integers(0, 4, (6, 4, 4, population_lib.NUM_SLOTS), np.int8)
    told = crowd.tastes + crowd.intents
    told = told - crowd.habituation[:, None, None] * boredom
    np.testing.assert_allclose(policy._told.known, told, atol=1e-5)
    seen = shown(scenes)
    seen.turn = turn
    given = sitting.answer(seen)
    # People feel just that: the choice is the best of it but for the noise.
    column = told[
      np.arange(6)[:, None, None, None],
      np.arange(population_lib.NUM_SLOTS),
      scenes,
    ]
    column = column.sum(-1).max(-1)
    np.testing.assert_allclose(
      given.utility, column[np.arange(6), given.choice]
    )
    policy.observe(seen, given)
    boredom = population_lib.next_boredom(boredom, scenes, given.choice)
