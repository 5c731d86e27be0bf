"""The whole loop, end to end, on the embedded world.

  make quickstart
  python -m launch.quickstart --config=configs/quickstart.py --workdir=DIR

Variants: '', 'smoke', 'paper', 'paper,smoke'. 'paper' has the paper's own value
function, see configs/train_value.py; on 3,000 human and 600 simulated sessions.
The paper had 7,000 and 30,000; for so many simulated ones a surrogate draws the
images' features:

  python -m launch.quickstart --config=configs/quickstart.py:paper \
    --config.simulate.surrogate=surrogate \
    --config.simulate.num_sessions=20000 \
    --config.train_value.data=simulated --workdir=DIR

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
  """Variants: 'smoke' and 'paper', joined by a comma; or ''."""
  variants = common.parse_variants(arg, ('smoke', 'paper'))
  size = 'smoke' if 'smoke' in variants else ''
  config = ml_collections.ConfigDict()
  config.world = common.world()
  config.sizes = common.sizes()
  config.population = common.population()
  config.collect = collect.get_config(size)
  config.extract_features = extract_features.get_config(size)
  config.train_user_model = train_user_model.get_config(size)
  # Runs where simulate.surrogate is 'surrogate'.
  config.train_surrogate = train_surrogate.get_config(size)
  config.simulate = simulate.get_config(arg)
  config.train_value = train_value.get_config(arg)
  config.evaluate = evaluate.get_config(size)
  config.report = report.get_config(size)
  for stage in config.values():
    for part in ('world', 'sizes', 'population'):
      if part in stage:
        stage[part] = config[part]
  return config
