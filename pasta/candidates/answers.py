"""From what a language model wrote to candidates that hold.

Models wrap JSON in prose, stop in the middle, invent categories and repeat
themselves. Whatever the text, `extract` (JSON) or `extract_lines` finds what it
can and `choose` keeps what is valid; nothing in it is ever executed.
"""

import json
import random
import re
from collections.abc import Callable, Iterable
from typing import Any

from pasta.candidates import counters as counters_lib
from pasta.candidates import english
from pasta.types import CATEGORIES, Candidate

_OPENING = re.compile(r'[\[{]')
# Unreadable openings to try before giving up: each may cost a whole scan.
_MAX_FAILURES = 32
_MAX_DEPTH = 4
# What stands before a prompt in a list: '1.', '(2)', 'Prompt 3:', '-'.
_BULLET = re.compile(
  r'(?:prompt\s*)?\(?\d{1,3}\s*[.):]+(?=\s|$)|prompt\s*:|[-*+•–](?=\s)',
  re.IGNORECASE,
)
# Small models may fall into a loop.
_LOOP = re.compile(r'\b(\w+)(?:\W+\1\b){3}', re.IGNORECASE)
_MARKS = ' \t*_#`"“”'  # around a prompt
_ALIASES = {
  alias: category
  for category, aliases in {
    'rephrase': 'rephrased rephrasing rephrasings paraphrase reword rewording',
    'detail': 'details detailed detailing scene',
    'style': 'styles styling stylistic',
    'subject': 'subjects',
    'creative': 'creativity unexpected imaginative',
  }.items()
  for alias in (category, *aliases.split())
}
# Where a prompt goes whose category is none of those asked for.
_CATCH_ALL = 'creative'
# A prompt and the category that the model gave it, '' for none.
Item = tuple[str, str]


def key(text: str) -> str:
  """What two prompts share that differ in case and spaces alone."""
  return ' '.join(text.lower().split())


def extract(text: str) -> tuple[list[Item], int, bool]:
  """Finds candidates in a model's answer.

  Args:
    text: JSON, or JSON within prose or fences, or the beginning of either.

  Returns:
    The items in the model's order; the number of entries that are none; and
    whether the text was anything but plain JSON.
  """
  # A model that thinks aloud may have drafted candidates before its answer.
  text = text.rpartition('</think>')[2].strip()
  try:
    values, is_plain = [json.loads(text)], True
  except (ValueError, RecursionError):
    values, is_plain = _fragments(text), False
  items: list[Item] = []
  num_invalid = sum(_collect(value, items) for value in values)
  return items, num_invalid, not is_plain


def extract_lines(
  text: str, category: str, is_whole: bool
) -> tuple[list[Item], int]:
  """Finds candidates in a model's list of one prompt a line.

  Args:
    text: lines, with or without numbers, bullets, quotes or bold print.
    category: of all of them.
    is_whole: whether the last line has its end; otherwise it is dropped.

  Returns:
    The items in the model's order, and the number of lines that are none.
  """
  lines = text.splitlines()
  if lines and not is_whole and not text.endswith(('\n', '\r')):
    lines.pop()
  items: list[Item] = []
  num_invalid = 0
  for line in lines:
    line = line.replace('**', '').strip(_MARKS)
    line = line[_end_of_bullet(line) :].strip(_MARKS)
    label, colon, rest = line.partition(':')
    if colon and _category(label) == category:
      line = rest.strip(_MARKS)
    if not _is_prompt(line):
      num_invalid += bool(line)
    else:
      items.append((line, category))
  return items, num_invalid


def _is_prompt(line: str) -> bool:
  """Whether it has words, introduces no list, and is no loop."""
  has_words = any(c.isalpha() for c in line)
  return has_words and not line.endswith(':') and not _LOOP.search(line)


def _end_of_bullet(line: str) -> int:
  match = _BULLET.match(line)
  return match.end() if match else 0


def _fragments(text: str) -> list[Any]:
  """All arrays and objects that can be read, outermost first.

  Of a truncated array these are the elements before the cut.
  """
  decoder = json.JSONDecoder()
  values, position, failures = [], 0, 0
  while failures < _MAX_FAILURES and (match := _OPENING.search(text, position)):
    try:
      value, position = decoder.raw_decode(text, match.start())
      values.append(value)
    except (ValueError, RecursionError):
      position = match.start() + 1
      failures += 1
  return values


