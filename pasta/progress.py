"""Progress bars with rates, which stay readable in a log file."""

import sys
from collections.abc import Iterable

import tqdm

_LOG_INTERVAL_SECONDS = 10.0  # between two lines where stderr is a file


class _LineBar(tqdm.tqdm):
  """A bar that writes whole lines, for output that is not a terminal."""

  @staticmethod
  def status_printer(file):
    def print_status(text: str):
      file.write(text.strip() + '\n')
      file.flush()

    return print_status

  def close(self):
    """Ends the bar, with a last line where the count has moved since."""
    if self.disable:
      return
    if self.n != self.last_print_n:
      self.refresh()
    self.disable = True
    self._decr_instances(self)


def progress(
  iterable: Iterable | None = None,
  *,
  total: int | None = None,
  unit: str = 'it',
  desc: str | None = None,
) -> tqdm.tqdm:
  """Returns a tqdm bar on stderr, with the rate in `unit` per second.

  On a terminal it is the usual bar; elsewhere (a log file, a pipe) one line
  about every ten seconds and one at the end.

  Args:
    iterable: what to iterate over; None for a bar moved by `update(n)`.
    total: number of units, where it cannot be taken from `len(iterable)`.
    unit: what is counted, e.g. 'images'.
    desc: what is being done, in front of the bar.
  """
  counted = dict(
    iterable=iterable, total=total, unit=f' {unit}', desc=desc, file=sys.stderr
  )
  if sys.stderr.isatty():
    return tqdm.tqdm(**counted, dynamic_ncols=True)
  return _LineBar(
    **counted,
    mininterval=_LOG_INTERVAL_SECONDS,
    maxinterval=_LOG_INTERVAL_SECONDS,
    miniters=1,  # Look at the clock at every step: a loop may slow down.
    delay=1e-9,  # No line before the first step.
    ascii=True,
    ncols=80,
  )
