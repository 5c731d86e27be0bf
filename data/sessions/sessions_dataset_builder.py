"""Sessions of several turns, from a table: one row a turn."""

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import base, logged
from data.formats import field_paths
from data.own import builder, cells, people, table
from pasta import errors, labels
from pasta.storage import sessions
from pasta.types import UNKNOWN_CATEGORY, Candidate

_NEEDED = ('session', 'prompt', 'prompts', 'images', 'chosen')


class Builder(builder.Table, base.SessionBuilder):
  """One row: the columns of a turn, and which of them was chosen."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  NEEDED = _NEEDED

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    found = super().check_options(options)
    low, high = found['satisfaction_low'], found['satisfaction_high']
    if not low < high:
      raise errors.PastaError(
        f"config field 'options.satisfaction_low' is {low}, expected less than "
        f"'options.satisfaction_high', {high}"
      )
    return found

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    text, sequence = tfds.features.Text, tfds.features.Sequence
    return {
      'session': text(),
      'person': text(doc='That of the session where people are unknown.'),
      'prompt': text(doc='What was typed first.'),
      'prompts': sequence(text(), doc='Of turn after turn, column by column.'),
      'images': sequence(tfds.features.Image(), doc='Of each prompt, M each.'),
      'chosen': sequence(np.int64, doc='Column of each turn, from 0.'),
      'satisfaction': sequence(np.float32, doc='In [0, 1]; NaN: not asked.'),
    }

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    files, fields = table.open_table(raw), options['fields']
    crowd = people.People(fields['person'])
    ids = people.People(fields['session'], 'session')
    units = []
    for name in table.find_files(raw, options['files']):
      blocks = table.blocks(files, name)
      paths = cls.paths(files, name, options)
      looked_at = {f: paths[f] for f in ('person', 'session') if f in paths}
      done, last = set(), None
      for block in blocks:
        for row, found in table.rows(files, name, block, looked_at):
          where = f'{files.path(name)}, row {row}'
          session = ids.add(found['session'][0], where)
          crowd.add(found.get('person', [None])[0], where)
          if session != last and session in done:
            raise errors.PastaError(
              f'{where}: session {session!r:.60} had ended before; expected '
              'its rows together'
            )
          done.add(session)
          last = session
      units.append(base.Unit(name, (name,), {'blocks': blocks}))
    return {'train': units}

  @classmethod
  def records(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, base.Make]]:
    files, name = table.open_table(raw), unit.files[0]
    paths = cls.paths(files, name, options)
    folder = builder.image_folder(raw, name, options)
    rows = (
      row
      for block in unit.spec['blocks']
      for row in table.rows(files, name, table.Block(*block), paths)
    )
    for session, found in itertools.groupby(rows, lambda r: r[1]['session'][0]):
      turns = list(found)
      yield (
        f'{name}, session {session!r:.60} at row {turns[0][0]}',
        functools.partial(
          _example, [cells for _, cells in turns], folder, options
        ),
      )

  @classmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    return list(example['images'])

  @classmethod
  def session(cls, example: Mapping[str, Any]) -> sessions.Session:
    chosen, prompts = example['chosen'], example['prompts']
    num_columns = len(prompts) // len(chosen)
    shown = [Candidate(p.decode(), UNKNOWN_CATEGORY) for p in prompts]
    turns = [
      logged.turn(
        shown[num_columns * t : num_columns * (t + 1)],
        int(choice),
        float(score),
      )
      for t, (choice, score) in enumerate(zip(chosen, example['satisfaction']))
    ]
    return logged.session(
      example['session'].decode(),
      example['person'].decode(),
      example['prompt'].decode(),
      turns,
      len(example['images']) // len(prompts),
    )


def _example(rows, folder, options) -> tuple[str, dict[str, Any]]:
  """(key, example) of a session's rows; ValueError where one does not fit."""
  rows = _in_order(rows)
  session = cells.person(rows[0]['session'][0], 'session')[0]
  person = session
  if 'person' in rows[0]:
    found = {cells.person(r['person'][0], 'person')[0] for r in rows}
    person = _one(found, 'person')
  example = {
    'session': session,
    'person': person,
    'prompt': _one(
      {cells.text(r['prompt'][0], 'prompt') for r in rows}, 'prompt'
    ),
    'prompts': [],
    'images': [],
    'chosen': [],
    'satisfaction': [],
  }
  sizes = set()
  for row in rows:
    prompts = [cells.text(p, 'prompts') for p in _list(row, 'prompts')]
    images = _list(row, 'images')
    if images and isinstance(images[0], list):
      images = list(itertools.chain.from_iterable(images))
    if len(prompts) < 2 or len(images) % len(prompts) or not images:
      raise ValueError(
        f'{len(images)} images for {len(prompts)} prompts, expected as many '
        'for each of 2 prompts or more'
      )
    sizes.add((len(prompts), len(images)))
    example['prompts'] += prompts
    example['images'] += [cells.image(x, 'images', folder) for x in images]
    example['chosen'].append(
      cells.chosen(row['chosen'][0], 'chosen', options['first_index'], prompts)
    )
    example['satisfaction'].append(_satisfaction(row, options))
  if len(sizes) > 1:
    raise ValueError('turns show different numbers of prompts or images')
  return session, example


def _in_order(rows: list[Mapping[str, list[Any]]]) -> list:
  """Turns by their number; ValueError where one is there twice."""
  if 'turn' not in rows[0]:
    return rows
  numbers = [cells.number(r['turn'][0], 'turn') for r in rows]
  if len(set(numbers)) < len(numbers):
    raise ValueError('turn: two rows have the same number')
  return [rows[i] for i in np.argsort(numbers)]


def _one(found: set[str], name: str) -> str:
  if len(found) > 1:
    raise ValueError(f'{name} differs from row to row: {sorted(found)!r:.80}')
  return next(iter(found))


def _list(row: Mapping[str, list[Any]], name: str) -> list[Any]:
  value = row[name]  # cells of several columns, or one with a list
  value = field_paths.unpack(value[0]) if len(value) == 1 else value
  if not isinstance(value, list):
    raise ValueError(f'{name} is {type(value).__name__}, expected a list')
  return value


def _satisfaction(row: Mapping[str, list[Any]], options) -> float:
  """In [0, 1]; NaN where it was not asked."""
  if 'satisfaction' not in row or labels.is_missing(row['satisfaction'][0]):
    return math.nan
  low, high = options['satisfaction_low'], options['satisfaction_high']
  value = cells.number(row['satisfaction'][0], 'satisfaction', low, high)
  return (value - low) / (high - low)
