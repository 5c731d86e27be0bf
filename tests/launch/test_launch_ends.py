"""How a launched process ends when it is told to, and its workers with it."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

from pasta import processes

_ROOT = str(pathlib.Path(__file__).resolve().parent.parent.parent)
_SCRIPT = """
from launch import cli

if __name__ == '__main__':
  cli.run('ends_entry:{}', config=False)
"""
_ENTRY = """
import time
import numpy as np
from data import workers
from pasta.t2i.sketch import sketch

def draw(workdir):
  model = sketch.Sketch(size=64, num_workers=2)
  print('at work', flush=True)
  try:
    while True:
      model.generate(['a fox'] * 128, np.arange(128, dtype=np.uint32), 4)
  finally:
    model.close()

def index(workdir):
  print('at work', flush=True)
  for x in workers.run_tasks([(time.sleep, 300)] * 3, 2):
    pass
"""


@pytest.fixture(scope='module')
def scripts(tmp_path_factory):
  directory = tmp_path_factory.mktemp('ends')
  (directory / 'ends_entry.py').write_text(_ENTRY)
  for name in ('draw', 'index'):
    (directory / f'{name}.py').write_text(_SCRIPT.format(name))
  return directory


def _start(scripts, script):
  return subprocess.Popen(
    [sys.executable, f'{script}.py', '--workdir=w'],
    cwd=scripts,
    env=os.environ | {'PYTHONPATH': _ROOT},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    start_new_session=True,
    # A background job of a shell ignores SIGINT, and so do its children.
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
  )


def _is_alone(group: int) -> bool:
  """Whether no process of a group is left."""
  try:
    os.killpg(group, 0)
  except ProcessLookupError:
    return True
  return False


@pytest.mark.parametrize(
  ('script', 'number', 'is_group', 'seconds'),
  [
    # Ctrl-C reaches the workers as well, some of them while they start.
    ('draw', signal.SIGINT, True, 0.05),
    ('draw', signal.SIGINT, True, 2.0),
    ('draw', signal.SIGTERM, False, 2.0),
    ('draw', signal.SIGTERM, True, 2.0),
    # Workers that are in the middle of a long task.
    ('index', signal.SIGINT, True, 2.0),
    ('index', signal.SIGTERM, False, 0.2),
  ],
)
def test_one_line_and_no_process_is_left(
  scripts, script, number, is_group, seconds
):
  process = _start(scripts, script)
  assert process.stdout.readline() == 'at work\n'
  time.sleep(seconds)
  if is_group:
    os.killpg(process.pid, number)
  else:
    process.send_signal(number)
  _, stderr = process.communicate(timeout=30)
  word = 'interrupted' if number == signal.SIGINT else 'terminated'
  assert stderr == f'{word}; the same command continues the run\n'
  assert process.returncode == 128 + number
  deadline = time.monotonic() + 10
  while not _is_alone(process.pid):
    assert time.monotonic() < deadline, 'a worker lives on'
    time.sleep(0.1)


def test_workers_end_after_a_kill(scripts):
  process = _start(scripts, 'draw')
  process.stdout.readline()
  time.sleep(2)
  process.kill()
  process.communicate()
  deadline = time.monotonic() + 10
  while not _is_alone(process.pid):
    assert time.monotonic() < deadline, 'a worker lives on'
    time.sleep(0.1)


@pytest.mark.parametrize(
  ('number', 'line'),
  [(signal.SIGINT, 'interrupted\n'), (signal.SIGTERM, 'terminated\n')],
)
def test_a_library_that_swallows_exceptions_while_it_loads(
  scripts, number, line
):
  (scripts / 'load.py').write_text(
    _SCRIPT.replace('ends_entry:{}', 'ends_library:run')
  )
  (scripts / 'ends_library.py').write_text(
    'import time\n'
    'try:\n'
    '  print("loading", flush=True)\n'
    '  time.sleep(60)\n'
    'except BaseException:\n'
    '  pass\n'
    'def run(workdir): pass\n'
  )
  process = _start(scripts, 'load')
  assert process.stdout.readline() == 'loading\n'
  process.send_signal(number)
  _, stderr = process.communicate(timeout=30)
  assert stderr == line and process.returncode == 128 + number


def test_the_executors_own_thread_is_not_heard_of():
  class _ExecutorManagerThread(threading.Thread):
    """By the name of the one that stumbles over cancelled futures."""

  before, heard = threading.excepthook, []
  try:
    with pytest.raises(KeyboardInterrupt):
      with processes.Pool(1):
        raise KeyboardInterrupt
    assert threading.excepthook is processes._without_managers
  finally:
    threading.excepthook = before
  for thread in (_ExecutorManagerThread(), threading.Thread()):
    args = types.SimpleNamespace(thread=thread)
    processes._without_managers(args, heard.append)
  assert [a.thread for a in heard] == [thread]
