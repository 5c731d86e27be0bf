"""Every launch script: what it gives its entry, its help, what it misses."""

import importlib
import inspect
import pathlib
import runpy
import subprocess
import sys

import pytest
from absl import flags

from launch import cli

_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_SCRIPTS = sorted(
  path
  for path in (_ROOT / 'launch').glob('*.py')
  if 'cli.run(' in path.read_text() and path.stem != 'cli'
)


def _run(*arguments):
  return subprocess.run(
    [sys.executable, *arguments],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )


@pytest.mark.parametrize('script', _SCRIPTS, ids=lambda path: path.stem)
def test_the_entry_of_a_script_takes_what_it_is_given(script, monkeypatch):
  defined, calls = set(), []
  with monkeypatch.context() as patch:
    for name in dir(flags):
      if name.startswith('DEFINE_'):
        patch.setattr(flags, name, lambda flag, *_, **__: defined.add(flag))
    patch.setattr(
      cli, 'run', lambda entry, **options: calls.append((entry, options))
    )
    runpy.run_path(str(script), run_name='__main__')
  ((entry, options),) = calls
  assert set(options.get('flag_names', ())) == defined
  given = [x for x in ('config', 'workdir') if options.get(x, True)]
  module, name = entry.split(':')
  function = getattr(importlib.import_module(module), name)
  signature = inspect.signature(function, follow_wrapped=False)
  signature.bind(*given, **dict.fromkeys(defined))


@pytest.mark.parametrize('script', _SCRIPTS, ids=lambda path: path.stem)
def test_help_is_quick_as_it_loads_no_large_library(script):
  result = _run('-X', 'importtime', '-m', f'launch.{script.stem}', '--help')
  assert f'python -m launch.{script.stem} --' in result.stdout
  # No line but those that `-X importtime` writes.
  lines = result.stderr.splitlines()
  assert all(line.startswith('import time:') for line in lines)
  loaded = {line.rsplit('|', 1)[1].strip() for line in lines}
  assert 'launch.cli' in loaded
  assert not loaded & {'jax', 'tensorflow', 'torch', 'transformers'}


def test_help_names_the_variants():
  result = _run('-m', 'launch.recover_types', '--help')
  found = ' '.join(result.stdout.split())
  assert "configs/recover_types.py: Variants: '', 'hard' (16 types" in found


@pytest.mark.parametrize(
  'arguments, expected',
  [
    (
      '-m launch.prepare_data --config=configs/prepare_data.py:pamela '
      '--workdir=w',
      'error: flag --raw is missing: name the directory of the raw files',
    ),
    (
      '-m launch.inspect_data',
      'error: flag --raw is missing: name the directory of the raw files, or '
      'zip file',
    ),
    (
      '-m launch.play --workdir=no/such',
      'error: flag --workdir: there is no directory no/such',
    ),
  ],
)
def test_what_is_missing_is_named(arguments, expected):
  result = _run(*arguments.split())
  assert result.returncode == 1
  assert result.stderr.splitlines() == [expected]
