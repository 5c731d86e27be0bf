"""From a language model's prompts to a whole pool: what is missing is added.

What the model wrote is kept as far as it is valid; `grammar` fills up each
category that is not full, and that is counted and said of each candidate.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from pasta import errors
from pasta.candidates import answers, english
from pasta.candidates import counters as counters_lib
from pasta.candidates.grammar import generator as grammar
from pasta.types import CATEGORIES, Candidate, PromptHistory

_MAX_QUOTED_CHARS = 200


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
    self._has_worked = False  # a model has written a usable candidate

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
        extra.append(
          dataclasses.replace(candidate, source=self._filler.generator_id)
        )
    return extra

  def check_batch(
    self,
    pools: Sequence[Sequence[Candidate]],
    answers_given: Iterable[str],
    counters: counters_lib.Counters,
    *,
    model: str,
    form: str,
    field: str,
    goes_on: bool,
  ) -> None:
    """Refuses a batch of sessions in which all is grammar's.

    What grammar alone has written must not pass for a language model. Only a
    session that is asked for alone goes on, where the model has worked before:
    somebody may sit in front of it.

    Args:
      pools: of the batch, as `make` has made them.
      answers_given: what the model wrote; one is quoted.
      counters: of the batch.
      model: its name.
      form: what was expected of it.
      field: the config field that says whether to go on.
      goes_on: its value.

    Raises:
      PastaError: there is no candidate of the model's.
    """
    if any(not c.source for pool in pools for c in pool):
      self._has_worked = True
      return
    if goes_on or not pools or self._has_worked and len(pools) == 1:
      return
    quoted = next((' '.join(a.split()) for a in answers_given if a.strip()), '')
    if len(quoted) > _MAX_QUOTED_CHARS:
      quoted = quoted[:_MAX_QUOTED_CHARS] + ' ...'
    raise errors.PastaError(
      f'{model}: not one usable candidate for {len(pools)} session(s) '
      f'({counters.summary()}); '
      + (f'it answered {quoted!r}' if quoted else 'no answer came')
      + f', expected {form}; {field} = True goes on with what grammar writes'
    )

  def _fits(self, text: str) -> bool:
    if english.cost(text) > self.max_words:
      return False
    return (
      self._count_tokens is None
      or self._count_tokens(text) <= self._max_prompt_tokens
    )
