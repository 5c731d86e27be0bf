"""The stages of the loop in their order: the one place that lists them."""

from collections.abc import Callable
from typing import NamedTuple

from pasta.stages import (
  collect,
  evaluate,
  extract_features,
  report,
  simulate,
  train_surrogate,
  train_user_model,
  train_value,
)


class Stage(NamedTuple):
  """One stage of the loop.

  Attributes:
    directory: what it leaves in a working directory.
    run: takes its config, the working directory and the worlds.
  """

  directory: str
  run: Callable[..., None]


LOOP = {
  'collect': Stage('sessions', collect.run),
  'extract_features': Stage('features', extract_features.run),
  'train_user_model': Stage('user_model', train_user_model.run),
  'train_surrogate': Stage('surrogate', train_surrogate.run),
  'simulate': Stage('simulated', simulate.run),
  'train_value': Stage('value', train_value.run),
  'evaluate': Stage('evaluation', evaluate.run),
  'report': Stage('report', report.run),
}
