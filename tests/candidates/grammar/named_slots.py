"""What texts of candidates name, as the sketch reads them."""

from pasta.t2i.sketch import scene


def named_values(text):
  """The values that a text names, a list for each slot of a scene."""
  return [values for values, _ in scene.parse(text)]
