"""Encoded images to the pixels that an encoder sees.

The same as Transformers' `load_image` and CLIPImageProcessor, without their
cost, and safe on files that nobody has looked at: turned as EXIF says, 16 bits
scaled to 8, transparency and colour profiles left aside. Imports no jax: it
runs in many threads.
"""

import dataclasses
import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 100_000_000
_FORMATS = ('JPEG', 'PNG', 'WEBP')
_PNG = b'\x89PNG\r\n\x1a\n'
# Texts and profiles, which nobody reads here; unpacked they may be huge.
_PNG_ASIDE = (b'tEXt', b'zTXt', b'iTXt', b'iCCP')


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """How an image is brought to the encoder's size.

  Attributes:
    shortest_edge: its shorter side after resizing, in pixels; None: `size`.
    size: (height, width) after resizing; None: not resized to one.
    crop: (height, width) cut from the middle; None: not cut.
    resample: PIL's number of the filter, 3 = bicubic.
  """

  shortest_edge: int | None
  size: tuple[int, int] | None
  crop: tuple[int, int] | None
  resample: int

  @classmethod
  def of(cls, processor: Any) -> 'Preprocessing':
    """Of a transformers.CLIPImageProcessor."""
    edge = size = crop = None
    if processor.do_resize:
      edge = processor.size.get('shortest_edge')
      if edge is None:
        size = processor.size['height'], processor.size['width']
    if processor.do_center_crop:
      crop = processor.crop_size['height'], processor.crop_size['width']
    return cls(edge, size, crop, int(processor.resample))


def load(data: bytes, how: Preprocessing) -> np.ndarray:
  """Decodes and resizes one image.

  Args:
    data: JPEG, PNG or WebP.
    how: to which size.

  Returns:
    uint8 [height, width, 3].

  Raises:
    ValueError: it cannot be decoded, or is unreasonably large.
  """
  try:
    with Image.open(io.BytesIO(_lean(data)), formats=_FORMATS) as image:
      width, height = image.size
      if width * height > MAX_PIXELS:
        raise ValueError(f'{width} x {height} pixels, at most {MAX_PIXELS}')
      image = _eight_bit(ImageOps.exif_transpose(image)).convert('RGB')
  except Exception as e:  # Decoders raise all kinds of errors on broken files.
    reason = ' '.join(str(e).split())[:100]
    raise ValueError(f'cannot be decoded ({type(e).__name__}: {reason})') from e
  return _resized(image, how)


def _lean(data: bytes) -> bytes:
  """A PNG without its texts and colour profile; anything else as it is."""
  data = bytes(data)
  if not data.startswith(_PNG):
    return data
  kept, at = [_PNG], len(_PNG)
  while at < len(data):
    end = at + 12 + int.from_bytes(data[at : at + 4], 'big')
    if data[at + 4 : at + 8] not in _PNG_ASIDE:
      kept.append(data[at:end])
    at = end
  return b''.join(kept)


def _eight_bit(image: Image.Image) -> Image.Image:
  """Grey of 16 bits as grey of 8: Pillow alone would cut it off at 255."""
  if not image.mode.startswith('I'):
    return image
  grey = np.asarray(image.convert('I'), np.int64)
  return Image.fromarray(np.clip(grey >> 8, 0, 255).astype(np.uint8))


def _resized(image: Image.Image, how: Preprocessing) -> np.ndarray:
  width, height = image.size
  if how.shortest_edge is not None:
    short, long = sorted((width, height))
    long = int(how.shortest_edge * long / short)
    if max(how.shortest_edge * long, long) > MAX_PIXELS:
      raise ValueError(f'{width} x {height} pixels are too long a strip')
    new = how.shortest_edge, long
    new = new if width <= height else new[::-1]
  else:
    new = how.size[::-1] if how.size else image.size
  if new != image.size:
    image = image.resize(new, how.resample)
  pixels = np.asarray(image, np.uint8)
  return pixels if how.crop is None else _centre(pixels, *how.crop)


def _centre(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
  """The middle of an image, black where it is too small."""
  out = np.zeros((height, width, 3), np.uint8)
  have = pixels.shape[:2]
  source, target = [], []
  for want, there in zip((height, width), have):
    size = min(want, there)
    # As Transformers: what is padded has its odd pixel in front.
    source.append(slice((there - size) // 2, (there - size) // 2 + size))
    begin = -((size - want) // 2)
    target.append(slice(begin, begin + size))
  out[tuple(target)] = pixels[tuple(source)]
  return out
