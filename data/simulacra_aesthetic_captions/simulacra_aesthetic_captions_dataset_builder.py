"""Simulacra Aesthetic Captions (JD-P): images with ratings from 1 to 10."""

import functools
import os
import sqlite3
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import base
from data.formats import checks, raw_directory
from pasta import errors

_TABLES = {
  'ratings': ('sid', 'iid', 'rating', 'verified'),
  'images': ('id', 'gid', 'idx'),
  'generations': ('id', 'sid', 'method', 'prompt', 'verified'),
  'paths': ('iid', 'path'),
}
_IMAGES_PER_UNIT = 1000
_LOCK_SECONDS = 2
_MAX_UNITS = 1_000_000
_RATED = """
  SELECT i.id, i.gid, g.sid, g.method, g.prompt, p.path
  FROM images i JOIN generations g ON g.id = i.gid JOIN paths p ON p.iid = i.id
  WHERE i.id >= ? AND i.id < ? AND i.id IN (SELECT iid FROM ratings)
  ORDER BY i.id
"""
_RATINGS = (
  'SELECT sid, rating, verified FROM ratings WHERE iid = ? ORDER BY rowid'
)


class Builder(base.PreferenceBuilder):
  """Simulacra Aesthetic Captions."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  HOMEPAGE = 'https://github.com/JD-P/simulacra-aesthetic-captions'

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
      'image': tfds.features.Image(doc='Encoded as in the raw files.'),
      'prompt': tfds.features.Text(),
      'method': tfds.features.Text(doc='The T2I model.'),
      'iid': tfds.features.Scalar(np.int64, doc='Of the image.'),
      'gid': tfds.features.Scalar(np.int64, doc='Of the generation.'),
      'generator': tfds.features.Text(doc='sid of who made it.'),
      'ratings': tfds.features.Sequence(
        {
          'sid': tfds.features.Text(doc='Stands for the person who rated.'),
          'rating': tfds.features.Scalar(np.float32, doc='1 to 10.'),
          'verified': tfds.features.Scalar(np.bool_),
        }
      ),
    }

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    raw_directory.check(raw)
    name = options['database']
    path = os.path.join(raw, name)
    with _Database(path) as database:
      database.check_tables()
      ((low, high),) = database.rows('SELECT min(id), max(id) FROM images')
    if not isinstance(low, int) or not isinstance(high, int):
      raise errors.PastaError(f'{path}: table images has no ids')
    starts = range(low, high + 1, _IMAGES_PER_UNIT)
    if len(starts) > _MAX_UNITS:
      raise errors.PastaError(f'{path}: ids of images go from {low} to {high}')
    tar = _find_tar(raw, options['images'])
    files = (name, tar) if tar else (name,)
    return {
      'train': [
        base.Unit(f'{name}#{i}', files, {'start': i, 'tar': tar})
        for i in starts
      ]
    }

  @classmethod
  def read(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, dict[str, Any]] | base.Skipped]:
    # Ratings of a sound image may be broken one by one.
    start = unit.spec['start']
    with _Database(os.path.join(raw, unit.files[0])) as database:
      for row in database.rows(_RATED, (start, start + _IMAGES_PER_UNIT)):
        key = f'image {row[0]}'
        try:
          example, bad = _example(raw, row, unit.spec['tar'], database)
        except ValueError as e:
          yield base.Skipped(key, str(e))
          continue
        for reason in bad:
          yield base.Skipped(key, reason)
        if example['ratings']:
          yield str(row[0]), example

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
    method = example['method'].decode()
    ratings = example['ratings']
    return [
      base.Observation(
        prompt=example['prompt'].decode(),
        columns=((0,),),
        feedback=float(rating),
        user_id=sid.decode(),
        # People grade the pictures of each method on a curve of its own.
        extra={'centre_by': method},
      )
      for sid, rating in zip(ratings['sid'], ratings['rating'])
    ]


class _Database:
  """A SQLite file, read only, whose errors name it."""

  def __init__(self, path: str):
    self._path = path
    if not os.path.isfile(path):
      raise errors.PastaError(
        f"{path}: missing; config field 'options.database' names the file"
      )
    uri = 'file:' + os.path.abspath(path).replace('%', '%25').replace(
      '?', '%3f'
    ).replace('#', '%23')
    try:
      self._connection = sqlite3.connect(
        f'{uri}?mode=ro', uri=True, timeout=_LOCK_SECONDS
      )
    except sqlite3.Error as e:
      raise self._broken(e) from None

  def __enter__(self) -> '_Database':
    return self

  def __exit__(self, *unused_exception) -> None:
    self._connection.close()

  def rows(self, query: str, values: tuple = ()) -> Iterator[tuple]:
    """Yields a query's rows."""
    try:
      yield from self._connection.execute(query, values)
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as e:
      raise self._broken(e) from None

  def check_tables(self) -> None:
    """Raises PastaError unless all tables have their columns."""
    for table, columns in _TABLES.items():
      found = [r[1] for r in self.rows(f'PRAGMA table_info({table})')]
      missing = [c for c in columns if c not in found]
      if not found:
        tables = self.rows("SELECT name FROM sqlite_master WHERE type='table'")
        raise errors.PastaError(
          f'{self._path}: has no table {table!r}, only '
          f'{sorted(str(t[0]) for t in tables)}'
        )
      if missing:
        old = set(found) == {'gid', 'rating'}
        raise errors.PastaError(
          f'{self._path}: table {table!r} lacks the column {missing[0]!r}, it '
          f'has {found}'
          + (
            ': an older export, which does not say who rated'
            if table == 'ratings' and old
            else ''
          )
        )

  def _broken(self, error: Exception) -> errors.PastaError:
    locked = 'locked' in str(error)
    what = 'is locked by another program' if locked else 'is no sound database'
    return errors.PastaError(f'{self._path}: {what} ({error})')


