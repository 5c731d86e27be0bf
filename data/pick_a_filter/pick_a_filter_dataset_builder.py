"""Pick-a-Filter (Chen et al., 2025): Pick-a-Pic v1 with two planted groups.

Features of prompts and images only, one small pickle a judgement.
"""

import functools
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow_datasets as tfds

from data import base
from data.formats import checks, raw_directory, torch_pickle, zip_files
from pasta import errors, seeds

_ENDING = '.joblib'
_MIX_RATIO = re.compile(r'0\.\d+|1\.0')
_SPLITS = ('train', 'validation', 'test')
_SAMPLES_PER_UNIT = 4096
_MAX_SAMPLE_BYTES = 32 << 20  # Tensors may bring the batch they are views of.
_MAX_LIST_BYTES = 64 << 20
_MAX_WIDTH = 1 << 16
_TRIED = 20  # samples, for one that tells the width
_SHOWN = 3
_FLOATS = ('<f8', '<f4', '<f2', ml_dtypes.bfloat16)


class Builder(base.PreferenceBuilder):
  """Pick-a-Filter, at one mixture ratio."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  HOMEPAGE = 'https://huggingface.co/datasets/ramya-ml/pick-a-filter-embeds'
  ENCODER_ID = 'laion/CLIP-ViT-H-14-laion2B-s32B-b79K'

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    found = super().check_options(options)
    ratio = found['mix_ratio']
    if not isinstance(ratio, str) or not _MIX_RATIO.fullmatch(ratio):
      raise errors.PastaError(
        f"config field 'options.mix_ratio' is {ratio!r}, expected a text from "
        "'0.0' to '1.0', as in paf_0.4_mix_ratio.zip"
      )
    return found

  @classmethod
  def feature_spec(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    def features(of: str) -> tfds.features.Tensor:
      return tfds.features.Tensor(
        shape=(None,), dtype=np.float16, encoding='bytes', doc=f'Of {of}.'
      )

    return {
      'prompt': features('the prompt'),
      'image_left': features('the left image'),
      'image_right': features('the right image'),
      'preferred_left': tfds.features.Scalar(
        np.float32, doc='1 = the left image is preferred, 0 = the right one.'
      ),
      'user_id': tfds.features.Text(),
      'ranking_id': tfds.features.Text(doc='Of this judgement: file name.'),
    }

  @classmethod
  def units(
    cls, raw: str, options: Mapping[str, Any]
  ) -> dict[str, list[base.Unit]]:
    raw_directory.check(raw)
    source = _find_source(raw, options['mix_ratio'])
    path = os.path.join(raw, source)
    members = _members(path)
    splits = _splits(raw, path, members, options)
    width = _width(path, list(members.values()))
    found = {}
    for split, ids in splits.items():
      ids = sorted(ids, key=_by_number)
      files = [source] if os.path.isfile(path) else []
      files += [f for f in [options[f'{split}_ids']] if f]
      found[split] = []
      for start in range(0, len(ids), _SAMPLES_PER_UNIT):
        names = [members[i] for i in ids[start : start + _SAMPLES_PER_UNIT]]
        digest = seeds.text_hash('\n'.join(names))
        found[split].append(
          base.Unit(
            f'{source}#{split}-{start}-{digest:016x}',
            tuple(files),
            {'source': source, 'names': names, 'width': width},
          )
        )
    return found

  @classmethod
  def records(
    cls, raw: str, unit: base.Unit, options: Mapping[str, Any]
  ) -> Iterator[tuple[str, base.Make]]:
    path = os.path.join(raw, unit.spec['source'])
    source, width = _open(path), unit.spec['width']

    def make(name):
      example = _example(source, name)
      if len(example['prompt']) != width:
        raise errors.PastaError(
          f'{path}: {name} has features of {len(example["prompt"])} numbers, '
          f'the first sample of {width}'
        )
      return example['ranking_id'], example

    for name in unit.spec['names']:
      where = f'{unit.spec["source"]}, {name}'
      yield where, functools.partial(make, name)

  @classmethod
  def images(cls, example: Mapping[str, Any]) -> list[bytes]:
    return [example['image_left'], example['image_right']]

  @classmethod
  def kind(cls, split: str) -> str:
    return 'pair'

  @classmethod
  def observations(
    cls, example: Mapping[str, Any], split: str
  ) -> list[base.Observation]:
    return [
      base.Observation(
        prompt=example['prompt'],
        columns=((0,), (1,)),
        feedback=float(example['preferred_left']),
        user_id=example['user_id'].decode(),
      )
    ]


class _Folder:
  """An unpacked zip file, read as `zip_files.ZipFile` is."""

  def __init__(self, path: str):
    self._path = path

  def read(self, name: str, max_bytes: int) -> bytes:
    try:
      with open(os.path.join(self._path, name), 'rb') as f:
        data = f.read(max_bytes + 1)
    except OSError as e:
      raise ValueError(f'cannot be read: {e.strerror}') from None
    if len(data) > max_bytes:
      raise ValueError(f'has more than the {max_bytes} bytes that are read')
    return data


def _open(path: str) -> zip_files.ZipFile | _Folder:
  return zip_files.open_zip(path) if os.path.isfile(path) else _Folder(path)


def _find_source(raw: str, ratio: str) -> str:
  """The zip file of a mixture ratio, or else the folder it was unpacked to."""
  name = f'paf_{ratio}_mix_ratio'
  if os.path.isfile(os.path.join(raw, f'{name}.zip')):
    return f'{name}.zip'
  if os.path.isdir(os.path.join(raw, name)):
    return name
  found = sorted(n for n in os.listdir(raw) if n.startswith('paf_'))
  raise errors.PastaError(
    f'{raw}: holds neither {name}.zip nor a folder {name}, found '
    f'{", ".join(found[:20]) or "no paf_*"}; config field '
    "'options.mix_ratio' chooses"
  )


def _members(path: str) -> dict[str, str]:
  """Names of the samples' files by ranking id."""
  if os.path.isfile(path):
    names = list(zip_files.open_zip(path).sizes)
  else:
    names = raw_directory.list_files(path)
  found = {}
  for name in names:
    ranking_id = os.path.basename(name).removesuffix(_ENDING)
    if not name.endswith(_ENDING) or not ranking_id:
      continue
    try:
      checks.as_text(name, f'the name of {name!r}')
    except ValueError as e:
      raise errors.PastaError(f'{path}: {e}') from None
    if ranking_id in found:
      raise errors.PastaError(
        f'{path}: {found[ranking_id]} and {name} have the same ranking id'
      )
    found[ranking_id] = name
  if not found:
    raise errors.PastaError(
      f'{path}: holds no RANKING_ID{_ENDING}, but {names[:_SHOWN] or "nothing"}'
    )
  return found


