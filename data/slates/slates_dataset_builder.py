"""Choices of one image among several, from a table."""

from collections.abc import Mapping
from typing import Any

from data.formats import field_paths
from data.own import builder, cells


class Builder(builder.Builder):
  """One row: the images of a slate, and which of them was chosen."""

  KIND = 'choice'
  IMAGES = ('images',)
  NEEDED = ('images', 'chosen')

  @classmethod
  def answer(
    cls, row: Mapping[str, list[Any]], options: Mapping[str, Any]
  ) -> builder.Answer:
    images = row['images']  # cells of several columns, or one with a list
    if len(images) == 1:
      images = field_paths.unpack(images[0])
    if not isinstance(images, list) or len(images) < 2:
      what = f'{len(images)}' if isinstance(images, list) else 'no list'
      raise ValueError(f'images is {what}, expected a list of 2 or more')
    images = [cells.reference(i) for i in images]
    chosen = cells.chosen(
      row['chosen'][0], 'chosen', options['first_index'], images
    )
    return builder.Answer(images, chosen)
