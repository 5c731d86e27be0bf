"""The hidden population: what people feel, choose and say."""

import dataclasses

import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.population import population as population_lib
from pasta.t2i.sketch import lexicon


def make(**knobs):
  config = common.population()
  config.update(knobs)
  return population_lib.build(config)


def test_utility_is_the_sum_over_slots_of_taste_and_intent():
  population = make()
  crowd = population_lib.draw_crowd(population, 3, 1, seed=5)
  scenes = np.zeros((3, 2, 1, population_lib.NUM_SLOTS), np.int8)
  scenes[:, 1, 0, 2] = 4  # column 1 differs from column 0 in its style only
  utility = population_lib.image_utility(crowd, scenes)[..., 0]
  table = crowd.tastes + crowd.intents
  np.testing.assert_allclose(
    utility[:, 1] - utility[:, 0], table[:, 2, 4] - table[:, 2, 0]
  )
  np.testing.assert_allclose(utility[:, 0], table[:, :, 0].sum(1))


def test_people_choose_by_the_best_image():
  population = make(choice_noise=0.0)
  crowd = population_lib.draw_crowd(population, 50, 1, seed=5)
  rng = np.random.default_rng(0)
  scenes = rng.integers(0, 4, (50, 4, 4, population_lib.NUM_SLOTS), np.int8)
  choice, _, _, chosen = population_lib.answer(
    population, crowd, scenes, None, 0
  )
  best = population_lib.image_utility(crowd, scenes).max(2)
  np.testing.assert_array_equal(choice, best.argmax(1))
  np.testing.assert_allclose(chosen, best.max(1))
  # The mean of a column would often say otherwise.
  mean = population_lib.image_utility(crowd, scenes).mean(2).argmax(1)
  assert (mean != choice).mean() > 0.2


def test_choice_frequencies_follow_the_softmax():
  population = make(choice_noise=0.7)
  crowd = population_lib.draw_crowd(population, 1, 4000, seed=5)
  crowd = dataclasses.replace(
    crowd, intents=np.zeros_like(crowd.intents)
  )  # 4,000 sittings of one person with nothing in mind
  scenes = np.zeros((4000, 3, 1, population_lib.NUM_SLOTS), np.int8)
  scenes[:, 1, 0, 2], scenes[:, 2, 0, 2] = 1, 2
  choice, *_ = population_lib.answer(population, crowd, scenes, None, 0)
  logits = crowd.tastes[0, 2, :3] / 0.7
  expected = np.exp(logits) / np.exp(logits).sum()
  seen = np.bincount(choice, minlength=3) / 4000
  np.testing.assert_allclose(seen, expected, atol=0.03)


def test_careless_people_choose_at_random():
  population = make(careless_share=0.4, choice_noise=0.01)
  crowd = population_lib.draw_crowd(population, 1, 4000, seed=5)
  crowd = dataclasses.replace(crowd, intents=np.zeros_like(crowd.intents))
  scenes = np.zeros((4000, 4, 1, population_lib.NUM_SLOTS), np.int8)
  scenes[:, 0, 0, 2] = crowd.tastes[0, 2, :8].argmax()
  scenes[:, 1:, 0, 2] = crowd.tastes[0, 2, :8].argmin()
  choice, *_ = population_lib.answer(population, crowd, scenes, None, 1)
  seen = np.bincount(choice, minlength=4) / 4000
  # Of the careless a quarter takes each column, the others take the best.
  np.testing.assert_allclose(seen, [0.7, 0.1, 0.1, 0.1], atol=0.03)
  # Those who are not careless choose as they did.
  sober = make(choice_noise=0.01)
  other, *_ = population_lib.answer(sober, crowd, scenes, None, 1)
  assert (other == choice).mean() > 0.6


