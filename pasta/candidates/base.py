"""What every candidate generator offers: a history in, C prompts out.

A generator knows the words of a session so far, one kind the chosen images as
well, and nothing of the person or the belief. Nothing here imports jax: render
workers and web handlers load this module on their own.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

CATEGORIES = ('rephrase', 'detail', 'style', 'subject', 'creative')
UNKNOWN_CATEGORY = ''  # of candidates in sessions that others have recorded
_GRAMMARS = ('grammar', 'grammar:terse')
_KNOWN = (*_GRAMMARS, 'chat', 'gemma')


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One prompt that may be shown next.

  Attributes:
    text: the whole prompt.
    category: kind of expansion, one of CATEGORIES, or UNKNOWN_CATEGORY.
  """

  text: str
  category: str


def category_index(category: str) -> int:
  """Position in CATEGORIES; -1 for UNKNOWN_CATEGORY."""
  return -1 if category == UNKNOWN_CATEGORY else CATEGORIES.index(category)


@dataclasses.dataclass(frozen=True)
class PromptHistory:
  """What a generator may know of one session so far.

  Attributes:
    initial_prompt: what the person typed.
    chosen: the chosen prompts, oldest first.
    rejected: per past turn, the prompts of the other columns.
    critiques: per past turn, the person's critique; '' where there was none.
  """

  initial_prompt: str
  chosen: tuple[str, ...] = ()
  rejected: tuple[tuple[str, ...], ...] = ()
  critiques: tuple[str, ...] = ()

  @property
  def current(self) -> str:
    """The prompt to expand."""
    return self.chosen[-1] if self.chosen else self.initial_prompt


class CandidateGenerator(Protocol):
  """Proposes candidate prompts.

  Attributes:
    generator_id: names the generator and what shapes its output; part of
      cache keys and session records.
    num_candidates: C, candidates a session and turn.
    sees_images: whether `propose` takes `images`, per session those of the
      prompt chosen last, uint8 [M, H, W, 3]; None at the first turn.
  """

  generator_id: str
  num_candidates: int
  sees_images: bool

  def propose(
    self, histories: Sequence[PromptHistory], seeds: np.ndarray
  ) -> list[list[Candidate]]:
    """Proposes the next candidates of B sessions.

    Args:
      histories: B sessions.
      seeds: integers [B].

    Returns:
      Per session exactly C candidates in the generator's own order, best
      first. A session's candidates depend on its history and seed only, as far
      as a language model's server allows that.
    """


def build(
  config: Any,
  count_tokens: Callable[[str], int] | None = None,
  max_prompt_tokens: int = 77,
) -> CandidateGenerator:
  """Builds the generator that a config names.

  Args:
    config: has `name`, `num_candidates`, `max_words` and, for a language model,
      a sub-config of its name.
    count_tokens: how many tokens a prompt has for who reads it; a language
      model's prompts are cut by it.
    max_prompt_tokens: that it may have.

  Raises:
    ValueError: for an unknown name, or fields that cannot be used.
    PastaError: a language model's fields or files cannot be used.
  """
  # These modules import this one.
  if config.name in _GRAMMARS:
    from pasta.candidates.grammar import generator as grammar
    from pasta.candidates.grammar import terse

    plain = grammar.Grammar(
      num_candidates=config.num_candidates, max_words=config.max_words
    )
    return plain if config.name == 'grammar' else terse.Terse(plain)
  if config.name == 'chat':
    from pasta.candidates.chat import generator as chat

    return chat.Chat(
      config.chat,
      num_candidates=config.num_candidates,
      max_words=config.max_words,
      count_tokens=count_tokens,
      max_prompt_tokens=max_prompt_tokens,
    )
  if config.name == 'gemma':
    from pasta.candidates.gemma import generator as gemma

    return gemma.Gemma(
      config.gemma,
      num_candidates=config.num_candidates,
      max_words=config.max_words,
      count_tokens=count_tokens,
      max_prompt_tokens=max_prompt_tokens,
    )
  raise ValueError(
    f'candidates.name is {config.name!r}; known: {", ".join(_KNOWN)}'
  )
