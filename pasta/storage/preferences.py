"""Preference data as features: one directory a data set, read by memory map.

  manifest.json       encoder, kind of feedback, sizes, the shards' rows, info
  text-00000.npy ...  features of distinct prompts, float16 [rows, D]
  image-00000.npy ... features of distinct images, float16 [rows, D]
  observations.npz    who, which prompt, which images, which feedback

An observation points at its prompt and images, so that what several share is
stored and encoded once. The manifest is written last: with it, all is there.
"""

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pasta import errors, files, labels
from pasta.storage import feature_rows
from pasta.storage import session_features as features_lib

VERSION = 1
KINDS = ('choice', 'pair', 'ranking', 'rating')
_MANIFEST, _OBSERVATIONS = 'manifest.json', 'observations.npz'
_EXTRA = 'extra_'  # in front of the names of extra arrays


@dataclasses.dataclass(frozen=True)
class Records:
  """N observations of one kind.

  Attributes:
    kind: one of KINDS.
    feedback: 'choice': chosen column [N], int; 'pair': how much the first of
      two columns was preferred [N], in [0, 1]; 'ranking': columns from best to
      worst [N, L], int, -1 from where it ends; 'rating': a number [N].
    text: row of the columns' common prompt [N], int64.
    image: rows of the columns' images [N, L, M], int64; -1 = no such column.
    user_id: [N], texts; None = not known.
    weight: of each in the likelihood [N], float32, above 0.
    extra: further arrays [N, ...] by name, which evaluation reads.
  """

  kind: str
  feedback: np.ndarray
  text: np.ndarray
  image: np.ndarray
  user_id: np.ndarray | None
  weight: np.ndarray
  extra: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

  def __len__(self) -> int:
    return len(self.feedback)

  def select(self, index: np.ndarray) -> 'Records':
    """The observations at the given positions, in that order."""
    return dataclasses.replace(
      self,
      feedback=self.feedback[index],
      text=self.text[index],
      image=self.image[index],
      user_id=None if self.user_id is None else self.user_id[index],
      weight=self.weight[index],
      extra={k: v[index] for k, v in self.extra.items()},
    )


def centred(records: Records, group: np.ndarray) -> Records:
  """Ratings less their mean over each person's of the same group [N]."""
  if records.user_id is None:
    raise errors.PastaError('ratings can be centred only where users are known')
  keys = np.stack([records.user_id.astype(str), group.astype(str)], 1)
  _, place = np.unique(keys, axis=0, return_inverse=True)
  place = place.reshape(-1)
  mean = np.bincount(place, records.feedback) / np.bincount(place)
  return dataclasses.replace(records, feedback=records.feedback - mean[place])


def check(records: Records, num_texts: int, num_images: int, name: str) -> None:
  """Raises PastaError, naming the first bad record, unless all fits."""
  errors.check_known(f'{name}: kind', records.kind, KINDS)
  num = len(records)
  if not num:
    raise errors.PastaError(f'{name}: holds no observation')
  columns = records.image.shape[1] if records.image.ndim == 3 else 0
  shapes = {
    'text': (num,),
    'image': (num, *records.image.shape[1:][:2]),
    'feedback': (num, columns) if records.kind == 'ranking' else (num,),
    'weight': (num,),
  }
  if records.user_id is not None:
    shapes['user_id'] = (num,)
  for field, array in records.extra.items():
    if len(array) != num:
      raise errors.PastaError(
        f'{name}: extra array {field} has {len(array)} rows, expected {num}'
      )
  for field, shape in shapes.items():
    found = np.shape(getattr(records, field))
    if found != shape or (field == 'image' and len(found) != 3):
      raise errors.PastaError(
        f'{name}: {field} has shape {found}, expected {shape}'
        + (' = [N, L, M]' if field == 'image' else '')
      )
  if records.kind == 'pair' and columns != 2:
    raise errors.PastaError(f'{name}: pairs of {columns} columns, expected 2')
  there = (records.image >= 0).all(-1)  # [N, L]
  feedback = np.asarray(records.feedback)

  def refuse(bad: np.ndarray, what: str, values: np.ndarray) -> None:
    if bad.any():
      first = int(np.argmax(bad))
      raise errors.PastaError(
        f'{name}: record {first}: {what} (found {values[first].tolist()})'
      )

  refuse(
    (records.text < 0) | (records.text >= num_texts),
    f'text is not a row of 0 to {num_texts - 1}',
    records.text,
  )
  refuse(
    (records.image >= num_images).any((1, 2))
    | (there != (records.image >= 0).any(-1)).any(1),
    f'image rows are not 0 to {num_images - 1}, or -1 for a whole column',
    records.image,
  )
  refuse(~there.any(1), 'there is no column', records.image)
  refuse(
    ~(np.isfinite(records.weight) & (records.weight > 0)),
    'weight is not above 0',
    records.weight,
  )
  if records.kind in ('pair', 'rating'):
    refuse(~np.isfinite(feedback), 'feedback is not finite', feedback)
    refuse(~there.all(1), 'a column is missing', records.image)
  if records.kind == 'pair':
    refuse((feedback < 0) | (feedback > 1), 'label outside [0, 1]', feedback)
  if records.kind == 'choice':
    outside = (feedback < 0) | (feedback >= columns)
    refuse(outside, f'choice is not 0 to {columns - 1}', feedback)
    taken = there[np.arange(num), feedback]
    refuse(~taken, 'the chosen column is not there', feedback)
  if records.kind == 'ranking':
    _check_rankings(feedback, there, refuse)