def test_the_first_column_attracts():
  noise = 0.5
  population = make(position_bias=1.0, choice_noise=noise)
  crowd = population_lib.draw_crowd(population, 1, 6000, seed=5)
  # All columns alike; on the screen stand entries 2, 0, 1.
  scenes = np.zeros((6000, 3, 1, population_lib.NUM_SLOTS), np.int8)
  columns = np.tile([2, 0, 1], (6000, 1))
  choice, _, _, chosen = population_lib.answer(
    population, crowd, scenes, None, 0, columns
  )
  odds = np.exp(np.array([0.5, 0.0, 1.0]) / noise)
  seen = np.bincount(choice, minlength=3) / 6000
  np.testing.assert_allclose(seen, odds / odds.sum(), atol=0.025)
  # What is felt for the chosen column has no part of its place.
  felt = population_lib.image_utility(crowd, scenes)[:, 0, 0]
  np.testing.assert_allclose(chosen, felt)
  with pytest.raises(errors.PastaError, match='no order on a screen'):
    population_lib.answer(population, crowd, scenes, None, 0)


@pytest.mark.parametrize(
  'field,value', [('careless_share', 1.5), ('position_bias', -0.1)]
)
def test_bad_habits_are_named(field, value):
  with pytest.raises(errors.PastaError, match=f'population.{field} is {value}'):
    make(**{field: value})


def test_comparison_and_satisfaction():
  population = make(
    comparison_noise=0.0,
    satisfaction_noise=0.0,
    choice_noise=0.0,
    generosity_spread=0.0,
  )
  crowd = population_lib.draw_crowd(population, 3, 1, seed=5)
  scenes = np.zeros((3, 4, 4, population_lib.NUM_SLOTS), np.int8)
  *_, chosen = population_lib.answer(population, crowd, scenes, None, 0)
  # Before: worse by 1, nearly the same, better by 1.
  previous = chosen + np.array([-1.0, 0.1, 1.0])
  _, satisfaction, comparison, _ = population_lib.answer(
    population, crowd, scenes, previous, 1
  )
  assert comparison.tolist() == [1, 0, -1]
  logit = population.config.satisfaction_slope * (chosen - population.center)
  np.testing.assert_allclose(satisfaction, 1 / (1 + np.exp(-logit)))


def test_answers_do_not_depend_on_the_batch():
  population = make()
  crowd = population_lib.draw_crowd(population, 20, 1, seed=5)
  rng = np.random.default_rng(0)
  scenes = rng.integers(0, 4, (20, 4, 4, population_lib.NUM_SLOTS), np.int8)
  whole = population_lib.answer(population, crowd, scenes, None, 2)
  index = np.array([7, 3])
  part = population_lib.answer(
    population, crowd.select(index), scenes[index], None, 2
  )
  for a, b in zip(whole, part, strict=True):
    np.testing.assert_array_equal(a[index], b)


def test_seeds_draw_other_people_of_the_same_types():
  population = make()
  one = population_lib.draw_crowd(population, 40, 2, seed=1)
  two = population_lib.draw_crowd(population, 40, 2, seed=2)
  assert not np.array_equal(one.tastes, two.tastes)
  assert not set(one.user_ids) & set(two.user_ids)
  assert len(set(one.user_ids)) == 40
  again = population_lib.draw_crowd(population, 40, 2, seed=1)
  assert again.initial_prompts == one.initial_prompts
  np.testing.assert_array_equal(again.tastes, one.tastes)
  # A person's two sittings share the taste, not the intent.
  np.testing.assert_array_equal(one.tastes[0], one.tastes[1])
  assert not np.array_equal(one.intents[0], one.intents[1])


def test_type_explains_taste():
  population = make(person_scale=0.0)
  crowd = population_lib.draw_crowd(population, 30, 1, seed=3)
  np.testing.assert_array_equal(crowd.tastes, population.tastes[crowd.types])
  assert population.tastes.shape[0] == 24
  # No weight beyond a slot's values.
  assert not (crowd.tastes * (1 - population_lib.VALID)).any()