def _by_number(ranking_id: str) -> tuple[int, str]:
  """Sorts texts of digits as the numbers that they are."""
  return len(ranking_id), ranking_id


def _splits(
  raw: str, path: str, members: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, list[str]]:
  """Ranking ids by split."""
  lists = {s: options[f'{s}_ids'] for s in _SPLITS if options[f'{s}_ids']}
  if not lists:
    return {'train': list(members)}
  found, place = {}, {}
  for split, file in lists.items():
    where = raw_directory.safe_join(raw, file)
    if where is None:
      raise errors.PastaError(
        f"config field 'options.{split}_ids' is {file!r}, expected a path "
        f'within {raw}'
      )
    ids = _read_ids(where)
    missing = [i for i in ids if i not in members]
    if missing:
      raise errors.PastaError(
        f'{where}: {len(missing)} of {len(ids)} ranking ids have no sample in '
        f'{path}, e.g. {missing[:_SHOWN]}'
      )
    for i in ids:
      if i in place:
        raise errors.PastaError(
          f'{where}: ranking id {i!r:.60} stands in {place[i]} already'
        )
      place[i] = file
    found[split] = ids
  return found


def _read_ids(path: str) -> list[str]:
  """Ranking ids in a file of torch.save, of JSON, or of one a line."""
  ending = os.path.splitext(path)[1]
  if ending == '.pt':
    values = torch_pickle.load_torch(path, _MAX_LIST_BYTES)
    if isinstance(values, np.ndarray) and values.ndim == 1:
      values = list(values)
  elif ending in ('.json', '.txt'):
    text = _read_text(path)
    try:
      values = text.split() if ending == '.txt' else json.loads(text)
    except (ValueError, RecursionError) as e:
      raise errors.PastaError(f'{path}: is no JSON: {e}') from None
  else:
    raise errors.PastaError(
      f'{path}: expected a list of ranking ids that ends in .pt, .json or .txt'
    )
  if not isinstance(values, list) or not values:
    raise errors.PastaError(f'{path}: is no list of ranking ids, or is empty')
  found = []
  for i, value in enumerate(values):
    if isinstance(value, np.ndarray | np.generic) and value.ndim == 0:
      value = value.item()
    try:
      found.append(checks.as_user(value, f'entry {i}'))
    except ValueError as e:
      raise errors.PastaError(f'{path}: {e}') from None
  return found


