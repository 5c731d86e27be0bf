"""A person takes part: one session in the terminal, with the trained agent."""

import os
import time
from collections.abc import Callable

import jax
import ml_collections
import numpy as np

from pasta import errors, seeds
from pasta import workdir as workdir_lib
from pasta.agent import expected_selection, policies
from pasta.interaction import loop
from pasta.interaction import people as people_lib
from pasta.report import taste
from pasta.stages import evaluate as evaluate_stage
from pasta.storage import sessions as sessions_lib
from pasta.t2i import contact_sheet
from pasta.world import world as world_lib

_MAX_WORDS_CRITIQUE = 12  # as in the paper's rater study
_MAX_TYPES_SHOWN = 3
_BAR_WIDTH = 20


class TerminalPerson:
  """The person at the keyboard, as one of the `people_lib.People`.

  Args:
    prompt: what they typed.
    seed: root of the sitting.
    directory: where the contact sheets go.
    world: draws the large pictures.
    images_per_prompt: M.
    size: pixels of a picture.
    type_words: per user type, what it likes and dislikes in words.
    read: asks a question and returns the typed line; EOFError at the end.
    write: prints a line.
  """

  source = 'human'
  needs_scenes = False
  needs_features = False

  def __init__(
    self,
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
    self.user_ids = ('terminal',)
    self.initial_prompts = (prompt,)
    self.sitting_seeds = np.array([seed], np.uint64)
    self._directory = directory
    self._t2i = world.t2i_at(size)
    self._images_per_prompt = images_per_prompt
    self._type_words = type_words
    self._read = read
    self._write = write

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


def main(workdir: str, prompt: str, size: int, seed: int) -> None:
  """Runs one session with the agent of a working directory.

  Args:
    workdir: a directory in which quickstart or evaluate has finished.
    prompt: the initial prompt.
    size: pixels of a picture.
    seed: of the session; negative: from the clock.

  Raises:
    PastaError: an empty prompt; no trained agent in workdir; no answer at all.
  """
  if not prompt or not prompt.strip():
    raise errors.PastaError(
      'flag --prompt is empty: say what you want to see, e.g. '
      '--prompt="a quiet harbour at dusk"'
    )
  if not 32 <= size <= 1024:
    raise errors.PastaError(f'flag --size is {size}, expected 32 to 1024')
  evaluate_stage = os.path.join(workdir, 'evaluation')
  if not os.path.isdir(workdir):
    raise errors.PastaError(f'flag --workdir: there is no directory {workdir}')
  workdir_lib.read_done(evaluate_stage, 'evaluate')
  config = ml_collections.ConfigDict(
    workdir_lib.read_json(os.path.join(evaluate_stage, 'config.json'))
  )
  # Sixteen pictures a turn need no pool, and nobody sees them again.
  config.world.t2i.num_workers, config.world.t2i.store = 0, ''
  world = world_lib.World(config.world)
  try:
    _play(workdir, prompt, size, seed, config, world)
  finally:
    world.close()


def _play(
  workdir: str,
  prompt: str,
  size: int,
  seed: int,
  config: ml_collections.ConfigDict,
  world: world_lib.World,
) -> None:
  model, value = evaluate_stage.load_agent(workdir, world)
  sizes = world_lib.Sizes(**config.sizes)
  policy = policies.build(
    config.policies.pasta,
    num_columns=sizes.num_columns,
    value_model=value,
    response=expected_selection.learned(model),
  )
  root = seeds.derive(time.time_ns() if seed < 0 else seed, prompt)
  directory = os.path.join(workdir, 'play')
  pictures = os.path.join(directory, f'pictures-{int(root):016x}')
  os.makedirs(pictures, exist_ok=True)
  person = TerminalPerson(
    prompt,
    int(root),
    pictures,
    world,
    sizes.images_per_prompt,
    size,
    taste.type_words(model, world.text_features),
    input,
    print,
  )
  result = loop.run(
    world,
    person,
    policy,
    sizes,
    jax.random.key(int(root >> np.uint64(33))),
    user_model=model,
    session_prefix='play',
  )
  if not result.sessions[0].turns:
    raise errors.PastaError(
      'the session ended before the first choice; nothing was saved'
    )
  shards = os.path.join(directory, 'sessions')
  os.makedirs(shards, exist_ok=True)
  path = sessions_lib.shard_path(shards, len(sessions_lib.shards(shards)))
  sessions_lib.write_shard(path, result.sessions)
  print('\nAfter the last turn I believe:')
  for line in belief_lines(
    result.log_beliefs[0, -1], taste.type_words(model, world.text_features)
  ):
    print(f'  {line}')
  print(f'Session saved: {path}')
