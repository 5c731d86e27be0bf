"""Inspection of raw files, whole ones and broken ones."""

import json
import os
import subprocess
import sys

import pytest
from release_files import checked, zipped

from data import inspect_data
from data.pasta_release import fake_files
from pasta import errors


def inspected(raw):
  lines = list(inspect_data.report(raw))
  assert all('\n' not in line and len(line) < 500 for line in lines)
  return '\n'.join(lines)


@pytest.mark.parametrize('layout', fake_files.LAYOUTS)
def test_inspection_shows_every_field_of_a_map(layout, layouts):
  for packed in (False, True):
    raw = layouts[layout, packed]
    text = inspected(raw)
    shown = {line.split()[0] for line in text.split('\n') if line.strip()}
    options = checked(layout)
    before = f'{options["turns"]}[].' if options['turns'] else ''
    for name in ('session_id', 'initial_prompt'):
      assert options[name] in shown
    for name in ('prompts', 'images', 'choice', 'critique'):
      if options[name]:
        assert before + options[name].format(column=1) in shown
    assert '400 files' in text and 'BROKEN' not in text
  zip_path = os.path.join(raw, 'pasta-data.zip')
  assert inspected(zip_path) == text[text.index(zip_path) :]


def test_inspection_tells_what_fields_hold(layouts):
  text = inspected(layouts['session', False])
  assert 'turns                             list of 5\n' in text
  assert 'turns[].columns[].images          list of 4\n' in text
  assert 'whole number, 0 to 3, e.g. ' in text
  assert 'nothing (' in text and "e.g. 'unknown to us'" in text
  text = inspected(layouts['csv', False])
  assert 'text with a number, 1 to 4' in text
  assert 'text with a list of 4' in text


def test_inspection_survives_broken_files(tmp_path):
  raw = tmp_path / 'raw'
  raw.mkdir()
  (raw / 'cut.jsonl').write_text('{"a": 1}\n{"a": ')
  (raw / 'empty.csv').write_text('')
  (raw / 'bad.parquet').write_bytes(b'PAR1 no')
  (raw / 'bad.zip').write_bytes(b'PK no')
  (raw / 'colour\x1b[31m.csv').write_text('\x1b[2J,c\n"x\ny",2\n')
  zipped(str(raw), [('../y.json', b'[]'), ('ok.json', b'[{"q": 1}]')])
  deep = '[{"d": ' + '[' * 50 + ']' * 50 + '}]'
  (raw / 'deep.json').write_text(deep)
  wide = json.dumps([{f'k{i}': i for i in range(1000)}])
  (raw / 'wide.json').write_text(wide)
  for i in range(40):
    (raw / f'f{i}').mkdir()
    (raw / f'f{i}' / 'z.json').write_text('[{}]')
  text = inspected(str(raw))
  assert '\x1b' not in text
  for name in ('cut.jsonl', 'empty.csv', 'bad.parquet', 'bad.zip'):
    assert any(
      'BROKEN' in line and name in line for line in text.split('\n')
    ), name
  assert "the name '../y.json' does not stay" in text.replace('\\', '')
  assert 'cut.jsonl: fields of the first 1 records' in text
  assert 'more than the 150 fields' in text and 'more files that may' in text
  assert len(text) < 60_000
  with pytest.raises(errors.PastaError, match='does not exist'):
    inspected(str(tmp_path / 'nowhere'))


def test_inspection_runs_as_a_command(layouts):
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.inspect_data'),
      f'--raw={layouts["csv", True]}',
    ],
    capture_output=True,
    text=True,
    check=True,
  )
  assert 'prompt_1' in done.stdout and 'pasta-data.zip' in done.stdout
