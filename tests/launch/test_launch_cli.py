import os
import pathlib
import pty
import resource
import signal
import subprocess
import sys
import time

import pytest

_ROOT = str(pathlib.Path(__file__).resolve().parent.parent.parent)

_CONFIG = """
import ml_collections

with open('executed', 'a') as f:
  f.write('.')

def get_config(arg=''):
  if arg not in ('', 'smoke'):
    raise ValueError(f'configs/c.py has no variant {arg!r}: it has smoke')
  return ml_collections.ConfigDict({
    'num_steps': 1 if arg else 10,
    'name': ml_collections.config_dict.placeholder(str),
    'model': {'num_types': 16},
    'key_env': '',
    'rate': 0.5,
    'is_on': False,
  })
"""

_ENTRY = """
import os, sys, time
from absl import logging
from pasta import errors

def main(config, workdir, mode):
  logging.info('steps %d', config.num_steps)
  print(config.num_steps, config.name, config.model.num_types, workdir, mode)
  print(os.environ['JAX_COMPILATION_CACHE_DIR'])
  if mode == 'input':
    raise errors.PastaError('file x.json:\\n is truncated')
  if mode == 'bug':
    raise ValueError('a bug')
  if mode == 'sleep':
    print('sleeping', flush=True)
    time.sleep(60)
  if mode == 'import':
    return
  if mode == 'typo':
    config.num_step = 3

  if mode == 'bars':
    from pasta import progress
    list(progress.progress(range(3), desc='bar'))

def measure(config):
  print(config.num_steps, config.name)

def play(workdir, prompt):
  print('jax' in sys.modules, 'ml_collections' in sys.modules, prompt)
"""

_SCRIPT = """
'''Usage: python s.py.'''
from absl import flags
from launch import cli

flags.DEFINE_string('mode', 'ok', 'What to do.')

if __name__ == '__main__':
  cli.run('entry:main', flag_names=('mode',))
"""

_BENCHMARK = """
from launch import cli

if __name__ == '__main__':
  cli.run('entry:measure', workdir=False)
"""

