"""The report page of a working directory.

  python -m launch.report --config=configs/report.py --workdir=DIR

Reads all that the other stages left, leaves DIR/report/index.html.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.world = common.world()
  # Of the run: leaves report-NAME, on evaluation-NAME and what else has it.
  config.name = ''
  # Directory of launch.experiments, whose tables and plots join the page; ''
  # for none.
  config.experiments = ''
  config.num_strips = 4  # people whose sessions are shown in pictures
  config.strip_size = 128  # pixels of a picture
  config.num_beliefs = 6  # sessions whose belief is shown over turns
  config.num_pool_prompts = 300  # prompts whose pictures the types judge
  if arg == 'smoke':
    config.num_strips = 1
    config.num_beliefs = 2
    config.num_pool_prompts = 24
  return config
