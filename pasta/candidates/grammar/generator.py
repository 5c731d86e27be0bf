"""Candidate prompts from a small grammar: no model, no network, no training.

It stands in for the language model of the paper (section 3.1): five kinds of
expansion, C / 5 of each. Expansions keep what the chosen prompt says and mostly
fill what it leaves open; a slot that is set is overwritten now and then, more
often once little is open, unless prompts are append-only. It knows plausible
English and nobody's taste.
"""

from collections.abc import Sequence

import numpy as np

from pasta.candidates import base
from pasta.candidates.grammar import critique as critique_lib
from pasta.candidates.grammar import draft as draft_lib
from pasta.candidates.grammar import rephrase, wording
from pasta.candidates.grammar import writer as writer_lib
from pasta.t2i.sketch import lexicon, scene
from pasta.types import CATEGORIES, Candidate, PromptHistory

_DETAIL = (
  wording.SETTING,
  wording.LIGHT,
  wording.WEATHER,
  wording.ACCENT,
  wording.COMPOSITION,
)
_MEMBERS = tuple(
  tuple(i for i, g in enumerate(lexicon.SUBJECT_GROUP) if g == group)
  for group in range(len(lexicon.GROUP_NAMES))
)
_MIN_WORDS = 24
# A text, how many slots it overwrites, and how many it changes.
_Proposal = tuple[str, int, int]


def _rephrase(
  writer: writer_lib.Writer, draft: draft_lib.Draft, i: int
) -> _Proposal:
  text = rephrase.unframed(draft.text)
  bare = draft_lib.read(text)
  before = rephrase.opening(bare)
  kind = i % 5
  for attempt in range(3):
    new, limit = text, 0
    if kind in (1, 3) or attempt:
      new = rephrase.reworded(bare, writer.pick, 100 if kind == 1 else 60)
    elif kind == 2:
      new = rephrase.style_first(bare, before)
    elif kind == 4:
      new = rephrase.reordered(bare, writer.pick)
    if new and (kind in (0, 3) or attempt):
      if before is None:
        continue
      new = rephrase.framed(new, writer.turn_over(writer.frames), before)
      limit = writer.max_words
    # Words may join into other phrases across a comma: check.
    if new and (kind == 0 or _same(new, draft)):
      new = writer.accept(new, draft, limit=limit)
      if new:
        return new, 0, 0
  for _ in range(3):
    suffix = writer.turn_over(writer.suffixes)
    new = writer.accept(f'{text}, {suffix}', draft, limit=writer.max_words)
    if new:
      return new, 0, 1
  return writer.touched(draft, writer.touches), 0, 1


def _same(text: str, draft: draft_lib.Draft) -> bool:
  """Whether a text names and rules out just what a draft does."""
  parsed = scene.parse(text)
  return (
    tuple(set(n) for n, _ in parsed) == tuple(map(set, draft.named))
    and tuple(e for _, e in parsed) == draft.excluded
  )


def _changed(
  writer: writer_lib.Writer,
  draft: draft_lib.Draft,
  tries: list[list[int]],
  touches: list[str],
) -> _Proposal:
  """The first change of some slots that can be written, else a touch."""
  for slots in tries:
    found = writer.change(draft, slots)
    if found[0]:
      return found
  return writer.touched(draft, touches), 0, 1


def _detail(
  writer: writer_lib.Writer, draft: draft_lib.Draft, i: int
) -> _Proposal:
  vacant = writer.vacant(draft, _DETAIL)
  num_overwrites = max(0, 3 - len(vacant))
  tries = []
  if i < writer.num - num_overwrites and vacant:
    first = vacant[i % len(vacant)]
    slots = [first]
    if len(vacant) > 1 and writer.random() < 0.4:
      slots.append(vacant[(i + 1) % len(vacant)])
    tries = [slots, slots[:1]]
  elif i >= 2:
    settled = writer.settled(draft, _DETAIL)
    if settled:
      tries = [[settled[i % len(settled)]]]
  return _changed(writer, draft, tries, writer.touches)


