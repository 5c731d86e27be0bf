"""Writes the candidates of one session: what to start from, what may follow.

A `Writer` holds one session's prompt, ready to be expanded: without what the
person ruled out, with what the last critique asks for, and short enough. It
applies changes to it and refuses texts that are too long or known already.
"""

import random
import zlib
from collections.abc import Sequence

from pasta.candidates import english
from pasta.candidates.grammar import critique as critique_lib
from pasta.candidates.grammar import draft as draft_lib
from pasta.candidates.grammar import rephrase, wording
from pasta.t2i.sketch import lexicon, scene
from pasta.types import PromptHistory

_RANK = {slot: i for i, slot in enumerate(wording.ORDER)}
# Slots whose phrase may follow one of (slot) without a comma.
_FLOWS_INTO = {
  wording.SUBJECT: (
    wording.SETTING,
    wording.LIGHT,
    wording.WEATHER,
    wording.ACCENT,
  ),
  wording.SETTING: (wording.LIGHT,),
}
# What a long prompt loses first, of what it did not start with.
_DROPPED_FIRST = (
  wording.COMPOSITION,
  wording.WEATHER,
  wording.ACCENT,
  wording.LIGHT,
  wording.PALETTE,
  wording.SETTING,
  wording.STYLE,
)
_COMPARED = tuple(s for s in wording.ORDER if s != wording.COMPOSITION)
_TOUCHES = frozenset(wording.TOUCHES)
# Words kept free for a frame or a touch, and for new phrases at the start.
_SLACK_WORDS = 5
_START_WORDS = 8
_MAX_NEGATIONS = 3
# To start from where the person ruled out all that the prompt said.
_NOTHING_LEFT = 'a picture'


