"""Small files in HPDv2's format, with people who have tastes."""

import json
import os

import numpy as np

from data import fake_images

_NUM_RANKED = 9


def write(
  raw: str,
  num_pairs: int = 60,
  num_ranked: int = 12,
  *,
  num_users: int = 6,
  size: int = 64,
  seed: int = 0,
) -> None:
  """Writes train.json, test.json and their folders of JPEGs.

  Args:
    raw: directory, made where it is missing.
    num_pairs: of the training split.
    num_ranked: prompts of the test split, nine images each.
    num_users: people who rank.
    size: height and width of the images, in pixels.
    seed: of all that is drawn.
  """
  rng = np.random.default_rng(seed)

  def pictures(folder: str, prompt: str, num: int):
    os.makedirs(os.path.join(raw, folder), exist_ok=True)
    found, files = [], []
    for _ in range(num):
      picture = fake_images.draw(rng, prompt)
      files.append(f'{fake_images.uid(picture)}.jpg')
      found.append(picture)
      with open(os.path.join(raw, folder, files[-1]), 'wb') as f:
        f.write(fake_images.jpeg(picture, size))
    return found, files

  train = []
  for _ in range(num_pairs):
    prompt = fake_images.prompt(rng)
    pair, files = pictures('train', prompt, 2)
    # The taste of all people together: warm colours.
    warmth = [p.colour[0] - p.colour[2] for p in pair]
    first = int(warmth[0] > warmth[1])
    train.append(
      {
        'prompt': prompt,
        'file_path': files,
        'human_preference': [first, 1 - first],
      }
    )
  test = []
  for _ in range(num_ranked):
    prompt = fake_images.prompt(rng)
    shown, files = pictures('test', prompt, _NUM_RANKED)
    annotations = []
    for user in rng.choice(num_users, size=min(4, num_users), replace=False):
      utility = [
        p.colour[0]
        - p.colour[2]
        + fake_images.utility(int(user), p)
        + 0.05 * rng.normal()
        for p in shown
      ]
      rank = np.argsort(np.argsort(-np.array(utility))) + 1
      annotations.append({'rank': rank.tolist(), 'user_hash': f'u{user:04x}'})
    test.append(
      {
        'prompt': prompt,
        'image_path': files,
        'rank': np.mean([a['rank'] for a in annotations], 0).tolist(),
        'raw_annotations': annotations,
      }
    )
  for name, content in (('train', train), ('test', test)):
    with open(os.path.join(raw, f'{name}.json'), 'w', encoding='utf-8') as f:
      json.dump(content, f, ensure_ascii=False, indent=1)