def test_initial_prompt_names_what_it_says_it_names():
  from pasta.t2i.sketch import scene

  population = make()
  crowd = population_lib.draw_crowd(population, 100, 1, seed=4)
  for i, prompt in enumerate(crowd.initial_prompts):
    named = [bool(values) for values, _ in scene.parse(prompt)]
    assert named == crowd.named[i].astype(bool).tolist(), prompt
    assert len(prompt.split()) <= 14
  assert set(lexicon.SLOT_NAMES) == set(population.config.slot_scales)


@pytest.mark.parametrize(
  'field', ['num_types', 'choice_noise', 'type_scale', 'habituation']
)
def test_bad_knobs_are_named(field):
  with pytest.raises(errors.PastaError, match=f'population.{field} is -1'):
    make(**{field: -1})


def test_tastes_drift_from_turn_to_turn():
  population = make(drift_scale=0.3)
  crowd = population_lib.draw_crowd(population, 400, 1, seed=5)
  still = population_lib.drifted(population, crowd, 0)
  np.testing.assert_array_equal(still.tastes, crowd.tastes)
  style = lexicon.SLOT_NAMES.index('style')
  scale = 0.3 * population.config.slot_scales.style
  for turn in (1, 4):
    step = population_lib.drifted(population, crowd, turn).tastes - crowd.tastes
    assert not step[:, population_lib.VALID == 0].any()
    # Independent steps add up: the deviation grows as the root of the turns.
    found = step[:, style, :10].std()
    assert found == pytest.approx(scale * turn**0.5, rel=0.05)
  with pytest.raises(errors.PastaError, match='drift_scale'):
    make(drift_scale=-1.0)


def test_half_of_the_people_tire_and_all_else_is_the_same():
  tiring = make(habituation=0.5)
  crowd = population_lib.draw_crowd(tiring, 400, 2, seed=5)
  assert set(crowd.habituation) == {0.0, 1.0}
  assert crowd.habituation.mean() == pytest.approx(0.5, abs=0.06)
  # A person's sittings are alike.
  np.testing.assert_array_equal(crowd.habituation[::2], crowd.habituation[1::2])
  calm = population_lib.draw_crowd(make(), 400, 2, seed=5)
  assert not calm.habituation.any()
  for field in ('tastes', 'intents', 'generosity', 'noise_seeds'):
    np.testing.assert_array_equal(getattr(calm, field), getattr(crowd, field))
  assert calm.initial_prompts == crowd.initial_prompts


def test_boredom_by_hand():
  style, palette = (lexicon.SLOT_NAMES.index(n) for n in ('style', 'palette'))
  scenes = np.zeros((1, 2, 4, population_lib.NUM_SLOTS), np.int8)
  # Column 1: three images in style 4, one in style 7, all in palette 2.
  scenes[0, 1, :, style] = 4, 4, 7, 4
  scenes[0, 1, :, palette] = 2
  scenes[0, 1, :, 0] = 9  # nobody tires of a subject
  boredom = np.zeros((1, *population_lib.VALID.shape))
  for expected in ((0.75, 0.25, 1.0), (1.275, 0.425, 1.7)):  # 0.7 A + share
    boredom = population_lib.next_boredom(boredom, scenes, np.array([1]))
    found = boredom[0, style, 4], boredom[0, style, 7], boredom[0, palette, 2]
    np.testing.assert_allclose(found, expected)
  assert np.count_nonzero(boredom) == 3
  boredom = population_lib.next_boredom(boredom, scenes, np.array([0]))
  # The other column: value 0 of both, and what was there has faded.
  np.testing.assert_allclose(boredom[0, style, [0, 4]], (1.0, 0.7 * 1.275))
  crowd = population_lib.draw_crowd(make(habituation=0.5), 8, 1, seed=5)
  index = np.array([crowd.habituation.argmax(), crowd.habituation.argmin()])
  crowd = crowd.select(index)
  assert crowd.habituation.tolist() == [1.0, 0.0]
  felt = population_lib.bored(crowd, np.repeat(boredom, 2, 0))
  np.testing.assert_allclose(felt.tastes[0], crowd.tastes[0] - boredom[0])
  np.testing.assert_array_equal(felt.tastes[1], crowd.tastes[1])
