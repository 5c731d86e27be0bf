"""The same expansions in other words: a generator that no agent was trained on.

`grammar:terse` writes what `grammar` writes as a list of tags: synonyms instead
of canonical phrases, in any order, with the fillers that people put into
prompts. What it tells the text-to-image model is the same, so that what an
agent loses with it is due to wording alone.
"""

from collections.abc import Sequence

import numpy as np

from pasta.candidates.grammar import generator as grammar
from pasta.t2i.sketch import lexicon, scene
from pasta.types import Candidate, PromptHistory

_FILLERS = (
  '4k',
  '8k uhd',
  'masterpiece',
  'best quality',
  'award winning',
  'artstation',
  'sharp focus',
  'intricate',
  'concept piece',
  'trending',
)
_GROUPS = tuple(
  frozenset(i for i, g in enumerate(lexicon.SUBJECT_GROUP) if g == group)
  for group in range(len(lexicon.GROUP_NAMES))
)
_TRIES = 12


def _tag(slot: str, values: tuple[int, ...], rng: np.random.Generator) -> str:
  """Words for the values that a prompt names in one slot."""
  if slot == 'subject' and frozenset(values) in _GROUPS:
    group = lexicon.GROUP_NAMES[_GROUPS.index(frozenset(values))]
    return str(rng.choice(lexicon.GROUPS[group]))
  names = []
  for value in values:
    entry = lexicon.SLOTS[slot][value]
    names.append(str(rng.choice(entry.synonyms or (entry.phrase,))))
  return ', '.join(names)


def _tags(text: str, rng: np.random.Generator, known: set[str]) -> str | None:
  """A prompt as tags that mean the same; None where none was found."""
  meaning = scene.parse(text)
  for attempt in range(_TRIES):
    tags = []
    for slot, (named, excluded) in zip(lexicon.SLOT_NAMES, meaning):
      if named:
        tags.append(_tag(slot, named, rng))
      tags += [f'no {_tag(slot, (value,), rng)}' for value in excluded]
    rng.shuffle(tags)
    count = rng.integers(1, 3) + attempt // 4
    tags += list(rng.choice(_FILLERS, count, replace=False))
    found = ', '.join(tags)
    if found not in known and scene.parse(found) == meaning:
      return found
  return None


class Terse:
  """Rewords the candidates of `grammar` (see base.CandidateGenerator)."""

  sees_images = False

  def __init__(self, inner: grammar.Grammar):
    self._inner = inner
    self.num_candidates = inner.num_candidates
    self.generator_id = f'terse-1-{inner.generator_id}'

  def propose(
    self, histories: Sequence[PromptHistory], seeds: np.ndarray
  ) -> list[list[Candidate]]:
    """As grammar's, candidate by candidate; what cannot be reworded stays."""
    result = []
    pools = self._inner.propose(histories, seeds)
    for history, seed, pool in zip(histories, seeds, pools):
      rng = np.random.default_rng(int(seed))
      known = {history.current}
      reworded = []
      for candidate in pool:
        text = _tags(candidate.text, rng, known) or candidate.text
        known.add(text)
        reworded.append(Candidate(text, candidate.category))
      result.append(reworded)
    return result

  def understands(self, critique: str) -> bool:
    """See CandidateGenerator."""
    return self._inner.understands(critique)
