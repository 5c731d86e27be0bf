"""Counts what happened to requests and answers of a language model."""

import contextlib
import threading
from collections.abc import Iterable, Iterator

from absl import logging

# In the order in which a line shows them. The first four are business as usual.
NAMES = (
  'sessions',  # times turns: pools of candidates that were asked for
  'requests',  # sent to the model, repeated ones included
  'answers',  # came from the model and were used
  'cached',  # came from the disk cache
  'retries',  # requests sent again
  'rate_limited',  # answers with status 429
  'server_errors',  # answers with status 408, 425 or 5xx, or an error inside
  'timeouts',  # requests that took too long
  'connection_errors',  # refused, reset or broken off connections
  'oversized',  # answers cut at max_answer_bytes
  'unusable',  # answers without a single candidate
  'refused',  # requests that the endpoint rejects as they are
  'fallbacks',  # parts of requests given up because the endpoint lacks them
  'out_of_time',  # sessions whose turn_seconds ran out before an answer
  'partial',  # answers used although their end is missing
  'repaired',  # answers that were not plain JSON
  'invalid',  # items that are no prompt
  'wrong_category',  # prompts with a category that was not asked for
  'duplicates',  # prompts that were known already
  'surplus',  # prompts over a category's share
  'truncated',  # prompts over the limit of words or tokens
  'forgotten_turns',  # past turns left out of requests that had no room
  'clipped_inputs',  # texts of the person's cut before they were sent
  'topped_up',  # candidates taken from grammar
  'without_answer',  # sessions with candidates from grammar alone
)
_USUAL = frozenset(NAMES[:4])


class Counters:
  """Counts by name; threads may share it."""

  def __init__(self):
    self._lock = threading.Lock()
    self._counts = dict.fromkeys(NAMES, 0)

  def add(self, name: str, count: int = 1) -> None:
    """Adds to one count.

    Raises:
      KeyError: there is no such count.
    """
    with self._lock:
      self._counts[name] += count

  def add_all(self, other: 'Counters') -> None:
    """Adds another's counts."""
    for name, count in other.as_dict().items():
      self.add(name, count)

  def as_dict(self) -> dict[str, int]:
    """A copy of all counts, those at zero included."""
    with self._lock:
      return dict(self._counts)

  def summary(self) -> str:
    """One line of all that is not zero; '' where nothing unusual happened."""
    counts = {k: v for k, v in self.as_dict().items() if v}
    return '' if _USUAL.issuperset(counts) else _line(counts.items())


@contextlib.contextmanager
def counting(name: str, totals: Counters) -> Iterator[Counters]:
  """Counts one call: what is unusual goes to the log, all goes to the totals.

  Args:
    name: of the generator, for the log.
    totals: what the counts are added to, also where the call raises.

  Yields:
    Counters at zero.
  """
  counters = Counters()
  try:
    yield counters
  finally:
    totals.add_all(counters)
    summary = counters.summary()
    if summary:
      alarm = counters.as_dict()['without_answer']
      logging.log(
        logging.WARNING if alarm else logging.INFO, '%s: %s', name, summary
      )


def _line(counts: Iterable[tuple[str, int]]) -> str:
  return ', '.join(f'{name} {count}' for name, count in counts)
