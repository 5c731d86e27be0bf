"""Raw files that are packed."""

import os
import shutil
import zipfile

import pytest
from release_files import Builder, checked, examples, refusal, same, zipped

from data.formats import raw_directory, raw_files, records


@pytest.mark.parametrize(
  'name', ['../a.jsonl', '/a.jsonl', 'b/../../a', 'a\\b']
)
def test_members_that_leave_the_folder_are_refused(name, tmp_path):
  zipped(str(tmp_path), [('a.jsonl', b'{}'), (name, b'{}')])
  message = refusal(str(tmp_path), checked('session', records='*.jsonl'))
  assert 'x.zip: the name' in message and 'within its folder' in message


def test_damaged_names_in_zip_files_are_named(tmp_path):
  path = zipped(str(tmp_path), [('a.jsonl', b'{}'), ('Xb.jsonl', b'{}')])
  with open(path, 'rb') as f:
    data = f.read()
  options = checked('session', records='*.jsonl')
  with open(path, 'wb') as f:
    f.write(data.replace(b'Xb', b'\0b'))  # a name ends where its first NUL is
  assert "x.zip: the name '' does not stay" in refusal(str(tmp_path), options)
  # The two places where a member's name stands contradict each other.
  with open(path, 'wb') as f:
    f.write(data.replace(b'a.jsonl', b'c.jsonl', 1))
  message = refusal(str(tmp_path), checked('session', records='a.jsonl'))
  assert 'x.zip/a.jsonl: cannot be read: ' in message and 'differ' in message


def test_names_that_are_there_twice_are_refused(tmp_path):
  zipped(str(tmp_path), [('a.jsonl', b'{}')])
  (tmp_path / 'a.jsonl').write_text('{}')
  message = refusal(str(tmp_path), checked('session', records='a.jsonl'))
  assert "'a.jsonl' is there twice, the second time in x.zip" in message
  os.remove(tmp_path / 'a.jsonl')
  zipped(str(tmp_path), [('a.jsonl', b'{}'), ('./a.jsonl', b'{}')])
  assert 'two of its files have the name' in refusal(
    str(tmp_path), checked('session', records='a.jsonl')
  )


def test_zip_files_lie_where_they_would_be_unpacked(copied):
  raw = copied()
  packed = os.path.join(raw, 'release', 'images')
  whole = examples(raw, checked('session'))
  shutil.make_archive(packed, 'zip', os.path.join(raw, 'release'), 'images')
  shutil.rmtree(packed)
  units = Builder.units(raw, checked('session'))['train']
  assert set(units[0].files) == {
    'release/sessions-0.jsonl',
    'release/sessions-1.jsonl',
    'release/images.zip',
  }
  assert same(examples(raw, checked('session')), whole)


def test_zip_bombs_are_refused(copied, tmp_path):
  path = zipped(
    str(tmp_path / 'bomb'), [('a.jsonl', b' ' * (20 << 20)), ('b.jpg', b'x')]
  )
  message = refusal(
    os.path.dirname(path), checked('session', records='a.jsonl')
  )
  assert "'a.jsonl' is a zip bomb: 20971520 bytes in" in message
  raw = copied('turn', packed=True)
  files = raw_files.RawFiles(raw, ['pasta-data.zip'])
  name = 'images/s0001/0/1_2.png'
  assert files.image(name) and files.holder(name) == 'pasta-data.zip'
  limit = raw_directory.MAX_IMAGE_BYTES
  try:
    raw_directory.MAX_IMAGE_BYTES = 50
    with pytest.raises(ValueError, match='has more than the 50 bytes'):
      files.image(name)
  finally:
    raw_directory.MAX_IMAGE_BYTES = limit


def test_encrypted_and_broken_zip_files_are_named(copied):
  raw = copied('csv', packed=True)
  path = os.path.join(raw, 'pasta-data.zip')
  with open(path, 'rb') as f:
    data = f.read()
  at = data.index(b'PK\x01\x02') + 8  # flags in the list of members
  locked = bytearray(data)
  locked[at] |= 1
  for broken, message in (
    (data[: len(data) // 2], 'not a complete zip file'),
    (b'', 'not a complete zip file'),
    (bytes(locked), 'is encrypted'),
  ):
    with open(path, 'wb') as f:
      f.write(broken)
    assert message in refusal(raw, checked('csv'))
  with open(path, 'wb') as f:
    f.write(data)
  with zipfile.ZipFile(path) as f:
    start = f.getinfo('ratings.csv').header_offset + 100
  hurt = bytearray(data)
  hurt[start : start + 200] = bytes(200)
  with open(path, 'wb') as f:
    f.write(hurt)
  assert 'pasta-data.zip/ratings.csv' in refusal(raw, checked('csv'))


def test_large_packed_parquet_files_are_refused(copied, monkeypatch):
  monkeypatch.setattr(records, '_MAX_PACKED_PARQUET_BYTES', 1000)
  message = refusal(copied('turn', packed=True), checked('turn'))
  assert 'read within a zip file; unpack it' in message
