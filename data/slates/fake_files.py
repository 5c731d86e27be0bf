"""A small table of slate choices, JSON lines beside a folder of images."""

import json
import os

from data import fake_images
from data.own import fake_answers


def write(
  raw: str,
  num_rows: int = 150,
  *,
  num_people: int = 12,
  num_images: int = 3,
  size: int = 32,
) -> None:
  """Writes slates.jsonl and images/*.png.

  Args:
    raw: directory, made where it is missing.
    num_rows: slates.
    num_people: who choose.
    num_images: of a slate.
    size: height and width of the PNGs, in pixels.
  """
  os.makedirs(os.path.join(raw, 'images'), exist_ok=True)
  found = fake_answers.answers(num_rows, num_people, num_images, 2)
  with open(os.path.join(raw, 'slates.jsonl'), 'w', encoding='utf-8') as file:
    for i, a in enumerate(found):
      images = [f'images/{i:04d}-{j}.png' for j in range(num_images)]
      for image, picture in zip(images, a.pictures):
        with open(os.path.join(raw, image), 'wb') as f:
          f.write(fake_images.png(picture, size))
      row = {
        'person': a.person,
        'prompt': a.prompt,
        'images': images,
        'chosen': int(a.utility.argmax()),
      }
      file.write(json.dumps(row) + '\n')
