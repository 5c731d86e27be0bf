"""Where in the words of a prompt the phrases stand that sketch knows."""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

from pasta.candidates import english
from pasta.candidates.grammar import wording
from pasta.t2i.sketch import scene


class Mention(NamedTuple):
  """A known phrase in a draft: words [start, end) of a segment."""

  segment: int
  start: int
  end: int
  slot: int
  values: tuple[int, ...]
  negated: bool


def join(segments: list[list[str]]) -> str:
  """Writes segments as one prompt; empty ones vanish."""
  return ', '.join(' '.join(s) for s in segments if s)


def split(text: str) -> list[list[str]]:
  """Splits a prompt at its punctuation, and each segment into words."""
  segments, words = [], []
  for raw in text.replace(';', ',').replace(',', ', ').split():
    word = raw.rstrip(english.BREAKS)
    if word:
      words.append(word)
    if word != raw and words:
      segments.append(words)
      words = []
  if words:
    segments.append(words)
  return segments


def _widened(m: Mention, words: list[str]) -> Mention:
  """Takes in the words of our wording around a mention ('oil on canvas')."""
  text = ' '.join(words[m.start : m.end]).lower()
  key = (m.slot, m.values[0])
  if text == wording.PHRASES[m.slot][m.values[0]]:
    return m
  for start in range(max(0, m.start - 3), m.start + 1):
    for end in range(min(len(words), m.end + 2), m.end - 1, -1):
      if wording.WORDED.get(' '.join(words[start:end]).lower()) == key:
        return m._replace(start=start, end=end)
  return m


def _merged(
  mentions: list[Mention], segments: list[list[str]]
) -> list[Mention]:
  """Joins neighbours that name one thing twice ('mosaic of tiles')."""
  out = []
  for m in mentions:
    words = segments[m.segment]
    if not m.negated and len(m.values) == 1:
      m = _widened(m, words)
    last = out[-1] if out else None
    if (
      last is not None
      and last.segment == m.segment
      and last[3:] == m[3:]
      and all(w.lower() == 'of' for w in words[last.end : m.start])
    ):
      out[-1] = last._replace(end=m.end)
    else:
      out.append(m)
  return out


def find(
  segments: list[list[str]], spans: Sequence[scene.Span]
) -> list[Mention]:
  """Places the spans of a joined prompt in its segments.

  Args:
    segments: words by segment.
    spans: what `scene.spans` finds in `join(segments)`.

  Returns:
    The mentions, in order.
  """
  starts, places, offset = [], [], 0
  for s, words in enumerate(segments):
    for w, word in enumerate(words):
      starts.append(offset)
      places.append((s, w))
      offset += len(word) + 1
    offset += 1
  mentions = []
  for span in spans:
    seg, first = places[bisect.bisect_right(starts, span.start) - 1]
    last_seg, last = places[bisect.bisect_right(starts, span.end - 1) - 1]
    if last_seg != seg:  # 'still, life' is one phrase to the parser
      last = len(segments[seg]) - 1
    mentions.append(
      Mention(seg, first, last + 1, span.slot, span.values, span.negated)
    )
  return _merged(mentions, segments)