def _style(
  writer: writer_lib.Writer, draft: draft_lib.Draft, i: int
) -> _Proposal:
  vacant = writer.vacant(draft, (wording.STYLE, wording.PALETTE))
  settled = [
    s
    for s in (wording.STYLE, wording.PALETTE)
    if draft.named[s] and s not in writer.protected
  ]
  if len(vacant) == 2:
    tries = [[wording.STYLE, wording.PALETTE]] * (i % 2) + [[wording.STYLE]]
  elif vacant:
    tries = [vacant]
    if settled and vacant == [wording.PALETTE] and i % 5 == 4:
      tries = [[wording.STYLE]]
  elif settled and i % 5:
    tries = [[settled[(i % 5) // 3 % len(settled)]]]
  else:
    tries = []
  return _changed(writer, draft, tries, writer.style_touches)


def _subject(
  writer: writer_lib.Writer, draft: draft_lib.Draft, i: int
) -> _Proposal:
  if draft.vague and wording.SUBJECT not in writer.protected:
    found = writer.change(draft, [wording.SUBJECT])
    if found[0]:
      return found
  group = (
    lexicon.GROUP_NAMES[lexicon.SUBJECT_GROUP[draft.named[0][0]]]
    if draft.named[0]
    else 'abstract'
  )
  if (
    i % 5 == 4
    and not draft.vague
    and len(draft.named[0]) == 1
    and wording.SUBJECT not in writer.protected
  ):
    others = [
      v
      for v in _MEMBERS[lexicon.GROUP_NAMES.index(group)]
      if v not in draft.named[0] and v not in writer.excluded[0]
    ]
    if others:
      text, overwritten = writer.write(
        draft, [(wording.SUBJECT, others[writer.pick(len(others))])]
      )
      text = writer.accept(text, draft)
      if text:
        return text, overwritten, 1
  if i % 5 in (2, 3) and not draft.named[wording.ACCENT]:
    found = writer.change(draft, [wording.ACCENT])
    if found[0]:
      return found
  for adjective in writer.shuffled(wording.ADJECTIVES[group]):
    if draft.vague:  # a group that is used up: a member and an adjective
      value = writer.next_value(wording.SUBJECT, draft)
      if value is None:
        break
      text, _ = writer.write(draft, [(wording.SUBJECT, value)])
      text = draft_lib.read(text).with_adjective(adjective)
    else:
      text = draft.with_adjective(adjective)
    text = writer.accept(text, draft)
    if text:
      return text, 0, 1
  return writer.touched(draft, writer.touches), 0, 1


def _creative(
  writer: writer_lib.Writer, draft: draft_lib.Draft, i: int
) -> _Proposal:
  vacant = writer.vacant(draft, wording.ORDER)
  if draft.vague and wording.SUBJECT not in writer.protected and i % 2:
    vacant.insert(writer.pick(len(vacant) + 1), wording.SUBJECT)
  size = 2 + i % 2
  settled = writer.settled(draft, wording.ORDER)
  bold = i % 5 >= (3 if len(vacant) > 2 else 2) or len(vacant) < 2
  num_new = min(len(vacant), size - (1 if bold and settled else 0))
  start = i * 2
  slots = [vacant[(start + k) % len(vacant)] for k in range(num_new)]
  if settled:
    slots += [
      settled[(i + k) % len(settled)]
      for k in range(min(size - num_new, len(settled)))
    ]
  slots = list(dict.fromkeys(slots))
  while slots:
    found = writer.change(draft, slots)
    if found[0]:
      return found
    slots.pop(0 if len(slots) > 2 else -1)
  return writer.touched(draft, writer.touches), 0, 1


_CATEGORIES = {
  'rephrase': _rephrase,
  'detail': _detail,
  'style': _style,
  'subject': _subject,
  'creative': _creative,
}


def _pool(writer: writer_lib.Writer) -> list[Candidate]:
  """All candidates, the plausible ones first, categories interleaved."""
  # Four fifths of a category follow the last critique.
  num_eager = -(-4 * writer.num // 5)
  rows = []
  for category in CATEGORIES:
    scored = []
    for i in range(writer.num):
      draft = writer.eager if i < num_eager else writer.plain
      text, overwritten, changes = _CATEGORIES[category](writer, draft, i)
      score = overwritten + 0.15 * changes + 0.5 * writer.random()
      if writer.eager is not writer.plain and i >= num_eager:
        score += 1.0
      scored.append((score, i, text))
    scored.sort()
    rows.append([Candidate(text, category) for *_, text in scored])
  return [
    row[rank] for rank in range(writer.num) for row in writer.shuffled(rows)
  ]


class Grammar:
  """The embedded candidate generator (see base.CandidateGenerator)."""

  sees_images = False

  def __init__(
    self,
    num_candidates: int = 25,
    max_words: int = 36,
    append_only: bool = False,
  ):
    """Builds the generator.

    Args:
      num_candidates: C, a positive multiple of the number of categories.
      max_words: longest prompt that it writes, in ordinary words; CLIP reads
        77 tokens, about 45 words with their commas.
      append_only: never overwrite what the chosen prompt names; a prompt that
        has become too long still loses what it can do without.

    Raises:
      ValueError: for numbers outside of these.
    """
    categories = len(CATEGORIES)
    if num_candidates < categories or num_candidates % categories:
      raise ValueError(
        f'num_candidates is {num_candidates}: expected a positive multiple '
        f'of {categories}, one share a category'
      )
    if max_words < _MIN_WORDS:
      raise ValueError(
        f'max_words is {max_words}: expected at least {_MIN_WORDS}'
      )
    self.num_candidates = num_candidates
    self.max_words = max_words
    self.append_only = append_only
    self.generator_id = f'grammar-1-c{num_candidates}-w{max_words}' + (
      '-append' * append_only
    )

  def propose(
    self, histories: Sequence[PromptHistory], seeds: np.ndarray
  ) -> list[list[Candidate]]:
    """See CandidateGenerator; none equals the current prompt."""
    base.check(histories, seeds)
    num = self.num_candidates // len(CATEGORIES)
    return [
      _pool(writer_lib.Writer(h, int(s), num, self.max_words, self.append_only))
      for h, s in zip(histories, seeds)
    ]

  def understands(self, critique: str) -> bool:
    """See CandidateGenerator: whether it knows a word of it."""
    return any(good or bad for good, bad in critique_lib.read(critique))
