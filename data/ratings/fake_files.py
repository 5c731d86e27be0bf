"""A small table of ratings, CSV beside a folder of images."""

import csv
import os

from data import fake_images
from data.own import fake_answers


def write(
  raw: str, num_rows: int = 148, *, num_people: int = 12, size: int = 32
) -> None:
  """Writes ratings.csv and images/*.png.

  Args:
    raw: directory, made where it is missing.
    num_rows: ratings.
    num_people: who rate.
    size: height and width of the PNGs, in pixels.
  """
  os.makedirs(os.path.join(raw, 'images'), exist_ok=True)
  path = os.path.join(raw, 'ratings.csv')
  with open(path, 'w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['person', 'prompt', 'image', 'rating'])
    for i, a in enumerate(fake_answers.answers(num_rows, num_people, 1, 1)):
      image = f'images/{i:04d}.png'
      with open(os.path.join(raw, image), 'wb') as f:
        f.write(fake_images.png(a.pictures[0], size))
      rating = min(max(round(3 + 2 * a.utility[0]), 1), 5)
      writer.writerow([a.person, a.prompt, image, rating])