def _read_text(path: str) -> str:
  try:
    with open(path, encoding='utf-8') as f:
      text = f.read(_MAX_LIST_BYTES + 1)
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from None
  except UnicodeDecodeError as e:
    raise errors.PastaError(f'{path}: is no text in UTF-8: {e}') from None
  if len(text) > _MAX_LIST_BYTES:
    raise errors.PastaError(f'{path}: is longer than {_MAX_LIST_BYTES} bytes')
  return text


def _width(path: str, names: list[str]) -> int:
  """Numbers in a feature, by the first sample that can be read."""
  source, reason = _open(path), ''
  for name in names[:_TRIED]:
    try:
      return len(_example(source, name)['prompt'])
    except ValueError as e:
      reason = reason or f'{name}: {e}'
  raise errors.PastaError(
    f'{path}: none of its first {min(len(names), _TRIED)} samples can be used; '
    f'{reason}'
  )


def _example(source: zip_files.ZipFile | _Folder, name: str) -> dict[str, Any]:
  """One sample; ValueError for one that cannot be used."""
  value = torch_pickle.load_joblib(
    source.read(name, _MAX_SAMPLE_BYTES), _MAX_SAMPLE_BYTES
  )
  match value:
    case (((user, prompt, (left, right)), y), _):
      pass
    case _:
      raise ValueError('is no (((user, prompt, (left, right)), y), id)')
  found = {
    'prompt': _features(prompt, 'prompt'),
    'image_left': _features(left, 'left image'),
    'image_right': _features(right, 'right image'),
  }
  widths = [len(x) for x in found.values()]
  if len(set(widths)) > 1:
    raise ValueError(
      f'prompt, left and right image have features of {widths} numbers'
    )
  ranking_id = os.path.basename(name).removesuffix(_ENDING)
  return {
    **found,
    'preferred_left': 1.0 if _sign(y) < 0 else 0.0,
    'user_id': checks.as_user(user, 'user'),
    'ranking_id': ranking_id,
  }


def _features(value: Any, name: str) -> np.ndarray:
  """A vector as float16."""
  if not isinstance(value, np.ndarray):
    raise ValueError(f'{name} is a {type(value).__name__}, expected a tensor')
  if value.dtype not in _FLOATS:
    raise ValueError(f'{name} is of type {value.dtype}, expected floats')
  if value.ndim != 1 or not 1 <= len(value) <= _MAX_WIDTH:
    raise ValueError(f'{name} has shape {value.shape}, expected a vector')
  with np.errstate(over='ignore', invalid='ignore'):
    found = value.astype('<f2')
  if not np.isfinite(found).all():
    raise ValueError(f'{name} holds what is not finite in float16')
  return found


def _sign(y: Any) -> float:
  """-1 or 1, given as a number or a tensor of one."""
  if isinstance(y, np.ndarray) and y.size == 1:
    y = y.item()
  number = checks.as_number(y, 'y', -1, 1)
  if abs(number) != 1:
    raise ValueError(f'y is {number:g}, expected -1 (left) or 1 (right)')
  return number
