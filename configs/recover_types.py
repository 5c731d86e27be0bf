"""Are planted types found? Against the Bayes limit on the same draws.

  python -m launch.recover_types --config=configs/recover_types.py --workdir=DIR

`:hard` has 10,000 people, 16 types and 32 features and took 1.3 minutes
on 2 cores, the default 17 seconds.
Leaves DIR/recovery/recovery.json and prints a table: the adjusted Rand index
of people's types beside what the truth reaches, the worst correlation of a
type's true and found utilities, and the log-likelihood beside that of EM
started at the truth.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '', 'hard' (16 types that overlap) and 'smoke'."""
  common.check_variant(arg, ('hard', 'smoke'))
  config = ml_collections.ConfigDict()
  config.seed = 0  # of the draws
  config.num_seeds = 3  # draws of each size
  config.num_users = (200, 1000, 5000)
  config.num_types = 4  # planted, and K
  config.num_features = 6  # D
  config.num_columns = 4  # L
  config.choices_per_user = 5  # T
  config.taste_scale = 1.5  # sd of coefficients, log-odds per unit
  config.fit = ml_collections.ConfigDict()  # see latent_class.Options
  config.fit.num_restarts = 12
  config.fit.ridge = 1.0
  config.fit.seed = 0
  config.fit.dtype = 'float64'
  config.fit.tolerance = 1e-8
  if arg == 'hard':
    config.num_seeds = 1
    config.num_users = (10_000,)
    config.num_types = 16
    config.num_features = 32
    config.taste_scale = 0.37
    config.fit.dtype = 'float32'
    config.fit.tolerance = 1e-6
  if arg == 'smoke':
    config.num_seeds = 1
    config.num_users = (60, 120)
    config.fit.num_restarts = 3
  return config
