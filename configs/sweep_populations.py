r"""How many types K for populations of 1, 4, 16 and 64 true types.

  python -m launch.sweep_populations --config=configs/sweep_populations.py \
      --workdir=DIR

Leaves DIR/true-types-N, each with sessions, features and type_sweep, and
DIR/populations.json and .png.
"""

import ml_collections

from configs import collect, common, extract_features, sweep_types


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.true_types = (1, 4, 16, 64)  # of the populations
  config.collect = collect.get_config(arg)
  config.collect.population.type_concentration = 5.0  # shares nearly equal
  config.extract_features = extract_features.get_config(arg)
  config.sweep = sweep_types.get_config(arg)
  config.sweep.num_types = (1, 4, 16, 64)  # K
  config.sweep.num_seeds = 2  # fits of each K, from different starts
  if arg == 'smoke':
    config.true_types = (1, 2)
    config.sweep.num_types = (1, 2)
    config.sweep.num_seeds = 1
  return config
