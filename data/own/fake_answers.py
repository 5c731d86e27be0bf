"""Answers of made-up people with tastes, for small tables of one's own."""

from typing import NamedTuple

import numpy as np

from data import fake_images


class Answer(NamedTuple):
  """What somebody was shown, and how much they like each picture.

  Attributes:
    person: name.
    prompt: text.
    pictures: L of them.
    utility: of each, with noise [L].
  """

  person: str
  prompt: str
  pictures: list[fake_images.Picture]
  utility: np.ndarray


def answers(
  num_rows: int, num_people: int, num_pictures: int, seed: int
) -> list[Answer]:
  """Draws answers; person i likes colour i modulo 3."""
  rng = np.random.default_rng(seed)
  found = []
  for _ in range(num_rows):
    who = int(rng.integers(num_people))
    prompt = fake_images.prompt(rng)
    pictures = [fake_images.draw(rng, prompt) for _ in range(num_pictures)]
    liked = np.array([fake_images.utility(who, p) for p in pictures])
    noise = 0.1 * rng.normal(size=num_pictures)
    found.append(Answer(f'person {who}', prompt, pictures, liked + noise))
  return found
