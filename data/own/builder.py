"""Tables of pairs, ratings and slate choices that somebody brings.

What they share: one row is one answer; a map says which column is what; people
are split into those to train and those to test on. `data/README.md` has the
commands.
"""

import collections
import functools
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from data import base
from data.formats import raw_files
from data.own import cells, people, table
from pasta import errors, labels

_TRIED_ROWS = 100  # for one that tells how wide features are


class Answer(NamedTuple):
  """One row, as a kind of answers reads it.

  Attributes:
    images: cells of the images.
    feedback: as in `pasta.storage.preferences.Records`.
  """

  images: list[Any]
  feedback: float


class Table(base.Builder, skip_registration=True):
  """What all tables share: which files, and which columns.

  Attributes:
    NEEDED: fields that must name a column.
    SEVERAL: fields that may name several columns.
  """

  NEEDED: tuple[str, ...] = ()
  SEVERAL: tuple[str, ...] = ('images', 'prompts')

  @classmethod
  def locate(
    cls, raw: str, options: Mapping[str, Any]
  ) -> tuple[str, dict[str, Any]]:
    directory, pattern = table.locate(raw)
    if pattern and options['files']:
      raise errors.PastaError(
        f"flag --raw={raw} and config field 'options.files' = "
        f'{options["files"]!r} both name files, expected one of them'
      )
    return directory, {**options, 'files': pattern or options['files']}

  @classmethod
  def stamp(cls, raw: str, options: Mapping[str, Any]) -> str:
    stats = [
      (name, os.stat(os.path.join(raw, name)))
      for name in table.find_files(raw, options['files'])
    ]
    state = [(name, s.st_size, s.st_mtime_ns) for name, s in stats]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    found = super().check_options(options)
    defaults = cls.default_options()['fields']
    for name in found['fields']:
      errors.check_known(f"{cls.name}: field of 'fields'", name, defaults)
    found['fields'] = {**defaults, **found['fields']}
    for name in cls.NEEDED:
      if not found['fields'][name]:
        raise errors.PastaError(
          f"config field 'fields.{name}' is empty, expected the name of a "
          'column; launch.inspect_data shows them'
        )
    if found.get('first_index', 0) not in (0, 1):
      raise errors.PastaError(
        f"config field 'options.first_index' is {found['first_index']}, "
        'expected 0 or 1'
      )
    return found

  @classmethod
  def paths(
    cls, files: raw_files.RawFiles, name: str, options: Mapping[str, Any]
  ) -> table.Paths:
    """Where the fields are found in a file; PastaError where one is not."""
    where, known = files.path(name), table.columns(files, name)
    return table.paths(where, known, options['fields'], cls.SEVERAL)


