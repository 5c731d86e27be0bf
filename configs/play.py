"""One session in the terminal, with the agent of a workdir.

  python -m launch.play --workdir=DIR --prompt="a quiet harbour at dusk"

Reads DIR/user_model, and DIR/value where there is one. Leaves DIR/play: a
contact sheet a turn, and the session, which is saved after every turn.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Has no variants."""
  common.check_variant(arg, ())
  config = ml_collections.ConfigDict()
  # Of the run: user_model-NAME and value-NAME, where there are such.
  config.name = ''
  # World and sizes that DIR's own runs have recorded come before those here,
  # but for fields that the command line sets. False: those here alone.
  config.as_recorded = True
  config.world = common.world()
  config.world.t2i.num_workers = 0  # sixteen pictures a turn need no pool
  config.sizes = common.sizes()
  # '': pasta where DIR/value is, else greedy_slate.
  config.policy = common.policy('')
  config.policy.num_candidates = 100
  # Go on where the value function never saw candidates of this generator.
  config.allow_unseen_generator = False
  config.picture_size = 256  # pixels, as people see it; --size comes before
  return config
