"""What is worth knowing of how a stage was started: its launch.json."""

import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pasta


def make(
  stage: str,
  fingerprint: str,
  upstream: Sequence[str],
  grown_from: Sequence[str] = (),
) -> dict[str, Any]:
  """The record of this process.

  Args:
    stage: its name.
    fingerprint: of what it makes.
    upstream: of what it reads.
    grown_from: of what it goes on with, where it makes more than before.
  """
  return {
    'stage': stage,
    'fingerprint': fingerprint,
    'upstream': list(upstream),
    'grown_from': list(grown_from),
    'command': shlex.join(sys.orig_argv),
    'git_revision': _git_revision(),
    'pasta_version': pasta.__version__,
    'python_version': platform.python_version(),
    'platform': platform.platform(),
    'time': now(),
  }


def _git_revision() -> str | None:
  """The project's commit, '-dirty' added; None outside of its checkout."""
  root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
  # An installed package may lie within the checkout of another project.
  if not os.path.exists(os.path.join(root, '.git')):
    return None
  command = ('git', 'describe', '--always', '--dirty', '--abbrev=40')
  try:
    result = subprocess.run(
      (*command, '--exclude=*'),
      cwd=root,
      capture_output=True,
      text=True,
      timeout=10,
      check=False,
    )
  except (OSError, subprocess.TimeoutExpired):
    return None
  return result.stdout.strip() or None


def now() -> str:
  """The local time."""
  return time.strftime('%Y-%m-%dT%H:%M:%S%z')
