"""Rough prompts say what they are meant to say."""

import random

import numpy as np
import pytest
import rough_prompts

from pasta.candidates.grammar import prompts
from pasta.t2i.sketch import lexicon, scene

_NAMES = {
  slot: [v.name for v in values]
  + (list(lexicon.GROUPS) if slot == 'subject' else [])
  for slot, values in lexicon.SLOTS.items()
}


def _expected(values):
  rows = []
  for slot, known in lexicon.SLOTS.items():
    name = values.get(slot)
    rows.append(
      (
        tuple(
          i
          for i, v in enumerate(known)
          if v.name == name or slot == 'subject' and v.group == name
        ),
        (),
      )
    )
  return tuple(rows)


def test_every_single_value_comes_through():
  for seed in range(4):
    rng = np.random.default_rng(seed)
    for slot, names in _NAMES.items():
      for name in names:
        text = prompts.prompt_from_values({slot: name}, rng)
        assert scene.parse(text) == _expected({slot: name}), text
        assert len(text.split()) <= 12


@pytest.mark.parametrize('num', [2, 3])
def test_random_combinations_come_through(num):
  rng = random.Random(num)
  texts = set()
  for _ in range(600):
    values = {
      slot: rng.choice(_NAMES[slot]) for slot in rng.sample(list(_NAMES), num)
    }
    text = prompts.prompt_from_values(values, rng)
    assert scene.parse(text) == _expected(values), (values, text)
    texts.add(text)
  assert len(texts) > 550


def test_initial_prompts_are_short_rough_and_varied():
  found = rough_prompts.initial_prompts(300, 5)
  assert found == rough_prompts.initial_prompts(300, 5)
  assert found != rough_prompts.initial_prompts(300, 6)
  assert len(set(found)) == 300
  assert max(len(p.split()) for p in found) <= 12
  named = [sum(bool(n) for n, _ in scene.parse(p)) for p in found]
  assert max(named) <= 3
  assert 0.02 < np.mean(np.array(named) == 0) < 0.15
  assert np.mean(named) > 1.3
  subjects = {scene.parse(p)[0][0] for p in found}
  assert len(subjects) > 25  # most subjects, some groups


def test_bad_values_are_named():
  rng = random.Random(0)
  with pytest.raises(ValueError, match='values is empty'):
    prompts.prompt_from_values({}, rng)
  with pytest.raises(ValueError, match="slot 'mood' is unknown"):
    prompts.prompt_from_values({'mood': 'calm'}, rng)
  with pytest.raises(ValueError, match="style 'cubism' is unknown.*neon"):
    prompts.prompt_from_values({'style': 'cubism'}, rng)
