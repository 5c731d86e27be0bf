"""Who wrote the candidates of sessions: a language model, or what fills up."""

import collections
from collections.abc import Iterable, Mapping

from pasta.storage import sessions


def count(records: Iterable[sessions.Session]) -> collections.Counter:
  """How many candidates each generator has written, by its id."""
  counts = collections.Counter()
  for record in records:
    for turn in record.turns:
      counts.update(c.source or record.generator_id for c in turn.candidates)
  return counts


def shares(counts: collections.Counter) -> dict[str, float]:
  """The share of each generator in all candidates, the largest first.

  Args:
    counts: of `count`.

  Returns:
    Generator ids and what they wrote, in [0, 1]; {} for no candidate.
  """
  total = counts.total()
  return {name: number / total for name, number in counts.most_common()}


def line(found: Mapping[str, float]) -> str:
  """One line of what several generators wrote; '' where it was one alone."""
  if len(found) < 2:
    return ''
  told = ', '.join(f'{100 * s:.0f} % {name}' for name, s in found.items())
  return f'Candidates by: {told}'
