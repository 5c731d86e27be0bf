import json
import os
import platform
import subprocess
import sys

import ml_collections
import numpy as np
import pytest

from pasta import errors, lock, workdir


def _config(**changes):
  config = ml_collections.ConfigDict(
    {
      'seed': 0,
      'sizes': (64, 64),
      'name': ml_collections.config_dict.placeholder(str),
      'num_workers': 2,
      'heads': {'num_types': 16, 'rank': 4},
    }
  )
  config.update_from_flattened_dict(changes)
  return config.lock()


def _prepare_used(directory, config, **options):
  """As `prepare`, in a directory that then holds a result."""
  fingerprint = workdir.prepare(str(directory), config, **options)
  (directory / 'result').write_text('x')
  return fingerprint


def _snapshot(directory):
  return {p.name: p.read_bytes() for p in sorted(directory.iterdir())}


def test_prepare_writes_config_and_launch_once(tmp_path):
  directory = tmp_path / 'root' / 'user_model'
  first = workdir.prepare(str(directory), _config(), stage='user_model')
  config = json.loads((directory / 'config.json').read_text())
  assert config == {
    'seed': 0,
    'sizes': [64, 64],
    'name': None,
    'num_workers': 2,
    'heads': {'num_types': 16, 'rank': 4},
  }
  launch = json.loads((directory / 'launch.json').read_text())
  assert launch['stage'] == 'user_model' and 'python' in launch['command']
  before = _snapshot(directory)
  assert before.keys() == {'config.json', 'launch.json'}  # no temporary file
  second = workdir.prepare(str(directory), _config(), stage='user_model')
  assert first == second and _snapshot(directory) == before


def test_prepare_refuses_another_config_and_names_fields(tmp_path):
  _prepare_used(tmp_path, _config(), stage='user_model')
  before = _snapshot(tmp_path)
  changes = {
    'heads.num_types': 8,
    'heads.rank': 5,
    'sizes': (64, 32),
    'seed': 1,
  }
  with pytest.raises(errors.PastaError) as e:
    workdir.prepare(str(tmp_path), _config(**changes), stage='user_model')
  path = tmp_path / 'config.json'
  assert f"config field 'seed' is 0 in {path} but 1 here" in str(e.value)
  assert "config field 'heads.rank' is 4 in" in str(e.value)
  assert f'delete {tmp_path} and what was made from it' in str(e.value)
  assert 'and 1 more' in str(e.value)
  with pytest.raises(
    errors.PastaError, match="'heads.num_types' is 16 in .* 8"
  ):
    changes = {'heads.num_types': 8}
    workdir.prepare(str(tmp_path), _config(**changes), stage='user_model')
  assert _snapshot(tmp_path) == before


def test_prepare_tells_absent_fields_and_types(tmp_path):
  _prepare_used(tmp_path, {'a': 1, 'b': 2}, stage='s')
  with pytest.raises(errors.PastaError, match="'b' is 2 in .* but absent here"):
    workdir.prepare(str(tmp_path), {'a': 1}, stage='s')
  with pytest.raises(errors.PastaError, match="'a' is 1 in .* but true here"):
    workdir.prepare(str(tmp_path), {'a': True, 'b': 2}, stage='s')


def test_ignored_fields_may_differ_and_others_not(tmp_path):
  ignore = ('num_workers', 'heads')
  first = _prepare_used(tmp_path, _config(), stage='s', ignore=ignore)
  changed = _config(**{'num_workers': 7, 'heads.rank': 5})
  assert first == workdir.prepare(
    str(tmp_path), changed, stage='s', ignore=ignore
  )
  with pytest.raises(errors.PastaError, match="'seed'"):
    workdir.prepare(str(tmp_path), _config(seed=3), stage='s', ignore=ignore)


def test_prepare_refuses_another_stage_and_other_inputs(tmp_path):
  _prepare_used(tmp_path, {'a': 1}, stage='value', upstream=('one',))
  with pytest.raises(errors.PastaError, match='belongs to stage value, not'):
    workdir.prepare(str(tmp_path), {'a': 1}, stage='other', upstream=('one',))
  with pytest.raises(errors.PastaError, match=f'delete {tmp_path} and what'):
    workdir.prepare(str(tmp_path), {'a': 1}, stage='value', upstream=('two',))