def _check_rankings(order, there, refuse) -> None:
  num, columns = order.shape
  outside = (order < -1) | (order >= columns)
  refuse(outside.any(1), f'ranking names columns beyond {columns - 1}', order)
  named = order >= 0
  refuse(~named[:, 0], 'ranking names no column', order)
  gap = (~named[:, :-1] & named[:, 1:]).any(1)
  refuse(gap, 'ranking goes on after its end (-1)', order)
  count = np.zeros((num, columns), int)
  rows, places = np.nonzero(named)
  np.add.at(count, (rows, order[rows, places]), 1)
  refuse((count > 1).any(1), 'ranking names a column twice', order)
  refuse((count > there).any(1), 'ranking names a missing column', order)


def save(
  directory: str,
  records: Records,
  text: Iterable[np.ndarray] | np.ndarray,
  image: Iterable[np.ndarray] | np.ndarray,
  encoder_id: str,
) -> None:
  """Writes a data set.

  Args:
    directory: where to; must not hold a data set yet.
    records: the observations.
    text: features of distinct prompts [rows, D], or blocks of them.
    image: the same of distinct images.
    encoder_id: who made the features.

  Raises:
    PastaError: a data set is there already, a feature is not finite (its row
      is named), or records that do not fit.
  """
  path = os.path.join(directory, _MANIFEST)
  if os.path.exists(path):
    raise errors.PastaError(f'{directory}: holds preference data already')
  os.makedirs(directory, exist_ok=True)
  shards = {
    name: feature_rows.write_shards(directory, name, blocks)
    for name, blocks in (('text', text), ('image', image))
  }
  finish(directory, records, shards, encoder_id, {})


def finish(
  directory: str,
  records: Records,
  shards: Mapping[str, Sequence[Mapping]],
  encoder_id: str,
  info: Mapping,
) -> None:
  """Writes observations and manifest beside feature files that are there.

  Args:
    directory: holds the files.
    records: the observations.
    shards: 'text' and 'image': file, rows, dim and sha256 of each file.
    encoder_id: who made the features.
    info: plain values on where they come from.

  Raises:
    PastaError: records that do not fit, or a user_id that is missing.
  """
  rows = {k: sum(s['rows'] for s in v) for k, v in shards.items()}
  check(records, rows['text'], rows['image'], directory)
  arrays = {
    'feedback': records.feedback,
    'text': records.text.astype(np.int64),
    'image': records.image.astype(np.int64),
    'weight': records.weight.astype(np.float32),
  }
  if records.user_id is not None:
    who = labels.check(records.user_id, f'{directory}: user_id')
    arrays['user_id'] = np.asarray(who, np.str_)
  arrays |= {_EXTRA + k: v for k, v in records.extra.items()}
  where = os.path.join(directory, _OBSERVATIONS)
  features_lib.save_arrays(where, arrays)
  with open(where, 'rb') as f:
    digest = hashlib.sha256(f.read()).hexdigest()
  files.write_json(
    os.path.join(directory, _MANIFEST),
    {
      'version': VERSION,
      'kind': records.kind,
      'encoder_id': encoder_id,
      'observations_sha256': digest,
      **shards,
      'info': info,
    },
  )


@dataclasses.dataclass(frozen=True)
class Store:
  """A data set on disk.

  Attributes:
    directory: where it lies.
    records: the observations, in memory.
    text: features of prompts, by memory map.
    image: features of images, by memory map.
    encoder_id: who made the features.
    info: plain values on where it comes from; 'data_set' and 'split' of what
      `launch.extract_features` has made.
  """

  directory: str
  records: Records
  text: feature_rows.FeatureRows
  image: feature_rows.FeatureRows
  encoder_id: str
  info: Mapping = dataclasses.field(default_factory=dict)


def _manifest(directory: str) -> str:
  """The path of a data set's manifest; PastaError where there is none."""
  path = os.path.join(directory, _MANIFEST)
  if not os.path.exists(path):
    raise errors.PastaError(
      f'{directory}: no preference data there (expected {_MANIFEST})'
    )
  return path


def fingerprint(directory: str) -> str:
  """Stands for a data set's content; PastaError where there is none."""
  path = _manifest(directory)
  with open(path, 'rb') as f:
    return hashlib.sha256(f.read()).hexdigest()


def load(directory: str) -> Store:
  """Opens a data set; PastaError names a file that is missing or damaged."""
  path = _manifest(directory)
  manifest = files.read_json(path)
  missing = {'version', 'kind', 'encoder_id', 'text', 'image'} - set(manifest)
  if missing:
    raise errors.PastaError(f'{path}: lacks {sorted(missing)}')
  if manifest['version'] != VERSION:
    raise errors.PastaError(
      f'{path}: version {manifest["version"]}, expected {VERSION}'
    )
  text = feature_rows.FeatureRows(directory, manifest['text'])
  image = feature_rows.FeatureRows(directory, manifest['image'])
  if text.shape[1] != image.shape[1]:
    raise errors.PastaError(
      f'{path}: prompts have D = {text.shape[1]}, images {image.shape[1]}'
    )
  path = os.path.join(directory, _OBSERVATIONS)
  try:
    with np.load(path, allow_pickle=False) as f:
      arrays = {k: f[k] for k in f.files}
    records = Records(
      kind=manifest['kind'],
      feedback=arrays['feedback'],
      text=arrays['text'],
      image=arrays['image'],
      user_id=arrays.get('user_id'),
      weight=arrays['weight'],
      extra={
        k.removeprefix(_EXTRA): v
        for k, v in arrays.items()
        if k.startswith(_EXTRA)
      },
    )
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
    raise errors.PastaError(
      f'{path}: not a complete file of observations ({e})'
    ) from None
  check(records, text.shape[0], image.shape[0], path)
  return Store(
    directory,
    records,
    text,
    image,
    manifest['encoder_id'],
    manifest.get('info', {}),
  )
