"""The whole loop, end to end, on the embedded world.

  make quickstart
  python -m launch.quickstart --config=configs/quickstart.py --workdir=DIR

Variants: '' and 'smoke'. The paper's own sizes and choices: configs/paper.py.

Each stage's part of the config is the stage's own config; `world`, `sizes` and
`population` are one object in all of them.
"""

import ml_collections

from configs import (
  collect,
  common,
  evaluate,
  extract_features,
  report,
  simulate,
  train_surrogate,
  train_user_model,
  train_value,
)


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.skip = ()  # stages whose output other commands have left
  config.world = common.world()
  config.sizes = common.sizes()
  config.population = common.population()
  config.collect = collect.get_config(arg)
  config.extract_features = extract_features.get_config(arg)
  config.train_user_model = train_user_model.get_config(arg)
  # Runs where simulate.surrogate is 'surrogate'.
  config.train_surrogate = train_surrogate.get_config(arg)
  config.simulate = simulate.get_config(arg)
  config.train_value = train_value.get_config(arg)
  config.evaluate = evaluate.get_config(arg)
  config.report = report.get_config(arg)
  for stage in config.values():
    for part in ('world', 'sizes', 'population'):
      if part in stage:
        stage[part] = config[part]
  return config