_PLAY = """
from absl import flags
from launch import cli

flags.DEFINE_string('prompt', 'a fox', 'A prompt.')

if __name__ == '__main__':
  cli.run('entry:play', config=False, flag_names=('prompt',))
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory):
  directory = tmp_path_factory.mktemp('project')
  files = {'c.py': _CONFIG, 'entry.py': _ENTRY, 's.py': _SCRIPT}
  files |= {'play.py': _PLAY, 'scripts/benchmark.py': _BENCHMARK}
  files |= {'scripts/other.py': _BENCHMARK, 'configs/benchmark.py': _CONFIG}
  files |= {'configs/other.py': _CONFIG}
  files |= {'broken.py': 'x = (', 'absent.py': ''}
  files['needs.py'] = 'import nosuchmodule\n'
  files['missing.py'] = _SCRIPT.replace('entry:main', 'needs:main')
  for name, text in files.items():
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_text(text)
  return directory


def _command(*arguments):
  return [sys.executable, *arguments]


def _environment(**more):
  return os.environ | {'PYTHONPATH': _ROOT} | more


def _run(project, *arguments, **environment):
  return subprocess.run(
    _command(*arguments),
    cwd=project,
    env=_environment(**environment),
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )


def test_calls_the_entry_with_config_workdir_and_own_flags(project):
  result = _run(
    project,
    's.py',
    '--config=c.py:smoke',
    '--config.model.num_types=4',
    '--config.name=x',
    '--workdir=w',
    '--mode=fine',
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout.splitlines()[0] == '1 x 4 w fine'
  # 12:34:56 steps 1
  assert result.stderr[2] == ':' and result.stderr[8:] == ' steps 1\n'


def test_progress_bars_can_be_left_out(project):
  flags = ('s.py', '--config=c.py', '--workdir=w', '--mode=bars')
  assert 'bar: 100 %' in _run(project, *flags).stderr
  assert 'bar' not in _run(project, *flags, '--noprogress').stderr


def test_the_compilation_cache_is_where_the_environment_says(project):
  arguments = ('s.py', '--config', 'c.py', '--workdir', 'w')
  environment = _environment(PASTA_CACHE='there', HOME='/home/me')
  environment.pop('JAX_COMPILATION_CACHE_DIR', None)
  for removed, expected in (
    ((), 'there/jax'),
    (('PASTA_CACHE',), '/home/me/.cache/pasta/jax'),
  ):
    result = subprocess.run(
      _command(*arguments),
      cwd=project,
      env={k: v for k, v in environment.items() if k not in removed},
      capture_output=True,
      text=True,
      timeout=60,
      check=True,
    )
    assert result.stdout.splitlines()[1] == expected


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    ('--workdir=w', 'flag --config is missing'),
    ('--config=c.py', 'flag --workdir is missing'),
    ('--config=no.py --workdir=w', "there is no file 'no.py' in"),
    ('--config=c.py:big --workdir=w', "c.py has no variant 'big': it has"),
    (
      '--config=c.py --workdir=w --config.num_step=1',
      "--config.num_step: c.py has no field 'num_step'; did you mean "
      "'num_steps'?",
    ),
    (
      '--config=c.py --workdir=w --config.model.x=1',
      "c.py has no field 'model.x'; it has ['num_types']",
    ),
    (
      '--config=c.py --workdir=w --config.num_steps=a',
      "flag --config.num_steps=a: expected a whole number, not 'a'",
    ),
    (
      '--config=c.py --workdir=w --config.rate=a',
      "flag --config.rate=a: expected a number, not 'a'",
    ),
    (
      '--config=c.py --workdir=w --config.is_on=a',
      "flag --config.is_on=a: expected true or false, not 'a'",
    ),
    ('--config=c.py --workdir=w --config.key_env=sk', "field 'key_env' is not"),
    (
      '--config=c.py --workdir=w --config.model.num_type=1',
      "c.py has no field 'model.num_type'; did you mean 'model.num_types'?",
    ),
    ('--config.num_steps=1 --workdir=w', 'needs --config=FILE.py before it'),
    (
      '--config.num_steps=1 --config=c.py --workdir=w',
      'needs --config=FILE.py before it',
    ),
    ('--config=c.py --workdir=w --nosuch=1', "command line flag 'nosuch'"),
    ('--config=c.py --worksdir=w', "'worksdir'. Did you mean: workdir ?"),
    ('--config=c.py --workdir=w more', "unexpected argument 'more'"),
    ('--config=broken.py --workdir=w', 'SyntaxError'),
    ('--config=absent.py --workdir=w', "no attribute 'get_config'"),
  ],
)
def test_bad_flags_give_one_line(project, arguments, expected):
  result = _run(project, 's.py', *arguments.split())
  assert result.returncode == 1 and result.stdout == ''
  lines = result.stderr.splitlines()
  assert len(lines) == 1 and lines[0].startswith('error: ')
  assert expected in lines[0]


@pytest.mark.parametrize(
  'arguments',
  [
    ('--config=c.py:smoke', '--config.num_steps=3', '--config.name=x'),
    ('--config', 'c.py', '--config.model.num_types', '2'),
  ],
)
def test_the_config_file_is_executed_once(project, arguments):
  (project / 'executed').unlink(missing_ok=True)
  result = _run(project, 's.py', *arguments, '--workdir=w')
  assert result.returncode == 0, result.stderr
  assert (project / 'executed').read_text() == '.'


def test_the_default_config_is_the_file_of_the_script_s_name(project):
  (project / 'executed').unlink(missing_ok=True)
  script = 'scripts/benchmark.py'
  environment = {'PYTHONPATH': f'{_ROOT}:{project}'}
  for arguments, expected in (
    ((), '10 None'),
    (('--config.num_steps=3', '--config.name=x'), '3 x'),
    (('--config=c.py:smoke', '--config.name=x'), '1 x'),
  ):
    result = _run(project, script, *arguments, **environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f'{expected}\n'
  assert (project / 'executed').read_text() == '...'
  result = _run(project, script, '--help')
  assert '(default: configs/benchmark.py)' in ' '.join(result.stdout.split())
  for arguments, expected in (
    ('--config.num_step=3', "did you mean 'num_steps'?"),
    (
      '--config=configs/other.py',
      'configs/other.py is the config of other, not of benchmark',
    ),
  ):
    result = _run(project, script, arguments)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert expected in result.stderr


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path):
  arguments = ('-m', 'launch.collect', '--config=configs/collect.py:smoke')
  workdir = f'--workdir={tmp_path}'

  def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

  result = subprocess.run(
    [sys.executable, *arguments, workdir, '--noprogress'],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=False,
    preexec_fn=limit,
  )
  assert result.returncode == 1 and 'Traceback' not in result.stderr
  line = result.stderr.splitlines()[-1]
  assert str(tmp_path) in line and 'cannot be written: File too large' in line
  assert _run(_ROOT, *arguments, workdir).returncode == 0


@pytest.mark.parametrize(
  'override, message',
  [
    ('policy.temperature=nan', "field 'policy.temperature' is nan, expected"),
    ('population.seed=-5', "field 'population.seed' is -5, expected at least"),
    ("population={'seed':3}", "--config.population: lacks 'population."),
  ],
)
def test_values_that_cannot_be_are_named(tmp_path, override, message):
  workdir = tmp_path / 'w'
  result = _run(
    _ROOT,
    '-m',
    'launch.collect',
    f'--config.{override}',
    f'--workdir={workdir}',
  )
  assert result.returncode == 1 and not workdir.exists()
  (line,) = result.stderr.splitlines()
  assert message in line


def test_a_config_without_a_script_says_in_a_command_whose_it_is():
  arguments = '--config=configs/paper.py', '--workdir=/nowhere'
  result = _run(_ROOT, '-m', 'launch.train_value', *arguments)
  assert result.returncode == 1
  assert result.stderr == (
    'error: flag --config: configs/paper.py is the config of quickstart, not '
    'of train_value\n'
  )


def test_a_field_of_another_variant_is_told():
  result = _run(
    _ROOT,
    '-m',
    'launch.train_user_model',
    '--config.sources.preferences.path=x',
  )
  assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
  assert 'configs/train_user_model.py:preferences has it' in result.stderr


def test_an_unknown_variant_gives_the_nearest():
  result = _run(
    _ROOT, '-m', 'launch.quickstart', '--config=configs/quickstart.py:smok'
  )
  assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
  assert "unknown variant 'smok'" in result.stderr
  assert "did you mean 'smoke'?" in result.stderr


def test_input_errors_give_one_line_and_bugs_a_traceback(project):
  flags = ('s.py', '--config=c.py', '--workdir=w')
  result = _run(project, *flags, '--mode=input')
  assert result.returncode == 1
  assert result.stderr.splitlines()[1:] == ['error: file x.json: is truncated']
  result = _run(project, *flags, '--mode=input', '--verbosity=1')
  assert 'Traceback' in result.stderr and result.returncode == 1
  for mode, expected in (('bug', 'ValueError: a bug'), ('typo', 'num_step')):
    result = _run(project, *flags, f'--mode={mode}')
    assert 'Traceback' in result.stderr and expected in result.stderr
    assert result.returncode == 1


def test_a_library_that_is_not_installed_is_named(project):
  result = _run(project, 'missing.py', '--config=c.py', '--workdir=w')
  assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
  assert "module 'nosuchmodule' is not installed" in result.stderr


def test_an_interrupt_gives_one_line(project):
  process = subprocess.Popen(
    _command('s.py', '--config=c.py', '--workdir=w', '--mode=sleep'),
    cwd=project,
    env=_environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    # A background job of a shell ignores SIGINT, and so do its children.
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
  )
  while 'sleeping' not in process.stdout.readline():
    assert process.poll() is None
  process.send_signal(signal.SIGINT)
  _, stderr = process.communicate(timeout=30)
  assert process.returncode == 130
  assert stderr.splitlines()[1].startswith('interrupted')
  assert len(stderr.splitlines()) == 2


def test_scripts_without_a_config_stay_light(project):
  result = _run(project, 'play.py', '--workdir=w', '--prompt=a b')
  assert result.returncode == 0, result.stderr
  assert result.stdout == 'False False a b\n'


def test_help_shows_the_flags(project):
  result = _run(project, 's.py', '--help')
  assert result.returncode == 0
  for name in ('--config', '--workdir', '--mode', 'Usage: python s.py.'):
    assert name in result.stdout


def test_another_module_called_pasta_is_reported(project, tmp_path):
  (tmp_path / 'pasta').mkdir()
  (tmp_path / 'pasta' / '__init__.py').write_text('raise ImportError')
  (tmp_path / 's.py').write_text(_SCRIPT)
  result = subprocess.run(
    _command('s.py'),
    cwd=tmp_path,
    env=_environment(),
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert result.returncode == 1
  assert len(result.stderr.splitlines()) == 1
  found = f'found another module called pasta at {tmp_path / "pasta"}'
  assert found in result.stderr and 'google-pasta' in result.stderr


def test_log_lines_do_not_break_a_bar_on_a_terminal(project):
  script = project / 'bar.py'
  script.write_text(
    'from absl import flags, logging\n'
    'from launch import cli\n'
    'from pasta.progress import progress\n'
    'flags.FLAGS(["x"])\n'
    'cli._set_logging()\n'
    'for i in progress(range(3), desc="bar", unit="steps"):\n'
    '  logging.warning("line %d", i)\n'
  )
  parent, child = pty.openpty()
  subprocess.run(
    _command('bar.py'),
    cwd=project,
    env=_environment(),
    stderr=child,
    timeout=60,
    check=True,
  )
  os.close(child)
  text = b''
  deadline = time.monotonic() + 10
  while time.monotonic() < deadline:
    try:
      chunk = os.read(parent, 65536)
    except OSError:  # How Linux says that the other end is closed.
      break
    if not chunk:
      break
    text += chunk
  os.close(parent)
  # What a terminal shows of each line: what follows the last return.
  shown = [x.rstrip('\r').split('\r')[-1] for x in text.decode().split('\n')]
  assert (
    sum(x.endswith(tuple(f'line {i}' for i in range(3))) for x in shown) == 3
  )
  assert all('bar:' not in x for x in shown if 'line' in x)
