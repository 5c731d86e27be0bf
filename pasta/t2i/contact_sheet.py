"""Contact sheets: a slate of images as one picture, a column a prompt."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PAPER = (250, 249, 246)
_TEXT = (34, 34, 40)
_FAINT = (120, 120, 128)
_MAX_TITLE_LINES = 6  # longer titles end in an ellipsis


def _wrap(
  text: str, font: ImageFont.ImageFont, width: int, max_lines: int
) -> list[str]:
  """Breaks a text into lines of at most `width` pixels; '…' where cut."""
  lines = []
  for paragraph in text.split('\n'):
    line = ''
    for word in paragraph.split():
      trial = f'{line} {word}'.strip()
      if font.getlength(trial) <= width:
        line = trial
        continue
      if line:
        lines.append(line)
      # A word wider than the column is cut.
      while word and font.getlength(word) > width:
        part = word
        while len(part) > 1 and font.getlength(part) > width:
          part = part[:-1]
        lines.append(part)
        word = word[len(part) :]
      line = word
    if line:
      lines.append(line)
  if len(lines) > max_lines:
    lines = lines[:max_lines]
    last = lines[-1]
    while last and font.getlength(last + '…') > width:
      last = last[:-1]
    lines[-1] = last.rstrip() + '…'
  return lines


def contact_sheet(
  images: np.ndarray,
  *,
  column_titles: Sequence[str] | None = None,
  gap: int = 12,
  font_size: int = 0,
) -> Image.Image:
  """Lays images out in numbered columns.

  Args:
    images: uint8 [L, M, H, W, 3]: L columns of M images, one below another.
    column_titles: L texts (prompts), wrapped below the columns' numbers, cut
      where they are long; none where left out.
    gap: space between and around images, pixels.
    font_size: size of the titles, pixels; 0 takes one that suits W.

  Returns:
    An RGB picture.

  Raises:
    ValueError: images or titles have a wrong shape or type.
  """
  images = np.asarray(images)
  if images.ndim != 5 or images.shape[-1] != 3 or images.dtype != np.uint8:
    raise ValueError(
      'images: expected uint8 [columns, images, height, width, '
      f'3], got {images.dtype} {list(images.shape)}'
    )
  num_columns, num_images, height, width, _ = images.shape
  if not num_columns or not num_images:
    raise ValueError(f'images: nothing to lay out in {list(images.shape)}')
  if column_titles is not None and len(column_titles) != num_columns:
    raise ValueError(
      f'column_titles: expected {num_columns}, one a column, '
      f'got {len(column_titles)}'
    )
  font_size = font_size or min(18, max(10, width // 13))
  font = ImageFont.load_default(size=font_size)
  bold = ImageFont.load_default(size=round(1.5 * font_size))
  titles = [
    _wrap(t, font, width, _MAX_TITLE_LINES)
    for t in (column_titles or [''] * num_columns)
  ]
  line_height = round(1.3 * font_size)
  head = gap + round(1.9 * font_size) + line_height * max(map(len, titles))
  sheet = Image.new(
    'RGB',
    (
      num_columns * (width + gap) + gap,
      head + num_images * (height + gap) + gap,
    ),
    _PAPER,
  )
  pen = ImageDraw.Draw(sheet)
  for column, title in enumerate(titles):
    left = gap + column * (width + gap)
    pen.text((left, gap // 2), str(column + 1), font=bold, fill=_TEXT)
    for i, line in enumerate(title):
      pen.text(
        (left, gap // 2 + round(1.9 * font_size) + i * line_height),
        line,
        font=font,
        fill=_FAINT,
      )
    for row in range(num_images):
      sheet.paste(
        Image.fromarray(images[column, row]),
        (left, head + row * (height + gap)),
      )
  return sheet
