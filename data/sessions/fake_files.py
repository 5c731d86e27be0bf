"""A small table of sessions, parquet with images inside, a row a turn."""

import os

import pyarrow as pa
import pyarrow.parquet as pq

from data import fake_images
from data.own import fake_answers

_NUM_COLUMNS, _NUM_TURNS = 3, 3


def write(
  raw: str, num_sessions: int = 16, *, num_people: int = 6, size: int = 16
) -> None:
  """Writes sessions.parquet.

  Args:
    raw: directory, made where it is missing.
    num_sessions: of three turns of three columns of two images.
    num_people: who sit in them, in turns.
    size: height and width of the PNGs, in pixels.
  """
  os.makedirs(raw, exist_ok=True)
  found = fake_answers.answers(
    num_sessions * _NUM_TURNS, 1, 2 * _NUM_COLUMNS, 3
  )
  rows = []
  for i, a in enumerate(found):
    session, turn = divmod(i, _NUM_TURNS)
    person = session % num_people
    liked = [fake_images.utility(person, p) for p in a.pictures]
    best = max(range(len(liked)), key=liked.__getitem__)
    rows.append(
      {
        'session': f'session {session}',
        'person': f'person {person}',
        'turn': turn + 1,
        'prompt': f'a cat, {session}',
        'prompts': [f'{a.prompt}, {c}' for c in range(_NUM_COLUMNS)],
        'images': [fake_images.png(p, size) for p in a.pictures],
        'chosen': best // 2,
      }
    )
  table = pa.Table.from_pylist(rows)
  pq.write_table(table, os.path.join(raw, 'sessions.parquet'))
