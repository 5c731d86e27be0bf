"""Prepared data sets -> features, restartable, over all devices.

First pass: what lies where and what was said about it (`data.index`). Second
pass: distinct images and prompts through the encoder (`data.encode`). Then the
observations and the manifest, which says that all is there; or, of a data set
of sessions, these and their features (`data.extract_sessions`).
"""

import functools
import os
import shutil
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from data import (
  base,
  encode,
  extract_sessions,
  index,
  prepare_data,
  read,
  workers,
)
from pasta import errors, files, progress
from pasta import workdir as workdir_lib
from pasta.encoders import clip, image_encoder
from pasta.stages import extract_features
from pasta.storage import feature_rows
from pasta.storage import preferences as preferences_lib

_SHOWN = 20  # broken images that the manifest names
_IGNORED = ('num_threads', 'num_workers', 'num_devices')


Towers = tuple[clip.ClipEncoder, image_encoder.ImageEncoder]


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Features of what `config.data_set` names; '' = DIR/sessions.

  Args:
    config: `configs/extract_features.py`.
    workdir: holds data/ or sessions/; gets preferences/NAME/SPLIT, or sessions/
      and features/.

  Raises:
    PastaError: nothing is prepared there, or too many images are broken.
  """
  if not config.data_set:
    extract_features.run(config, workdir)
    return
  source = prepare_data.prepared_directory(
    config.data_set, config.variant, workdir
  )
  done = workdir_lib.read_done(source, 'prepare_data')
  cls = base.builder_class(config.data_set)
  prepared = read.Prepared(source)
  given = _given_encoder(cls, source)
  if bool(config.encoder) == bool(given):
    what = f'features of {given}' if given else 'images'
    expected = 'none (--config.encoder=)' if given else 'an encoder'
    raise errors.PastaError(
      f"config field 'encoder' is {config.encoder!r}, but {config.data_set} "
      f'holds {what}: expected {expected}'
    )
  splits = list(config.splits) or sorted(prepared.shards)
  for split in splits:
    prepared.split(split)  # Refuses unknown ones before any work.

  @functools.cache  # Where all is done already none is needed.
  def towers() -> Towers | None:
    if given:
      return None
    encoder = clip.ClipEncoder.load(config.encoder, dtype=config.dtype)
    return encoder, image_encoder.ImageEncoder(
      encoder, config.batch_size, config.num_devices
    )

  for split in splits:
    directory = _directory(config, cls, split, workdir)
    with workdir_lib.open_stage(
      'extract_features',
      directory,
      {**config.to_dict(), 'split': split},
      (done['fingerprint'],),
      _IGNORED,
      mark=jax.process_index() == 0,
    ) as info:
      if info is not None:
        info |= extract_split(config, prepared, cls, split, directory, towers())
    if jax.process_index() == 0:
      # Only a restart would have needed it.
      shutil.rmtree(
        os.path.join(directory, encode.RECEIPTS), ignore_errors=True
      )


def _given_encoder(cls: type[base.Builder], prepared: str) -> str:
  """Who made the features that a prepared data set holds; '' = images."""
  config = files.read_json(os.path.join(prepared, 'config.json'))
  return cls.encoder_id(prepare_data.options_of(config))


def _directory(config, cls, split: str, workdir: str) -> str:
  """Where a split's features go: sessions' where all stages look for them."""
  root = os.path.join(workdir, config.output)
  if issubclass(cls, base.SessionBuilder):
    return os.path.join(root, 'features')
  return os.path.join(root, config.data_set, split)


def extract_split(
  config: ml_collections.ConfigDict,
  prepared: read.Prepared,
  cls: type[base.Builder],
  split: str,
  directory: str,
  towers: Towers | None,
  process: tuple[int, int] | None = None,
) -> dict[str, Any]:
  """One split.

  Args:
    config: `configs/extract_features.py`.
    prepared: the data set.
    cls: its builder.
    split: name.
    directory: of the features; sessions go beside it.
    towers: the encoder; None for data sets that have features themselves.
    process: this one's number, and of how many; None: as JAX says.

  Returns:
    Numbers of what was found, and the time that encoding took.
  """
  process = process or (jax.process_index(), jax.process_count())
  is_sessions = issubclass(cls, base.SessionBuilder)
  work = os.path.join(directory, encode.RECEIPTS)
  # Features of distinct images and texts are what is wanted, or on the way.
  blocks = work if is_sessions else directory
  os.makedirs(os.path.join(blocks, encode.RECEIPTS), exist_ok=True)
  shards = prepared.split(split)
  paths = [os.path.join(work, f'{i:05d}.npz') for i in range(len(shards))]
  with_pool = is_sessions and config.with_pool
  jobs = [
    index.Job(config.data_set, prepared.directory, split, i, path, with_pool)
    for i, path in enumerate(paths)
    if i % process[1] == process[0]
  ]
  tasks = [(index.build, job) for job in jobs]
  with progress.progress(total=len(jobs), unit='shard', desc='index') as bar:
    for size in workers.run_tasks(tasks, config.num_workers):
      bar.update(size)
  _wait('index', process)
  found = index.merge(paths)
  sizes = {'block_size': config.block_images, 'process': process}
  times = {}
  if towers is None:
    encode.copy_features(blocks, prepared, cls, split, found, **sizes)
  else:
    times = encode.encode_images(
      blocks,
      prepared,
      cls,
      split,
      found,
      *towers,
      num_threads=config.num_threads,
      **sizes,
    )
    encode.encode_texts(blocks, found.texts, towers[0], **sizes)
  _wait('encode', process)
  counts = {}
  if process[0] == 0:
    if towers:
      encoder_id = towers[0].encoder_id
    else:
      encoder_id = _given_encoder(cls, prepared.directory)
    counts = _finish(config, cls, split, directory, found, towers, encoder_id)
  _wait('finish', process)  # Nobody calls the stage done before it is.
  return {**times, **counts}


def _wait(name: str, process: tuple[int, int]) -> None:
  """Waits for all processes of a pod."""
  if jax.process_count() > 1 and process[1] > 1:
    multihost_utils.sync_global_devices(name)


def _finish(
  config, cls, split, directory, found, towers, encoder_id
) -> dict[str, Any]:
  """What was said, then what says that all is there."""
  is_sessions = issubclass(cls, base.SessionBuilder)
  blocks = (
    os.path.join(directory, encode.RECEIPTS) if is_sessions else directory
  )
  receipts = {
    kind: encode.receipts(blocks, kind, -(-num // config.block_images))
    for kind, num in (
      ('image', len(found.image_at)),
      ('text', len(found.texts)),
    )
  }
  bad = {}
  for number, block in enumerate(receipts['image']):
    for i, reason in block['bad'].items():
      bad[number * config.block_images + int(i)] = reason
  if len(bad) > config.max_bad_share * len(found.image_at):
    raise errors.PastaError(
      f'split {split}: {len(bad)} of {len(found.image_at)} images are broken, '
      f"more than the share of config field 'max_bad_share', "
      f'{config.max_bad_share:g}; e.g. {next(iter(bad.values()))}'
    )
  if bad:
    logging.warning('split %s: %d images are broken', split, len(bad))
  shards = {kind: [b['shard'] for b in x] for kind, x in receipts.items()}
  counts = {
    'num_images': len(found.image_at),
    'num_bad_images': len(bad),
    'bad_images': list(bad.values())[:_SHOWN],
  }
  if is_sessions:
    return counts | extract_sessions.write(
      directory,
      found,
      {k: feature_rows.FeatureRows(blocks, v) for k, v in shards.items()},
      set(bad),
      encoder_id,
      with_pool=config.with_pool,
    )
  records, dropped = _records(cls.kind(split), found, set(bad))
  counts['num_dropped'] = dropped
  info = {**counts, 'data_set': config.data_set, 'split': split}
  if towers:
    info['preprocessing'] = {
      **vars(towers[0].preprocessing),
      'dtype': towers[0].dtype,
    }
  preferences_lib.finish(directory, records, shards, encoder_id, info)
  return counts | {'num_observations': len(records)}


def _records(
  kind: str, found: index.Index, bad: set[int]
) -> tuple[preferences_lib.Records, int]:
  """All observations as arrays; those of broken images are dropped."""
  items, dropped = [], 0
  for shard in range(len(found.paths)):
    for item in found.items(shard):
      if bad and any(i in bad for column in item['columns'] for i in column):
        dropped += 1
      else:
        items.append(item)
  if not items:
    raise errors.PastaError('the split holds no observation that can be used')
  num_columns = max(len(i['columns']) for i in items)
  num_images = max(len(c) for i in items for c in i['columns'])
  image = np.full((len(items), num_columns, num_images), -1, np.int64)
  for row, item in zip(image, items):
    row[: len(item['columns'])] = item['columns']
  feedback = _stack([i['feedback'] for i in items], -1)
  users = [i['user_id'] for i in items]
  extra = {
    name: _stack([i['extra'][name] for i in items], np.nan)
    for name in items[0]['extra']
  }
  records = preferences_lib.Records(
    kind=kind,
    feedback=feedback,
    text=np.array([i['texts'][0] for i in items], np.int64),
    image=image,
    user_id=None if None in users else np.array(users, np.str_),
    weight=np.array([i['weight'] for i in items], np.float32),
    extra=extra,
  )
  if 'centre_by' in extra:
    records = preferences_lib.centred(records, extra['centre_by'])
  return records, dropped


def _stack(values: list[Any], fill: float) -> np.ndarray:
  """Scalars, texts, or lists that are filled up to one length, as an array."""
  if not isinstance(values[0], list):
    return np.array(values)
  width = max(len(v) for v in values)
  return np.array([v + [fill] * (width - len(v)) for v in values])
