"""Ratings of single images, from a table."""

from collections.abc import Mapping
from typing import Any

from data.own import builder, cells


class Builder(builder.Builder):
  """One row: an image and its rating by a person."""

  KIND = 'rating'
  IMAGES = ('image',)
  IMAGE_IDS = ('image_id',)
  # Ratings are compared within a person alone.
  NEEDED = ('person', 'image', 'rating')

  @classmethod
  def answer(
    cls, row: Mapping[str, list[Any]], options: Mapping[str, Any]
  ) -> builder.Answer:
    rating = cells.number(row['rating'][0], 'rating')
    return builder.Answer([row['image'][0]], rating)
