"""Decoding and resizing: as Transformers does it, and never a crash."""

import io

import numpy as np
import pytest
import transformers
from PIL import Image, PngImagePlugin

from pasta.encoders import pixels


def encoded(size, mode='RGB', file_format='PNG', seed=0):
  rng = np.random.default_rng(seed)
  array = rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
  file = io.BytesIO()
  Image.fromarray(array).convert(mode).save(file, file_format)
  return file.getvalue()


@pytest.mark.parametrize(
  'settings',
  [
    {'size': {'shortest_edge': 32}, 'crop_size': {'height': 32, 'width': 32}},
    {'size': {'shortest_edge': 20}, 'crop_size': {'height': 33, 'width': 32}},
    {'size': {'height': 24, 'width': 40}, 'do_center_crop': False},
    {'do_resize': False, 'crop_size': {'height': 32, 'width': 31}},
  ],
)
def test_equals_transformers(settings):
  processor = transformers.CLIPImageProcessor(
    do_rescale=False, do_normalize=False, **settings
  )
  how = pixels.Preprocessing.of(processor)
  for i, size in enumerate([(50, 70), (71, 50), (32, 32), (9, 15), (16, 9)]):
    data = encoded(size, seed=i)
    expected = processor(
      Image.open(io.BytesIO(data)),
      return_tensors='np',
      data_format='channels_last',
    )['pixel_values'][0]
    np.testing.assert_array_equal(pixels.load(data, how), expected)


@pytest.mark.parametrize(
  'mode, file_format',
  [('L', 'JPEG'), ('P', 'PNG'), ('RGBA', 'PNG'), ('1', 'PNG'), ('RGB', 'WEBP')],
)
def test_all_modes_become_colour(mode, file_format):
  how = pixels.Preprocessing(16, None, (16, 16), 3)
  image = pixels.load(encoded((20, 30), mode, file_format), how)
  assert image.shape == (16, 16, 3) and image.std() > 5


def written(image, file_format='PNG', **options):
  file = io.BytesIO()
  image.save(file, file_format, **options)
  return file.getvalue()


WHOLE = pixels.Preprocessing(64, None, (64, 64), 3)
BRIGHT_LEFT = np.zeros((64, 64, 3), np.uint8)
BRIGHT_LEFT[:, :32] = 255


def test_sixteen_bits_are_scaled_to_eight():
  ramp = np.tile(np.arange(64, dtype=np.uint16) * 1040, (64, 1))
  found = pixels.load(written(Image.fromarray(ramp)), WHOLE)
  np.testing.assert_array_equal(found[..., 0], ramp >> 8)
  np.testing.assert_array_equal(found[..., 0], found[..., 2])


@pytest.mark.parametrize('file_format', ['JPEG', 'PNG', 'WEBP'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned_as_exif_says(file_format, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  data = written(Image.fromarray(BRIGHT_LEFT), file_format, exif=exif)
  bright = pixels.load(data, WHOLE)[:, :, 0] > 127
  sides = bright[:28], bright[36:], bright[:, :28], bright[:, 36:]
  # Of EXIF's eight, those that leave the bright side left, right, above, below.
  side = {1: 2, 4: 2, 2: 3, 3: 3, 5: 0, 6: 0, 7: 1, 8: 1}[orientation]
  assert [s.all() for s in sides] == [i == side for i in range(4)]


def test_texts_and_profiles_of_any_length_do_not_matter():
  text = PngImagePlugin.PngInfo()
  text.add_text('workflow', 'x' * 2_000_000, zip=True)
  text.add_itxt('prompt', 'y' * 2_000_000)
  text.add_text('parameters', 'z' * 2_000_000)
  image = Image.fromarray(BRIGHT_LEFT)
  data = written(image, pnginfo=text, icc_profile=b'p' * 3_000_000)
  np.testing.assert_array_equal(pixels.load(data, WHOLE), BRIGHT_LEFT)


def test_refuses_what_is_too_large_or_not_an_image(monkeypatch):
  how = pixels.Preprocessing(16, None, (16, 16), 3)
  with pytest.raises(ValueError, match='cannot be decoded'):
    pixels.load(b'GIF89a', how)
  with pytest.raises(ValueError, match='cannot be decoded'):
    pixels.load(encoded((20, 30))[:-40], how)
  monkeypatch.setattr(pixels, 'MAX_PIXELS', 500)
  with pytest.raises(ValueError, match='20 x 30 pixels'):
    pixels.load(encoded((20, 30)), how)
  with pytest.raises(ValueError, match='too long a strip'):
    pixels.load(encoded((400, 1)), how)


@pytest.mark.parametrize('file_format', ['JPEG', 'PNG', 'WEBP'])
def test_broken_files_are_refused(file_format):
  rng = np.random.default_rng(0)
  whole = encoded((24, 24), file_format=file_format)
  how = pixels.Preprocessing(16, None, (16, 16), 3)
  outcomes = {True: 0, False: 0}
  for _ in range(300):
    data = bytearray(whole)
    for at in rng.integers(len(data), size=rng.integers(1, 20)):
      data[at] = rng.integers(256)
    try:
      image = pixels.load(bytes(data[: rng.integers(1, 2 * len(data))]), how)
      assert image.shape == (16, 16, 3) and image.dtype == np.uint8
      outcomes[True] += 1
    except ValueError as e:
      assert len(str(e)) < 300
      outcomes[False] += 1
  assert outcomes[False] > 50
