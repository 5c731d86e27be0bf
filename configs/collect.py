"""People use the baseline agent: the preference data that all begins with.

  python -m launch.collect --config=configs/collect.py --workdir=DIR

Leaves DIR/sessions. Needs no images: hidden people see scene attributes.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.world = common.world()
  config.sizes = common.sizes()
  config.population = common.population()
  config.seed = 0  # draws the people; evaluate draws others
  config.num_people = 500
  config.sessions_per_person = 6
  # Text file of initial prompts, one a line;
  # '': drawn with what people have in mind.
  config.prompts = ''
  # Stochastic, so that the data cover the pool; 'lmm' or 'random'.
  config.policy = common.policy('lmm', temperature=1.0)
  config.batch_size = 200  # sittings in lockstep, and sessions a shard
  if arg == 'smoke':
    config.num_people = 24
    config.sessions_per_person = 2
    config.batch_size = 16
  return config
