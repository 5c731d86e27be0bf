"""The candidate generator that a config names."""

from collections.abc import Callable
from typing import Any

from pasta.candidates import own, pools
from pasta.candidates.base import CandidateGenerator
from pasta.candidates.grammar import generator as grammar
from pasta.candidates.grammar import terse

_GRAMMARS = ('grammar', 'grammar:terse')
_KNOWN = (*_GRAMMARS, 'chat', 'gemma')


def build(
  config: Any,
  count_tokens: Callable[[str], int] | None = None,
  max_prompt_tokens: int = 77,
) -> CandidateGenerator:
  """Builds the generator that a config names.

  Args:
    config: has `name`, `num_candidates`, `max_words`, `append_only`,
      `arguments` (of a class of one's own, 'module:Class') and, for a language
      model, a sub-config of its name.
    count_tokens: how many tokens a prompt has for who reads it; a language
      model's prompts are cut by it.
    max_prompt_tokens: that it may have.

  Raises:
    ValueError: fields that cannot be used.
    PastaError: for an unknown name; a language model's fields or files, or a
      class of one's own, cannot be used.
  """
  if config.name in _GRAMMARS:
    plain = grammar.Grammar(
      num_candidates=config.num_candidates,
      max_words=config.max_words,
      append_only=config.append_only,
    )
    return plain if config.name == 'grammar' else terse.Terse(plain)
  if config.append_only:
    raise ValueError(
      f'candidates.append_only is True: expected False for {config.name!r}, '
      'which writes what it likes'
    )
  if config.name not in _KNOWN:
    return own.Own(
      config.name,
      config.num_candidates,
      config.max_words,
      config.arguments,
      _KNOWN,
    )
  # A language model takes seconds to import.
  made = pools.Pools(
    config.num_candidates, config.max_words, count_tokens, max_prompt_tokens
  )
  if config.name == 'chat':
    from pasta.candidates.chat import generator as chat

    return chat.Chat(config.chat, made)
  from pasta.candidates.gemma import generator as gemma

  return gemma.Gemma(config.gemma, made)
