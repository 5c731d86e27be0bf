"""Raw directories of the fake release, in each of its layouts."""

import os
import shutil

import pytest

from data.pasta_release import fake_files


@pytest.fixture(scope='session')
def layouts(tmp_path_factory):
  """Raw directories of each layout, as (layout, packed): to read only."""
  found = {}
  for layout in fake_files.LAYOUTS:
    for packed in (False, True):
      raw = str(tmp_path_factory.mktemp(f'{layout}-{packed}'))
      fake_files.write(raw, 5, layout=layout, packed=packed, size=8)
      found[layout, packed] = raw
  return found


@pytest.fixture
def copied(layouts, tmp_path):
  """A copy of a layout's directory: to break."""

  def make(layout='session', packed=False):
    raw = str(tmp_path / 'raw')
    shutil.copytree(layouts[layout, packed], raw, copy_function=copy_or_link)
    return raw

  return make


def copy_or_link(source, target):
  """Images are many, and replaced rather than changed: a link will do."""
  is_image = source.endswith(('.jpg', '.png'))
  (os.link if is_image else shutil.copy)(source, target)
