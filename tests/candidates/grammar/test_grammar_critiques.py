"""What a person says and rejects holds for later pools."""

import random

import numpy as np
import pytest
from named_slots import named_values

from pasta.candidates.grammar import critique, terse, wording
from pasta.candidates.grammar import generator as grammar
from pasta.t2i.sketch import scene
from pasta.types import PromptHistory


def test_initial_negations_are_kept_and_honoured():
  history = PromptHistory('a quiet town, no people, never at night')
  generator = grammar.Grammar()
  rng = random.Random(4)
  for turn in range(5):
    pool = generator.propose([history], np.array([turn]))[0]
    for candidate in pool:
      parsed = scene.parse(candidate.text)
      assert parsed[wording.ACCENT][1] and parsed[wording.LIGHT][1]
      assert 'no people' in candidate.text
    history = PromptHistory(
      history.initial_prompt, (*history.chosen, rng.choice(pool).text)
    )


@pytest.mark.parametrize(
  'current',
  [
    'a fox',
    'a fox in a snowy forest at night, neon glow art, cool blue tones',
    'a neon town with people strolling, pink and purple',
    'something dreamy',
  ],
)
@pytest.mark.parametrize(
  'critique, wanted, unwanted',
  [
    (
      'warmer, no people',
      [('palette', 'warm colours')],
      [('accent', 'with people strolling')],
    ),
    ('more snow please', [('weather', 'in falling snow')], []),
    ('less neon', [], [('style', 'neon glow art')]),
    ('brighter', [('light', 'in daylight')], []),
    (
      'in a garden, pixel art',
      [('setting', 'in a garden'), ('style', 'pixel art')],
      [],
    ),
  ],
)
def test_critiques(current, critique, wanted, unwanted):
  history = PromptHistory('a thing', (current,), (), (critique,))
  pool = grammar.Grammar().propose([history], np.array([5]))[0]
  for slot, phrase in wanted:
    s = wording.SLOT[slot]
    value = wording.PHRASES[s].index(phrase)
    hits = [named_values(c.text)[s] == (value,) for c in pool]
    assert np.mean(hits) >= 0.6
    assert all(hits[:4])  # what is asked for comes first
  for slot, phrase in unwanted:
    s = wording.SLOT[slot]
    value = wording.PHRASES[s].index(phrase)
    for candidate in pool:
      named, excluded = scene.parse(candidate.text)[s]
      assert value not in named
      assert named or value in excluded  # an open slot would draw it again


def test_critiques_hold_in_random_sessions(turns):
  asked = 0
  for history, pool in turns:
    wanted, excluded = critique.summarise(
      history.initial_prompt, history.critiques
    )
    asked += any(wanted)
    for slot, values in enumerate(wanted):
      if values:
        hits = [
          not set(values).isdisjoint(named_values(c.text)[slot]) for c in pool
        ]
        assert np.mean(hits) >= 0.6, (history, slot)
    for candidate in pool:
      for slot, named in enumerate(named_values(candidate.text)):
        assert not set(named) & set(excluded[slot]), (history, candidate)
  assert asked > 50


def test_exclusions_persist_and_can_be_taken_back():
  people = wording.PHRASES[wording.ACCENT].index('with people strolling')
  history = PromptHistory(
    'a town', ('a town', 'a town at dusk'), (), ('no people', '')
  )
  for candidate in grammar.Grammar().propose([history], np.array([0]))[0]:
    assert people not in named_values(candidate.text)[wording.ACCENT]
  history = PromptHistory(
    'a town',
    ('a town, no people', 'a town at dusk, no people'),
    (),
    ('no people', 'more people'),
  )
  pool = grammar.Grammar().propose([history], np.array([0]))[0]
  hits = [named_values(c.text)[wording.ACCENT] == (people,) for c in pool]
  assert np.mean(hits) >= 0.6


def test_rejected_prompts_do_not_come_back():
  generator = grammar.Grammar()
  history = PromptHistory('a fox')
  first = generator.propose([history], np.array([0]))[0]
  again = PromptHistory('a fox', (), (tuple(c.text for c in first),))
  second = generator.propose([again], np.array([0]))[0]
  assert not {c.text for c in first} & {c.text for c in second}


@pytest.mark.parametrize('wrapped', [lambda g: g, terse.Terse])
def test_it_says_whether_it_knows_a_word(wrapped):
  made = wrapped(grammar.Grammar())
  assert made.understands('warmer, no people')
  assert not made.understands('qwerty, asdf')
  assert not made.understands('')
