"""Contact sheets: where the images lie, and what the header says."""

import numpy as np
import pytest
from PIL import ImageFont

from pasta.t2i import contact_sheet


def _images(columns=3, rows=2, height=40, width=60) -> np.ndarray:
  """Flat images; image (l, m) is filled with 10 + 20 l + 5 m."""
  values = 10 + 20 * np.arange(columns)[:, None] + 5 * np.arange(rows)
  shape = (columns, rows, height, width, 3)
  return np.broadcast_to(values[:, :, None, None, None], shape).astype(np.uint8)


def test_images_lie_in_columns():
  images = _images()
  sheet = np.asarray(contact_sheet.contact_sheet(images, gap=5, font_size=10))
  # Widths: 3 x 60 and four gaps of 5.
  assert sheet.shape[1] == 3 * 60 + 4 * 5
  for column in range(3):
    for row in range(2):
      left = 5 + column * 65
      bottom = sheet.shape[0] - 5 - (1 - row) * 45
      cell = sheet[bottom - 45 : bottom - 5, left : left + 60]
      np.testing.assert_array_equal(cell, images[column, row])


def test_titles_add_lines_and_ink():
  images = _images()
  bare = contact_sheet.contact_sheet(images)
  titled = contact_sheet.contact_sheet(
    images, column_titles=['one', 'two words and many more of them', '']
  )
  assert titled.height > bare.height
  header = np.asarray(titled)[: titled.height - bare.height, :, 0]
  assert (header < 160).any()


def test_every_column_has_its_number():
  sheet = np.asarray(contact_sheet.contact_sheet(_images(columns=2), gap=12))
  heads = [sheet[:24, 12 + c * 72 : 72 + c * 72] for c in range(2)]
  assert all((h < 100).any() for h in heads)
  assert (heads[0] != heads[1]).any()


def test_wrap_fits_the_width():
  font = ImageFont.load_default(size=12)
  text = 'a quiet harbour at dusk ' + 'x' * 60 + ' with birds'
  lines = contact_sheet._wrap(text, font, 90, 20)
  assert all(font.getlength(line) <= 90 for line in lines)
  # Nothing is lost but the spaces.
  assert ''.join(lines).replace(' ', '') == text.replace(' ', '')
  cut = contact_sheet._wrap(text, font, 90, 2)
  assert len(cut) == 2 and cut[-1].endswith('…')
  assert font.getlength(cut[-1]) <= 90


@pytest.mark.parametrize(
  'images, titles, message',
  [
    (np.zeros((2, 3, 8, 8), np.uint8), None, 'images'),
    (np.zeros((2, 3, 8, 8, 3), np.float32), None, 'images.*float32'),
    (np.zeros((0, 3, 8, 8, 3), np.uint8), None, 'nothing'),
    (np.zeros((2, 3, 8, 8, 3), np.uint8), ['one'], 'column_titles.*2.*1'),
  ],
)
def test_bad_input_is_refused(images, titles, message):
  with pytest.raises(ValueError, match=message):
    contact_sheet.contact_sheet(images, column_titles=titles)
