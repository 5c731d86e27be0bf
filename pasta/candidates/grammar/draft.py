"""A prompt taken apart, so that one thing in it can be replaced or removed.

`read` splits a prompt into comma-separated segments of words and finds in them
the phrases that sketch knows. The operations return new texts; they change one
slot's words and leave all others, also the ones that mean nothing to sketch.
"""

import functools

from pasta.candidates import english
from pasta.candidates.grammar import mentions as mentions_lib
from pasta.candidates.grammar import wording
from pasta.t2i.sketch import scene


class Draft:
  """One prompt, taken apart.

  Attributes:
    text: the prompt with tidy blanks and commas.
    segments: its words, by segment.
    mentions: the known phrases, in order.
    named: per slot, the values it names, as `scene.parse` does.
    excluded: per slot, the values it rules out.
    cost: its length in ordinary words.
    vague: True where it names no subject, or only a group of subjects.
    flows: slot that its only segment ends with, -1 where there are several
      segments or the last words are unknown: what a phrase can follow
      without a comma.
  """

  def __init__(self, text: str):
    self.segments = mentions_lib.split(text)
    self.text = mentions_lib.join(self.segments)
    spans, open_end = scene.spans(self.text)
    while open_end and self.segments:
      # A dangling 'no' would rule out whatever is added next.
      self.segments[-1].pop()
      self.segments = [s for s in self.segments if s]
      self.text = mentions_lib.join(self.segments)
      spans, open_end = scene.spans(self.text)
    self.mentions = mentions_lib.find(self.segments, spans)
    read_values = scene.collect(spans)
    self.named = tuple(named for named, _ in read_values)
    self.excluded = tuple(excluded for _, excluded in read_values)
    self.cost = english.cost(self.text)
    mine = self.mention_of(0)
    self.vague = all(len(m.values) > 1 for m in mine)
    self.flows = -1
    if len(self.segments) == 1 and self.mentions:
      last = self.mentions[-1]
      if last.end == len(self.segments[0]) and not last.negated:
        self.flows = last.slot

  def copy_segments(self) -> list[list[str]]:
    return [list(s) for s in self.segments]

  def mention_of(self, slot: int) -> list[mentions_lib.Mention]:
    return [m for m in self.mentions if m.slot == slot and not m.negated]

  def _core(self, m: mentions_lib.Mention) -> int:
    """Where a mention starts without its own articles and prepositions."""
    words, start = self.segments[m.segment], m.start
    while start < m.end - 1 and words[start].lower() in english.LEADING:
      start += 1
    return start

  def _range(self, m: mentions_lib.Mention) -> tuple[int, int, bool, bool]:
    """Words to take out with a mention: (start, end, in place, entangled).

    `in place`: another phrase of the slot may stand there. `entangled`: other
    words would go as well ('in the enchanted forest').
    """
    words = self.segments[m.segment]
    lowered = [w.lower() for w in words]
    taken = {
      i
      for o in self.mentions
      if o.segment == m.segment and o != m
      for i in range(o.start, o.end)
    }
    start, end = self._core(m), m.end
    if (
      m.slot
      and end < len(words)
      and lowered[end] in english.CARRIERS
      and (end not in taken)
    ):
      end += 1
    follower = lowered[end] if end < len(words) else ''
    if (
      follower == 'of'
      and m.slot != 0
      and not any(w not in english.ARTICLES for w in lowered[:start])
    ):
      return 0, end + 1, True, False  # 'a watercolor painting of'
    led = start > m.start and lowered[m.start] in english.LINKS
    if (
      follower
      and follower not in english.AFTER
      and not follower.endswith('ing')
      and not led
    ):
      return start, end, False, False  # an adjective: 'snowy forest'
    first = start
    while (
      first > 0
      and first - 1 not in taken
      and lowered[first - 1] in english.LED_BY
    ):
      first -= 1
    if first < start or start == 0:
      return first, end, True, False
    # Modifiers stand between the noun and its article or preposition.
    back = start
    while back > 0 and lowered[back - 1] not in english.LED_BY:
      back -= 1
    if (
      back == 0
      or start - back > 3
      or any(
        o.slot == 0
        and not o.negated
        and o.segment == m.segment
        and back <= o.start < start
        for o in self.mentions
      )
    ):
      return start, end, False, False
    while back > 0 and lowered[back - 1] in english.LED_BY:
      back -= 1
    return back, end, True, True

  def stands_alone(self, m: mentions_lib.Mention) -> bool:
    """Whether another phrase of the slot could stand in a mention's place."""
    _, end, in_place, _ = self._range(m)
    return in_place and end == m.end

  def replace(
    self,
    slot: int,
    phrase: str,
    values: tuple[int, ...] | None = None,
    forced: bool = False,
  ) -> str | None:
    """Takes what the prompt says about a slot out and puts a phrase there.

    Args:
      slot: slot to overwrite.
      phrase: what stands there instead; '' to remove only.
      values: remove only mentions of these values; None for all.
      forced: also where other words have to go.

    Returns:
      The new text; None where the phrase is entangled and not forced.
    """
    targets = [
      m
      for m in self.mention_of(slot)
      if values is None or set(m.values) <= set(values)
    ]
    segments = self.copy_segments()
    rescued, placed = [], not phrase
    ranges = [(m, *self._range(m)) for m in targets]
    if not forced and any(entangled for *_, entangled in ranges):
      return None
    home = next((m for m, *_, at, _ in ranges if at), None)
    for m, start, end, _, entangled in reversed(ranges):
      words = segments[m.segment]
      if entangled:
        rescued += [
          o
          for o in self.mentions
          if o.segment == m.segment
          and start <= o.start
          and o.end <= end
          and o.slot != slot
          and not o.negated
        ]
      new = []
      if m is home and phrase:
        new, placed = phrase.split(), True
        if start == 0 and words[end - 1].lower() == 'of':
          new = _framed(slot, phrase).split()
          placed = bool(new)
      words[start:end] = new
      english.fix_article(words, start - 1)
      if (
        words
        and words[0].lower() in ('and', 'or', 'with')
        and not new
        and (start == 0)
      ):
        del words[0]
    for m in rescued:
      if len(m.values) == 1:
        segments.append(wording.PHRASES[m.slot][m.values[0]].split())
    if not placed:
      segments.append(phrase.split())
    return mentions_lib.join(segments)

  def without_negation(self, slot: int, value: int) -> str:
    """Removes 'no X', for a person who has come to want X."""
    segments = self.copy_segments()
    for m in reversed(self.mentions):
      if m.negated and m.slot == slot and value in m.values:
        words, start = segments[m.segment], m.start
        while start > 0 and words[start - 1].lower() in (
          english.NEGATIONS | english.FILLERS | english.ARTICLES
        ):
          start -= 1
        del words[start : m.end]
    return mentions_lib.join(segments)

  def subject_mention(self) -> mentions_lib.Mention | None:
    """The mention that a more specific or other subject can stand in for."""
    found = self.mention_of(0)
    specific = [m for m in found if len(m.values) == 1]
    if specific:
      return specific[0] if len(specific) == 1 else None
    for m in reversed(found):
      words = self.segments[m.segment]
      follower = words[m.end].lower() if m.end < len(words) else ''
      if not follower or follower in english.AFTER and follower != 'of':
        return m
    return None

  def with_subject(self, value: int) -> str | None:
    """Puts another subject in the subject's place; None where it can't."""
    m = self.subject_mention()
    if m is None:
      return None
    segments = self.copy_segments()
    words = segments[m.segment]
    start, end = self._core(m), m.end
    det = start - 1
    while (
      det >= 0
      and start - det <= 3
      and (words[det].lower() not in english.STOPS)
    ):
      det -= 1
    word = words[det].lower() if det >= 0 else ''
    if word in english.PLURAL_DETERMINERS and (
      word != 'some' or (len(m.values) == 1)
    ):
      return None
    noun = wording.NOUNS[value][0].split()
    words[start:end] = noun
    before = words[start - 1].lower() if start else ''
    if before in wording.ALL_ADJECTIVES and before not in (
      wording.adjectives(value)
    ):
      del words[start - 1]
      start -= 1
    if word == 'some':  # 'some animal' is one
      words[det] = 'a'
    elif len(m.values) > 1 and det >= 0 and words[det].lower() == 'something':
      words[det] = 'a'  # 'something abstract'
    elif word not in english.DETERMINERS and (
      det == start - 1 or len(m.values) > 1 and det < 0
    ):
      words.insert(det + 1, 'a')
      det += 1
    if (
      det >= 0 and words[det].lower() in ('a', 'an') and value in wording.PLURAL
    ):
      del words[det]
    elif det >= 0:
      english.fix_article(words, det)
    return mentions_lib.join(segments)

  def with_new_subject(self, value: int) -> str:
    """Adds a subject to a prompt that has none of its own."""
    phrase = wording.PHRASES[0][value].split()
    segments = self.copy_segments()
    if not segments:
      return ' '.join(phrase)
    words = segments[0]
    known = {
      i for m in self.mentions if m.segment == 0 for i in range(m.start, m.end)
    }
    opener = words[0].lower()
    if (
      opener == 'something'
      and len(words) > 1
      and words[1].lower() in english.PLACES
    ):
      words[:1] = phrase
    elif self.mention_of(0):
      segments.insert(1, phrase)
    elif any(
      i not in known and w.lower() not in english.LED_BY
      for i, w in enumerate(words)
    ):
      words += ['and' if 'with' in words else 'with', *phrase]
    elif opener in english.LINKS:
      words[:0] = phrase
    else:
      segments.insert(0, phrase)
    return mentions_lib.join(segments)

  def with_adjective(self, adjective: str) -> str | None:
    """Puts an adjective before the subject, in place of one of ours."""
    found = [m for m in self.mention_of(0) if len(m.values) == 1]
    if not found:
      return None
    m = found[0]
    segments = self.copy_segments()
    words = segments[m.segment]
    start = self._core(m)
    if start and words[start - 1].lower() in wording.ALL_ADJECTIVES:
      words[start - 1] = adjective
      start -= 1
    else:
      words.insert(start, adjective)
    english.fix_article(words, start - 1)
    return mentions_lib.join(segments)

  def without_segments(self, texts: frozenset[str]) -> str:
    """Drops the segments that read as one of `texts` (lower case)."""
    return mentions_lib.join(
      [s for s in self.segments if ' '.join(s).lower() not in texts]
    )


def _framed(slot: int, phrase: str) -> str:
  """'oil painting' -> 'an oil painting of'; '' for slots without a frame."""
  if slot != wording.SLOT['style']:
    return ''
  return wording.STYLE_FRAMES[wording.PHRASES[slot].index(phrase)]


@functools.lru_cache(maxsize=16384)
def read(text: str) -> Draft:
  """Takes a prompt apart; the result is shared, treat it as frozen."""
  return Draft(text)
