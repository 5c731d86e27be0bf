"""Extraction by two real processes, as on a pod."""

import glob
import os
import sys

import hosts
import numpy as np

from configs import extract_features
from configs import prepare_data as data_config
from data import extract_features as extract
from data import prepare_data
from data.pick_a_pic import fake_files
from pasta.storage import preferences

FIELDS = {
  'encoder': 'sketch-clip',
  'batch_size': 16,
  'block_images': 32,
  'splits': ('train',),
  'num_workers': 1,
}


def command(workdir, *more):
  return [
    sys.executable,
    '-m',
    'launch.extract_features',
    '--config=configs/extract_features.py:pick_a_pic',
    f'--workdir={workdir}',
    *(f'--config.{name}={value}' for name, value in FIELDS.items()),
    *more,
  ]


def test_two_processes_leave_what_one_does(tmp_path):
  raw, one, two = (str(tmp_path / n) for n in ('raw', 'one', 'two'))
  fake_files.write(raw, 100, num_users=5, rows_per_group=20)
  config = data_config.get_config('pick_a_pic')
  config.num_workers = 1
  for root in (one, two):
    prepare_data.run(config, root, raw)
  printed = hosts.run_two(lambda flag: command(two, flag))
  assert 'process 1 of 2' in printed[1]
  alone = hosts.start(command(one))
  assert alone.communicate(timeout=300)[0] and alone.returncode == 0
  found = [
    preferences.load(f'{r}/preferences/pick_a_pic/train') for r in (one, two)
  ]
  a, b = found
  rows = np.arange(a.image.shape[0])
  assert len(rows) > 64  # Both had blocks to do.
  np.testing.assert_array_equal(a.image[rows], b.image[rows])
  np.testing.assert_array_equal(a.records.image, b.records.image)
  assert not glob.glob(f'{two}/**/*.tmp', recursive=True)
  # All is done: there is nothing left to do.
  before = {p: os.stat(p).st_mtime_ns for p in glob.glob(f'{two}/*/*/*/*')}
  config = extract_features.get_config('pick_a_pic')
  config.update(FIELDS)
  extract.run(config, two)
  assert before == {p: os.stat(p).st_mtime_ns for p in before}


def test_wrong_ranks_are_refused(tmp_path):
  values = 'here', '127.0.0.1:1,2,2', '127.0.0.1,2,0'
  runs = [
    hosts.start(command(str(tmp_path), f'--distributed={v}')) for v in values
  ]
  for value, run in zip(values, runs):
    printed = run.communicate(timeout=300)[0]
    assert run.returncode == 1
    assert f"flag --distributed is '{value}', expected 'auto' or" in printed
