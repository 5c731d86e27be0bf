"""Small files in PAMELA's format, with people who have tastes."""

import json
import os

import numpy as np

from data import fake_images

SPLITS = ('train', 'val_seen', 'val_unseen', 'test_seen', 'test_unseen')


def write(
  raw: str,
  num_seen: int = 9,
  num_unseen: int = 6,
  *,
  ratings_per_person: int = 12,
  size: int = 64,
  seed: int = 0,
) -> None:
  """Writes PAMELA/annotations/pamela_SPLIT.json and images/ID.jpg.

  Args:
    raw: directory, made where it is missing.
    num_seen: people of train, val_seen and test_seen.
    num_unseen: people of val_unseen, and as many others of test_unseen.
    ratings_per_person: in each split.
    size: height and width of the images, in pixels.
    seed: of all that is drawn.
  """
  rng = np.random.default_rng(seed)
  folder = os.path.join(raw, 'PAMELA', 'annotations')
  os.makedirs(folder, exist_ok=True)
  os.makedirs(os.path.join(raw, 'images'), exist_ok=True)
  seen = range(num_seen)
  people = {
    'val_unseen': range(num_seen, num_seen + num_unseen),
    'test_unseen': range(num_seen + num_unseen, num_seen + 2 * num_unseen),
  }
  for split in SPLITS:
    rows = []
    for user in people.get(split, seen):
      for _ in range(ratings_per_person):
        prompt = fake_images.prompt(rng)
        picture = fake_images.draw(rng, prompt)
        image_id = fake_images.uid(picture)
        with open(os.path.join(raw, 'images', f'{image_id}.jpg'), 'wb') as f:
          f.write(fake_images.jpeg(picture, size))
        utility = fake_images.utility(user, picture) + 0.1 * rng.normal()
        rows.append(
          {
            'participant_id': f'p{user:03d}',
            'original_score': int(np.clip(round(3 + 2.5 * utility), 1, 5)),
            'image_id': image_id,
            'image_metadata': {
              'group': 'art',
              'style': 'oil',
              'type': 'ai',
              'prompt': prompt,
              'model': 'unknown to us',
            },
            'another_key': None,
          }
        )
    path = os.path.join(folder, f'pamela_{split}.json')
    with open(path, 'w', encoding='utf-8') as f:
      json.dump(rows, f)
