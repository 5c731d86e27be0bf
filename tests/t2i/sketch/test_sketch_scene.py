"""Parsing of prompts, and what is drawn at random for the rest."""

import numpy as np
import pytest

from pasta.t2i.sketch import lexicon, scene

SUBJECT, SETTING, STYLE, PALETTE, LIGHT = range(5)
WEATHER, ACCENT = 6, 7


def _index(slot: int, name: str) -> int:
  values = lexicon.SLOTS[lexicon.SLOT_NAMES[slot]]
  return [v.name for v in values].index(name)


def _named(prompt: str, slot: int) -> list[str]:
  values = lexicon.SLOTS[lexicon.SLOT_NAMES[slot]]
  return [values[i].name for i in scene.parse(prompt)[slot][0]]


@pytest.mark.parametrize('slot', range(scene.NUM_SLOTS))
def test_every_phrase_names_its_value(slot):
  for value in lexicon.SLOTS[lexicon.SLOT_NAMES[slot]]:
    assert value.name in _named(value.phrase, slot), value.phrase


@pytest.mark.parametrize(
  'prompt, slot, expected',
  [
    ('a kitten asleep', SUBJECT, ['cat']),
    ('KITTY!', SUBJECT, ['cat']),
    ('a ship in the dark woods', SETTING, ['forest']),
    ('a ship in the dark woods', LIGHT, ['night']),
    ('line art of a tower', STYLE, ['ink']),
    ('8-bit fox', STYLE, ['pixel_art']),
    ('a still life', SUBJECT, ['fruit']),
    ('fox and cat', SUBJECT, ['fox', 'cat']),
  ],
)
def test_synonyms(prompt, slot, expected):
  assert _named(prompt, slot) == expected


def test_negation_rules_out_and_reaches_over_fillers():
  named, excluded = scene.parse('a harbour with no people')[ACCENT]
  assert (named, excluded) == ((), (_index(ACCENT, 'people'),))
  _, excluded = scene.parse('castle without any snow')[WEATHER]
  assert excluded == (_index(WEATHER, 'snow'),)
  probs = scene.value_probs('castle without any snow')[WEATHER]
  assert probs[_index(WEATHER, 'snow')] == 0.0
  # Weights 2 (clear), 1 (rain), 1 (fog): the rest of the prior, normalised.
  assert probs[_index(WEATHER, 'clear')] == pytest.approx(0.5)
  assert probs[_index(WEATHER, 'fog')] == pytest.approx(0.25)


def test_negation_ends_after_what_it_negates():
  named, excluded = scene.parse('no rain, snow')[WEATHER]
  assert named == (_index(WEATHER, 'snow'),)
  assert excluded == (_index(WEATHER, 'rain'),)


def test_group_word_names_its_members_unless_one_is_named():
  assert _named('an animal', SUBJECT) == ['cat', 'fox', 'whale']
  assert _named('an animal, a fox', SUBJECT) == ['fox']
  probs = scene.value_probs('an animal')[SUBJECT]
  prior = 1.0 / len(lexicon.SUBJECTS)
  given = scene.ADHERENCE[SUBJECT] / 3 + (1 - scene.ADHERENCE[SUBJECT]) * prior
  assert probs[_index(SUBJECT, 'whale')] == pytest.approx(given)


def test_unknown_words_and_empty_prompt_leave_all_open():
  for prompt in ('', '   ', "grandmother's zxqv 12345", '…'):
    assert all(p == ((), ()) for p in scene.parse(prompt))
  np.testing.assert_allclose(
    scene.value_probs('zxqv'), scene.value_probs(''), atol=0
  )


@pytest.mark.parametrize(
  'prompt', ['', 'a fox', 'no fox, no cat', 'fox, oil, snow, no birds', 'city']
)
def test_probabilities_sum_to_one_within_the_slot(prompt):
  probs = scene.value_probs(prompt)
  np.testing.assert_allclose(probs.sum(1), 1.0, atol=1e-12)
  assert (probs >= 0).all()
  for slot, size in enumerate(lexicon.SLOT_SIZES):
    assert not probs[slot, size:].any()


def test_frequencies_match_probabilities():
  prompt, draws = 'a fox or a cat, no rain', 8000
  scenes = scene.sample([prompt], np.array([3]), draws)[0]
  probs = scene.value_probs(prompt)
  for slot, size in enumerate(lexicon.SLOT_SIZES):
    counts = np.bincount(scenes[:, slot], minlength=size) / draws
    # Five standard deviations of a share.
    bound = 5 * np.sqrt(probs[slot, :size] * (1 - probs[slot, :size]) / draws)
    assert (np.abs(counts - probs[slot, :size]) <= bound + 1e-12).all(), slot


def test_slots_are_drawn_independently():
  scenes = scene.sample([''], np.array([0]), 8000)[0].astype(float)
  correlation = np.corrcoef(scenes.T) - np.eye(scene.NUM_SLOTS)
  assert np.abs(correlation).max() < 0.06  # five times 1 / sqrt(8000)


def test_a_scene_depends_on_prompt_seed_and_index_only():
  prompts = ['a fox', 'a cat in the rain', 'city']
  seeds = np.array([5, 6, 7])
  together = scene.sample(prompts, seeds, 4)
  alone = scene.sample(prompts[1:2], seeds[1:2], 2)
  np.testing.assert_array_equal(together[1, :2], alone[0])
  keys = scene.image_seeds(['a', 'a', 'b'], np.array([0, 1, 0]), 50)
  assert len(np.unique(keys)) == keys.size
