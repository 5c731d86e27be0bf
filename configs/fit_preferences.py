"""A prepared data set -> features, a user model, a table and a page.

  python -m launch.fit_preferences --config=configs/fit_preferences.py:NAME \
    --workdir=DIR

NAME: pairs, ratings or slates of your own, or any of
configs/evaluate_preferences.py that has a split to test on. Reads what
`launch.prepare_data` has left in DIR/data/NAME. Leaves DIR/preferences,
DIR/user_model, DIR/preference_tables and DIR/report. The same command goes on
where it was cut off.

Each stage's part of the config is the stage's own config, as in
configs/quickstart.py.
"""

import ml_collections

from configs import (
  common,
  evaluate_preferences,
  extract_features,
  prepare_data,
  report,
  train_user_model,
)

NAMES = (*prepare_data.OWN, 'pick_a_pic', 'pamela')


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: data sets, e.g. 'pairs'; with 'smoke': 'pairs,smoke'."""
  variants = common.parse_variants(arg, (*NAMES, 'smoke'))
  names = [v for v in variants if v != 'smoke']
  if len(names) != 1:
    raise ValueError(
      f'variant {arg!r} names no data set, or several of {NAMES}'
    )
  size = 'preferences' + '_smoke' * ('smoke' in variants)
  config = ml_collections.ConfigDict()
  config.extract_features = extract_features.get_config(names[0])
  config.train_user_model = train_user_model.get_config(size)
  source = config.train_user_model.sources.preferences
  source.path = f'preferences/{names[0]}/train'
  if names[0] in prepare_data.OWN and size == 'preferences':
    # A thousand answers tell a few types apart, not dozens.
    config.train_user_model.num_types = 4
  config.evaluate_preferences = evaluate_preferences.get_config(names[0])
  config.report = report.get_config('smoke' if 'smoke' in variants else '')
  return config
