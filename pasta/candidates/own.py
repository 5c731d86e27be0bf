"""A candidate generator of one's own, which a config names: checked."""

from collections.abc import Sequence

import numpy as np

from pasta import plugins
from pasta.candidates import base
from pasta.types import CATEGORIES, Candidate, PromptHistory

_FIELD = 'candidates.arguments'
_METHODS = ('propose', 'understands')
_ATTRIBUTES = {'generator_id': str, 'num_candidates': int, 'sees_images': bool}


class Own:
  """Calls a generator of one's own (see base.CandidateGenerator), checks it.

  Attributes:
    generator_id: names the class, its arguments and its own generator_id.
    num_candidates: C.
    sees_images: whether it is given the images chosen last.
  """

  def __init__(
    self,
    name: str,
    num_candidates: int,
    max_words: int,
    arguments: str,
    known: Sequence[str],
  ):
    """Imports and makes it.

    Args:
      name: 'module:Class'.
      num_candidates: C.
      max_words: longest prompt that fits the encoder, in ordinary words.
      arguments: its further keyword arguments, a JSON object, or ''.
      known: names of the generators that are built in, for errors.

    Raises:
      PastaError: it cannot be imported or made, or lacks something.
    """
    self._name = name
    self._made = plugins.make(
      plugins.load(name, 'candidates.name', known),
      name,
      _FIELD,
      arguments,
      _METHODS,
      _ATTRIBUTES,
      num_candidates=num_candidates,
      max_words=max_words,
    )
    if self._made.num_candidates != num_candidates:
      raise plugins.wrong(
        name,
        '__init__',
        f'num_candidates {self._made.num_candidates}',
        f'the {num_candidates} that it was given',
      )
    self.num_candidates = num_candidates
    self.sees_images = self._made.sees_images
    identity = plugins.identity(name, arguments, _FIELD)
    # Ids of several generators are joined by ' + '.
    own_id = '_'.join(self._made.generator_id.split())
    self.generator_id = f'{identity}/{own_id}-c{num_candidates}'

  def propose(
    self, histories: Sequence[PromptHistory], seeds: np.ndarray, **images
  ) -> list[list[Candidate]]:
    """See CandidateGenerator; categories may have any number of candidates.

    Raises:
      PastaError: the class fails, or returns something else.
    """
    base.check(histories, seeds)
    with plugins.calling(self._name, 'propose'):
      pools = [
        list(pool) for pool in self._made.propose(histories, seeds, **images)
      ]
    if len(pools) != len(histories):
      raise self._wrong(
        f'{len(pools)} pools', f'one for each of {len(histories)} histories'
      )
    for pool in pools:
      self._check(pool)
    return pools

  def _check(self, pool: list[Candidate]) -> None:
    if len(pool) != self.num_candidates:
      raise self._wrong(
        f'{len(pool)} candidates', f'num_candidates, {self.num_candidates}'
      )
    for candidate in pool:
      if not isinstance(candidate, Candidate):
        raise self._wrong(f'{candidate!r:.80}', 'a pasta.types.Candidate')
      text, category = candidate.text, candidate.category
      if not isinstance(text, str) or not text.strip():
        raise self._wrong(f'the prompt {text!r}', 'a text of some words')
      if category not in CATEGORIES:
        raise self._wrong(
          f'the category {category!r}', f'one of {", ".join(CATEGORIES)}'
        )
    texts = [c.text for c in pool]
    if len(set(texts)) < len(texts):
      twice = next(t for t in texts if texts.count(t) > 1)
      raise self._wrong(f'{twice!r:.80} twice', 'no two prompts the same')

  def _wrong(self, found: str, expected: str):
    return plugins.wrong(self._name, 'propose', found, expected)

  def understands(self, critique: str) -> bool:
    """See CandidateGenerator."""
    with plugins.calling(self._name, 'understands'):
      return bool(self._made.understands(critique))