@pytest.mark.parametrize(
  'field, value',
  [
    ('base_url', 'http://me:sk-123@localhost/v1'),
    ('base_url', 'me:sk-123@localhost/v1'),
    ('base_url', 'http://localhost/v1?key=sk-123'),
    ('key_env', 'sk-123'),
  ],
)
def test_prepare_writes_no_key(tmp_path, field, value):
  config = {'world': {'chat': {field: value}}}
  with pytest.raises(errors.PastaError, match=f'world.chat.{field}') as e:
    workdir.prepare(str(tmp_path / 'sessions'), config, stage='collect')
  assert 'sk-123' not in str(e.value) and not list(tmp_path.iterdir())


def test_prepare_refuses_a_file(tmp_path):
  path = tmp_path / 'file'
  path.write_text('mine')
  with pytest.raises(errors.PastaError, match='is a file'):
    workdir.prepare(str(path), {}, stage='s')
  with pytest.raises(errors.PastaError, match='cannot be made'):
    workdir.prepare(str(path / 'below'), {}, stage='s')
  assert path.read_text() == 'mine'


def test_prepare_after_a_kill_between_its_two_files(tmp_path):
  (tmp_path / 'launch.json').write_text('{"stage": "s"}')
  workdir.prepare(str(tmp_path), {'a': 1}, stage='s')
  workdir.prepare(str(tmp_path), {'a': 1}, stage='s')


def test_a_stage_that_refuses_its_config_leaves_no_directory(tmp_path):
  directory = tmp_path / 'run' / 'value'

  def fail(config):
    with pytest.raises(errors.PastaError):
      with workdir.open_stage('value', str(directory), config):
        raise errors.PastaError('no such field')

  fail({'a': 1})
  assert not directory.exists() and directory.parent.exists()
  with workdir.open_stage('value', str(directory), {'a': 2}) as info:
    assert info == {}
  # What was there before stays: its own config is not what is wrong.
  (directory / 'value.done.json').unlink()
  before = set(_snapshot(directory))
  fail({'a': 2})
  assert set(_snapshot(directory)) == before


@pytest.mark.parametrize('error', [errors.PastaError, KeyboardInterrupt])
def test_a_stage_that_was_at_work_keeps_its_directory(tmp_path, error):
  directory = tmp_path / 'value'
  with pytest.raises(error):
    with workdir.open_stage('value', str(directory), {'a': 1}):
      (directory / 'checkpoint').write_text('x')
      raise error('stopped')
  found = {'config.json', 'launch.json', 'checkpoint'}
  assert _snapshot(directory).keys() == found
  with pytest.raises(errors.PastaError, match=f"'a' is 1 in .*{directory} and"):
    workdir.prepare(str(directory), {'a': 2}, stage='value')


def test_a_config_binds_nobody_before_the_first_result(tmp_path):
  directory = tmp_path / 'value'
  directory.mkdir()
  with pytest.raises(RuntimeError):
    with workdir.open_stage('value', str(directory), {'a': 1}):
      (directory / 'checkpoints').mkdir()
      (directory / 'metrics.jsonl').write_text('')
      (directory / 'events.out.tfevents.1').write_text('header')
      (directory / '.metrics.jsonl.1.tmp').write_text('torn')
      raise RuntimeError('a bug, or a kill')
  assert (directory / 'config.json').exists()
  with workdir.open_stage('value', str(directory), {'a': 2}, ('x',)):
    pass
  assert json.loads((directory / 'config.json').read_text()) == {'a': 2}


_HOLD = """
import os, sys
from pasta import workdir
with workdir.open_stage('value', sys.argv[1], {'a': 1}):
  print('at work', flush=True)
  sys.stdin.read()
"""