def _collect(
  value: Any, items: list[Item], category: str = '', depth: int = 0
) -> int:
  """Adds a value's candidates to `items`; returns how many entries are none.

  Takes objects with a text and a category, lists of them, objects that hold
  such lists under any name, and lists of texts under a category's name.
  """
  if depth > _MAX_DEPTH:
    return 1
  if isinstance(value, str):
    if category:
      items.append((value, category))
    return int(not category)
  if isinstance(value, list):
    return sum(_collect(v, items, category, depth + 1) for v in value)
  if not isinstance(value, dict):
    return 1
  for name in ('text', 'prompt'):
    if isinstance(value.get(name), str):
      label = value.get('category', category)
      items.append((value[name], label if isinstance(label, str) else ''))
      return 0
  nested = {k: v for k, v in value.items() if isinstance(v, list | dict)}
  if not nested:
    return 1
  return sum(
    _collect(v, items, k if _category(k) else category, depth + 1)
    for k, v in nested.items()
  )


def _category(label: str) -> str | None:
  """The category that a label means, or None."""
  return _ALIASES.get(label.strip().lower())


def choose(
  items: Iterable[Item],
  known: Iterable[str],
  num_per_category: int,
  fits: Callable[[str], bool],
  counters: counters_lib.Counters,
) -> list[Candidate]:
  """Keeps what is valid, new and within each category's share.

  A prompt that does not fit loses its last parts. A prompt of an unknown
  category counts as creative, after those that the model called so.

  Args:
    items: in the model's order.
    known: prompts that must not come again.
    num_per_category: C / G, the most that a category keeps.
    fits: whether a prompt is short enough.
    counters: says what was dropped or changed.

  Returns:
    Candidates in the model's order.
  """
  taken = set(map(key, known))
  placed: dict[str, list[tuple[int, str]]] = {c: [] for c in CATEGORIES}
  strays = []
  for position, (text, label) in enumerate(items):
    text = _tidy(text)
    if text and not fits(text):
      counters.add('truncated')
      text = shorten(text, fits)
    if not text:
      counters.add('invalid')
      continue
    if key(text) in taken:
      counters.add('duplicates')
      continue
    category = _category(label)
    if category is None:
      counters.add('wrong_category')
      strays.append((position, text))
    elif len(placed[category]) < num_per_category:
      placed[category].append((position, text))
    else:
      counters.add('surplus')
      continue
    taken.add(key(text))
  room = num_per_category - len(placed[_CATCH_ALL])
  placed[_CATCH_ALL] += strays[:room]
  counters.add('surplus', len(strays[room:]))
  rows = sorted(
    (position, Candidate(text, category))
    for category, row in placed.items()
    for position, text in row
  )
  return [candidate for _, candidate in rows]


def _tidy(text: str) -> str:
  """One line of printable characters, without quotes around all of it."""
  text = ' '.join(text.split())
  text = ''.join(c for c in text if c.isprintable())
  if len(text) > 1 and text[0] == text[-1] == '"':
    text = text[1:-1]
  return text.strip(' ,;')


def shorten(text: str, fits: Callable[[str], bool]) -> str:
  """Drops what comes last until a prompt fits: whole parts, then words.

  Args:
    text: one line.
    fits: whether a text is short enough.

  Returns:
    The longest such beginning; '' where not even the first word fits.
  """
  parts = text.split(', ')
  while len(parts) > 1:
    parts.pop()
    if fits(', '.join(parts)):
      return ', '.join(parts)
  words = parts[0].split()
  while words and not fits(' '.join(words)):
    words.pop()
  while words and words[-1].lower() in english.LED_BY:
    words.pop()
  return ' '.join(words).rstrip(' ,;')


def arrange(
  chosen: list[Candidate], extra: list[Candidate], seed: int
) -> list[Candidate]:
  """The order of a whole pool: rank by rank, each category once a rank.

  Within a rank the model's own order stands, except where the model wrote
  category by category: then it says nothing across categories and is drawn.

  Args:
    chosen: the model's candidates in its order.
    extra: what fills the categories up; comes after the model's of a rank.
    seed: of the draw.

  Returns:
    All of them, best first.
  """
  switches = sum(a.category != b.category for a, b in zip(chosen, chosen[1:]))
  is_grouped = switches < len({c.category for c in chosen})
  order = list(CATEGORIES)
  random.Random(seed).shuffle(order)
  filled = dict.fromkeys(CATEGORIES, 0)
  rows = []
  for position, candidate in enumerate(chosen + extra):
    rank = filled[candidate.category]
    filled[candidate.category] += 1
    is_extra = position >= len(chosen)
    place = order.index(candidate.category) if is_grouped else position
    rows.append((rank, is_extra, place, position, candidate))
  rows.sort(key=lambda row: row[:-1])
  return [candidate for *_, candidate in rows]
