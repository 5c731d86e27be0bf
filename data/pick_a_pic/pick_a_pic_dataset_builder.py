"""Pick-a-Pic (Kirstain et al., 2023): pairs of images that people chose from.

The images' bytes are stored as they are. Columns as in the parquet files.
"""

import functools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import base
from data.formats import checks, parquet, raw_directory
from pasta import errors

_FILE = re.compile(r'(?P<split>[a-z_]+)-\d{5}-of-\d{5}[-\w]*\.parquet')
_TEXT = ('string', 'large_string')
_COLUMNS = {
  'caption': _TEXT,
  'jpg_0': ('binary', 'large_binary'),
  'jpg_1': ('binary', 'large_binary'),
  'label_0': ('double', 'float'),
  'label_1': ('double', 'float'),
  'has_label': ('bool',),
  'user_id': ('int64', 'int32'),
  'ranking_id': ('int64', 'int32'),
  'created_at': ('timestamp[ns]', 'timestamp[us]', 'timestamp[ms]'),
  'num_example_per_prompt': ('int64', 'int32'),
  'image_0_uid': _TEXT,
  'image_1_uid': _TEXT,
  'best_image_uid': _TEXT,
  'model_0': _TEXT,
  'model_1': _TEXT,
}
_TEXTS = (
  'caption',
  'image_0_uid',
  'image_1_uid',
  'best_image_uid',
  'model_0',
  'model_1',
)


class Builder(base.PreferenceBuilder):
  """Pick-a-Pic, v1 and v2."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  HOMEPAGE = 'https://huggingface.co/datasets/yuvalkirstain/pickapic_v2'
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(name='v1', description='Pick-a-Pic v1.'),
    tfds.core.BuilderConfig(name='v2', description='Pick-a-Pic v2.'),
  ]

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    image = tfds.features.Image(doc='Encoded as in the raw files.')
    return {
      'caption': tfds.features.Text(doc='The prompt.'),
      'image_0': image,
      'image_1': image,
      'label_0': tfds.features.Scalar(
        np.float32, doc='1 = preferred, 0 = not, 0.5 = tie.'
      ),
      'label_1': tfds.features.Scalar(np.float32, doc='1 - label_0.'),
      'has_label': tfds.features.Scalar(np.bool_, doc='False: no judgement.'),
      'user_id': tfds.features.Scalar(np.int64),
      'ranking_id': tfds.features.Scalar(np.int64, doc='Of this judgement.'),
      'created_at': tfds.features.Scalar(np.int64, doc='Unix time, in ms.'),
      'num_example_per_prompt': tfds.features.Scalar(np.int64),
      'image_0_uid': tfds.features.Text(),
      'image_1_uid': tfds.features.Text(),
      'best_image_uid': tfds.features.Text(),
      'model_0': tfds.features.Text(doc='The T2I model of image 0.'),
      'model_1': tfds.features.Text(),
    }

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    found = {}
    files = raw_directory.list_files(raw)
    for name in files:
      match = _FILE.fullmatch(os.path.basename(name))
      if match:
        path = os.path.join(raw, name)
        file = parquet.open_file(path, _COLUMNS)
        found.setdefault(match['split'], []).extend(
          base.Unit(f'{name}#{i}', (name,), {'group': i})
          for i in range(file.num_row_groups)
        )
    if not found:
      raise errors.PastaError(
        f'{raw}: holds no SPLIT-NNNNN-of-NNNNN[-HASH].parquet, found '
        f'{files[:3] or "nothing"}'
      )
    for split, units in found.items():
      if not units:
        raise errors.PastaError(f'{raw}: split {split} holds no row')
    return found

  @classmethod
  def records(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, base.Make]]:
    path = os.path.join(raw, unit.files[0])
    file = parquet.open_file(path, _COLUMNS)
    rows = parquet.rows(file, path, unit.spec['group'], _COLUMNS)
    for i, row in enumerate(rows):
      yield f'{unit.name}, row {i}', functools.partial(_keyed, row)

  @classmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    return [example['image_0'], example['image_1']]

  @classmethod
  def kind(cls, split: str) -> str:
    return 'pair'

  @classmethod
  def observations(
    cls, example: Mapping[str, Any], split: str
  ) -> list[base.Observation]:
    if not example['has_label']:
      return []
    first, second = example['image_0_uid'], example['image_1_uid']
    return [
      base.Observation(
        prompt=example['caption'].decode(),
        columns=((0,), (1,)),
        feedback=float(example['label_0']),
        user_id=str(example['user_id']),
        # Prompts with many judgements do not rule the loss (PickScore).
        weight=1.0 / float(example['num_example_per_prompt']),
        extra={
          'order': int(example['created_at']),
          'image_uid_0': first.decode(),
          'image_uid_1': second.decode(),
        },
      )
    ]


def _keyed(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
  return str(row['ranking_id']), _example(row)


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
  """A row as an example; ValueError for one that cannot be used."""
  if row['ranking_id'] is None or row['user_id'] is None:
    raise ValueError('has no ranking_id or user_id')
  for side in '01':
    raw_directory.check_image(row[f'jpg_{side}'], f'jpg_{side}')
  labels = [0.5, 0.5]
  if row['has_label']:
    labels = [
      checks.as_number(row[f'label_{s}'], f'label_{s}', 0, 1) for s in '01'
    ]
  if abs(sum(labels) - 1) > 1e-6:
    raise ValueError(f'labels {labels[0]:g} and {labels[1]:g} do not sum to 1')
  if row['created_at'] is None:
    raise ValueError('has no created_at')
  count = checks.as_integer(
    row['num_example_per_prompt'], 'num_example_per_prompt', 1
  )
  return {
    **{name: checks.as_text(row[name], name) for name in _TEXTS},
    'image_0': row['jpg_0'],
    'image_1': row['jpg_1'],
    'label_0': labels[0],
    'label_1': labels[1],
    'has_label': bool(row['has_label']),
    'user_id': row['user_id'],
    'ranking_id': row['ranking_id'],
    'created_at': row['created_at'],
    'num_example_per_prompt': count,
  }
