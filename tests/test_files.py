import os

import pytest

from pasta import errors, files


def test_atomic_write_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
  path = tmp_path / 'a.txt'
  files.atomic_write(str(path), 'old')

  def fail(*_):
    raise OSError('disk full')

  with monkeypatch.context() as m:
    m.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
      files.atomic_write(str(path), 'new')
  assert path.read_text() == 'old'
  assert [p.name for p in tmp_path.iterdir()] == ['a.txt']
  files.atomic_write(str(path), b'\x00new')
  assert path.read_bytes() == b'\x00new'


@pytest.mark.parametrize('content', [b'', b'{"a": 1', b'\xff\xfe', b'a: 1'])
def test_read_json_names_a_damaged_file(tmp_path, content):
  path = tmp_path / 'x.json'
  path.write_bytes(content)
  with pytest.raises(errors.PastaError, match=f'{path}: is truncated or not'):
    files.read_json(str(path))


def test_read_json_names_a_missing_file(tmp_path):
  path = tmp_path / 'x.json'
  with pytest.raises(errors.PastaError, match=f'{path}: cannot be read: No su'):
    files.read_json(str(path))


def test_to_plain_names_what_has_no_json_form():
  with pytest.raises(ValueError, match=r'a\.b\[1\] is of type set'):
    files.to_plain({'a': {'b': (1, {2})}})
  with pytest.raises(ValueError, match='not JSON compliant'):
    files.write_json('unused.json', {'a': float('nan')})
