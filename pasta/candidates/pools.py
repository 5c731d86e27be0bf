"""From a language model's prompts to a whole pool: what is missing is added.

What the model wrote is kept as far as it is valid; `grammar` fills up each
category that is not full, and that is counted.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from pasta.candidates import answers, english
from pasta.candidates import counters as counters_lib
from pasta.candidates.grammar import generator as grammar
from pasta.types import CATEGORIES, Candidate, PromptHistory


class Pools:
  """Makes pools of exactly C candidates, C / G a category.

  Attributes:
    num_candidates: C.
    max_words: longest prompt in ordinary words.
  """

  def __init__(
    self,
    num_candidates: int,
    max_words: int,
    count_tokens: Callable[[str], int] | None = None,
    max_prompt_tokens: int = 77,
  ):
    """What every language model's prompts are held to.

    Args:
      num_candidates: C, a positive multiple of the number of categories.
      max_words: longest prompt in ordinary words; longer ones lose their end.
      count_tokens: how many tokens a prompt has for the text-to-image model,
        where that is known.
      max_prompt_tokens: most tokens of a prompt by `count_tokens`.

    Raises:
      ValueError: num_candidates or max_words cannot be used.
    """
    self._filler = grammar.Grammar(num_candidates, max_words)
    self._share = num_candidates // len(CATEGORIES)
    self.num_candidates = num_candidates
    self.max_words = max_words
    self._count_tokens = count_tokens
    self._max_prompt_tokens = max_prompt_tokens

  def make(
    self,
    items: Iterable[answers.Item],
    history: PromptHistory,
    seed: int,
    counters: counters_lib.Counters,
  ) -> list[Candidate]:
    """C candidates from what a model wrote, and from grammar.

    Args:
      items: prompts and their categories in the model's order.
      history: the session so far; none of its prompts comes again.
      seed: of grammar and of the order.
      counters: says what was dropped, changed and added.

    Returns:
      C candidates, best first.
    """
    known = (
      history.initial_prompt,
      *history.chosen,
      *(prompt for turn in history.rejected for prompt in turn),
    )
    chosen = answers.choose(items, known, self._share, self._fits, counters)
    extra = self._fill(chosen, history, seed)
    counters.add('topped_up', len(extra))
    counters.add('without_answer', int(not chosen))
    return answers.arrange(chosen, extra, seed)

  def _fill(
    self, chosen: list[Candidate], history: PromptHistory, seed: int
  ) -> list[Candidate]:
    """What grammar adds to the categories that are not full."""
    room = dict.fromkeys(CATEGORIES, self._share)
    for candidate in chosen:
      room[candidate.category] -= 1
    if not any(room.values()):
      return []
    # Grammar repeats nothing that was rejected.
    history = dataclasses.replace(
      history, rejected=(*history.rejected, tuple(c.text for c in chosen))
    )
    extra = []
    for candidate in self._filler.propose([history], np.array([seed]))[0]:
      if room[candidate.category]:
        room[candidate.category] -= 1
        extra.append(candidate)
    return extra

  def _fits(self, text: str) -> bool:
    if english.cost(text) > self.max_words:
      return False
    return (
      self._count_tokens is None
      or self._count_tokens(text) <= self._max_prompt_tokens
    )
