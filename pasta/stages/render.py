"""Prompts, or what sessions show, to images and features in a store.

A store is addressed by content, so that a restart, another list of prompts or
another number of processes renders only what nobody has rendered before.
"""

import os

import jax
import ml_collections
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from pasta import errors, files, progress
from pasta import workdir as workdir_lib
from pasta.encoders import clip, image_encoder
from pasta.stages import stage
from pasta.world import maker as maker_lib
from pasta.world import requests

_STAGE = 'render'
# Those of stages, where results are, and what it costs to get them.
_IGNORED = (*stage.IGNORED, 'chunk_columns', 'num_devices', 'verify')
_TEXTS = 4096  # that are encoded and stored at once


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Renders and encodes what the store lacks.

  Args:
    config: `configs/render.py`.
    workdir: gets rendered/: request.jsonl, which lists the columns in order
      with the keys of their images and features, and store/, which has these.

  Raises:
    PastaError: the prompts or sessions cannot be read, the store cannot be
      written, or another process has died.
  """
  directory = os.path.join(workdir, 'rendered')
  is_first = jax.process_index() == 0
  model = maker_lib.build_t2i(config.world.t2i)
  wanted = requests.read(config, workdir, model.model_id)
  encoder = None
  if config.features:
    encoder = clip.ClipEncoder.load(config.world.encoder)
  lines = requests.lines(wanted, model.model_id, encoder)
  if is_first:
    fingerprint = _prepare(directory, config, lines)
  _wait('prepare')
  inside = not config.world.t2i.store
  where = os.path.expanduser(config.world.t2i.store)
  where = os.path.join(directory, 'store') if inside else os.path.abspath(where)
  maker = maker_lib.Maker(
    model,
    encoder,
    maker_lib.Store(where, config.world.t2i.store_images),
    encode_images=_encode_images(encoder, config.num_devices),
    chunk_columns=config.chunk_columns,
  )
  try:
    columns = list(dict.fromkeys(w.column for w in wanted))
    counts = _total(_fill(config, maker, columns))
    maker.store.close()  # All is on the disk before anybody says so.
    _wait('fill')
    if is_first:
      _check_all(maker, columns, where)
      info = {
        'num_columns': len(wanted),
        'num_distinct_columns': len(columns),
        **counts,
        'model_id': model.model_id,
        'encoder_id': encoder.encoder_id if encoder else '',
        # One inside moves with the directory.
        'store': 'store' if inside else where,
      }
      workdir_lib.mark_done(directory, _STAGE, fingerprint, info)
      logging.info(
        '%d columns, %d images: %d rendered, %d in the store already; %s',
        *(len(columns), counts['num_images'], counts['num_rendered']),
        *(counts['num_images_found'], where),
      )
    _wait('finish')  # Nobody calls the stage done before it is.
  finally:
    maker.close()


def _prepare(
  directory: str, config: ml_collections.ConfigDict, lines: str
) -> str:
  """Writes what is asked for; returns the stage's fingerprint.

  Another request than the last is not refused: what the store has stays right.
  """
  content = workdir_lib.compute_fingerprint({'request': lines})
  fingerprint = workdir_lib.compute_fingerprint(
    config, content, ignore=_IGNORED
  )
  path = os.path.join(directory, 'launch.json')
  if os.path.exists(path):
    last = files.read_json(path)
    if last['stage'] == _STAGE and last['fingerprint'] != fingerprint:
      logging.info('%s: another request than last time', directory)
      # In this order: what is left after a kill is not taken for a whole.
      for name in (f'{_STAGE}.done.json', 'config.json', 'launch.json'):
        if os.path.exists(os.path.join(directory, name)):
          os.remove(os.path.join(directory, name))
  workdir_lib.prepare(
    directory, config, stage=_STAGE, upstream=(content,), ignore=_IGNORED
  )
  path = os.path.join(directory, 'request.jsonl')
  try:
    files.atomic_write(path, lines.encode('utf-8', 'backslashreplace'))
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be written: {e.strerror}') from e
  return fingerprint


def _fill(
  config: ml_collections.ConfigDict,
  maker: maker_lib.Maker,
  columns: list[maker_lib.Column],
) -> dict[str, int]:
  """This process's share; columns are dealt by number."""
  rank, num = jax.process_index(), jax.process_count()
  mine = columns[rank::num]
  with progress.progress(total=len(mine), unit='column', desc='render') as bar:
    for done in maker.fill(mine, verify=config.verify):
      bar.update(done)
  if maker.encoder:
    texts = list(dict.fromkeys(c.prompt for c in columns))[rank::num]
    for i in range(0, len(texts), _TEXTS):
      maker.text_features(texts[i : i + _TEXTS])
  num_images = sum(c.num_images for c in mine)
  return {
    'num_images': num_images,
    'num_rendered': maker.num_images_made,
    'num_images_found': num_images - maker.num_images_made,
    'num_damaged': maker.store.num_damaged,
  }


def _encode_images(encoder: clip.ClipEncoder | None, num_devices: int):
  """How to encode over this host's devices; None for the encoder's own way."""
  num_devices = num_devices or jax.local_device_count()
  if encoder is None or num_devices == 1:
    return None
  # As many rows a device as one alone has: on CPUs that gives the same bits.
  size = encoder.batch_sizes[0] * num_devices
  return image_encoder.ImageEncoder(encoder, size, num_devices).encode_images


def _total(counts: dict[str, int]) -> dict[str, int]:
  """Sums over processes."""
  if jax.process_count() == 1:
    return counts
  gathered = multihost_utils.process_allgather(np.array(list(counts.values())))
  return dict(zip(counts, gathered.sum(0).tolist()))


def _check_all(
  maker: maker_lib.Maker, columns: list[maker_lib.Column], where: str
) -> None:
  """Raises where another process has not done its share."""
  maker.store.refresh()
  missing = [c for c in columns if not maker.is_stored(c)]
  if missing:
    raise errors.PastaError(
      f'{where}: lacks {len(missing)} of {len(columns)} columns, e.g. '
      f'{missing[0].prompt[:80]!r} with seed {missing[0].seed}: run the same '
      'command again'
    )


def _wait(name: str) -> None:
  """Waits for all processes."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)
