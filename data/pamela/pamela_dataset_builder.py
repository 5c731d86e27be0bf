"""PAMELA: people's own ratings of AI images, with unseen people to test on."""

import functools
import os
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import base
from data.formats import checks, json_stream, raw_directory
from pasta import errors

_FILE = re.compile(r'pamela_(?P<split>[a-z_]+)\.json')
_FOLDERS = ('PAMELA/annotations', 'annotations', '.')
_IMAGE_PATHS = tuple(
  f'{folder}images/{{image_id}}{ending}'
  for folder in ('', 'PAMELA/')
  for ending in ('.jpg', '.png', '.webp', '.jpeg', '')
)
_ITEMS_PER_UNIT = 500


class Builder(base.PreferenceBuilder):
  """PAMELA."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  HOMEPAGE = 'https://huggingface.co/datasets/bethgelab/PAMELA'

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    found = super().check_options(options)
    path = found['image_path']
    try:
      names = [name for _, name, _, _ in string.Formatter().parse(path)]
    except (TypeError, ValueError):
      names = ['?']
    if path and set(names) - {None} != {'image_id'}:
      raise errors.PastaError(
        f"config field 'options.image_path' is {path!r}, expected a path with "
        "{image_id}, e.g. 'images/{image_id}.jpg'"
      )
    return found

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
      'participant_id': tfds.features.Text(doc='Who rated.'),
      'score': tfds.features.Scalar(np.float32, doc='original_score, 1 to 5.'),
      'image_id': tfds.features.Text(),
      'image': tfds.features.Image(doc='Encoded as in the raw files.'),
      'prompt': tfds.features.Text(doc="'' where none is given."),
      'group': tfds.features.Text(doc='Of image_metadata, as the next two.'),
      'style': tfds.features.Text(),
      'type': tfds.features.Text(),
    }

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    raw_directory.check(raw)
    for folder in _FOLDERS:
      where = os.path.join(raw, folder)
      names = sorted(os.listdir(where)) if os.path.isdir(where) else []
      matches = [m for m in map(_FILE.fullmatch, names) if m]
      if matches:
        break
    else:
      raise errors.PastaError(
        f'{raw}: holds no pamela_SPLIT.json in {" or ".join(_FOLDERS)}'
      )
    return {
      match['split']: json_stream.units(
        raw, os.path.normpath(os.path.join(folder, match[0])), _ITEMS_PER_UNIT
      )
      for match in matches
    }

  @classmethod
  def records(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, base.Make]]:
    template = options['image_path']

    def make(item):
      nonlocal template
      template = template or _find_template(raw, item)
      example = _example(raw, item, template)
      return f'{example["participant_id"]}/{example["image_id"]}', example

    for row, item in json_stream.rows(raw, unit):
      yield f'{unit.files[0]}, item {row}', functools.partial(make, item)

  @classmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    return [example['image']]

  @classmethod
  def kind(cls, split: str) -> str:
    return 'rating'

  @classmethod
  def observations(
    cls, example: Mapping[str, Any], split: str
  ) -> list[base.Observation]:
    return [
      base.Observation(
        prompt=example['prompt'].decode(),
        columns=((0,),),
        feedback=float(example['score']),
        user_id=example['participant_id'].decode(),
      )
    ]


def _find_template(raw: str, item: Mapping[str, Any]) -> str:
  """Where the images lie, from the first item whose image is found."""
  image_id = _image_id(item)
  for template in _IMAGE_PATHS:
    path = raw_directory.safe_join(raw, template.format(image_id=image_id))
    if path is not None and os.path.isfile(path):
      return template
  raise ValueError(
    f'image {image_id!r:.60} is not at {_IMAGE_PATHS[0]} or the like; set '
    "config field 'options.image_path'"
  )


def _image_id(item: Mapping[str, Any]) -> str:
  return checks.as_user(item.get('image_id'), 'image_id')


def _example(
  raw: str, item: Mapping[str, Any], template: str
) -> dict[str, Any]:
  metadata = item.get('image_metadata') or {}
  if not isinstance(metadata, dict):
    raise ValueError('image_metadata is no object')
  image_id = _image_id(item)
  path = template.format(image_id=image_id)
  data = raw_directory.read_image(raw, path)
  prompt = item.get('prompt') or metadata.get('prompt') or ''
  return {
    'participant_id': checks.as_user(
      item.get('participant_id'), 'participant_id'
    ),
    'score': checks.as_number(
      item.get('original_score'), 'original_score', 1, 5
    ),
    'image_id': image_id,
    'image': data,
    'prompt': checks.as_text(prompt, 'prompt'),
    **{
      name: checks.as_text(str(metadata.get(name) or ''), name)
      for name in ('group', 'style', 'type')
    },
  }
