"""Worker processes that neither outlive this process nor speak of its end.

Ctrl-C in a terminal goes to all processes at once, a kill to one alone. Workers
leave both to this process: an interrupt they do not see, and once their parent
is gone they go too. Nothing here imports jax: workers load this module.
"""

import concurrent.futures
import contextlib
import multiprocessing.context
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from pasta import errors


class _Process(multiprocessing.context.SpawnProcess):
  """A worker that an interrupt does not reach, not even while it starts."""

  def start(self) -> None:
    # What is blocked here is blocked in the new process, for all its life.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
      super().start()
    finally:
      signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pool(concurrent.futures.ProcessPoolExecutor):
  """Spawned workers, which start with the first tasks.

  `close` instead of `shutdown` ends them: at once where this process is on its
  way out, by an interrupt say, and else when what has begun is done.
  """

  def __init__(self, num_workers: int):
    """Makes the pool.

    Args:
      num_workers: processes, at least 1.
    """
    context = multiprocessing.context.SpawnContext()
    self._started = []

    def process(*args, **kwargs):
      self._started.append(_Process(*args, **kwargs))
      return self._started[-1]

    context.Process = process
    super().__init__(
      num_workers, context, initializer=_end_with, initargs=(os.getpid(),)
    )

  def close(self) -> None:
    """Ends the workers; tasks that have not begun are dropped."""
    error = sys.exc_info()[1]
    if error is None or isinstance(error, Exception):
      self.shutdown(cancel_futures=True)
      return
    threading.excepthook = _without_managers
    # What was on its way to workers that end is not waited for.
    self._call_queue.cancel_join_thread()
    for process in self._started:
      if process.is_alive():
        process.terminate()
    with contextlib.suppress(RuntimeError):  # Its own thread had not started.
      self.shutdown(cancel_futures=True)

  def __exit__(self, *unused_exception) -> None:
    self.close()


def _without_managers(
  args: threading.ExceptHookArgs,
  hook: Callable[[threading.ExceptHookArgs], None] = threading.excepthook,
) -> None:
  """Tells of no executor's own thread, which may stumble as its workers end.

  Up to Python 3.11 it sets the results of futures that are cancelled already.
  """
  if type(args.thread).__name__ != '_ExecutorManagerThread':
    hook(args)


def check_num(num_workers: int) -> None:
  """Raises PastaError for a number of workers below 0."""
  if num_workers < 0:
    raise errors.PastaError(
      f'num_workers is {num_workers}, expected at least 0'
    )


def _end_with(parent: int) -> None:
  """Ends this worker once its parent, a process's number, has been killed."""

  def watch() -> None:
    while os.getppid() == parent:
      time.sleep(1)
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()
