"""From a prompt to scenes: parsing, and drawing at random what is left open.

A parsed prompt is a table of probabilities, one row a slot; a scene is one
draw from it: int8 [S], S = len(SLOT_NAMES), in the lexicon's slot order.
Everything is vectorised numpy and depends only on (prompt, seed, image index).
"""

import functools
import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pasta import seeds as seeds_lib
from pasta.t2i.sketch import lexicon

NUM_SLOTS = len(lexicon.SLOT_NAMES)
MAX_VALUES = max(lexicon.SLOT_SIZES)
# Chance that a mentioned value is drawn, per slot: text-to-image models
# ignore words now and then, the subject least of all.
ADHERENCE = (0.98, 0.92, 0.94, 0.92, 0.92, 0.9, 0.92, 0.9)
_NEGATIONS = frozenset(('no', 'not', 'without', 'less', 'fewer', 'never'))
# Words that may stand between a negation and what it negates.
_FILLERS = frozenset(('any', 'the', 'a', 'an', 'so', 'much', 'many', 'more'))
_ARTICLES = frozenset(
  ('a', 'an', 'the', 'in', 'on', 'at', 'with', 'by', 'of', 'and')
)


def _words(text: str) -> list[str]:
  return re.findall(r'[a-z0-9]+', text.lower())


def _phrase_table() -> dict[tuple[str, ...], list[tuple[int, tuple[int, ...]]]]:
  """Words of each known phrase -> [(slot, values)]."""
  table = {}

  def add(phrase, slot, values):
    words = tuple(_words(phrase))
    table.setdefault(words, []).append((slot, values))
    # 'in a forest' must also be found in 'in the dark forest'.
    core = tuple(w for w in words if w not in _ARTICLES)
    if core and core != words:
      table.setdefault(core, []).append((slot, values))

  for slot, values in enumerate(lexicon.SLOTS.values()):
    for index, value in enumerate(values):
      for phrase in (
        value.phrase,
        value.name.replace('_', ' '),
        *value.synonyms,
      ):
        add(phrase, slot, (index,))
  for group, words in lexicon.GROUPS.items():
    members = tuple(
      i for i, s in enumerate(lexicon.SUBJECTS) if s.group == group
    )
    for word in (group, *words):
      add(word, 0, members)
  return {k: list(dict.fromkeys(v)) for k, v in table.items()}


def _prior_table() -> np.ndarray:
  """How often an open slot takes each value, [S, MAX_VALUES]."""
  prior = np.zeros((NUM_SLOTS, MAX_VALUES))
  for slot, values in enumerate(lexicon.SLOTS.values()):
    prior[slot, : len(values)] = [v.weight for v in values]
  return prior / prior.sum(1, keepdims=True)


_PRIOR = _prior_table()
_PHRASES = _phrase_table()


def _lengths_by_start() -> dict[str, tuple[int, ...]]:
  """First word -> lengths of the phrases that it starts, longest first."""
  lengths = {}
  for words in _PHRASES:
    lengths.setdefault(words[0], set()).add(len(words))
  return {k: tuple(sorted(v, reverse=True)) for k, v in lengths.items()}


_LENGTHS = _lengths_by_start()
# Per slot (named values, excluded values).
Parsed = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


class Span(NamedTuple):
  """One known phrase in a prompt.

  Attributes:
    start: index of its first character in the prompt.
    end: index behind its last character.
    slot: slot that it speaks about.
    values: values of that slot; several where it names a group of subjects.
    negated: True where the prompt rules the values out ('no people').
  """

  start: int
  end: int
  slot: int
  values: tuple[int, ...]
  negated: bool


def spans(prompt: str) -> tuple[list[Span], bool]:
  """Finds the known phrases of a prompt, in order of mention.

  The longest known phrase wins at each place; unknown words are skipped.

  Args:
    prompt: any text.

  Returns:
    The spans, and whether the prompt ends within a negation, so that a phrase
    put behind it would be ruled out.
  """
  lowered = prompt.lower()
  found = list(re.finditer(r'[a-z0-9]+', lowered))
  words = [m.group() for m in found]
  # Index into the prompt of each character of `lowered`: a few capitals grow.
  origin = None
  if len(lowered) != len(prompt):
    origin = [i for i, c in enumerate(prompt) for _ in c.lower()]
  spotted = []
  negated = False
  i = 0
  while i < len(words):
    hits = None
    for length in _LENGTHS.get(words[i], ()):
      phrase = tuple(words[i : i + length])  # shorter at the prompt's end
      hits = _PHRASES.get(phrase)
      if hits:
        break
    if not hits:
      negated = words[i] in _NEGATIONS or (negated and words[i] in _FILLERS)
      i += 1
      continue
    start, end = found[i].start(), found[i + len(phrase) - 1].end()
    if origin is not None:
      start, end = origin[start], origin[end - 1] + 1
    for slot, values in hits:
      spotted.append(Span(start, end, slot, values, negated))
    negated = False
    i += len(phrase)
  return spotted, negated


