"""What is to be rendered: prompts, or what sessions show.

`rendered` reads what a request has become.
"""

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import ml_collections

from pasta import errors
from pasta.encoders import clip
from pasta.encoders import store as feature_store
from pasta.storage import sessions as sessions_lib
from pasta.storage import typed
from pasta.t2i import store as image_store
from pasta.world import maker as maker_lib
from pasta.world import rendered


class Wanted(NamedTuple):
  """One column that is asked for, and what asks for it."""

  column: maker_lib.Column
  where: dict[str, Any]


def read(
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
  errors.check_least(
    config,
    "config field '{}'",
    seeds_per_prompt=1,
    images_per_prompt=1,
    chunk_columns=1,
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
      for prompt in typed.read(os.path.expanduser(config.prompts))
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


def lines(
  wanted: list[Wanted], model_id: str, encoder: clip.ClipEncoder | None
) -> str:
  """request.jsonl: a header, and a line for each column."""
  found = [
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
    found.append(line)
  return ''.join(
    json.dumps(x, ensure_ascii=False, separators=(',', ':')) + '\n'
    for x in found
  )
