"""Pairs of images of which somebody preferred one, from a table."""

from collections.abc import Mapping
from typing import Any

from data.own import builder, cells
from pasta import errors


class Builder(builder.Builder):
  """One row: two images, and which of them was chosen."""

  KIND = 'pair'
  IMAGES = ('image_a', 'image_b')
  IMAGE_IDS = ('image_a_id', 'image_b_id')
  NEEDED = ('image_a', 'image_b', 'chosen')

  @classmethod
  def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
    found = super().check_options(options)
    errors.check_known(
      "config field 'options.chosen_is'",
      found['chosen_is'],
      ('which', 'preference'),
    )
    ids = [bool(found['fields'][f]) for f in cls.IMAGE_IDS]
    if ids[0] != ids[1]:
      raise errors.PastaError(
        "config fields 'fields.image_a_id' and 'fields.image_b_id': one of "
        'them is empty, expected both or neither'
      )
    return found

  @classmethod
  def answer(
    cls, row: Mapping[str, list[Any]], options: Mapping[str, Any]
  ) -> builder.Answer:
    images, value = [row[f][0] for f in cls.IMAGES], row['chosen'][0]
    if options['chosen_is'] == 'preference':
      return builder.Answer(images, cells.preference(value, 'chosen'))
    names = [row[f][0] for f in cls.IMAGE_IDS if f in row] or images
    return builder.Answer(
      images,
      cells.preferred_side(
        value,
        'chosen',
        options['first_index'],
        [cells.reference(n) for n in names],
      ),
    )