def collect(spotted: Iterable[Span]) -> Parsed:
  """Sums up the spans of a prompt; see `parse`."""
  named = [{} for _ in range(NUM_SLOTS)]  # dicts keep the order of mention
  groups = {}
  excluded = [{} for _ in range(NUM_SLOTS)]
  for _, _, slot, values, negated in spotted:
    if negated:
      target = excluded[slot]
    else:
      target = groups if len(values) > 1 else named[slot]
    target.update(dict.fromkeys(values))
  if not named[0]:
    named[0] = groups
  return tuple(
    [
      (tuple([v for v in n if v not in e]), tuple(e))
      for n, e in zip(named, excluded)
    ]
  )


@functools.lru_cache(maxsize=65536)
def parse(prompt: str) -> Parsed:
  """Reads a prompt: per slot, the values it names and those it rules out.

  The longest known phrase wins at each place; unknown words are skipped. A
  specific subject outweighs the name of a group ('an animal, a fox').

  Args:
    prompt: any text.

  Returns:
    For each slot (named values, excluded values); both empty where the prompt
    leaves the slot open.
  """
  return collect(spans(prompt)[0])


@functools.lru_cache(maxsize=65536)
def _cumulative(prompt: str) -> np.ndarray:
  """Cumulative probability of each slot's values, float32 [S, MAX_VALUES]."""
  return np.cumsum(value_probs(prompt), axis=1).astype(np.float32)


@functools.lru_cache(maxsize=65536)
def value_probs(prompt: str) -> np.ndarray:
  """Probability of every value given the prompt, float64 [S, MAX_VALUES].

  Slots are independent given the prompt. Rows sum to one; entries beyond a
  slot's size are zero. The array is shared and cannot be written.
  """
  probs = _PRIOR.copy()
  for slot, (named, excluded) in enumerate(parse(prompt)):
    prior = probs[slot]
    if excluded and len(excluded) < lexicon.SLOT_SIZES[slot]:
      prior[list(excluded)] = 0.0
      prior /= prior.sum()
    if named:
      prior *= 1.0 - ADHERENCE[slot]
      prior[list(named)] += ADHERENCE[slot] / len(named)
  probs.flags.writeable = False
  return probs


def image_seeds(
  prompts: list[str], seeds: np.ndarray, images_per_prompt: int
) -> np.ndarray:
  """A 64-bit seed for every image, from (prompt, seed, image index) only.

  Args:
    prompts: P texts.
    seeds: unsigned integers [P].
    images_per_prompt: M.

  Returns:
    uint64 [P, M].
  """
  text = np.array([zlib.crc32(p.encode()) for p in prompts], np.uint64)
  base = seeds_lib.mix64((text << np.uint64(32)) ^ np.asarray(seeds, np.uint64))
  step = np.uint64(0x9E3779B97F4A7C15)
  index = (np.arange(images_per_prompt, dtype=np.uint64) + np.uint64(1)) * step
  return seeds_lib.mix64(base[:, None] + index[None, :])  # [P, M]


def sample(
  prompts: list[str], seeds: np.ndarray, images_per_prompt: int
) -> np.ndarray:
  """Draws the scenes that `sketch` renders, int8 [P, M, S].

  Args:
    prompts: P texts.
    seeds: unsigned integers [P], one a prompt.
    images_per_prompt: M.
  """
  image = image_seeds(prompts, seeds, images_per_prompt)  # [P, M]
  slot = (np.arange(NUM_SLOTS, dtype=np.uint64) + np.uint64(1)) * np.uint64(
    0xD1B54A32D192ED03
  )
  bits = seeds_lib.mix64(image[..., None] + slot)  # [P, M, S]
  uniform = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
  scenes = np.empty(uniform.shape, np.int8)
  for p, prompt in enumerate(prompts):
    cumulative = _cumulative(prompt)  # [S, V]
    scenes[p] = (uniform[p][..., None] >= cumulative).sum(-1)
  # Rounding of the last cumulative sum must not step past the slot's end.
  return np.minimum(scenes, np.array(lexicon.SLOT_SIZES, np.int8) - 1)
