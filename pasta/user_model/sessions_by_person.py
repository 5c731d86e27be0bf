"""Who made which choice in a set of sessions, and after which other."""

from typing import NamedTuple

import numpy as np

from pasta import errors
from pasta.storage import session_features as features_lib

MEMBERSHIPS = ('user', 'session', 'example')


class Places(NamedTuple):
  """Where N choices of U people lie among the sessions, person after person.

  Attributes:
    session: position of the session [N].
    turn: position of the turn [N].
    has_previous: the choice before is the person's, of the turn before in the
      same session [N], bool.
    first: where each person's choices begin, and the end [U + 1].
  """

  session: np.ndarray
  turn: np.ndarray
  has_previous: np.ndarray
  first: np.ndarray


def group(
  features: features_lib.SessionFeatures,
  max_observations: int,
  membership: str,
) -> tuple[Places, tuple[str, ...]]:
  """Finds the people in sessions; a person's sessions keep their order.

  Args:
    features: the sessions.
    max_observations: later turns of a person are dropped.
    membership: what has one type: 'user' (all sessions of a user id),
      'session' (where user ids are missing or shared), or 'example' (each
      choice by itself, which leaves no turn before to compare with). A split
      by person then keeps sessions or choices apart, not people.

  Returns:
    The places, and U user ids. People who never chose are left out.

  Raises:
    PastaError: an argument out of range, or nobody chose.
  """
  if max_observations < 1:
    raise errors.PastaError(
      f'max_observations is {max_observations}, expected at least 1'
    )
  errors.check_known('membership', membership, MEMBERSHIPS)
  rows: dict[str, list[tuple[int, int, bool]]] = {}
  for session, user in enumerate(features.user_id):
    turns = np.flatnonzero(features.choice[session] >= 0)
    name = user if membership == 'user' else features.session_id[session]
    for turn in turns:
      if membership == 'example':
        rows[f'{name}, turn {turn}'] = [(session, int(turn), False)]
        continue
      seen = rows.setdefault(name, [])
      if len(seen) == max_observations:
        break
      seen.append((session, int(turn), bool(turn > 0 and turn - 1 in turns)))
  if not rows:
    raise errors.PastaError(
      f'{len(features)} sessions hold no choice at all: nothing to learn from'
    )
  session, turn, has_previous = zip(
    *(place for seen in rows.values() for place in seen), strict=True
  )
  places = Places(
    session=np.array(session),
    turn=np.array(turn),
    has_previous=np.array(has_previous),
    first=np.cumsum([0, *map(len, rows.values())]),
  )
  return places, tuple(rows)
