"""What the data sets share: a TFDS builder over deterministic work units.

A data set says how its raw files fall into units (`units`) and how one is read
(`read`). From that come TFDS's own way of building it, on this machine or on
Apache Beam, and `data.prepare_data`, which is restartable and uses all cores:

  builder = pick_a_pic_dataset_builder.Builder(data_dir=DIR)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=RAW),
    file_format='array_record')

Records that are broken one by one are `Skipped` and counted; files that cannot
be what they are taken for raise PastaError.
"""

import abc
import importlib
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from absl import logging

from pasta import errors
from pasta.storage import sessions

MAX_IMAGE_BYTES = 64 << 20
_IMAGE_STARTS = (
  b'\xff\xd8\xff',  # JPEG
  b'\x89PNG\r\n\x1a\n',
  b'RIFF',  # WebP
)
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


class Observation(NamedTuple):
  """What somebody said about some images of an example.

  Attributes:
    prompt: its text (bytes where the builder has an ENCODER_ID).
    columns: L columns of M positions each in `Builder.images(example)`.
    feedback: as in `pasta.storage.preferences.Records` for the split's kind.
    user_id: who; None where it is not known.
    weight: in the likelihood, above 0.
    extra: further numbers or texts of this observation, the same names for
      all of a split.
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
    """The data set's options and their defaults."""
    return {}

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
  @abc.abstractmethod
  def read(
    cls, raw: str, unit: Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, Mapping[str, Any]] | Skipped]:
    """Yields (key, example) or what had to be skipped, in a fixed order.

    Raises:
      PastaError: a file is not what it is taken for; names it.
    """

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


def image_problem(data: Any) -> str | None:
  """What is wrong with an encoded image, by its first bytes; None = nothing."""
  if not isinstance(data, bytes | memoryview) or not len(data):
    return 'has no image'
  if len(data) > MAX_IMAGE_BYTES:
    return (
      f'its image has {len(data)} bytes, at most {MAX_IMAGE_BYTES} are read'
    )
  if not bytes(data[:8]).startswith(_IMAGE_STARTS):
    return 'its image is neither JPEG nor PNG nor WebP'
  return None


def check_directory(raw: str) -> None:
  """Raises PastaError unless the raw files' directory can be listed."""
  if not os.path.isdir(raw):
    what = 'is a file' if os.path.exists(raw) else 'does not exist'
    raise errors.PastaError(
      f'flag --raw: {raw} {what}, expected the directory of the raw files'
    )


def list_files(raw: str) -> list[str]:
  """Regular files below a directory, relative, sorted; no linked folders."""
  check_directory(raw)
  found = []
  for where, _, names in os.walk(raw):
    found += [os.path.relpath(os.path.join(where, n), raw) for n in names]
  return sorted(n for n in found if os.path.isfile(os.path.join(raw, n)))


def safe_join(root: str, relative: Any) -> str | None:
  """ROOT/RELATIVE, or None for what is no path within ROOT.

  Absolute paths, '..' that leaves the root and links out of it are refused.
  """
  if not isinstance(relative, str) or not relative or '\0' in relative:
    return None
  if os.path.isabs(relative) or '\\' in relative:
    return None
  path = os.path.normpath(os.path.join(root, relative))
  real_root = os.path.realpath(root)
  if os.path.commonpath([real_root, os.path.realpath(path)]) != real_root:
    return None
  return path


def read_image(root: str, relative: Any) -> tuple[bytes, str]:
  """Bytes of an image file below ROOT and '', or b'' and what is wrong."""
  path = safe_join(root, relative)
  if path is None:
    return b'', f'image path {relative!r} does not stay within {root}'
  try:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
      return b'', f'image {relative!r} is not a file'
    if status.st_size > MAX_IMAGE_BYTES:
      return b'', f'image {relative!r} has {status.st_size} bytes'
    with open(path, 'rb') as f:
      data = f.read()
  except (OSError, ValueError) as e:
    reason = getattr(e, 'strerror', None) or e
    return b'', f'image {relative!r} cannot be read: {reason}'
  problem = image_problem(data)
  return (b'', f'{relative!r}: {problem}') if problem else (data, '')


def as_text(value: Any, name: str) -> str:
  """A text field; ValueError where it is no text or cannot be stored."""
  if not isinstance(value, str):
    raise ValueError(f'{name} is {_kind(value)}, expected a text')
  try:
    value.encode()
  except UnicodeEncodeError:
    raise ValueError(f'{name} is not valid Unicode') from None
  return value


def as_number(
  value: Any, name: str, low: float = -math.inf, high: float = math.inf
) -> float:
  """A finite number in [low, high]; ValueError where it is not."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise ValueError(f'{name} is {_kind(value)}, expected a number')
  try:
    number = float(value)
  except OverflowError:
    number = math.inf
  if not (math.isfinite(number) and low <= number <= high):
    raise ValueError(f'{name} is {value!r:.40}, expected {low:g} to {high:g}')
  return number


def as_integer(
  value: Any, name: str, low: int = -(2**63), high: int = 2**63 - 1
) -> int:
  """A whole number in [low, high]; ValueError where it is not."""
  if isinstance(value, bool) or not isinstance(value, int):
    raise ValueError(f'{name} is {_kind(value)}, expected a whole number')
  if not low <= value <= high:
    raise ValueError(f'{name} is {value!r:.40}, expected {low} to {high}')
  return value


def as_user(value: Any, name: str) -> str:
  """A person's id, given as text or whole number; ValueError otherwise."""
  if isinstance(value, int) and not isinstance(value, bool):
    return str(value)
  if not as_text(value, name):
    raise ValueError(f'{name} is empty')
  return value


def _kind(value: Any) -> str:
  return 'missing' if value is None else f'a {type(value).__name__}'
