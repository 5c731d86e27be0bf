"""Progress bars with rates, which stay readable in a log file.

With TQDM_DISABLE=1 in the environment (--noprogress) there are none.
"""

import sys
from collections.abc import Iterable

import tqdm

# Least time between two lines where stderr is a file: so many seconds, and so
# much of the time that the bar has taken. An hour is about fifty lines.
_LINE_SECONDS = 10.0
_LINE_SHARE = 0.1
_LINE_FORMAT = (
  '{desc}: {percentage:.0f} % ({n_fmt}/{total_fmt}{unit}) in {elapsed}, '
  '{remaining} to go, {rate_fmt}{postfix}'
)


class _LineBar(tqdm.tqdm):
  """A bar that writes whole lines, for output that is not a terminal."""

  @staticmethod
  def status_printer(file):
    def print_status(text: str):
      file.write(text.strip() + '\n')
      file.flush()

    return print_status

  def display(self, *args, **kwargs):
    """Writes a line, and waits longer until the next."""
    elapsed = self.format_dict['elapsed']
    self.mininterval = max(_LINE_SECONDS, _LINE_SHARE * elapsed)
    result = super().display(*args, **kwargs)
    self.last_print_n = self.n
    return result

  def moveto(self, n):
    """Goes nowhere: a bar within another one writes lines as well."""

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

  On a terminal it is the usual bar, as wide as that; elsewhere (a log file, a
  pipe) one line about every ten seconds, fewer the longer it takes, and one at
  the end.

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
    mininterval=_LINE_SECONDS,
    maxinterval=float('inf'),
    miniters=1,  # Look at the clock at every step: a loop may slow down.
    delay=1e-9,  # No line before the first step.
    bar_format=None if _length(iterable, total) is None else _LINE_FORMAT,
  )


def end_early(bar: tqdm.tqdm, why: str) -> None:
  """Ends a bar at 100 % whose work is done after fewer units than expected.

  Args:
    bar: of `progress`; nothing happens where it is full.
    why: a word or a few, such as 'converged'.
  """
  if bar.total is not None and bar.n < bar.total:
    bar.total = bar.n
    bar.set_postfix_str(why, refresh=False)
    bar.refresh()


def _length(iterable: Iterable | None, total: int | None) -> int | None:
  if total is None and hasattr(iterable, '__len__'):
    return len(iterable)
  return total
