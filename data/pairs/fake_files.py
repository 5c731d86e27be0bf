"""A small table of pairs, parquet with images inside."""

import os

import pyarrow as pa
import pyarrow.parquet as pq

from data import fake_images
from data.own import fake_answers


def write(
  raw: str, num_rows: int = 150, *, num_people: int = 12, size: int = 32
) -> None:
  """Writes pairs.parquet.

  Args:
    raw: directory, made where it is missing.
    num_rows: pairs.
    num_people: who judge them.
    size: height and width of the PNGs, in pixels.
  """
  os.makedirs(raw, exist_ok=True)
  rows = [
    {
      'person': a.person,
      'prompt': a.prompt,
      'image_a': fake_images.png(a.pictures[0], size),
      'image_b': fake_images.png(a.pictures[1], size),
      'chosen': 'a' if a.utility[0] > a.utility[1] else 'b',
    }
    for a in fake_answers.answers(num_rows, num_people, 2, 0)
  ]
  table = pa.Table.from_pylist(rows)
  pq.write_table(table, os.path.join(raw, 'pairs.parquet'))
