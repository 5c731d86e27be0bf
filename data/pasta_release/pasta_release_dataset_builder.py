"""PASTA's own release of human rater sessions, by a map of its fields.

Where the records of one session are its turns (`rows` = 'turn') they may stand
anywhere in one file: a first pass over the ids of the sessions finds them. A
unit of work is so many whole sessions, whatever the format of the files.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from data import base, logged
from data.formats import raw_files, records
from data.pasta_release import field_map, map_options
from pasta import errors
from pasta.storage import sessions
from pasta.types import Candidate

_SESSIONS_PER_UNIT = 32
_TRIED_SESSIONS = 20  # of which one must fit the map
_MAX_RECORDS_OF_SESSION = 100


class Builder(base.SessionBuilder):
  """PASTA's release."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  HOMEPAGE = 'https://www.kaggle.com/datasets/googleai/pasta-data'

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    found = super().check_options(options)
    map_options.parse(found)
    return found

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    text, sequence = tfds.features.Text, tfds.features.Sequence
    return {
      'session_id': text(),
      'user_id': text(doc='That of the session where people are unknown.'),
      'initial_prompt': text(),
      'generator_id': text(doc='Who wrote the prompts.'),
      't2i_id': text(doc='What drew the images.'),
      'prompts': sequence(text(), doc='Of turn after turn, column by column.'),
      'categories': sequence(text(), doc="Of each prompt; '' = unknown."),
      'images': sequence(
        tfds.features.Image(), doc='Of each prompt, as in the raw files.'
      ),
      'files': sequence(
        text(), doc="Of each image; '' where a record holds the image."
      ),
      'choice': sequence(np.int64, doc='Column of each turn, from 0.'),
      'satisfaction': sequence(np.float32, doc='In [0, 1]; NaN: not asked.'),
      'comparison': sequence(
        np.int64, doc='-1 worse, 0 same, 1 better, -2 not asked.'
      ),
      'critique': sequence(text(), doc="'' where there is none."),
    }

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    fields = field_map.FieldMap(options)
    files = raw_files.open_raw(raw, raw_files.find_zips(raw))
    names = _record_files(files, options['records'])
    found = []
    for name in names:
      places = records.all_places(files, name)
      if places and (not found or records.ending(name) not in _JSON):
        _check_first_record(files, name, places[0], fields)
      found += _find_sessions(files, name, places, fields)
    if not found:
      raise errors.PastaError(f'{files.path(names[0])}: holds no record')
    if fields.by_turn:
      _check_one_file_each(files, found)
    # Of equal size: a unit of one session that is broken would be refused.
    num = -(-len(found) // _SESSIONS_PER_UNIT)
    ends = [len(found) * i // num for i in range(num + 1)]
    units = [_unit(files, found[a:b]) for a, b in itertools.pairwise(ends)]
    _check_first_sessions(files, _unit(files, found[:_TRIED_SESSIONS]), fields)
    return {'train': units}

  @classmethod
  def records(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, base.Make]]:
    fields = field_map.FieldMap(options)
    files = raw_files.open_raw(raw, unit.spec['zips'])

    def make(found):
      if isinstance(found, str):
        raise ValueError(found)
      example = fields.example(found, files)
      return example['session_id'], example

    for key, found in _sessions(files, unit, fields):
      yield key, functools.partial(make, found)

  @classmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    return list(example['images'])

  @classmethod
  def session(cls, example: Mapping[str, Any]) -> sessions.Session:
    num_columns = map_options.NUM_COLUMNS
    candidates = [
      Candidate(text.decode(), category.decode())
      for text, category in zip(example['prompts'], example['categories'])
    ]
    turns = []
    for t, choice in enumerate(example['choice']):
      comparison = int(example['comparison'][t])
      turns.append(
        logged.turn(
          candidates[num_columns * t : num_columns * (t + 1)],
          int(choice),
          float(example['satisfaction'][t]),
          None if comparison == field_map.NOT_ASKED else comparison,
          example['critique'][t].decode(),
        )
      )
    return logged.session(
      example['session_id'].decode(),
      example['user_id'].decode(),
      example['initial_prompt'].decode(),
      turns,
      map_options.IMAGES_PER_PROMPT,
      generator_id=example['generator_id'].decode(),
      t2i_id=example['t2i_id'].decode(),
    )


class _Found(NamedTuple):
  """Where a session's records lie.

  Attributes:
    name: of the file.
    session_id: None for a record without one, or where it is not looked for.
    places: of the records, one each.
  """

  name: str
  session_id: str | None
  places: list[records.Place]


_JSON = ('.json', '.jsonl', '.ndjson')


def _record_files(files: raw_files.RawFiles, pattern: str) -> list[str]:
  """The files that hold the records."""
  sizes = files.sizes()
  names = raw_files.matching(sizes, pattern)
  where = f"config field 'options.records' is {pattern!r}"
  if not names:
    with_ending = [n for n in sizes if records.ending(n)]
    raise errors.PastaError(
      f'{where}, but {files.raw} has no such file; of its {len(sizes)} files '
      f'these may hold records: {with_ending[:10] or "none"}'
    )
  for name in names:
    if not records.ending(name):
      raise errors.PastaError(
        f'{where}, which fits {name!r}, expected only files that end in '
        f'{", ".join(records.ENDINGS)}'
      )
  return names


def _find_sessions(
  files: raw_files.RawFiles,
  name: str,
  places: Sequence[records.Place],
  fields: field_map.FieldMap,
) -> list[_Found]:
  """A file's sessions in the order of their last records."""
  if not fields.by_turn:
    return [_Found(name, None, [p]) for p in places]
  found, alone, num = {}, [], 0
  whole = records.merged(places)
  for row, record in records.read(files, name, whole, fields.id_columns):
    place, num = places[row], num + 1
    try:
      key = fields.session_id(record)
    except ValueError:
      alone.append(_Found(name, None, [place]))
      continue
    found.setdefault(key, _Found(name, key, [])).places.append(place)
  if num < len(places):
    raise _changed(files, name)
  return sorted([*found.values(), *alone], key=lambda f: f.places[-1])


def _check_one_file_each(
  files: raw_files.RawFiles, found: Sequence[_Found]
) -> None:
  """Raises PastaError where the turns of a session lie in two files."""
  seen = {}
  for one in found:
    if one.session_id is None:
      continue
    other = seen.setdefault(one.session_id, one.name)
    if other != one.name:
      raise errors.PastaError(
        f'{files.path(one.name)}: holds turns of session '
        f'{one.session_id!r:.100}, as does {files.path(other)}; expected all '
        'turns of a session in one file'
      )


def _unit(files: raw_files.RawFiles, found: Sequence[_Found]) -> base.Unit:
  """A unit of sessions that follow each other."""
  parts = []
  for name, group in itertools.groupby(found, lambda f: f.name):
    group = list(group)
    places = records.merged([p for f in group for p in f.places])
    parts.append(
      {
        'name': name,
        'places': [list(p) for p in places],
        'ends': [f.places[-1].row for f in group],
      }
    )
  names = [p['name'] for p in parts]
  holders = dict.fromkeys([*map(files.holder, names), *files.zips])
  return base.Unit(
    f'{names[0]}#{parts[0]["ends"][0]}',
    tuple(holders),
    {'zips': list(files.zips), 'parts': parts},
  )


def _sessions(
  files: raw_files.RawFiles, unit: base.Unit, fields: field_map.FieldMap
) -> Iterator[tuple[str, list[dict[str, Any]] | str]]:
  """Name of each session of a unit and its records, or what is wrong."""
  for part in unit.spec['parts']:
    name, ends = part['name'], set(part['ends'])
    places = [records.Place(*p) for p in part['places']]
    waiting = {}
    for row, record in records.read(files, name, places, fields.columns):
      key = f'{name}, record {row}'
      is_end = row in ends
      ends.discard(row)
      try:
        session_id = fields.session_id(record)
      except ValueError as e:
        yield key, str(e)
        continue
      group = waiting.setdefault(session_id, [])
      if len(group) <= _MAX_RECORDS_OF_SESSION:
        group.append(record)
      if is_end:
        yield f'{key}, session {session_id!r:.100}', waiting.pop(session_id)
    if ends or waiting:
      raise _changed(files, name)


def _changed(files: raw_files.RawFiles, name: str) -> errors.PastaError:
  return errors.PastaError(
    f'{files.path(name)}: holds other records than when they were counted'
  )


def _check_first_record(
  files: raw_files.RawFiles,
  name: str,
  place: records.Place,
  fields: field_map.FieldMap,
) -> None:
  """Raises PastaError where it lacks what the map must find."""
  for _, record in records.read(files, name, [place]):
    where = f'the first record of {files.path(name)}'
    fields.check_required(record, where)


def _check_first_sessions(
  files: raw_files.RawFiles, unit: base.Unit, fields: field_map.FieldMap
) -> None:
  """Raises PastaError where the map fits none of a unit's sessions."""
  where = files.path(unit.spec['parts'][0]['name'])
  first, known, fits = None, [], False
  for key, found in _sessions(files, unit, fields):
    problem = found
    if not isinstance(found, str):
      known.append(found)
      try:
        fits = fits or bool(fields.example(found, files))
        continue
      except ValueError as e:
        problem = str(e)
    first = first or f'{key}: {problem}'
  if known:
    fields.check_optional(known, where)
  if not fits:
    raise errors.PastaError(
      f'{where}: the field map (config field options) fits none of the first '
      f'sessions, e.g. {first}'
    )
