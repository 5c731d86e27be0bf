"""HPDv2 (Wu et al., 2023): pairs to train on, rankings by people to test on."""

import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import base
from data.formats import checks, json_stream, raw_directory
from pasta import errors

_ITEMS_PER_UNIT = 1000
_MAX_IMAGES = 64


class Builder(base.PreferenceBuilder):
  """HPDv2."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  HOMEPAGE = 'https://huggingface.co/datasets/ymhao/HPDv2'

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
      'prompt': tfds.features.Text(),
      'row': tfds.features.Scalar(np.int64, doc='Place in the JSON file.'),
      'files': tfds.features.Sequence(tfds.features.Text(), doc='As given.'),
      'images': tfds.features.Sequence(
        tfds.features.Image(), doc='Encoded as in the raw files.'
      ),
      'rank': tfds.features.Sequence(
        np.float32, doc='Of each image, mean over people; lower is better.'
      ),
      'annotation_user': tfds.features.Sequence(
        tfds.features.Text(), doc='user_hash of each person who ranked.'
      ),
      'annotation_rank': tfds.features.Sequence(
        np.float32, doc="Each person's ranks, one person after the other."
      ),
    }

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    raw_directory.check(raw)
    found = {
      split: json_stream.units(raw, f'{split}.json', _ITEMS_PER_UNIT)
      for split in ('train', 'test')
      if os.path.exists(os.path.join(raw, f'{split}.json'))
    }
    if not found:
      raise errors.PastaError(
        f'{raw}: holds neither train.json nor test.json, found '
        f'{sorted(os.listdir(raw))[:3] or "nothing"}'
      )
    return found

  @classmethod
  def records(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, base.Make]]:
    split = unit.files[0].removesuffix('.json')
    folder = os.path.join(raw, split)
    if not os.path.isdir(folder):
      raise errors.PastaError(f'{folder}: missing, expected the images there')
    read = _train if split == 'train' else _test

    def make(row, item):
      return str(row), {**read(item, folder), 'row': row}

    for row, item in json_stream.rows(raw, unit):
      name = f'{unit.files[0]}, item {row}'
      yield name, functools.partial(make, row, item)

  @classmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    return list(example['images'])

  @classmethod
  def kind(cls, split: str) -> str:
    return 'pair' if split == 'train' else 'ranking'

  @classmethod
  def observations(
    cls, example: Mapping[str, Any], split: str
  ) -> list[base.Observation]:
    prompt = example['prompt'].decode()
    rank = [float(r) for r in example['rank']]
    columns = tuple((i,) for i in range(len(rank)))
    if split == 'train':
      label = 0.5 + 0.5 * float(np.sign(rank[1] - rank[0]))
      return [base.Observation(prompt, columns, label, None)]
    given = np.reshape(example['annotation_rank'], (-1, len(rank)))
    return [
      base.Observation(
        prompt=prompt,
        columns=columns,
        feedback=np.argsort(ranks, kind='stable').tolist(),
        user_id=user.decode(),
        extra={'prompt_row': int(example['row']), 'mean_rank': rank},
      )
      for user, ranks in zip(example['annotation_user'], given)
    ]


def _list(
  item: Mapping[str, Any], name: str, length: int | None = None
) -> list:
  value = item.get(name)
  if not isinstance(value, list):
    raise ValueError(f'{name} is no list')
  if length is not None and len(value) != length:
    raise ValueError(f'{name} has {len(value)} entries, expected {length}')
  return value


def _images(folder: str, files: list) -> list[bytes]:
  if not 2 <= len(files) <= _MAX_IMAGES:
    raise ValueError(f'{len(files)} images, expected 2 to {_MAX_IMAGES}')
  return [raw_directory.read_image(folder, file) for file in files]


def _train(item: Mapping[str, Any], folder: str) -> dict[str, Any]:
  files = _list(item, 'file_path', 2)
  labels = [
    checks.as_number(x, 'human_preference', 0, 1)
    for x in _list(item, 'human_preference', 2)
  ]
  if abs(sum(labels) - 1) > 1e-6:
    raise ValueError(f'human_preference {labels} does not sum to 1')
  return {
    'prompt': checks.as_text(item.get('prompt'), 'prompt'),
    'files': files,
    'images': _images(folder, files),
    'rank': [2.0 - x for x in labels],  # 1 the better, 2 the worse, 1.5 a tie
    'annotation_user': [],
    'annotation_rank': [],
  }


def _test(item: Mapping[str, Any], folder: str) -> dict[str, Any]:
  files = _list(item, 'image_path')
  users, ranks = [], []
  for annotation in _list(item, 'raw_annotations'):
    if not isinstance(annotation, dict):
      raise ValueError('raw_annotations holds what is no object')
    users.append(checks.as_user(annotation.get('user_hash'), 'user_hash'))
    given = [
      checks.as_number(x, 'rank', 0, 1e6)
      for x in _list(annotation, 'rank', len(files))
    ]
    if len(set(given)) != len(given):
      raise ValueError(f'user {users[-1]:.20} gives two images the same rank')
    ranks += given
  return {
    'prompt': checks.as_text(item.get('prompt'), 'prompt'),
    'files': files,
    'images': _images(folder, files),
    'rank': [
      checks.as_number(x, 'rank', 0, 1e6)
      for x in _list(item, 'rank', len(files))
    ],
    'annotation_user': users,
    'annotation_rank': ranks,
  }
