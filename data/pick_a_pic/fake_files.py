"""Small files in Pick-a-Pic's format, with people who have tastes.

Everybody likes one colour: of two images the redder (or greener, bluer) one
wins, with noise and ties. So a user model has something to find in them.
"""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data import fake_images

SPLITS = {'train': 1.0, 'validation': 0.1, 'test': 0.1}  # of num_rows


def write(
  raw: str,
  num_rows: int = 200,
  *,
  num_users: int = 20,
  size: int = 64,
  rows_per_group: int = 50,
  groups_per_file: int = 2,
  seed: int = 0,
) -> None:
  """Writes SPLIT-NNNNN-of-NNNNN-HASH.parquet files.

  Args:
    raw: directory, made where it is missing.
    num_rows: of the training split; the others have a tenth each.
    num_users: people in all splits.
    size: height and width of the JPEGs, in pixels.
    rows_per_group: rows of a row group.
    groups_per_file: row groups of a file.
    seed: of all that is drawn.
  """
  os.makedirs(raw, exist_ok=True)
  rng = np.random.default_rng(seed)
  ranking_id = 1
  for split, share in SPLITS.items():
    num = max(int(num_rows * share), 8)
    per_file = rows_per_group * groups_per_file
    starts = range(0, num, per_file)
    for i, start in enumerate(starts):
      count = min(per_file, num - start)
      table = _rows(rng, count, num_users, size, ranking_id)
      ranking_id += count
      name = f'{split}-{i:05d}-of-{len(starts):05d}-0123456789abcdef.parquet'
      pq.write_table(
        table, os.path.join(raw, name), row_group_size=rows_per_group
      )


def _rows(rng, num, num_users, size, first_id) -> pa.Table:
  """Rows in which people go on from the image that they liked last."""
  rows, previous = [], {}
  for i in range(num):
    user = int(rng.integers(num_users))
    if user in previous and rng.random() < 0.6:
      caption, kept = previous[user]
    else:
      caption = fake_images.prompt(rng)
      kept = fake_images.draw(rng, caption)
    sides = [kept, fake_images.draw(rng, caption)]
    utility = [fake_images.utility(user, s) for s in sides]
    gap = utility[0] - utility[1] + 0.1 * rng.normal()
    label = 0.5 if abs(gap) < 0.05 else float(gap > 0)
    best = sides[0] if label >= 0.5 else sides[1]
    previous[user] = caption, best
    uids = [fake_images.uid(s) for s in sides]
    rows.append(
      {
        'are_different': True,
        'best_image_uid': 'tie' if label == 0.5 else fake_images.uid(best),
        'caption': caption,
        'created_at': np.datetime64('2023-01-01', 'ns')
        + np.timedelta64(first_id + i, 's'),
        'has_label': bool(rng.random() > 0.02),
        **{f'image_{s}_uid': uids[s] for s in (0, 1)},
        **{f'image_{s}_url': f'https://example.org/{uids[s]}' for s in (0, 1)},
        **{f'jpg_{s}': fake_images.jpeg(sides[s], size) for s in (0, 1)},
        'label_0': label,
        'label_1': 1.0 - label,
        'model_0': 'stabilityai/stable-diffusion-2-1',
        'model_1': 'dreamlike-art/dreamlike-photoreal-2.0',
        'ranking_id': first_id + i,
        'user_id': user,
        'num_example_per_prompt': int(rng.integers(1, 4)),
        '__index_level_0__': i,
      }
    )
  schema = pa.schema(
    [
      ('are_different', pa.bool_()),
      ('best_image_uid', pa.string()),
      ('caption', pa.string()),
      ('created_at', pa.timestamp('ns')),
      ('has_label', pa.bool_()),
      ('image_0_uid', pa.string()),
      ('image_0_url', pa.string()),
      ('image_1_uid', pa.string()),
      ('image_1_url', pa.string()),
      ('jpg_0', pa.binary()),
      ('jpg_1', pa.binary()),
      ('label_0', pa.float64()),
      ('label_1', pa.float64()),
      ('model_0', pa.string()),
      ('model_1', pa.string()),
      ('ranking_id', pa.int64()),
      ('user_id', pa.int64()),
      ('num_example_per_prompt', pa.int64()),
      ('__index_level_0__', pa.int64()),
    ]
  )
  return pa.Table.from_pylist(rows, schema)
