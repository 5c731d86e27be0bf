"""What the data sets share: a TFDS builder over deterministic work units.

A data set says how its raw files fall into units (`units`), which records one
holds and how a record becomes an example (`records`). From that come TFDS's own
way of building it, on this machine or on Apache Beam, and `data.prepare_data`,
which is restartable and uses all cores:

  builder = pick_a_pic_dataset_builder.Builder(data_dir=DIR)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=RAW),
    file_format='array_record')

Records that are broken one by one are `Skipped` and counted; files that cannot
be what they are taken for raise PastaError.
"""

import abc
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from absl import logging

from configs import prepare_data as config_lib
from pasta import errors
from pasta.storage import sessions

# Under Beam nobody sees all counts, so each unit is judged by itself.
_BEAM_MOST_SKIPPED_SHARE = 0.5


class Unit(NamedTuple):
  """A part of the raw files that is read at once and becomes one shard.

  Attributes:
    name: of the part, unique within its split and the same at every run.
    files: the raw files it is read from, relative to their directory.
    spec: plain values for `read`.
  """

  name: str
  files: tuple[str, ...]
  spec: Mapping[str, Any]


class Skipped(NamedTuple):
  """A record that cannot be used.

  Attributes:
    key: names the record for a person: file and position or id.
    reason: what is wrong with it.
  """

  key: str
  reason: str


# (key, example); ValueError says what is wrong with the record.
Make = Callable[[], tuple[str, Mapping[str, Any]]]


