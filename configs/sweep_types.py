"""How many types K: accuracy, likelihood and cost of user models.

  python -m launch.sweep_types --config=configs/sweep_types.py --workdir=DIR

Reads DIR/features, leaves DIR/type_sweep; 11 minutes for two seeds on the
quickstart's features, on 2 shared cores. For another number of true types,
collect into another directory with --config.population.num_types=N.
"""

import ml_collections

from configs import common, train_user_model


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.seed = 0  # draws the test people
  config.num_types = (1, 2, 4, 8, 16, 32, 64)  # K
  config.num_seeds = 3  # fits of each K, from different starts
  config.test_share = 0.2  # of people, whom no fit sees
  config.fit = train_user_model.get_config(arg)
  config.fit.baseline_steps = 0  # K = 1 is in the sweep
  config.fit.text.num_epochs = 1  # the text regression is not judged here
  if arg == 'smoke':
    config.num_types = (1, 2)
    config.num_seeds = 2
  return config
