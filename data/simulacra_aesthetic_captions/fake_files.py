"""Small files in the format of Simulacra Aesthetic Captions."""

import io
import os
import sqlite3
import tarfile

import numpy as np

from data import fake_images

DATABASE = 'sac_public_2022_06_29.sqlite'
_SCHEMA = """
CREATE TABLE generations(id INTEGER PRIMARY KEY, sid TEXT, method TEXT,
  prompt TEXT, verified BOOL);
CREATE TABLE images(id INTEGER PRIMARY KEY, gid INTEGER, idx INTEGER);
CREATE TABLE paths(iid INTEGER, path TEXT);
CREATE TABLE ratings(sid TEXT, iid INTEGER, rating INTEGER, verified BOOL);
CREATE TABLE survey(id INTEGER PRIMARY KEY, qid INTEGER, rating INTEGER);
CREATE TABLE upscales(iid INTEGER, method TEXT);
"""


def write(
  raw: str,
  num_generations: int = 40,
  *,
  num_users: int = 9,
  size: int = 64,
  as_tar: bool = True,
  seed: int = 0,
) -> None:
  """Writes the SQLite file and the images.

  Args:
    raw: directory, made where it is missing.
    num_generations: prompts, two images each.
    num_users: people who rate.
    size: height and width of the PNGs, in pixels.
    as_tar: whether the images lie in sac_images.tar or in folders.
    seed: of all that is drawn.
  """
  os.makedirs(raw, exist_ok=True)
  rng = np.random.default_rng(seed)
  path = os.path.join(raw, DATABASE)
  if os.path.exists(path):
    os.remove(path)
  files = {}
  database = sqlite3.connect(path)
  with database:
    database.executescript(_SCHEMA)
    for gid in range(1, num_generations + 1):
      prompt = fake_images.prompt(rng)
      method = str(rng.choice(['CompVis', 'Stable Diffusion']))
      database.execute(
        'INSERT INTO generations VALUES (?, ?, ?, ?, 1)',
        (gid, f's{gid % 5}', method, prompt),
      )
      for idx in range(2):
        iid = 2 * gid + idx
        picture = fake_images.draw(rng, prompt)
        name = f'images/{gid:05d}_{idx}.png'
        files[name] = fake_images.png(picture, size)
        database.execute('INSERT INTO images VALUES (?, ?, ?)', (iid, gid, idx))
        database.execute('INSERT INTO paths VALUES (?, ?)', (iid, name))
        for user in rng.choice(
          num_users, size=min(4, num_users), replace=False
        ):
          utility = fake_images.utility(int(user), picture)
          shift = 1.5 if method == 'CompVis' else 0.0
          rating = round(5 + 4 * utility + shift + 0.3 * rng.normal())
          database.execute(
            'INSERT INTO ratings VALUES (?, ?, ?, ?)',
            (f'r{user}', iid, int(np.clip(rating, 1, 10)), True),
          )
  database.close()
  if as_tar:
    with tarfile.open(os.path.join(raw, 'sac_images.tar'), 'w') as tar:
      for name, data in files.items():
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return
  for name, data in files.items():
    os.makedirs(os.path.dirname(os.path.join(raw, name)), exist_ok=True)
    with open(os.path.join(raw, name), 'wb') as f:
      f.write(data)
