"""Old results are listed, and deleted on a word; what is at work is not."""

import os
import time

import pytest

from pasta import errors, lock, workdir
from pasta.stages import clean


@pytest.fixture
def results(tmp_path):
  """value/ and value-old/ of 40 days ago; evaluation/ of now; a file."""
  for name, stage, days in (
    ('value', 'train_value', 40),
    ('store/value-old', 'train_value', 40),
    ('evaluation', 'evaluate', 0),
  ):
    directory = tmp_path / name
    with workdir.open_stage(stage, str(directory), {'a': 1}):
      (directory / 'x').write_bytes(b'x' * 3000)
    then = time.time() - days * 86_400
    for path in directory.iterdir():
      os.utime(path, (then, then))
  (tmp_path / 'mine.txt').write_text('mine')
  (tmp_path / 'link').symlink_to(tmp_path / 'evaluation')
  return tmp_path


def there(root):
  return {
    str(p.relative_to(root)) for p in root.rglob('*') if p.name == 'launch.json'
  }


def test_what_is_old_is_listed_and_deleted_on_a_word(results, capsys):
  before = there(results)
  clean.run(str(results), '30d', (), False)
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 3 and there(results) == before
  assert lines[0].endswith(f'train_value          {results}/store/value-old')
  assert '40.0 days' in lines[0] and ' KiB ' in lines[0]
  assert lines[-1].startswith('2 results, ') and '--yes' in lines[-1]
  clean.run(str(results), '30d', (), True)
  assert there(results) == {'evaluation/launch.json'}
  assert (results / 'mine.txt').exists() and (results / 'link').is_symlink()
  clean.run(str(results), '0d', ('evaluate',), True)
  assert not there(results)


def test_half_deleted_results_go_with_the_next_call(results):
  os.rename(results / 'value', results / 'value.deleted')
  clean.run(str(results), '1w', ('train_value',), True)
  assert there(results) == {'evaluation/launch.json'}


@pytest.mark.parametrize(
  'older, stages, message',
  [
    ('30', (), "--older is '30', expected"),
    ('-3d', (), 'expected a number and h, d or w'),
    ('3d', ('train_valu',), "'train_valu', expected one of"),
  ],
)
def test_what_cannot_be_meant_is_named(results, older, stages, message):
  with pytest.raises(errors.PastaError, match=message):
    clean.run(str(results), older, stages, True)
  with pytest.raises(errors.PastaError, match='there is no directory'):
    clean.run(str(results / 'nowhere'), '3d', (), True)


def test_a_run_at_work_is_left_alone(results):
  with lock.hold(str(results / 'value')):
    with pytest.raises(errors.PastaError, match='works there'):
      clean.run(str(results), '0d', (), True)
  assert 'value/launch.json' in there(results)
