"""What Gemma is told: instruction files and a session's history, as tokens.

One request a category: a small model that is asked for a few lines of one kind
loses its way less often than one that is asked for a whole pool as JSON.
"""

import itertools
import string

import transformers

from pasta import errors
from pasta.candidates import counters as counters_lib
from pasta.candidates import instruction_files
from pasta.gemma import model as gemma_model
from pasta.types import CATEGORIES, PromptHistory

_TEXT_FILE, _BEGIN_FILE = 'gemma.txt', 'gemma_begin.txt'
_FILES = (_TEXT_FILE, _BEGIN_FILE, instruction_files.CATEGORIES_FILE)
_PLACEHOLDERS = ('num_prompts', 'category', 'max_words', 'history')
_TURN_TOKENS = ('<start_of_turn>', '<end_of_turn>')
_MAX_CHARS = 1500  # of one text of the history: about 400 tokens
_NUM_HALVINGS = 8  # of that, where a prompt alone has no room
_WIDE = '\U000101fd'  # a character of as many tokens as any has


class Requests:
  """Makes prompts for Gemma, always in the same way.

  Attributes:
    begin: how the answer begins; the model goes on from there.
    digest: stands for all instruction texts.
  """

  def __init__(
    self,
    directory: str,
    tokenizer: transformers.PreTrainedTokenizerBase,
    *,
    chat_template: bool,
    num_prompts: int,
    max_words: int,
    max_tokens: int,
  ):
    """Reads and checks the instruction files.

    Args:
      directory: holds gemma.txt, gemma_begin.txt and categories.txt; '' for
        the shipped ones.
      tokenizer: of `gemma_model.load`.
      chat_template: whether the model was tuned to follow instructions, in
        turns of a user and a model.
      num_prompts: how many to ask for, of each category.
      max_words: longest prompt that is asked for.
      max_tokens: of a request.

    Raises:
      PastaError: files cannot be used, leave no room for a session, or the
        tokenizer knows no turns.
    """
    files = instruction_files.read(
      directory, _FILES, 'candidates.gemma.instructions'
    )
    files.check_placeholders({_TEXT_FILE: set(_PLACEHOLDERS)}, _PLACEHOLDERS)
    self.begin = ' '.join(files.texts[_BEGIN_FILE].split())
    self.digest = files.digest
    self._template = string.Template(files.texts[_TEXT_FILE])
    self._categories = files.categories()
    self._tokenizer = tokenizer
    self._num_prompts = num_prompts
    self._max_words = max_words
    self._max_tokens = max_tokens
    self._turn_ids = None
    if chat_template:
      known = tokenizer.get_vocab()
      for token in _TURN_TOKENS:
        if token not in known:
          raise errors.PastaError(
            f"config field 'candidates.gemma.chat_template' is True, but the "
            f'tokenizer of candidates.gemma.model has no {token}'
          )
      self._turn_ids = tuple(known[token] for token in _TURN_TOKENS)
    least = max(map(len, self._ids(*_worst_case())))
    if least > max_tokens:
      raise errors.PastaError(
        f"config field 'candidates.gemma.prompt_tokens' ends at {max_tokens}, "
        f'but the instructions in {files.directory} and a few letters of a '
        f'session take {least} tokens'
      )

  def of_session(
    self, history: PromptHistory, counters: counters_lib.Counters
  ) -> list[list[int]]:
    """Token ids of the G requests of a session, in the order of CATEGORIES.

    Where room is short, the oldest turns are forgotten first; the initial and
    the current prompt lose their ends last.

    Args:
      history: the session so far.
      counters: counts turns that are forgotten and texts that are cut.
    """
    num_turns = len(_turns(history))
    attempts = [(start, _MAX_CHARS) for start in range(num_turns + 1)]
    attempts += [
      (num_turns, _MAX_CHARS >> i) for i in range(1, _NUM_HALVINGS + 1)
    ]
    for start, max_chars in attempts:
      rows = self._ids(history, start, max_chars)
      if max(map(len, rows)) <= self._max_tokens:
        break
    counters.add('forgotten_turns', start)
    counters.add('clipped_inputs', _num_longer(history, start, max_chars))
    return rows

  def _ids(
    self, history: PromptHistory, start: int, max_chars: int
  ) -> list[list[int]]:
    session = describe(history, start, max_chars)
    texts = [
      self._template.substitute(
        num_prompts=self._num_prompts,
        max_words=self._max_words,
        category=f'{name}: {self._categories[name]}',
        history=session,
      ).strip()
      for name in CATEGORIES
    ]
    bos = self._tokenizer.bos_token_id
    if self._turn_ids is None:
      found = gemma_model.token_ids(
        self._tokenizer, [f'{text}\n\n{self.begin}' for text in texts]
      )
      return [[bos, *ids] for ids in found]
    found = gemma_model.token_ids(
      self._tokenizer,
      [*(f'user\n{text}' for text in texts), '\n', f'model\n{self.begin}'],
    )
    *rows, newline, answer = found
    start_id, end_id = self._turn_ids
    return [
      [bos, start_id, *ids, end_id, *newline, start_id, *answer] for ids in rows
    ]


def describe(history: PromptHistory, start: int, max_chars: int) -> str:
  """A session as lines, oldest turn first.

  For example, before the second turn:

    First prompt: a fox
    Turn 1, not chosen: a fox at night
    Turn 1, chosen: a fox in snow
    Turn 1, the person said: warmer, please
    Current prompt: a fox in snow

  Args:
    history: the session so far.
    start: the first turn to tell of, from 0.
    max_chars: the longest that a text may be.
  """

  def line(text: str) -> str:
    # Texts must not look like lines of their own; half a surrogate pair is no
    # text for a tokenizer.
    text = ' '.join(text.split()).encode('utf-8', 'replace').decode()
    return text[:max_chars]

  lines = [f'First prompt: {line(history.initial_prompt)}']
  turns = _turns(history)[start:]
  for i, (chosen, rejected, critique) in enumerate(turns, start + 1):
    lines += [f'Turn {i}, not chosen: {line(text)}' for text in rejected]
    lines.append(f'Turn {i}, chosen: {line(chosen)}')
    if critique.strip():
      lines.append(f'Turn {i}, the person said: {line(critique)}')
  lines.append(f'Current prompt: {line(history.current)}')
  return '\n'.join(lines)


def _turns(
  history: PromptHistory,
) -> list[tuple[str, tuple[str, ...], str]]:
  """Per past turn the chosen prompt, the rejected ones and the critique."""
  rows = itertools.zip_longest(
    history.chosen, history.rejected, history.critiques
  )
  return [
    (chosen or '', rejected or (), said or '')
    for chosen, rejected, said in rows
  ]


def _num_longer(history: PromptHistory, start: int, max_chars: int) -> int:
  texts = [history.initial_prompt, history.current]
  for chosen, rejected, critique in _turns(history)[start:]:
    texts += [chosen, *rejected, critique]
  return sum(len(' '.join(text.split())) > max_chars for text in texts)


def _worst_case() -> tuple[PromptHistory, int, int]:
  """What is left of a session where there is no room at all."""
  max_chars = _MAX_CHARS >> _NUM_HALVINGS
  text = _WIDE * max_chars
  return PromptHistory(text, (text,)), 1, max_chars