def _find_tar(raw: str, name: str) -> str:
  """The archive of images, '' where they are unpacked.

  Raises:
    PastaError: it is missing, compressed or one of several.
  """
  if name and os.path.isdir(os.path.join(raw, name)):
    return ''
  found = (
    [name]
    if name
    else [f for f in raw_directory.list_files(raw) if f.endswith('.tar')]
  )
  if len(found) > 1:
    raise errors.PastaError(
      f'{raw}: holds several archives, {found[:3]}; name the one of the images '
      "by config field 'options.images'"
    )
  if not found:
    return ''
  _tar_index(os.path.join(raw, found[0]))
  return found[0]


@functools.lru_cache(maxsize=2)
def _tar_index(path: str) -> dict[str, tuple[int, int]]:
  """First byte and size of each file of an archive that is not compressed."""
  found = {}
  try:
    with tarfile.open(path, 'r:') as tar:
      for member in tar:
        if member.isfile() and not member.issparse():
          found[os.path.normpath(member.name)] = member.offset_data, member.size
  except (OSError, tarfile.TarError, ValueError, EOFError) as e:
    raise errors.PastaError(
      f'{path}: no complete uncompressed tar archive ({e})'
    ) from None
  return found


def _image(raw: str, path: Any, tar: str) -> bytes:
  if not tar:
    return raw_directory.read_image(raw, path)
  if not isinstance(path, str):
    raise ValueError('its path is no text')
  place = _tar_index(os.path.join(raw, tar)).get(os.path.normpath(path))
  if place is None:
    raise ValueError(f'{path!r:.100} is not in {tar}')
  offset, size = place
  if size > raw_directory.MAX_IMAGE_BYTES:
    raise ValueError(f'{path!r:.100} has {size} bytes')
  with open(os.path.join(raw, tar), 'rb') as f:
    f.seek(offset)
    data = f.read(size)
  return raw_directory.check_image(data, f'{path!r:.100}')


def _example(
  raw: str, row: tuple, tar: str, database: _Database
) -> tuple[dict[str, Any], list[str]]:
  """A rated image, and what is wrong with ratings that are left out."""
  iid, gid, generator, method, prompt, path = row
  ratings, bad = [], []
  for sid, rating, verified in database.rows(_RATINGS, (iid,)):
    try:
      ratings.append(
        {
          'sid': checks.as_user(sid, 'sid'),
          'rating': checks.as_number(rating, 'rating', 1, 10),
          'verified': bool(verified),
        }
      )
    except ValueError as e:
      bad.append(str(e))
  example = {
    'image': _image(raw, path, tar),
    'prompt': checks.as_text(prompt, 'prompt'),
    'method': checks.as_text(method, 'method'),
    'iid': checks.as_integer(iid, 'images.id'),
    'gid': checks.as_integer(gid, 'gid'),
    'generator': checks.as_user(generator, 'generations.sid'),
    'ratings': ratings,
  }
  return example, bad
