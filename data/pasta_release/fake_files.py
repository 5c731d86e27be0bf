"""Small sessions of people with tastes, in layouts that a release may have.

The names of files and fields of the real release are not public: all that is
here is made up, and only shows that a map of fields can describe it. A person
likes a column as much as its best image, and mostly picks the best one.
"""

import csv
import io
import json
import os
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data import fake_images
from pasta.types import CATEGORIES

NUM_TURNS, NUM_COLUMNS, IMAGES_PER_PROMPT = 5, 4, 4
LAYOUTS = ('session', 'turn', 'csv')
# What describes each layout.
OPTIONS = {
  # JSON lines, a session each; images by their names.
  'session': {
    'records': 'release/sessions-*.jsonl',
    'session_id': 'id',
    'user_id': 'rater.id',
    'initial_prompt': 'initial_prompt',
    'turns': 'turns',
    'prompts': 'columns[].prompt',
    'images': 'columns[].images[].file',
    'images_folder': 'release/images',
    'category': 'columns[].category',
    'choice': 'selected_column',
    'satisfaction': 'rating',
    'satisfaction_low': 1.0,
    'satisfaction_high': 5.0,
    'comparison': 'versus_last_turn',
    'critique': 'feedback',
  },
  # Parquet, a turn each; images by their places in the session.
  'turn': {
    'records': 'turns.parquet',
    'rows': 'turn',
    'session_id': 'session',
    'user_id': 'rater',
    'initial_prompt': 'query',
    'turn': 'turn',
    'turn_base': 0,
    'prompts': 'prompts',
    'image_path': 'images/{session_id}/{turn}/{column}_{image}.png',
    'choice': 'chosen',
    'choice_is': 'flags',
  },
  # One table, a turn a row, numbers from 1, images as JSON in a cell.
  'csv': {
    'records': 'ratings.csv',
    'rows': 'turn',
    'session_id': 'session_id',
    'initial_prompt': 'initial_prompt',
    'turn': 'turn',
    'turn_base': 1,
    'first_index': 1,
    'prompts': 'prompt_{column}',
    'images': 'images_{column}',
    'choice': 'choice',
    'choice_base': 1,
    'critique': 'critique',
    'comparison': 'better',
    'comparison_better': '1',
    'comparison_same': '0',
    'comparison_worse': '-1',
  },
}


def write(
  raw: str,
  num_sessions: int = 12,
  *,
  layout: str = 'session',
  packed: bool = False,
  num_users: int = 6,
  num_files: int = 2,
  size: int = 64,
  seed: int = 0,
) -> None:
  """Writes one of LAYOUTS.

  Args:
    raw: directory, made where it is missing.
    num_sessions: of NUM_TURNS turns each.
    layout: which of the layouts.
    packed: whether all lies in one zip file, pasta-data.zip.
    num_users: people.
    num_files: in layout 'session', over which sessions are spread.
    size: height and width of the images, in pixels.
    seed: of all that is drawn.
  """
  rng = np.random.default_rng(seed)
  sessions = [_session(rng, i, num_users) for i in range(num_sessions)]
  maker = {'session': _by_session, 'turn': _by_turn, 'csv': _as_csv}[layout]
  files = maker(sessions, size, num_files)
  os.makedirs(raw, exist_ok=True)
  if packed:
    path = os.path.join(raw, 'pasta-data.zip')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as packed_file:
      for name, data in files.items():
        # Without the time of writing: the same bytes at every run.
        packed_file.writestr(
          zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED
        )
    return
  for name, data in files.items():
    os.makedirs(os.path.dirname(os.path.join(raw, name)), exist_ok=True)
    with open(os.path.join(raw, name), 'wb') as f:
      f.write(data)


