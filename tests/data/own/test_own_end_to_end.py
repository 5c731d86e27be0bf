"""A table of one's own, from the command line: shown, prepared, fitted."""

import json
import os
import re
import shlex
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import fake_images
from data.own import fake_answers


def run(*command, code=0):
  found = subprocess.run(
    [sys.executable, *command[1:]], capture_output=True, text=True, check=False
  )
  assert found.returncode == code, found.stderr
  return found.stdout + found.stderr


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
  path = tmp_path_factory.mktemp('raw') / 'my answers.parquet'
  found = [
    {
      'rater': a.person,
      'caption': a.prompt,
      'img_1': fake_images.png(a.pictures[0], 16),
      'img_2': fake_images.png(a.pictures[1], 16),
      'winner': 1 if a.utility[0] > a.utility[1] else 2,
    }
    for a in fake_answers.answers(120, 8, 2, 5)
  ]
  pq.write_table(pa.Table.from_pylist(found), path)
  return str(path)


def test_the_proposed_commands_end_in_a_table_with_intervals(raw, tmp_path):
  shown = run('python', '-m', 'launch.inspect_data', f'--raw={raw}')
  commands = [
    shlex.split(c.replace('\\\n', ' '))
    for c in re.findall(r'^python -m (?:.*\\\n)*.*$', shown, re.MULTILINE)
  ]
  assert [c[2] for c in commands] == [
    'launch.prepare_data',
    'launch.fit_preferences',
  ]
  prepare, fit = (
    [f'--workdir={tmp_path}' if x == '--workdir=DIR' else x for x in c]
    for c in commands
  )
  run(*prepare, '--config.num_workers=1')
  fit = [x + ',smoke' if x.startswith('--config=') else x for x in fit]
  fit.append('--config.extract_features.encoder=sketch-clip')
  fit.append('--config.extract_features.num_workers=1')
  printed = run(*fit)
  assert '| user model, K = 2, from the prior |' in printed
  assert re.search(r'\d % \[\d+\.\d, \d+\.\d\], n = \d+', printed)
  assert 'quoted' not in printed
  with open(tmp_path / 'preference_tables/results.json', encoding='utf-8') as f:
    (table,) = json.load(f).values()
  assert table['num_people'] == 2 and table['quoted'] == []
  assert os.path.exists(tmp_path / 'report' / 'index.html')
  before = os.stat(tmp_path / 'report' / 'index.html').st_mtime_ns
  again = run(*fit)  # All is done: the table is printed again, nothing made.
  assert '| one type |' in again and 'report: done already' in again
  assert os.stat(tmp_path / 'report' / 'index.html').st_mtime_ns == before


def test_a_wrong_column_leaves_nothing_and_can_be_corrected(raw, tmp_path):
  command = [
    *('python', '-m', 'launch.prepare_data', f'--raw={raw}'),
    *('--config=configs/prepare_data.py:pairs', f'--workdir={tmp_path}'),
    *('--config.fields.prompt=caption', '--config.fields.image_a=img_1'),
    *('--config.fields.image_b=img_2', '--config.num_workers=1'),
    '--config.fields.chosen=winner',
  ]
  printed = run(*command, '--config.fields.person=ratr', code=1)
  assert printed.startswith('error: ') and printed.count('\n') == 1
  assert "did you mean 'rater'?" in printed
  # Numbers that count from 1 are not taken for those that count from 0.
  printed = run(*command, '--config.fields.person=rater', code=1)
  assert "(numbers count from 'options.first_index')" in printed
  assert not os.path.exists(tmp_path / 'data' / 'pairs' / '1.0.0')
  printed = run(
    *command,
    '--config.fields.person=rater',
    '--config.options.first_index=1',
  )
  assert "pairs: examples {'test'" in printed