class Observation(NamedTuple):
  """What somebody said about some images of an example.

  Attributes:
    prompt: its text (bytes where the builder has an `encoder_id`).
    columns: L columns of M positions each in `Builder.images(example)`.
    feedback: as in `pasta.storage.preferences.Records` for the split's kind.
    user_id: who; None where it is not known.
    weight: in the likelihood, above 0.
    extra: further numbers or texts of this observation, the same names for
      all of a split. `order`: a number that grows with time, for 'after
      earlier answers' and reserve 'last' (left out: the order of the file).
      `image_uid_0`, `image_uid_1`: for the protocol 'chains'. `mean_rank`,
      `prompt_row`: for 'rankings'. The rest is only stored.
  """

  prompt: str | bytes
  columns: tuple[tuple[int, ...], ...]
  feedback: Any
  user_id: str | None
  weight: float = 1.0
  extra: Mapping[str, Any] = {}


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A data set that is built from files which the user has fetched.

  Subclasses define VERSION, RELEASE_NOTES, HOMEPAGE and the methods below; all
  but the constructor are class methods, so that workers need no instance.

  Attributes:
    ENCODER_ID: of a data set that has features in place of images and texts:
      who made them. Its `images` and the prompts of its observations are
      float16 features as bytes, and nothing is left to encode.
  """

  MANUAL_DOWNLOAD_INSTRUCTIONS = 'See README.md beside the builder.'
  HOMEPAGE = ''
  ENCODER_ID = ''

  def __init__(
    self,
    *,
    options: Mapping[str, Any] | None = None,
    beam: bool = False,
    **kwargs: Any,
  ):
    """Args as of `tfds.core.DatasetBuilder`, and:

    Args:
      options: the data set's own options, see its README.
      beam: build on Apache Beam; `download_config` names the runner.
      **kwargs: of tfds.core.DatasetBuilder.
    """
    self.options = self.check_options(options or {})
    self._beam = beam
    super().__init__(**kwargs)

  @classmethod
  def default_options(cls) -> dict[str, Any]:
    """The data set's options, as configs/prepare_data.py has them."""
    return dict(config_lib.OPTIONS.get(cls.name, {}))

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with defaults filled in; PastaError for unknown ones."""
    found = cls.default_options()
    for name, value in options.items():
      if name not in found:
        raise errors.PastaError(
          f'{cls.name}: unknown option {name!r}, expected one of '
          f'{sorted(found)}'
        )
      found[name] = value
    return found

  @classmethod
  def locate(
    cls, raw: str, options: Mapping[str, Any]
  ) -> tuple[str, dict[str, Any]]:
    """The directory that --raw means, and options that go with it."""
    return raw, dict(options)

  @classmethod
  def stamp(cls, raw: str, options: Mapping[str, Any]) -> str:
    """Stands for the raw files' state; '' = finished sets never look again."""
    del raw, options
    return ''

  @classmethod
  def encoder_id(cls, options: Mapping[str, Any]) -> str:
    """Who made the features that stand in place of images; '' = images."""
    del options
    return cls.ENCODER_ID

  @classmethod
  @abc.abstractmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an example, as tfds.features."""

  @classmethod
  @abc.abstractmethod
  def units(cls, raw: str, options: Mapping[str, Any]) -> dict[str, list[Unit]]:
    """The units of every split, in a fixed order.

    Args:
      raw: directory of the raw files.
      options: the data set's own.

    Raises:
      PastaError: files are missing or cannot be read.
    """

  @classmethod
  def records(
    cls, raw: str, unit: Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, Make]]:
    """Yields a unit's records, each with its name for a person, in fixed order.

    Not asked of a data set that has its own `read`.

    Raises:
      PastaError: a file is not what it is taken for; names it.
    """
    raise NotImplementedError

  @classmethod
  def read(
    cls, raw: str, unit: Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, Mapping[str, Any]] | Skipped]:
    """Yields (key, example) or what had to be skipped, in a fixed order.

    Raises:
      PastaError: as `records`.
    """
    for name, make in cls.records(raw, unit, options):
      try:
        found = make()
      except errors.PastaError:  # A ValueError, too, but of the whole file.
        raise
      except ValueError as e:
        found = Skipped(name, str(e))
      yield found

  @classmethod
  @abc.abstractmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    """All encoded images of a stored example."""

  @classmethod
  @abc.abstractmethod
  def kind(cls, split: str) -> str:
    """The kind of feedback of a split.

    One of `preferences.KINDS`, or 'session' of a `SessionBuilder`.
    """

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(self.feature_spec(self.options)),
      homepage=self.HOMEPAGE,
      disable_shuffling=True,  # The order of the raw files is kept.
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    raw = os.fspath(dl_manager.manual_dir)
    return {
      split: self._generate_examples(raw, units)
      for split, units in self.units(raw, self.options).items()
    }

  def _generate_examples(self, raw: str, units: Sequence[Unit]):
    if not self._beam:
      return self._examples(raw, units)
    beam = tfds.core.lazy_imports.apache_beam
    cls, options = type(self), self.options
    return (
      f'{self.name} units' >> beam.Create(list(enumerate(units)))
      | 'spread' >> beam.Reshuffle()
      | 'read'
      >> beam.FlatMap(
        lambda numbered: _beam_examples(cls, raw, numbered, options)
      )
    )

  def _examples(self, raw, units):
    number, skipped = 0, 0
    for unit in units:
      for item in self.read(raw, unit, self.options):
        if isinstance(item, Skipped):
          skipped += 1
        else:
          yield number, item[1]
          number += 1
    if skipped:
      logging.warning('%s: skipped %d broken records', self.name, skipped)


class PreferenceBuilder(Builder, skip_registration=True):
  """A data set of examples, each with what was said about its images."""

  @classmethod
  @abc.abstractmethod
  def observations(
    cls, example: Mapping[str, Any], split: str
  ) -> list[Observation]:
    """What was said about a stored example's images.

    Args:
      example: fields as stored: texts and images are bytes, a sequence of
        dicts is a dict of arrays.
      split: which one it belongs to.
    """


class SessionBuilder(Builder, skip_registration=True):
  """A data set of whole sessions, one an example, all in the split 'train'."""

  @classmethod
  @abc.abstractmethod
  def session(cls, example: Mapping[str, Any]) -> sessions.Session:
    """A stored example as a session of ours.

    `images(example)` has its images turn by turn, in a turn slate entry by
    slate entry, M each.
    """

  @classmethod
  def kind(cls, split: str) -> str:
    return 'session'


def _beam_examples(cls, raw, numbered, options):
  """(key, example) of a unit; keys keep the order of the raw files."""
  index, unit = numbered
  good, skipped = 0, []
  for item in cls.read(raw, unit, options):
    if isinstance(item, Skipped):
      skipped.append(item)
    else:
      yield (index << 32) + good, item[1]
      good += 1
  if len(skipped) > _BEAM_MOST_SKIPPED_SHARE * (good + len(skipped)):
    raise errors.PastaError(
      f'{unit.name}: {len(skipped)} of {good + len(skipped)} records are '
      f'broken, e.g. {skipped[0].key}: {skipped[0].reason}'
    )


def builder_class(name: str) -> type[Builder]:
  """The builder of the data set in data/NAME; PastaError where none is."""
  names = [
    n
    for n in sorted(os.listdir(os.path.dirname(__file__)))
    if os.path.exists(_builder_file(n))
  ]
  if name not in names:
    raise errors.PastaError(
      f'there is no data set {name!r}, expected one of {names}'
    )
  return importlib.import_module(f'data.{name}.{name}_dataset_builder').Builder


def _builder_file(name: str) -> str:
  return os.path.join(
    os.path.dirname(__file__), name, f'{name}_dataset_builder.py'
  )
