"""Raw files of Pick-a-Filter, sample by sample."""

import os
import pickle
import zipfile

import numpy as np

from data import base
from data.pick_a_filter import fake_files

BUILDER = base.builder_class('pick_a_filter')
MAX_BYTES = 1 << 20
ZIP = 'paf_1.0_mix_ratio.zip'

P, LEFT, RIGHT = (
  np.array(x, np.float32)
  for x in ([0, 0.5, 1, 1.5], [-1, 0, 1, 2], [0, 2, 4, 6])
)


def sample(user='7', p=P, left=LEFT, right=RIGHT, y=1):
  return fake_files.joblib_bytes((((user, p, (left, right)), y), 5))


def zipped(raw, members, name=ZIP):
  os.makedirs(raw, exist_ok=True)
  with zipfile.ZipFile(os.path.join(raw, name), 'w', 8) as f:
    for member, content in members.items():
      f.writestr(member, content)


def everything(raw, **options):
  """Examples and skips by split."""
  options = BUILDER.check_options(options)
  return {
    split: [x for u in units for x in BUILDER.read(str(raw), u, options)]
    for split, units in BUILDER.units(str(raw), options).items()
  }


def only(raw, content):
  """What becomes of one member, in the company of a good one."""
  zipped(raw, {'0.joblib': sample(), '1.joblib': content})
  _, found = everything(raw)['train']
  return found


def pickled(value):
  return pickle.dumps(value, 4)
