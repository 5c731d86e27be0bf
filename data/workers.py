"""Functions in worker processes, which end with this process."""

import concurrent.futures
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pasta import errors


def run_tasks(
  tasks: Iterable[tuple[Callable[[Any], Any], Any]], num_workers: int
) -> Iterator[Any]:
  """Calls functions in worker processes; yields results as they come.

  The first error stops all that has not begun. Workers end with this process.

  Args:
    tasks: (function, its argument), both such that they can be pickled.
    num_workers: processes; 0 = one a core, 1 = none but this one.

  Raises:
    PastaError: raised by a function, or a worker died.
  """
  tasks = list(tasks)
  num_workers = min(num_workers or os.cpu_count() or 1, len(tasks))
  if num_workers <= 1:
    for function, argument in tasks:
      yield function(argument)
    return
  with concurrent.futures.ProcessPoolExecutor(
    num_workers,
    mp_context=multiprocessing.get_context('spawn'),
    initializer=_end_with,
    initargs=(os.getpid(),),
  ) as pool:
    pending = {pool.submit(f, a): a for f, a in tasks}
    try:
      for future in concurrent.futures.as_completed(pending):
        try:
          yield future.result()
        except concurrent.futures.process.BrokenProcessPool:
          raise errors.PastaError(
            'a worker process died, perhaps for lack of memory; run the same '
            'command again, or set num_workers = 1 to see where'
          ) from None
    finally:
      pool.shutdown(wait=True, cancel_futures=True)


def _end_with(parent: int) -> None:
  """Ends this worker once its parent, a process's number, has been killed."""

  def watch() -> None:
    while os.getppid() == parent:
      time.sleep(1)
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()