class Builder(Table, base.PreferenceBuilder, skip_registration=True):
  """One row an answer; a subclass says of which kind.

  Attributes:
    KIND: of `preferences.KINDS`.
    IMAGES: fields that hold an image or several.
    IMAGE_IDS: fields that name each of IMAGES, where they are given.
  """

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  KIND = ''
  IMAGES: tuple[str, ...] = ()
  IMAGE_IDS: tuple[str, ...] = ()

  @classmethod
  def answer(
    cls, row: Mapping[str, list[Any]], options: Mapping[str, Any]
  ) -> Answer:
    """A row's images and feedback; ValueError says what is wrong with it."""
    raise NotImplementedError

  @classmethod
  def encoder_id(cls, options: Mapping[str, Any]) -> str:
    return options['encoder_id']

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    found = super().check_options(options)
    fields = found['fields']
    if found['encoder_id'] and not fields['prompt_features']:
      raise errors.PastaError(
        "config field 'fields.prompt_features' is empty, expected a column: "
        "with 'options.encoder_id' prompts come as features, too"
      )
    if fields['prompt_features'] and not found['encoder_id']:
      raise errors.PastaError(
        "config field 'options.encoder_id' is empty, expected the name of the "
        "encoder that made 'fields.prompt_features' and the images' features"
      )
    if found['encoder_id']:
      fields['prompt'] = ''
    if not 0 < found['test_share'] < 1:
      raise errors.PastaError(
        f"config field 'options.test_share' is {found['test_share']}, expected "
        'a share of people above 0 and below 1'
      )
    return found

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    text, scalar = tfds.features.Text, tfds.features.Scalar
    spec = {
      'row': text(doc='File and row that it comes from.'),
      'person': text(doc="'' = not known."),
      'feedback': scalar(np.float32, doc=f'Of the kind {cls.KIND}.'),
      'time': scalar(np.float64, doc='Grows with time; NaN = not known.'),
      'image_ids': tfds.features.Sequence(text()),
    }
    if not options['encoder_id']:
      images = tfds.features.Sequence(tfds.features.Image())
      return spec | {'prompt': text(), 'images': images}
    made = functools.partial(
      tfds.features.Tensor, shape=(None,), dtype=np.float16, encoding='bytes'
    )
    return spec | {
      'prompt': made(doc='Features of the prompt [D].'),
      'features': made(doc='Of one image after the other [L * D].'),
    }

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    names = table.find_files(raw, options['files'])
    files = table.open_table(raw)
    column = options['fields']['person']
    crowd, ids = people.People(column), _ImageIds(raw, options)
    found = []
    for name in names:
      blocks = table.blocks(files, name)  # Before all: it may be empty.
      paths = cls.paths(files, name, options)
      looked_at = cls._looked_at(paths)
      for block in blocks:
        who = []
        for row, found_cells in table.rows(files, name, block, looked_at):
          where = f'{files.path(name)}, row {row}'
          who.append(crowd.add(found_cells.get('person', [None])[0], where))
          for field, image_id in zip(cls.IMAGES, cls.IMAGE_IDS):
            if image_id in paths:
              ids.add(found_cells[image_id][0], found_cells[field][0], where)
        if len(who) != block.num_rows:
          raise errors.PastaError(f'{files.path(name)}: changed while read')
        found.append((name, block, who))
    if not column:
      logging.warning(
        "%s: config field 'fields.person' is empty: every row is a person of "
        "its own; train with the source's membership = 'example'",
        cls.name,
      )
    limit = crowd.limit(options['test_share'])
    width = cls._width(files, found, options) if options['encoder_id'] else None
    units = collections.defaultdict(list)
    for name, block, who in found:
      for split, rows in people.by_split(who, limit).items():
        if rows:
          spec = {'block': block, 'rows': rows, 'width': width}
          unit = f'{name}#{split}-{block.row}-{limit:016x}'
          units[split].append(base.Unit(unit, (name,), spec))
    return dict(units)

  @classmethod
  def _looked_at(cls, paths: table.Paths) -> table.Paths:
    """What is read of all rows before any: people, and names of images."""
    pairs = zip(cls.IMAGES, cls.IMAGE_IDS)
    named = [f for pair in pairs if pair[1] in paths for f in pair]
    wanted = [f for f in ('person', *named) if f in paths]
    return {f: paths[f] for f in wanted or list(paths)[:1]}

  @classmethod
  def _width(cls, files, found, options) -> int | None:
    """Numbers in the first features; None where none of the first rows fits."""
    name, block, _ = found[0]
    paths = {'prompt_features': cls.paths(files, name, options)}
    paths = {'prompt': paths['prompt_features']['prompt_features']}
    for row, row_cells in table.rows(files, name, block, paths):
      if row >= _TRIED_ROWS:
        break
      try:
        return len(cells.features(row_cells['prompt'][0], 'prompt', None))
      except ValueError:
        continue
    return None

  @classmethod
  def records(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, base.Make]]:
    files, name = table.open_table(raw), unit.files[0]
    paths = cls.paths(files, name, options)
    block, wanted = table.Block(*unit.spec['block']), set(unit.spec['rows'])
    folder = image_folder(raw, name, options)
    for row, row_cells in table.rows(files, name, block, paths):
      if row - block.row in wanted:
        key = f'{name}, row {row}'
        yield (
          key,
          functools.partial(
            cls._example, key, row_cells, folder, unit.spec['width'], options
          ),
        )

  @classmethod
  def _example(cls, key, row, folder, width, options):
    """(key, example) of a row's cells; ValueError for one that is no answer."""
    answer = cls.answer(row, options)
    names = cls.IMAGES
    if len(names) != len(answer.images):
      names = [f'{names[0]}[{i}]' for i in range(len(answer.images))]
    named = list(zip(answer.images, names))
    example = {
      'row': key,
      'person': '',
      'feedback': answer.feedback,
      'time': math.nan,
      'image_ids': [
        cells.person(row[f][0], f)[0] for f in cls.IMAGE_IDS if f in row
      ],
    }
    if 'person' in row:
      example['person'] = cells.person(row['person'][0], 'person')[0]
    if 'time' in row:
      example['time'] = cells.time(row['time'][0], 'time')
    if options['encoder_id']:
      prompt = cells.features(row['prompt_features'][0], 'prompt', width)
      found = [cells.features(x, n, width) for x, n in named]
      return key, {
        **example,
        'prompt': prompt,
        'features': np.concatenate(found),
      }
    prompt = cells.text(row['prompt'][0], 'prompt') if 'prompt' in row else ''
    images = [cells.image(x, n, folder) for x, n in named]
    return key, {**example, 'prompt': prompt, 'images': images}

  @classmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    if 'images' in example:
      return list(example['images'])
    size, features = len(example['prompt']), example['features']
    return [features[i : i + size] for i in range(0, len(features), size)]

  @classmethod
  def kind(cls, split: str) -> str:
    return cls.KIND

  @classmethod
  def observations(
    cls, example: Mapping[str, Any], split: str
  ) -> list[base.Observation]:
    person, feedback = example['person'].decode(), float(example['feedback'])
    extra = {
      f'image_uid_{i}': image_id.decode()
      for i, image_id in enumerate(example['image_ids'])
    }
    if not math.isnan(float(example['time'])):
      extra['order'] = float(example['time'])
    prompt = example['prompt']
    return [
      base.Observation(
        prompt=prompt if 'features' in example else prompt.decode(),
        columns=tuple((i,) for i in range(len(cls.images(example)))),
        feedback=int(feedback) if cls.KIND == 'choice' else feedback,
        user_id=person or None,
        extra=extra,
      )
    ]


def image_folder(raw: str, name: str, options: Mapping[str, Any]) -> str:
  """What paths of images start in: the option, or where their file lies."""
  if options['image_folder']:
    return os.path.join(raw, os.path.expanduser(options['image_folder']))
  return os.path.dirname(os.path.join(raw, name)) or '.'


class _ImageIds:
  """Refuses an id that stands for two different images."""

  def __init__(self, raw: str, options: Mapping[str, Any]):
    self._raw, self._options = raw, options
    self._known = {}  # id -> digest, where it stood

  def add(self, image_id: Any, cell: Any, where: str) -> None:
    if labels.is_missing(image_id):
      return  # Its row is skipped.
    content = cells.reference(cell)
    if isinstance(content, str):
      content = os.path.normpath(content)
    digest = hashlib.blake2b(
      content if isinstance(content, bytes) else repr(content).encode(),
      digest_size=16,
    ).digest()
    known, first = self._known.setdefault(str(image_id), (digest, where))
    if known != digest:
      raise errors.PastaError(
        f'{where}: the image id {image_id!r:.60} stands for another image than '
        f'in {first}'
      )
