"""Other words for the same prompt: frames, synonyms, order.

Each function returns a text that names exactly what the prompt names; what was
open stays open.
"""

from collections.abc import Callable

from pasta.candidates import english
from pasta.candidates.grammar import draft as draft_lib
from pasta.candidates.grammar import mentions as mentions_lib
from pasta.candidates.grammar import wording

_STYLE = wording.SLOT['style']
# First words after which 'a picture of' would not be English.
_NO_FRAME = frozenset(
  (
    'make draw paint show create generate give please can could we let '
    'want need imagine in on at with by no not without as just under '
    "above among for how what when where is it i i'd design picture image "
    'photo render from seen less more very really so kind like maybe to '
    'put'
  ).split()
)
_OPENERS = frozenset(
  (
    'a an the my your our his her their some two three many something '
    'someone several this that'
  ).split()
)
# A picture of a picture is one too many.
_PICTURES = frozenset(
  (
    'picture image scene artwork painting drawing sketch photo '
    'illustration render depiction rendition poster'
  ).split()
)
_MASS = frozenset(
  (
    'food wildlife nature architecture scenery vegetation transport '
    'geometry fruit ramen'
  ).split()
)
_SUFFIXES = frozenset(wording.SUFFIXES)


def unframed(text: str) -> str:
  """The prompt without our frames in front and behind."""
  bare = text
  for frame in wording.FRAMES:
    if bare.lower().startswith(frame + ' '):
      bare = bare[len(frame) + 1 :]
  lowered = bare.lower()
  if any(suffix in lowered for suffix in wording.SUFFIXES):
    bare = draft_lib.read(bare).without_segments(_SUFFIXES)
  return bare if draft_lib.read(bare).segments else text


def opening(draft: draft_lib.Draft) -> str | None:
  """What a frame puts before an unframed prompt: '', 'a ', or None if nothing.

  None stands where no frame fits: 'a picture of draw me a fox' is no English.
  """
  words = draft.segments[0]
  lowered = words[0].lower()
  if (
    lowered in _NO_FRAME
    or not _PICTURES.isdisjoint(w.lower() for w in words[:4])
    or any(
      m.slot == _STYLE
      and m.segment == 0
      and m.end < len(words)
      and words[m.end] == 'of'
      for m in draft.mentions
    )
  ):
    return None
  if lowered in _OPENERS:
    return ''
  subject = next((m for m in draft.mention_of(0) if m.segment == 0), None)
  if subject is None or draft.mentions[0].negated:
    return None
  noun = words[subject.end - 1].lower()
  if (
    noun.endswith('s')
    or (noun in _MASS and 'bowl' not in words)
    or lowered[0].isdigit()
    or (subject.start > 3)
  ):
    return ''
  return 'a '


def framed(text: str, frame: str, before: str) -> str:
  """Puts a frame, and what `opening` told, before an unframed prompt."""
  first = text.split(' ', 1)[0].rstrip(',').lower()
  if before:
    before = english.article_for(first) + ' '
  elif first in _OPENERS:
    text = first + text[len(first) :]
  return f'{frame} {before}{text}'


def style_first(draft: draft_lib.Draft, before: str | None) -> str | None:
  """'a fox, ink drawing' -> 'an ink drawing of a fox', and back.

  Args:
    draft: an unframed prompt.
    before: what `opening` told about it.
  """
  mentions = draft.mention_of(_STYLE)
  if len(mentions) != 1:
    return None
  m = mentions[0]
  value = m.values[0]
  bare = draft.replace(_STYLE, '')
  if not bare:
    return None
  words = draft.segments[m.segment]
  if m.segment == 0 and m.end < len(words) and words[m.end] == 'of':
    return f'{bare}, {wording.PHRASES[_STYLE][value]}'
  if m.segment == 0 or m.end - m.start != len(words) or before is None:
    return None
  return framed(bare, wording.STYLE_FRAMES[value].rstrip(), before)


def reworded(
  draft: draft_lib.Draft, pick: Callable[[int], int], chance: int = 100
) -> str | None:
  """Replaces known phrases by others that mean the same.

  Args:
    draft: the prompt.
    pick: pick(n) draws an integer in [0, n).
    chance: chance in per cent that each phrase is replaced.

  Returns:
    The new text; None where no known phrase has another wording.
  """
  segments = draft.copy_segments()
  changed = False
  for m in reversed(draft.mentions):
    if m.negated or len(m.values) != 1 or pick(100) >= chance:
      continue
    words = segments[m.segment]
    if m.slot and not draft.stands_alone(m):
      continue  # an adjective: 'in stained glass image' is no English
    known = wording.WORDINGS[m.slot] if m.slot else wording.NOUNS
    ways = known[m.values[0]]
    # The longest wording in our tables that ends where the mention ends.
    for start in range(max(0, m.start - 3), m.end):
      stretch = ' '.join(words[start : m.end]).lower()
      found = wording.WORDED.get(stretch) == (m.slot, m.values[0])
      if found and len(ways) > 1:
        step = 1 + pick(len(ways) - 1)
        words[start : m.end] = ways[
          (ways.index(stretch) + step) % len(ways)
        ].split()
        english.fix_article(words, start - 1)
        changed = True
        break
  return mentions_lib.join(segments) if changed else None


def reordered(draft: draft_lib.Draft, pick: Callable[[int], int]) -> str | None:
  """Moves a later segment; the first one, the person's own, stays."""
  segments = draft.copy_segments()
  if len(segments) < 3:
    return None
  source = 1 + pick(len(segments) - 1)
  moved = segments.pop(source)
  target = 1 + pick(len(segments) - 1)
  target += target >= source
  segments.insert(target, moved)
  return mentions_lib.join(segments)
