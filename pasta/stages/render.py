"""Prompts, or what sessions show, to images and features in a store.

A store is addressed by content, so that a restart, another list of prompts or
another number of processes renders only what nobody has rendered before.
"""

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from pasta import errors, progress
from pasta import workdir as workdir_lib
from pasta.encoders import clip, image_encoder
from pasta.encoders import store as feature_store
from pasta.stages import stage
from pasta.storage import sessions as sessions_lib
from pasta.t2i import store as image_store
from pasta.world import maker as maker_lib
from pasta.world import rendered

_STAGE = 'render'
# Those of stages, where results are, and what it costs to get them.
_IGNORED = (*stage.IGNORED, 'chunk_columns', 'num_devices', 'verify')
_TEXTS = 4096  # that are encoded and stored at once


class Wanted(NamedTuple):
  """One column that is asked for, and what asks for it."""

  column: maker_lib.Column
  where: dict[str, Any]


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
  wanted = read_request(config, workdir, model.model_id)
  encoder = None
  if config.features:
    encoder = clip.ClipEncoder.load(config.world.encoder)
  lines = _request_lines(wanted, model.model_id, encoder)
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


def read_request(
  config: ml_collections.ConfigDict, workdir: str, model_id: str
) -> list[Wanted]:
  """The columns that a config asks for, in order.

  Raises:
    PastaError: there is nothing to render, or it cannot be read.
  """
  if bool(config.prompts) == bool(config.sessions):
    raise errors.PastaError(
      f"config fields 'prompts' and 'sessions' are {config.prompts!r} and "
      f'{config.sessions!r}, expected exactly one of them: a text file, or a '
      'directory of sessions'
    )
  for name in ('seeds_per_prompt', 'images_per_prompt', 'chunk_columns'):
    if config[name] < 1:
      raise errors.PastaError(
        f'config field {name!r} is {config[name]}, expected at least 1'
      )
  if config.prompts:
    if not 0 <= config.first_seed <= 2**63 - config.seeds_per_prompt:
      raise errors.PastaError(
        f"config field 'first_seed' is {config.first_seed}, expected 0 or "
        'more, and seeds below 2^63'
      )
    num = config.images_per_prompt
    return [
      Wanted(maker_lib.Column(prompt, config.first_seed + i, num), {})
      for prompt in read_prompts(os.path.expanduser(config.prompts))
      for i in range(config.seeds_per_prompt)
    ]
  if config.columns not in ('shown', 'candidates'):
    raise errors.PastaError(
      f"config field 'columns' is {config.columns!r}, expected 'shown' or "
      "'candidates'"
    )
  directory = os.path.join(workdir, os.path.expanduser(config.sessions))
  records = sessions_lib.read_dir(directory)
  wanted = list(_of_sessions(records, model_id, config.columns == 'candidates'))
  if not wanted:
    raise errors.PastaError(f'{directory}: holds no session')
  return wanted


def read_prompts(path: str) -> list[str]:
  """Distinct prompts of a text file, one a line; blank lines do not count.

  Raises:
    PastaError: it cannot be read, is not UTF-8 or holds no prompt.
  """
  try:
    with open(path, 'rb') as f:
      data = f.read()
  except OSError as e:
    raise errors.PastaError(f'{path}: cannot be read: {e.strerror}') from e
  try:
    text = data.decode('utf-8-sig')
  except UnicodeDecodeError as e:
    line = data[: e.start].count(b'\n') + 1
    raise errors.PastaError(
      f'{path}: line {line} is not UTF-8 ({e.reason})'
    ) from None
  lines = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
  prompts = [line.strip() for line in lines if line.strip()]
  if not prompts:
    raise errors.PastaError(f'{path}: holds no prompt, expected one a line')
  distinct = list(dict.fromkeys(prompts))
  if len(distinct) < len(prompts):
    logging.info(
      '%s: %d prompts, %d of them distinct', path, len(prompts), len(distinct)
    )
  return distinct


def _of_sessions(
  records: Iterable[sessions_lib.Session], model_id: str, with_pool: bool
) -> Iterator[Wanted]:
  """What sessions showed; with the pool, all that they could have shown."""
  for record in records:
    if record.t2i_id != model_id:
      raise errors.PastaError(
        f'session {record.session_id} shows images of {record.t2i_id}, the '
        f'config makes {model_id}'
      )
    for t, turn in enumerate(record.turns):
      seeds = dict(zip(turn.slate, turn.seeds))
      shown = range(len(turn.candidates)) if with_pool else turn.slate
      for c in shown:
        # Had it been shown, it would have been with the turn's own seed.
        column = maker_lib.Column(
          turn.candidates[c].text,
          seeds.get(c, turn.seeds[0]),
          record.images_per_prompt,
        )
        yield Wanted(
          column,
          {'session_id': record.session_id, 'turn': t, 'candidate': c},
        )


def _request_lines(
  wanted: list[Wanted], model_id: str, encoder: clip.ClipEncoder | None
) -> str:
  """request.jsonl: a header, and a line for each column."""
  lines = [
    {
      'format': rendered.FORMAT,
      'version': rendered.VERSION,
      'num_columns': len(wanted),
      'model_id': model_id,
      'encoder_id': encoder.encoder_id if encoder else '',
    }
  ]
  for column, where in wanted:
    key = image_store.column_key(model_id, column.prompt, column.seed)
    line = {**where, **column._asdict(), 'images': key}
    if encoder:
      line['image_features'] = feature_store.image_key(encoder, key)
      line['text_features'] = feature_store.text_key(encoder, column.prompt)
    lines.append(line)
  return ''.join(
    json.dumps(x, ensure_ascii=False, separators=(',', ':')) + '\n'
    for x in lines
  )


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
    last = workdir_lib.read_json(path)
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
    workdir_lib.atomic_write(path, lines.encode('utf-8', 'backslashreplace'))
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
