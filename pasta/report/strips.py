"""Image strips: whole sessions of one person, the agent beside the baseline."""

import dataclasses
import os
import re
from typing import Any

import numpy as np

from pasta import errors
from pasta.report import pictures
from pasta.storage import sessions

# The people shown lie at quantiles of the lead between these two.
_BEST, _WORST = 0.9, 0.1


@dataclasses.dataclass(frozen=True)
class Pair:
  """The same person's session with the agent and with the baseline.

  Attributes:
    index: position of the person in the evaluation.
    quantile: share of people for whom the agent's lead is smaller, [0, 1].
    agent: the session with the agent.
    baseline: the session with the baseline.
  """

  index: int
  quantile: float
  agent: sessions.Session
  baseline: sessions.Session

  @property
  def lead(self) -> float:
    """How much more satisfaction the agent's session gave, in total."""
    return total(self.agent) - total(self.baseline)


def total(session: sessions.Session) -> float:
  """Sum of satisfaction over the turns that were rated."""
  return sum(
    t.satisfaction for t in session.turns if t.satisfaction is not None
  )


def read_pairs(
  directory: str, num_pairs: int, agent: str = 'pasta', baseline: str = 'lmm'
) -> list[Pair]:
  """Picks people by rule: evenly spaced quantiles of the agent's lead.

  Args:
    directory: holds one directory of sessions per policy, with the same people
      in the same order.
    num_pairs: how many people.
    agent: policy shown on top.
    baseline: policy shown below.

  Returns:
    Pairs from the agent's best to its worst people; empty if either policy
    has no sessions.

  Raises:
    PastaError: the two directories hold different people.
  """
  paths = [os.path.join(directory, p) for p in (agent, baseline)]
  if not all(os.path.isdir(p) for p in paths):
    return []
  ours, theirs = (list(sessions.read_dir(p)) for p in paths)
  if len(ours) != len(theirs):
    raise errors.PastaError(
      f'{paths[0]} holds {len(ours)} sessions, {paths[1]} {len(theirs)}; '
      'expected the same people in both'
    )
  for a, b in zip(ours, theirs):
    if (a.user_id, a.initial_prompt) != (b.user_id, b.initial_prompt):
      raise errors.PastaError(
        f'{paths[0]}: session {a.session_id} is {a.user_id} with '
        f'{a.initial_prompt!r}, but {b.session_id} at the same place of '
        f'{paths[1]} is {b.user_id} with {b.initial_prompt!r}'
      )
  if not ours or num_pairs < 1:
    return []
  lead = np.array([total(a) - total(b) for a, b in zip(ours, theirs)])
  order = np.argsort(lead, kind='stable')
  quantiles = np.linspace(_BEST, _WORST, num_pairs)
  ranks = np.round(quantiles * (len(order) - 1)).astype(int)
  picked = dict.fromkeys(int(order[r]) for r in ranks)
  rank_of = {int(i): r for r, i in enumerate(order)}
  return [
    Pair(i, rank_of[i] / max(len(order) - 1, 1), ours[i], theirs[i])
    for i in picked
  ]


def _words_with_news(prompt: str, before: str) -> list[dict[str, Any]]:
  """Splits a prompt into runs of words, those new since `before` marked."""
  known = set(re.findall(r'\w+', before.lower()))
  runs = []
  for word in prompt.split():
    core = re.findall(r'\w+', word.lower())
    is_new = bool(core) and not set(core) <= known
    if runs and runs[-1]['new'] == is_new:
      runs[-1]['text'] += ' ' + word
    else:
      runs.append({'text': word, 'new': is_new})
  return runs


def _shown_columns(session: sessions.Session) -> list[tuple[str, int]]:
  """(prompt, seed) of each turn's chosen column."""
  return [(t.chosen_prompt, t.seeds[t.choice]) for t in session.turns]


def _strip(session: sessions.Session, images: list[list[str]]) -> list[dict]:
  turns, before = [], session.initial_prompt
  for number, (turn, column) in enumerate(zip(session.turns, images), 1):
    turns.append(
      {
        'number': number,
        'images': column,
        'prompt': turn.chosen_prompt,
        'words': _words_with_news(turn.chosen_prompt, before),
        'satisfaction': turn.satisfaction,
        'comparison': sessions.COMPARISONS.get(turn.comparison),
        'category': turn.candidates[turn.slate[turn.choice]].category,
      }
    )
    before = turn.chosen_prompt
  return turns


def render(pairs: list[Pair], world, size: int) -> list[dict]:
  """What the page shows of each person: the chosen columns of both sessions.

  Args:
    pairs: from `read_pairs`.
    world: has `t2i_at(size)`.
    size: edge of an image, pixels.

  Returns:
    One dict a person, with lists of turns under 'agent' and 'baseline'.
  """
  people = []
  # One call per M, so that a pool of render workers is kept busy.
  wanted = {}
  for pair in pairs:
    for session in (pair.agent, pair.baseline):
      wanted.setdefault(session.images_per_prompt, []).extend(
        _shown_columns(session)
      )
  drawn = {}
  for num_images, keys in wanted.items():
    keys = list(dict.fromkeys(keys))
    columns = pictures.columns(
      world, [k[0] for k in keys], [k[1] for k in keys], num_images, size
    )
    drawn.update(((*k, num_images), c) for k, c in zip(keys, columns))
  for pair in pairs:
    person = {
      'index': pair.index,
      'quantile': pair.quantile,
      'initial_prompt': pair.agent.initial_prompt,
      'lead': pair.lead,
    }
    for name, session in (('agent', pair.agent), ('baseline', pair.baseline)):
      images = [
        drawn[(*key, session.images_per_prompt)]
        for key in _shown_columns(session)
      ]
      person[name] = _strip(session, images)
      person[f'{name}_total'] = total(session)
    people.append(person)
  return people


def render_slates(
  session: sessions.Session, world, size: int, shown_size: int
) -> list[dict]:
  """Every slate of a session, in the on-screen order of its columns.

  Args:
    session: to show.
    world: has `t2i_at(size)`.
    size: edge of an image as it is drawn, pixels.
    shown_size: edge after shrinking: there are many of them.

  Returns:
    One dict a turn: number and columns, each with images, prompt, category
    and whether it was chosen.
  """
  keys = [
    (turn.prompts[i], turn.seeds[i])
    for turn in session.turns
    for i in turn.columns
  ]
  images = iter(
    pictures.columns(
      world,
      [k[0] for k in keys],
      [k[1] for k in keys],
      session.images_per_prompt,
      size,
      shown_size,
    )
  )
  return [
    {
      'number': number,
      'satisfaction': turn.satisfaction,
      'columns': [
        {
          'images': next(images),
          'prompt': turn.prompts[i],
          'category': turn.candidates[turn.slate[i]].category,
          'chosen': i == turn.choice,
        }
        for i in turn.columns
      ],
    }
    for number, turn in enumerate(session.turns, 1)
  ]
