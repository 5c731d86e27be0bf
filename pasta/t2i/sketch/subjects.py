"""All subjects, built once a process."""

import functools

from pasta.t2i.sketch import (
  lexicon,
  shapes,
  subjects_living,
  subjects_places,
  subjects_things,
)

_DRAW = {**subjects_living.DRAW, **subjects_places.DRAW, **subjects_things.DRAW}
# Those that float: no shadow on the ground.
FLOATING = frozenset(('spiral', 'circles', 'tiles'))


@functools.cache
def figure(subject: int) -> shapes.Figure:
  """The figure of lexicon.SUBJECTS[subject], in the box [-1, 1]^2."""
  collected = shapes.Shapes()
  _DRAW[lexicon.SUBJECTS[subject].name](collected)
  return collected.figure()
