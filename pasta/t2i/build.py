"""The text-to-image model that a config names."""

import ml_collections

from pasta.t2i import own
from pasta.t2i.base import TextToImage
from pasta.t2i.sketch import draw, sketch


def build(config: ml_collections.ConfigDict) -> TextToImage:
  """Makes the model that a config names.

  Args:
    config: fields `name` ('sketch', 'sketch:ink', 'sdxl', 'flux' or
      'module:Class'), `size` (pixels), `num_workers` (processes; 0 draws in
      this one), `arguments` (of 'module:Class'), and `sdxl` and `flux`, as in
      configs/common.py.

  Raises:
    ValueError: the name is unknown, or a field is out of range.
    PastaError: a class of one's own cannot be used.
  """
  if config.name in draw.LOOKS:
    return sketch.Sketch(
      size=config.size, look=config.name, num_workers=config.num_workers
    )
  # Imported here: takes seconds, which sketch and its workers do without.
  if config.name == 'sdxl':
    from pasta.t2i.sdxl import model as sdxl

    return sdxl.from_config(config)
  if config.name == 'flux':
    from pasta.t2i.flux import model as flux

    return flux.from_config(config)
  return own.from_config(config, [*draw.LOOKS, 'sdxl', 'flux'])
