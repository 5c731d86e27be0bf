"""Reads, changes and compares raw files of the fake release."""

import json
import os
import zipfile

import pytest

from data import base
from data.pasta_release import fake_files
from data.pasta_release import pasta_release_dataset_builder as builder_lib
from pasta import errors

Builder = builder_lib.Builder

RECORDS = {
  'session': 'release/sessions-0.jsonl',
  'turn': 'turns.parquet',
  'csv': 'ratings.csv',
}


def checked(layout, **changes):
  return Builder.check_options({**fake_files.OPTIONS[layout], **changes})


def items(raw, options):
  units = Builder.units(raw, options)['train']
  return [x for unit in units for x in Builder.read(raw, unit, options)]


def examples(raw, options):
  found = items(raw, options)
  assert not any(isinstance(x, base.Skipped) for x in found), found
  return found


def refusal(raw, options):
  with pytest.raises(errors.PastaError) as found:
    items(raw, options)
  return str(found.value)


def edited(raw, change, name=RECORDS['session']):
  """Applies a change to the list of records of a JSON lines file."""
  path = os.path.join(raw, name)
  with open(path, encoding='utf-8') as f:
    rows = [json.loads(line) for line in f]
  rows = change(rows) or rows
  with open(path, 'w', encoding='utf-8') as f:
    f.writelines(json.dumps(r) + '\n' for r in rows)


def same(one, other):
  """Whether two lists of (key, example) are equal, NaNs as well."""
  return repr(one) == repr(other)


def zipped(raw, members):
  os.makedirs(raw, exist_ok=True)
  path = os.path.join(raw, 'x.zip')
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as f:
    for name, data in members:
      f.writestr(name, data)
  return path