def _session(rng: np.random.Generator, index: int, num_users: int) -> dict:
  """What happens in a session, in names of its own."""
  user = int(rng.integers(num_users))
  initial = prompt = fake_images.prompt(rng)
  turns, last = [], None
  for _ in range(NUM_TURNS):
    prompts = [f'{prompt}, {fake_images.prompt(rng)}' for _ in range(4)]
    pictures = [
      [fake_images.draw(rng, p) for _ in range(IMAGES_PER_PROMPT)]
      for p in prompts
    ]
    utility = np.array(
      [
        max(fake_images.utility(user, picture) for picture in column)
        for column in pictures
      ]
    )
    choice = int(np.argmax(utility + 0.1 * rng.normal(size=NUM_COLUMNS)))
    change = 0.0 if last is None else utility[choice] - last
    turns.append(
      {
        'prompts': prompts,
        'pictures': pictures,
        'categories': rng.choice(CATEGORIES, 4).tolist(),
        'choice': choice,
        'rating': int(np.clip(round(3 + 2.5 * utility[choice]), 1, 5)),
        'change': 0 if abs(change) < 0.1 else int(np.sign(change)),
        'critique': 'more "colour", please' if rng.random() < 0.3 else '',
      }
    )
    last, prompt = utility[choice], prompts[choice][:100]
  return {
    'id': f's{index:04d}',
    'user': f'r{user:03d}',
    'initial': initial,
    'turns': turns,
  }


def _by_session(
  sessions: list[dict[str, Any]], size: int, num_files: int
) -> dict[str, bytes]:
  files, lines = {}, []
  names = {-1: 'worse', 0: 'same', 1: 'better'}
  for session in sessions:
    turns = []
    for t, turn in enumerate(session['turns']):
      columns = []
      for prompt, category, pictures in zip(
        turn['prompts'], turn['categories'], turn['pictures']
      ):
        for picture in pictures:
          name = f'release/images/{fake_images.uid(picture)}.jpg'
          files[name] = fake_images.jpeg(picture, size)
        columns.append(
          {
            'prompt': prompt,
            'category': category,
            'images': [
              {'file': f'{fake_images.uid(p)}.jpg', 'model': 'SDXL'}
              for p in pictures
            ],
          }
        )
      turns.append(
        {
          'columns': columns,
          'selected_column': turn['choice'],
          'rating': turn['rating'],
          'versus_last_turn': names[turn['change']] if t else None,
          'feedback': turn['critique'] or None,
        }
      )
    record = {
      'id': session['id'],
      'rater': {'id': session['user'], 'country': 'unknown to us'},
      'initial_prompt': session['initial'],
      'turns': turns,
    }
    lines.append(json.dumps(record, ensure_ascii=False) + '\n')
  for i in range(num_files):
    name = f'release/sessions-{i}.jsonl'
    first, last = (len(lines) * k // num_files for k in (i, i + 1))
    files[name] = ''.join(lines[first:last]).encode()
  return files


def _by_turn(
  sessions: list[dict[str, Any]], size: int, unused_num_files: int
) -> dict[str, bytes]:
  files, rows = {}, []
  # The first turns of all sessions, then the second ones: nothing says that a
  # session's rows follow each other.
  for t in range(NUM_TURNS):
    for session in sessions:
      turn = session['turns'][t]
      for c, column in enumerate(turn['pictures']):
        for m, picture in enumerate(column):
          name = f'images/{session["id"]}/{t}/{c}_{m}.png'
          files[name] = fake_images.png(picture, size)
      rows.append(
        {
          'session': session['id'],
          'rater': int(session['user'][1:]),
          'query': session['initial'],
          'turn': t,
          'prompts': turn['prompts'],
          'chosen': [c == turn['choice'] for c in range(NUM_COLUMNS)],
        }
      )
  file = io.BytesIO()
  pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=7)
  return {**files, 'turns.parquet': file.getvalue()}


def _as_csv(
  sessions: list[dict[str, Any]], size: int, unused_num_files: int
) -> dict[str, bytes]:
  files, text = {}, io.StringIO(newline='')
  columns = range(1, NUM_COLUMNS + 1)
  writer = csv.writer(text)
  writer.writerow(
    [
      *('session_id', 'turn', 'initial_prompt', 'choice', 'better', 'critique'),
      *(f'prompt_{c}' for c in columns),
      *(f'images_{c}' for c in columns),
    ]
  )
  for session in sessions:
    for t, turn in enumerate(session['turns']):
      names = []
      for column in turn['pictures']:
        names.append([f'{fake_images.uid(p)}.jpg' for p in column])
        for name, picture in zip(names[-1], column):
          files[name] = fake_images.jpeg(picture, size)
      writer.writerow(
        [
          *(session['id'], t + 1, session['initial'] if not t else ''),
          *(turn['choice'] + 1, turn['change'] if t else '', turn['critique']),
          *turn['prompts'],
          *(json.dumps(n) for n in names),
        ]
      )
  return {**files, 'ratings.csv': text.getvalue().encode()}
