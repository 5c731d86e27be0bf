"""Every launch script: what it gives its entry, its help, what it misses."""

import importlib
import inspect
import pathlib
import re
import resource
import runpy
import subprocess
import sys

import pytest
from absl import flags

from launch import cli, config_help
from pasta import config_record

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
  assert result.returncode == 0


def test_help_takes_less_than_half_a_second_of_a_core():
  def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

  before = spent()
  _run('-m', 'launch.evaluate', '--help')
  assert spent() - before < 0.5


def test_help_lists_fields_with_their_comments():
  text = _run('-m', 'launch.train_value', '--help').stdout
  assert '  num_twins = 2\n      heads of f; the target takes their min' in text
  # A comment above, a value by variant, a part that a function makes, an `if`.
  assert "  history = 'full'\n      What a state holds of past slates" in text
  assert '  num_steps = 40 if is_smoke else 2000\n      updates\n' in text
  assert '  decay.NAME.floor = floor\n' in text
  assert '  gemma.path = None (str)\n' in text
  text = _run('-m', 'launch.evaluate', '--help').stdout
  assert '  policies.NAME.name = name\n' in text
  assert text.index('num_people = 300') < text.index('world.t2i.name = ')
  text = _run('-m', 'launch.quickstart', '--help').stdout
  assert '  collect.*: as in configs/collect.py\n' in text


@pytest.mark.parametrize('script', _SCRIPTS, ids=lambda path: path.stem)
def test_help_names_every_field_of_the_config(script):
  """What is read from the source against what running it gives."""
  path = _ROOT / 'configs' / script.name
  if not path.exists() or script.stem in (
    'experiments',
    'prepare_data',
    'fit_preferences',
    'evaluate_preferences',
  ):
    return
  config = importlib.import_module(f'configs.{script.stem}').get_config()
  shown = re.findall(
    r'^  ([\w.]+)(?: = |\.\*: )', config_help.text(str(path)), re.MULTILINE
  )
  patterns = [
    re.compile(re.escape(x).replace('NAME', r'\w+') + r'(\.|$)') for x in shown
  ]
  for name in config_record.flatten(config.to_dict()):
    assert any(p.match(name) for p in patterns), name


def test_the_list_of_stages_has_all_of_them():
  result = _run('-m', 'launch')
  assert result.returncode == 0
  names = re.findall(r'^  (\w+) +\S', result.stdout, re.MULTILINE)
  assert sorted(names) == [path.stem for path in _SCRIPTS]


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
      'error: flag --raw is missing: name the directory of the raw files; of '
      'own data also a file, or a pattern such as DIR/*.parquet',
    ),
    (
      '-m launch.inspect_data',
      'error: flag --raw is missing: name the directory of the raw files, '
      'zip file, or table',
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
