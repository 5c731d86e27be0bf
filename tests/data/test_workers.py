import subprocess
import sys

from data import workers


def test_results_of_several_processes_come_back():
  tasks = [(abs, -i) for i in range(5)]
  assert sorted(workers.run_tasks(tasks, 2)) == [0, 1, 2, 3, 4]


def test_a_worker_ends_that_began_after_its_parent_was_killed():
  # This test's process is not the parent that the worker is told of.
  code = (
    'import time; from pasta import processes;'
    'processes._end_with(1 << 30); time.sleep(60)'
  )
  done = subprocess.run([sys.executable, '-c', code], timeout=50, check=False)
  assert done.returncode == 1