def test_two_runs_at_once_and_one_after_a_kill(tmp_path):
  directory = tmp_path / 'value'
  first = subprocess.Popen(
    [sys.executable, '-c', _HOLD, str(directory)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
  )
  assert first.stdout.readline() == b'at work\n'
  before = _snapshot(directory)
  with pytest.raises(errors.PastaError) as e:
    with workdir.open_stage('value', str(directory), {'a': 2}):
      raise AssertionError('both are at work')
  host = platform.node()
  assert f'process {first.pid} on host {host}, since 20' in str(e.value)
  assert _snapshot(directory) == before
  first.kill()
  first.communicate()
  assert (directory / '.lock').exists()
  with workdir.open_stage('value', str(directory), {'a': 1}):
    holder = json.loads((directory / '.lock').read_text())
    assert holder['pid'] == os.getpid()
  assert not (directory / '.lock').exists()


def test_what_is_done_needs_no_lock(tmp_path):
  directory = str(tmp_path / 'value')
  with workdir.open_stage('value', directory, {'a': 1}):
    pass
  with (
    lock.hold(directory),
    workdir.open_stage('value', directory, {'a': 1}) as x,
  ):
    assert x is None


def test_a_field_that_a_version_lacked_has_its_value_of_then(tmp_path):
  old = {'belief': {'choice': 1.0}, 'policies': {'pasta': {'name': 'pasta'}}}
  first = _prepare_used(tmp_path, old, stage='s')
  new = {
    'belief': {'choice': 1.0, 'satisfaction': 0.0},
    'policies': {'pasta': {'name': 'pasta', 'num_candidates': 0}},
  }
  assert workdir.prepare(str(tmp_path), new, stage='s') == first
  new['belief']['satisfaction'] = None
  with pytest.raises(errors.PastaError) as e:
    workdir.prepare(str(tmp_path), new, stage='s')
  assert "'belief.satisfaction' is 0.0 in" in str(e.value)
  assert 'version 0.1.0 had no such field) but null here' in str(e.value)


def test_so_has_a_field_of_another_stage_within(tmp_path):
  first = _prepare_used(tmp_path, {'sweep': {'fit': {'seed': 0}}}, stage='s')
  new = {'sweep': {'fit': {'seed': 0, 'lapse': False, 'name': ''}}}
  assert workdir.prepare(str(tmp_path), new, stage='s') == first
  new['sweep']['fit']['lapse'] = True
  with pytest.raises(errors.PastaError, match="'sweep.fit.lapse' is false in"):
    workdir.prepare(str(tmp_path), new, stage='s')


def test_more_of_the_same_goes_on_with_what_is_there(tmp_path):
  directory = tmp_path / 'simulated'

  def run(num, seed=0):
    config = {'num_sessions': num, 'seed': seed}
    with workdir.open_stage(
      'simulate', str(directory), config, grows={'num_sessions': 4}
    ) as info:
      if info is not None:
        (directory / f'{num}.jsonl').write_text('x')
    return workdir.upstream(str(tmp_path), 'simulated', 'simulate')

  first = run(5)
  with workdir.open_stage('value', str(tmp_path / 'value'), {}, (first,)):
    pass
  second = run(8)
  assert second != first and run(8) == second
  assert (directory / '5.jsonl').exists() and (directory / '8.jsonl').exists()
  for changes in ({'num': 7}, {'num': 9, 'seed': 1}):
    with pytest.raises(errors.PastaError, match="'num_sessions' is 8 in"):
      run(**changes)
  # What was made of less says so.
  with pytest.raises(errors.PastaError) as e:
    with workdir.open_stage('value', str(tmp_path / 'value'), {}, (second,)):
      pass
  assert f'{directory} has grown since' in str(e.value)
  assert f'delete {tmp_path / "value"} and' in str(e.value)


def test_what_is_not_one_whole_batch_does_not_grow(tmp_path):
  directory = str(tmp_path / 'simulated')
  grows = {'num_sessions': 4}
  with workdir.open_stage('simulate', directory, {'num_sessions': 3}):
    pass
  with pytest.raises(errors.PastaError, match="'num_sessions' is 3 in"):
    with workdir.open_stage(
      'simulate', directory, {'num_sessions': 9}, grows=grows
    ):
      pass


def test_fingerprint():
  one = workdir.compute_fingerprint({'a': 1, 'b': {'c': 2}}, 'x', 'y')
  assert one == workdir.compute_fingerprint({'b': {'c': 2}, 'a': 1}, 'x', 'y')
  others = [
    workdir.compute_fingerprint({'a': 1, 'b': {'c': 3}}, 'x', 'y'),
    workdir.compute_fingerprint({'a': 1, 'b': {'c': 2}}, 'y', 'x'),
    workdir.compute_fingerprint({'a': 1, 'b': {'c': 2}}, 'xy'),
    workdir.compute_fingerprint({'a': 1, 'b': {'d': 2}}, 'x', 'y'),
  ]
  assert one not in others and len(set(others)) == len(others)


def test_done_markers(tmp_path):
  directory = str(tmp_path)
  assert not workdir.is_done(directory, 'features', 'abc')
  with pytest.raises(errors.PastaError, match='features has not finished'):
    workdir.read_done(directory, 'features')
  info = {'num_sessions': np.int64(3), 'rates': np.ones(2, np.float32)}
  workdir.mark_done(directory, 'features', 'abc', info)
  assert workdir.is_done(directory, 'features', 'abc')
  assert not workdir.is_done(directory, 'features', 'abd')
  assert not workdir.is_done(directory, 'sessions', 'abc')
  done = workdir.read_done(directory, 'features')
  assert done['info'] == {'num_sessions': 3, 'rates': [1.0, 1.0]}
