"""A person at the keyboard."""

import os
from collections.abc import Callable

import numpy as np

from pasta.interaction import people as people_lib
from pasta.t2i import contact_sheet
from pasta.world import world as world_lib

_MAX_WORDS_CRITIQUE = 12  # as in the paper's rater study
_MAX_TYPES_SHOWN = 3
_BAR_WIDTH = 20


class TerminalPerson:
  """The person at the keyboard, as one of the `people_lib.People`.

  Args:
    user_id: who they are.
    prompt: what they typed.
    seed: root of the sitting.
    directory: where the contact sheets go.
    world: draws the large pictures; knows who reads critiques.
    images_per_prompt: M.
    size: pixels of a picture.
    type_words: per user type, what it likes and dislikes in words.
    read: asks a question and returns the typed line; EOFError at the end.
    write: prints a line.
    has_quit: they said that they stop.
  """

  source = 'human'
  needs_scenes = False
  needs_features = False

  def __init__(
    self,
    user_id: str,
    prompt: str,
    seed: int,
    directory: str,
    world: world_lib.World,
    images_per_prompt: int,
    size: int,
    type_words: list[tuple[list[str], list[str]]],
    read: Callable[[str], str],
    write: Callable[[str], None],
  ):
    self.user_ids = (user_id,)
    self.initial_prompts = (prompt,)
    self.sitting_seeds = np.array([seed], np.uint64)
    self._directory = directory
    self._understands = world.generator.understands
    self._t2i = world.t2i_at(size)
    self._images_per_prompt = images_per_prompt
    self._type_words = type_words
    self._read = read
    self._write = write
    self.has_quit = False

  def answer(self, shown: people_lib.Shown) -> people_lib.Answer:
    self._write(f'\nTurn {shown.turn + 1}. What I believe about you:')
    for line in belief_lines(shown.log_belief[0], self._type_words):
      self._write(f'  {line}')
    order = shown.columns[0]
    prompts = [shown.prompts[0][i] for i in order]
    images = self._t2i.generate(
      prompts, shown.seeds[0][order], self._images_per_prompt
    )
    path = os.path.join(self._directory, f'turn-{shown.turn + 1}.png')
    contact_sheet.contact_sheet(images, column_titles=prompts).save(path)
    for i, prompt in enumerate(prompts):
      self._write(f'  {i + 1}. {prompt}')
    self._write(f'Pictures: {path}')
    column = self._ask(
      f'Which column has the best picture (1-{len(order)}, q to stop)? ',
      {str(i + 1): i for i in range(len(order))},
    )
    satisfaction = self._ask(
      'How satisfied are you, 0-10 (Enter to skip)? ',
      {str(i): i / 10 for i in range(11)} | {'': np.nan},
    )
    comparison = None
    if shown.turn:
      answer = self._ask(
        'Against the turn before: b better, s same, w worse (Enter to skip)? ',
        {'b': 1, 's': 0, 'w': -1, '': None},
      )
      comparison = None if answer is None else np.array([answer])
    words = self._line('What should change, in a few words (Enter to skip)? ')
    critique = ' '.join(words.split()[:_MAX_WORDS_CRITIQUE])
    if critique and not self._understands(critique):
      self._write(
        f'{critique!r} has no word that the candidate generator knows: it is '
        'saved, and changes nothing.'
      )
    return people_lib.Answer(
      choice=np.array([order[column]]),
      satisfaction=np.array([satisfaction]),
      comparison=comparison,
      critiques=(critique,),
    )

  def _ask(self, question: str, answers: dict):
    """Asks until the answer is one of the known ones."""
    while True:
      line = self._line(question).lower()
      if line == 'q':
        self.has_quit = True
        raise people_lib.SessionEnded
      if line in answers:
        return answers[line]
      known = ', '.join(k or 'Enter' for k in answers)
      self._write(f'{line!r} is none of {known}.')

  def _line(self, question: str) -> str:
    try:
      return self._read(question).strip()
    except (EOFError, KeyboardInterrupt):
      raise people_lib.SessionEnded from None


def belief_lines(
  log_belief: np.ndarray, type_words: list[tuple[list[str], list[str]]]
) -> list[str]:
  """The most likely types, with their share and what they like.

  Args:
    log_belief: [K].
    type_words: per type (liked words, disliked words).
  """
  belief = np.exp(log_belief)
  lines = []
  for k in np.argsort(-belief)[:_MAX_TYPES_SHOWN]:
    liked, disliked = type_words[k]
    bar = '█' * round(_BAR_WIDTH * belief[k])
    lines.append(
      f'{100 * belief[k]:4.0f} % {bar:<{_BAR_WIDTH}} type {k}: likes '
      f'{", ".join(liked)}; not {", ".join(disliked)}'
    )
  return lines
