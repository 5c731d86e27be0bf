"""Pictures for the small stand-ins of public data sets.

A picture is three numbers, how red, green and blue it is, and a seed of its
texture. Person i likes colour i modulo 3.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

_SUBJECTS = ('harbour', 'cat', 'castle', 'forest', 'robot', 'market')
_ADJECTIVES = ('quiet', 'old', 'tiny', 'bright', 'stormy', 'golden')


class Picture(NamedTuple):
  """What a picture shows.

  Attributes:
    colour: how red, green and blue, in [0, 1].
    seed: of its texture.
  """

  colour: tuple[float, float, float]
  seed: int


def prompt(rng: np.random.Generator) -> str:
  """A short prompt; some hold characters beyond ASCII."""
  place = ' at the café' if rng.random() < 0.2 else ''
  adjective, subject = rng.choice(_ADJECTIVES), rng.choice(_SUBJECTS)
  return f'a {adjective} {subject}{place}'


def draw(rng: np.random.Generator, text: str) -> Picture:
  """One of the pictures that a prompt may give."""
  del text  # These pictures show nothing but colour.
  return Picture(tuple(rng.random(3).tolist()), int(rng.integers(2**31)))


def uid(picture: Picture) -> str:
  """The same for the same picture."""
  return f'{picture.seed:08x}-{int(picture.colour[0] * 1e9):09d}'


def utility(user: int, picture: Picture) -> float:
  """How much a person likes a picture, in [-1, 1]."""
  colour = np.array(picture.colour)
  return float(colour[user % 3] - np.delete(colour, user % 3).mean())


def pixels(picture: Picture, size: int) -> np.ndarray:
  """The picture, uint8 [size, size, 3]."""
  rng = np.random.default_rng(picture.seed)
  coarse = (
    rng.random((8, 8, 1)).repeat(-(-size // 8), 0).repeat(-(-size // 8), 1)
  )
  image = 200 * np.array(picture.colour) + 55 * coarse[:size, :size]
  return image.astype(np.uint8)


def jpeg(picture: Picture, size: int) -> bytes:
  """The picture as JPEG."""
  return _encoded(picture, size, 'JPEG')


def png(picture: Picture, size: int) -> bytes:
  """The picture as PNG."""
  return _encoded(picture, size, 'PNG')


def _encoded(picture: Picture, size: int, file_format: str) -> bytes:
  file = io.BytesIO()
  Image.fromarray(pixels(picture, size)).save(file, file_format)
  return file.getvalue()
