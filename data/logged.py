"""Sessions that others have logged, without what only this project records."""

import math
from collections.abc import Sequence

from pasta.storage import sessions
from pasta.types import Candidate


def turn(
  candidates: Sequence[Candidate],
  choice: int,
  satisfaction: float,
  comparison: int | None = None,
  critique: str = '',
) -> sessions.Turn:
  """A turn of which the slate is known, not the pool.

  Args:
    candidates: of the slate, as they stood on the screen.
    choice: which of them.
    satisfaction: in [0, 1]; NaN: not asked.
    comparison: with the turn before; None: not asked.
    critique: '' where there is none.
  """
  order = tuple(range(len(candidates)))
  return sessions.Turn(
    candidates=tuple(candidates),
    scores=None,
    slate=order,
    columns=order,
    seeds=(0,) * len(candidates),
    log_propensity=None,
    choice=choice,
    satisfaction=None if math.isnan(satisfaction) else satisfaction,
    comparison=comparison,
    critique=critique,
    answered_at=0.0,
  )


def session(
  session_id: str,
  user_id: str,
  initial_prompt: str,
  turns: Sequence[sessions.Turn],
  images_per_prompt: int,
  *,
  generator_id: str = 'unknown',
  t2i_id: str = 'unknown',
) -> sessions.Session:
  """A person's session with a policy that is not known."""
  return sessions.Session(
    session_id=session_id,
    user_id=user_id,
    source='human',
    initial_prompt=initial_prompt,
    policy_id='unknown',
    generator_id=generator_id,
    t2i_id=t2i_id,
    images_per_prompt=images_per_prompt,
    started_at=0.0,
    turns=tuple(turns),
  )
