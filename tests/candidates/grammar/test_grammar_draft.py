"""Taking prompts apart: goldens for replacing, removing and putting in."""

import pytest

from pasta.candidates.grammar import critique, rephrase, wording
from pasta.candidates.grammar import draft as draft_lib
from pasta.t2i.sketch import lexicon


@pytest.mark.parametrize(
  'text, slot, phrase, expected',
  [
    (
      'a fox in a forest at dusk',
      'setting',
      'on a beach',
      'a fox on a beach at dusk',
    ),
    (
      'a fox in a snowy forest',
      'weather',
      'in thick fog',
      'a fox in a forest, in thick fog',
    ),
    (
      'a watercolor painting of a fox',
      'style',
      'oil painting',
      'an oil painting of a fox',
    ),
    ('a watercolor painting of a fox', 'style', '', 'a fox'),
    ('a close-up of a fox', 'composition', '', 'a fox'),
    ('an empty street', 'accent', '', 'a street'),
    (
      'a quiet harbour at dusk',
      'accent',
      'with birds in the air',
      'a harbour at dusk, with birds in the air',
    ),
    (
      'cottage with flowers and birds',
      'accent',
      'with hot air balloons',
      'cottage with hot air balloons',
    ),
    (
      'a fox, vibrant colours, at dusk',
      'palette',
      'black and white',
      'a fox, black and white, at dusk',
    ),
    (
      'a fox, oil on canvas, at dusk',
      'style',
      'pop art',
      'a fox, pop art, at dusk',
    ),
    (
      'a pixel art picture of a fox',
      'style',
      'oil painting',
      'a picture of a fox, oil painting',
    ),
  ],
)
def test_replace(text, slot, phrase, expected):
  draft = draft_lib.read(text)
  assert draft.replace(wording.SLOT[slot], phrase) == expected


def test_replace_keeps_entangled_words_unless_forced():
  draft = draft_lib.read('a fox in a snowy forest')
  setting = wording.SETTING
  assert draft.replace(setting, 'on a beach') is None
  assert draft.replace(setting, 'on a beach', forced=True) == (
    'a fox on a beach, in falling snow'
  )


@pytest.mark.parametrize(
  'text, subject, expected',
  [
    ('a fox in a forest', 'an old tree', 'an old tree in a forest'),
    ('an old tree', 'a cactus', 'a cactus'),
    ('cosy cottage', 'a castle', 'cosy castle'),
    (
      "my grandmother's cake",
      'a bowl of ramen',
      "my grandmother's bowl of ramen",
    ),
    ('an animal, something dreamy', 'a cat', 'a cat, something dreamy'),
    ('a portrait of a person', 'a robot', 'a portrait of a robot'),
    ('a view of the city', 'a castle', 'a view of the castle'),
    ('something abstract', 'a spiral', 'a spiral'),
    ('a quiet spiral', 'overlapping circles', 'quiet overlapping circles'),
    ('an abstract pattern', 'overlapping circles', 'overlapping circles'),
    ('some animal at dusk', 'a cat', 'a cat at dusk'),
    ('beautiful food', 'a cake', 'a beautiful cake'),
    ('two foxes', 'a cat', None),
  ],
)
def test_with_subject(text, subject, expected):
  value = wording.PHRASES[0].index(subject)
  assert draft_lib.read(text).with_subject(value) == expected


@pytest.mark.parametrize(
  'text, expected',
  [
    ('something dreamy', 'something dreamy with a fox'),
    ('something in the woods', 'a fox in the woods'),
    ('watercolor, warm colours', 'a fox, watercolor, warm colours'),
    ('in a forest at dusk', 'a fox in a forest at dusk'),
    ('', 'a fox'),
  ],
)
def test_with_new_subject(text, expected):
  value = wording.PHRASES[0].index('a fox')
  assert draft_lib.read(text).with_new_subject(value) == expected


def test_adjectives_do_not_pile_up():
  once = draft_lib.read('a fox at dusk').with_adjective('elegant')
  assert once == 'an elegant fox at dusk'
  assert draft_lib.read(once).with_adjective('curious') == (
    'a curious fox at dusk'
  )
  assert draft_lib.read('a bowl of noodles').with_adjective('steaming') == (
    'a steaming bowl of noodles'
  )


def test_a_dangling_negation_is_dropped():
  assert draft_lib.read('a fox, but no').text == 'a fox, but'


def test_without_negation():
  draft = draft_lib.read('a town, without any people, at dusk')
  value = wording.PHRASES[wording.ACCENT].index('with people strolling')
  assert draft.without_negation(wording.ACCENT, value) == 'a town, at dusk'


@pytest.mark.parametrize(
  'text, framed',
  [
    ('a fox at dusk', 'an image of a fox at dusk'),
    ('cosy cottage', 'an image of a cosy cottage'),
    ('My old cat', 'an image of my old cat'),
    ('draw me a fox', None),
    ('a picture of a fox', None),
    ('ink drawing of a fox', None),
  ],
)
def test_frames(text, framed):
  before = rephrase.opening(draft_lib.read(text))
  if framed is None:
    assert before is None
  else:
    assert rephrase.framed(text, 'an image of', before) == framed


def test_style_moves_to_the_front_and_back():
  draft = draft_lib.read('a fox, ink drawing, at dusk')
  front = rephrase.style_first(draft, '')
  assert front == 'an ink drawing of a fox, at dusk'
  assert rephrase.style_first(draft_lib.read(front), None) == (
    'a fox, at dusk, ink drawing'
  )


@pytest.mark.parametrize(
  'text, wanted, unwanted',
  [
    ('warmer, no people', ['palette:warm'], ['accent:people']),
    ('more snow please', ['weather:snow'], []),
    ('less neon', [], ['style:neon']),
    ('too dark', [], ['light:night']),
    ('not enough snow', ['weather:snow'], []),
    ("I don't want people", [], ['accent:people']),
    ('hmm, zigzag', [], []),
  ],
)
def test_critique(text, wanted, unwanted):
  def names(which):
    return [
      f'{slot}:{values[v].name}'
      for (slot, values), row in zip(lexicon.SLOTS.items(), critique.read(text))
      for v in row[which]
    ]

  assert names(0) == wanted
  assert names(1) == unwanted


def test_a_later_critique_wins():
  wanted, excluded = critique.summarise(
    'a town', ('no people', 'add people', '')
  )
  assert not any(wanted) and not any(excluded)
  wanted, excluded = critique.summarise('a town, no birds', ('no people',))
  assert len(excluded[wording.ACCENT]) == 2
