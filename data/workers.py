"""Functions in worker processes, which end with this process."""

import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pasta import errors, processes


def run_tasks(
  tasks: Iterable[tuple[Callable[[Any], Any], Any]], num_workers: int
) -> Iterator[Any]:
  """Calls functions in worker processes; yields results as they come.

  The first error stops all that has not begun. Workers end with this process.

  Args:
    tasks: (function, its argument), both such that they can be pickled.
    num_workers: processes; 0 = one a core, 1 = none but this one.

  Raises:
    PastaError: raised by a function, a worker died, or a number below 0.
  """
  processes.check_num(num_workers)
  tasks = list(tasks)
  num_workers = min(num_workers or os.cpu_count() or 1, len(tasks))
  if num_workers <= 1:
    for function, argument in tasks:
      yield function(argument)
    return
  with processes.Pool(num_workers) as pool:
    pending = [pool.submit(f, a) for f, a in tasks]
    for future in concurrent.futures.as_completed(pending):
      try:
        yield future.result()
      except concurrent.futures.process.BrokenProcessPool:
        raise errors.PastaError(
          'a worker process died, perhaps for lack of memory; run the same '
          'command again, or set num_workers = 1 to see where'
        ) from None
