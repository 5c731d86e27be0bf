"""Processes of several hosts, on this one."""

import os
import pathlib
import socket
import subprocess
from collections.abc import Callable, Sequence

_ROOT = str(pathlib.Path(__file__).resolve().parent.parent)


def start(command: Sequence[str]) -> subprocess.Popen[str]:
  """A process with two devices; stdout and stderr are one."""
  environment = {**os.environ, 'JAX_NUM_CPU_DEVICES': '2'}
  return subprocess.Popen(
    command,
    cwd=_ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def run_two(command: Callable[[str], Sequence[str]]) -> list[str]:
  """Runs a command, made from its flag, on two hosts: what each prints."""
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
  runs = [
    start(command(f'--distributed=127.0.0.1:{port},2,{rank}'))
    for rank in (0, 1)
  ]
  printed = [run.communicate(timeout=300)[0] for run in runs]
  assert [run.returncode for run in runs] == [0, 0], printed
  return printed