class Writer:
  """Expands the prompt of one session at one turn.

  Attributes:
    plain: the current prompt, without what the person ruled out.
    eager: the same with what the last critique asks for; `plain` itself where
      it asks for nothing.
    num: candidates a category.
    max_words: longest text, in ordinary words.
    protected: slots that the last critique speaks of.
    initial: slots that the person's own prompt sets.
    append_only: whether what the prompt names is never overwritten, but at
      the person's own wish; a group such as 'an animal' may become a member.
  """

  def __init__(
    self,
    history: PromptHistory,
    seed: int,
    num: int,
    max_words: int,
    append_only: bool = False,
  ):
    current = history.current
    turn = len(history.chosen)
    self.random = random.Random(
      (int(seed) << 40)
      ^ (turn << 32)
      ^ zlib.crc32(current.encode(errors='replace'))
    ).random
    self.num = num
    self.append_only = append_only
    self.max_words = max_words
    self.soft_words = max_words - _SLACK_WORDS
    wanted, excluded = critique_lib.summarise(
      history.initial_prompt, history.critiques
    )
    self.excluded = excluded
    self.initial = frozenset(
      slot
      for slot, (named, _) in enumerate(scene.parse(history.initial_prompt))
      if named
    )
    self.protected = frozenset(s for s, values in enumerate(wanted) if values)
    text = current
    if english.cost(current) > (
      self.soft_words - (0 if turn else _START_WORDS)
    ):
      text = self._shortened(current)
    text = self._purged(text, wanted)
    self.plain = self._fitted(text)
    self.eager = self.plain
    if self.protected:
      self.eager = self._fitted(self._granted(self.plain, wanted))
    # Texts that must not come: known to the person, or proposed already.
    self.taken = {_key(self.plain.text), _key(history.initial_prompt)}
    for texts in (history.chosen, *history.rejected):
      self.taken.update(map(_key, texts))
    self.decks = {}
    self.frames = self.shuffled(wording.FRAMES)
    self.suffixes = self.shuffled(wording.SUFFIXES)
    self.touches = self.shuffled(wording.TOUCHES)
    self.style_touches = self.shuffled(wording.STYLE_TOUCHES)
    self.slots = self.shuffled(wording.ORDER)

  def pick(self, n: int) -> int:
    return int(self.random() * n)

  def turn_over(self, deck: list[str]) -> str:
    """Takes the next card of a deck and puts it behind the others."""
    deck.append(deck.pop(0))
    return deck[-1]

  def shuffled(self, items: Sequence) -> list:
    return sorted(items, key=lambda _: self.random())

  # The prompt to start from.

  def _shortened(self, text: str) -> str:
    """Cuts a prompt that leaves no room; what it names further on stays."""
    limit = self.soft_words - _START_WORDS
    kept, used = [], 0
    for word in rephrase.unframed(text[: 200 * self.max_words]).split():
      ending = word[-1] if word[-1] in ',.;:!?' else ''
      word = word[:20] + (ending if len(word) > 20 else '')
      used += english.word_cost(word)
      if used > limit:
        break
      kept.append(word)
    head = draft_lib.read(' '.join(kept) or text[:4])
    rest, used = [], head.cost
    for slot, (named, out) in enumerate(scene.parse(text)):
      phrases = [
        wording.NEGATIONS[slot][v] for v in out if v not in head.excluded[slot]
      ]
      if named and not head.named[slot] and (slot or len(named) == 1):
        phrases.append(wording.PHRASES[slot][named[0]])
      for phrase in phrases:
        used += english.cost(phrase)
        if used <= self.soft_words:
          rest.append(phrase)
    return ', '.join([head.text, *rest])

  def _purged(self, text: str, wanted: list[tuple[int, ...]]) -> str:
    """Removes what the person does not want, or has come to want again."""
    draft = draft_lib.read(text)
    for slot, unwanted in enumerate(self.excluded):
      hit = [v for v in draft.named[slot] if v in unwanted]
      if hit and (slot or not draft.vague):
        text = draft.replace(slot, '', values=tuple(hit), forced=True)
        draft = draft_lib.read(text)
      for value in wanted[slot]:
        if value in draft.excluded[slot]:
          draft = draft_lib.read(draft.without_negation(slot, value))
    return draft.text

  def _granted(
    self, draft: draft_lib.Draft, wanted: list[tuple[int, ...]]
  ) -> str:
    """Writes what the last critique asks for."""
    for slot in (wording.SUBJECT, *wording.ORDER):
      values = [v for v in wanted[slot] if v not in self.excluded[slot]]
      named = draft.named[slot]
      if (
        not values
        or (slot or not draft.vague)
        and any(v in values for v in named)
      ):
        continue
      value = values[self.pick(len(values))]
      if (
        slot == wording.SUBJECT
        and len(values) > 1
        and (len(named) == len(values))
      ):
        continue  # 'an animal', where the prompt says just that
      text, _ = self.write(draft, [(slot, value)], forced=True)
      draft = draft_lib.read(text)
    return draft.text

  def _fitted(self, text: str) -> draft_lib.Draft:
    """Makes room, dropping what says least first."""
    draft = draft_lib.read(text)

    def too_long():
      return draft.cost + self._negations_cost(draft) > self.soft_words

    if too_long():
      draft = draft_lib.read(draft.without_segments(_TOUCHES))
    if too_long():
      draft = draft_lib.read(rephrase.unframed(draft.text))
    for slot in _DROPPED_FIRST:
      if (
        too_long()
        and draft.named[slot]
        and slot not in (self.initial | self.protected)
      ):
        draft = draft_lib.read(draft.replace(slot, '', forced=True))
    while too_long():
      words = draft.text.split()
      if len(words) < 2:
        break
      draft = draft_lib.read(' '.join(words[:-1]))
    return draft if draft.segments else draft_lib.read(_NOTHING_LEFT)

  # Writing.

  def _negations(
    self, draft: draft_lib.Draft, filled: frozenset[int]
  ) -> list[str]:
    """'no people', where nothing else keeps an unwanted value away."""
    out = []
    for slot, unwanted in enumerate(self.excluded):
      if not unwanted:
        continue
      said = draft.excluded[slot]
      settled = slot in filled or (
        draft.named[slot] if slot else not draft.vague
      )
      for value, asked_later in reversed(unwanted.items()):
        if value not in said and not (asked_later and settled):
          out.append(wording.NEGATIONS[slot][value])
    return out[:_MAX_NEGATIONS]

  def _negations_cost(self, draft: draft_lib.Draft) -> int:
    return sum(map(english.cost, self._negations(draft, frozenset())))

  def write(
    self,
    draft: draft_lib.Draft,
    changes: Sequence[tuple[int, int]],
    forced: bool = False,
  ) -> tuple[str | None, int]:
    """Applies changes: (text or None where impossible, overwritten slots)."""
    if not forced and any(self._is_final(draft, slot) for slot, _ in changes):
      return None, 0
    overwritten, moved = 0, False
    added = []
    text, flows = draft.text, draft.flows
    for slot, value in changes:
      phrase = wording.PHRASES[slot][value]
      if slot and not draft.named[slot]:
        added.append((_RANK[slot], slot, phrase))
        continue
      if text != draft.text:
        draft = draft_lib.read(text)
      if slot:
        text = draft.replace(slot, phrase, forced=forced)
        overwritten += 1
        flows = -1
      else:
        text = draft.with_subject(value)
        overwritten += not draft.vague
        if text is None and draft.vague:
          text = draft.with_new_subject(value)
        elif text is None and forced:
          text = draft_lib.read(
            draft.replace(slot, '', forced=True)
          ).with_new_subject(value)
        moved = True
      if text is None:
        return None, 0
    if added and moved:
      flows = draft_lib.read(text).flows
    added.sort()
    for _, slot, phrase in added:
      if not text:
        text = phrase
      elif slot in _FLOWS_INTO.get(flows, ()):
        text = f'{text} {phrase}'
      else:
        text = f'{text}, {phrase}'
      flows = slot if slot in _FLOWS_INTO.get(flows, ()) else -1
    return text, overwritten

  def accept(
    self,
    text: str | None,
    draft: draft_lib.Draft,
    filled: frozenset[int] = frozenset(),
    limit: int = 0,
  ) -> str | None:
    """Completes a text; None where it is impossible, too long or known."""
    if not text:
      return None
    for negation in self._negations(draft, filled):
      text = f'{text}, {negation}'
    if english.cost(text) > (limit or self.soft_words):
      return None
    key = _key(text)
    if key in self.taken:
      return None
    self.taken.add(key)
    return text

  def touched(self, draft: draft_lib.Draft, touches: list[str]) -> str:
    """The prompt with a neutral touch: what is left where all else fails."""
    bare = draft.without_segments(_TOUCHES) or draft.text
    for _ in range(len(touches)):
      text = self.accept(
        f'{bare}, {self.turn_over(touches)}', draft, limit=self.max_words
      )
      if text:
        return text
    for suffix in self.suffixes:
      text = self.accept(f'{bare}, {suffix}', draft, limit=self.max_words)
      if text:
        return text
    short = [t for t in self.touches if t.count(' ') == 1]
    for a in short:
      for b in short:
        text = self.accept(f'{bare}, {a}, {b}', draft, limit=self.max_words)
        if a != b and text:
          return text
    raise ValueError(f'num_candidates is too large for {draft.text!r}')

  def next_value(self, slot: int, draft: draft_lib.Draft) -> int | None:
    """The next value of a slot's shuffled deck, a likely one if possible."""
    deck = self.decks.get(slot)
    if deck is None:
      unwanted = self.excluded[slot]
      deck = self.decks[slot] = self.shuffled(
        [v for v in range(lexicon.SLOT_SIZES[slot]) if v not in unwanted]
      )
    for likely in (True, False):
      for i, value in enumerate(deck):
        named = draft.named[slot]
        if value in named and (slot or not draft.vague):
          continue
        if named and value not in named and not slot and draft.vague:
          continue
        if likely and self._strange(draft, slot, value):
          continue
        deck.append(deck.pop(i))
        return value
    return None

  def _strange(self, draft: draft_lib.Draft, slot: int, value: int) -> bool:
    return any(
      (slot, value, other, v) in wording.UNLIKELY
      for other in (wording.SUBJECT, *_COMPARED)
      for v in draft.named[other]
      if other or not draft.vague
    )

  def _is_final(self, draft: draft_lib.Draft, slot: int) -> bool:
    """Whether nothing may be written in a slot any more."""
    is_open = draft.vague if slot == wording.SUBJECT else not draft.named[slot]
    return self.append_only and not is_open

  def vacant(self, draft: draft_lib.Draft, slots: Sequence[int]) -> list[int]:
    return [s for s in self.slots if s in slots and not draft.named[s]]

  def settled(self, draft: draft_lib.Draft, slots: Sequence[int]) -> list[int]:
    """Slots that may be overwritten, the person's own words last."""
    found = [
      s
      for s in self.slots
      if s in slots and draft.named[s] and s not in self.protected
    ]
    return sorted(found, key=lambda s: s in self.initial)

  def change(
    self, draft: draft_lib.Draft, slots: Sequence[int]
  ) -> tuple[str | None, int, int]:
    """Fills or overwrites slots: (text or None, overwritten, changes)."""
    changes = []
    for slot in slots:
      if self._is_final(draft, slot):
        continue
      value = self.next_value(slot, draft)
      if value is not None:
        changes.append((slot, value))
    if not changes:
      return None, 0, 0
    text, overwritten = self.write(draft, changes)
    filled = frozenset(s for s, _ in changes)
    return self.accept(text, draft, filled), overwritten, len(changes)


def _key(text: str) -> str:
  return ' '.join(text.lower().split())
