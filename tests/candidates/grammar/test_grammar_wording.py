"""The tables of wording mean what they stand for; spans point at phrases."""

import pytest

from pasta.candidates.grammar import wording
from pasta.t2i.sketch import lexicon, scene

_NOTHING = ((),) * len(lexicon.SLOT_NAMES)


def _read(text):
  named, excluded = zip(*scene.parse(text))
  return named, excluded


def _only(slot, value):
  return tuple((value,) if s == slot else () for s in range(len(_NOTHING)))


@pytest.mark.parametrize(
  'text',
  [
    *wording.FRAMES,
    *wording.SUFFIXES,
    *wording.TOUCHES,
    *sorted(wording.ALL_ADJECTIVES),
  ],
)
def test_neutral_words_mean_nothing(text):
  assert _read(text) == (_NOTHING, _NOTHING)


@pytest.mark.parametrize('slot', range(len(lexicon.SLOT_NAMES)))
def test_wordings_name_their_value_and_negations_rule_it_out(slot):
  for value, phrases in enumerate(wording.WORDINGS[slot]):
    for phrase in phrases:
      assert _read(phrase) == (_only(slot, value), _NOTHING), phrase
    negation = wording.NEGATIONS[slot][value]
    assert _read(negation) == (_NOTHING, _only(slot, value)), negation


def test_nouns_and_style_frames_name_their_value():
  for value, nouns in enumerate(wording.NOUNS):
    for noun in nouns:
      assert _read(noun) == (_only(0, value), _NOTHING), noun
  for value, frame in enumerate(wording.STYLE_FRAMES):
    assert _read(frame) == (_only(wording.STYLE, value), _NOTHING), frame


def test_spans_give_characters_slots_and_negation():
  text = 'My fox, in the Dark forest; no people!'
  spans, open_end = scene.spans(text)
  assert [text[s.start : s.end] for s in spans] == [
    'fox',
    'Dark',
    'forest',
    'people',
  ]
  assert [lexicon.SLOT_NAMES[s.slot] for s in spans] == [
    'subject',
    'light',
    'setting',
    'accent',
  ]
  assert [s.negated for s in spans] == [False, False, False, True]
  assert not open_end
  assert scene.spans('a fox, no')[1]


def test_spans_survive_capitals_that_grow_when_lowered():
  text = '\u0130\u0130 a fox \u0130 at dusk'
  spans, _ = scene.spans(text)
  assert [text[s.start : s.end] for s in spans] == ['a fox', 'at dusk']
