"""The house stands as pyproject.toml and the names of its files say."""

import pathlib
import re
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_FOLDERS = ('pasta', 'launch', 'configs', 'data')
_MAX_LINES = 400
# No stage: what a user sees.
_WITHOUT_CONFIG = ('inspect_data', 'clean')
_ENTRIES = {  # script to the module whose `run` it calls
  path.stem: match[1]
  for path in sorted((_ROOT / 'launch').glob('*.py'))
  if (match := re.search(r"cli\.run\(\s*'([\w.]+):run'", path.read_text()))
  and path.stem != 'cli'
}


def test_imports_point_down_the_floors():
  result = subprocess.run(
    [
      sys.executable,
      '-c',
      'import sys; from importlinter import cli;'
      ' sys.exit(cli.lint_imports(no_cache=True, no_logo=True))',
    ],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize('name', _ENTRIES)
def test_a_stage_has_one_name_in_three_places(name):
  if name not in _WITHOUT_CONFIG:
    assert (_ROOT / 'configs' / f'{name}.py').is_file()
  if name != 'benchmark':  # it chooses among several modules
    assert _ENTRIES[name] in (f'pasta.stages.{name}', f'data.{name}')
    module = _ROOT.joinpath(*_ENTRIES[name].split('.')).with_suffix('.py')
    assert module.is_file()


def test_each_launch_script_is_one_of_them():
  scripts = {path.stem for path in (_ROOT / 'launch').glob('*.py')}
  helpers = {'cli', 'config_flag', 'config_help', 'help_page'}
  assert scripts - set(_ENTRIES) == {'__init__', '__main__', *helpers}


@pytest.mark.parametrize('name', _ENTRIES)
def test_a_launch_script_says_its_exact_command(name):
  text = (_ROOT / 'launch' / f'{name}.py').read_text()
  docstring = text.split('"""')[1]
  assert f'python -m launch.{name} --' in docstring


def test_files_are_short():
  lines = {
    str(path.relative_to(_ROOT)): len(path.read_text().splitlines())
    for folder in _FOLDERS
    for path in (_ROOT / folder).rglob('*.py')
  }
  longer = {name for name, num in lines.items() if num > _MAX_LINES}
  assert not longer
