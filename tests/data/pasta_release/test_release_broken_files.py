"""Files of the release that cannot be read are refused by name."""

import os
import shutil

import data_fuzzing
import pytest
from release_files import RECORDS, Builder, checked, examples, refusal

from data.formats import json_stream, records
from data.pasta_release import fake_files


def test_truncated_records_are_named(copied):
  for layout, name in RECORDS.items():
    raw = copied(layout)
    path = os.path.join(raw, name)
    with open(path, 'rb') as f:
      data = f.read()
    for broken in (b'', data[: len(data) // 2 + 5], b'\xff\xfe' + data):
      with open(path, 'wb') as f:
        f.write(broken)
      assert name in refusal(raw, checked(layout))
    shutil.rmtree(raw)


def test_csv_is_checked(copied):
  raw = copied('csv')
  path = os.path.join(raw, 'ratings.csv')
  with open(path, encoding='utf-8', newline='') as f:
    text = f.read()
  for change, message in (
    (lambda t: t.replace('critique', 'turn', 1), "have the name 'turn'"),
    (lambda t: t + 'a,b\r\n', 'record 25 has 2 cells, expected 14'),
    (lambda t: t + '"a', 'unexpected end of data'),
    (lambda t: t + '"a"b', "expected after '\"'"),
    (lambda t: t[: t.index('\r\n') + 2], 'holds no record'),
  ):
    with open(path, 'w', encoding='utf-8', newline='') as f:
      f.write(change(text))
    assert message in refusal(raw, checked('csv'))


def test_long_lines_are_refused(copied, monkeypatch):
  monkeypatch.setattr(json_stream, 'MAX_ITEM_BYTES', 300)
  assert 'has more than 300 bytes' in refusal(copied('csv'), checked('csv'))


def test_too_many_records_are_refused(layouts, monkeypatch):
  monkeypatch.setattr(records, 'MAX_RECORDS', 3)
  message = refusal(layouts['turn', False], checked('turn'))
  assert 'more than the 3 records' in message


@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('layout', fake_files.LAYOUTS)
def test_broken_files_end_in_skips_or_one_clear_error(layout, packed, copied):
  raw = copied(layout, packed)
  name = 'pasta-data.zip' if packed else RECORDS[layout]
  found = data_fuzzing.fuzz(
    Builder, raw, os.path.join(raw, name), 25, options=checked(layout)
  )
  assert found['refused'] + found['skipped'] > 5
  assert len(examples(raw, checked(layout))) == 5
