"""A prepared data set -> features, a user model, a table and a page.

  python -m launch.fit_preferences --config=configs/fit_preferences.py:NAME \
    --workdir=DIR

NAME: pairs, ratings, slates or sessions of your own, or a set that has a split
to test on. Reads what
`launch.prepare_data` has left in DIR/data/NAME. Leaves DIR/preferences,
DIR/user_model, DIR/preference_tables and DIR/report; of sessions DIR/sessions
and DIR/features in place of the first. The same command goes on
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
  name, is_smoke = names[0], 'smoke' in variants
  config = ml_collections.ConfigDict()
  config.extract_features = extract_features.get_config(name)
  if name == 'sessions':
    size = 'smoke' * is_smoke
  else:
    size = 'preferences' + '_smoke' * is_smoke
  config.train_user_model = train_user_model.get_config(size)
  if name in prepare_data.OWN and not is_smoke:
    # A thousand answers tell a few types apart, not dozens.
    config.train_user_model.num_types = 4
  config.evaluate_preferences = evaluate_preferences.get_config(name)
  if name == 'sessions':  # They have no split to test on.
    source = config.train_user_model.sources.sessions
    for reserve in (source, config.evaluate_preferences.tables.sessions):
      reserve.reserve, reserve.reserve_share = 'users', 0.2
  else:
    source = config.train_user_model.sources.preferences
    source.path = f'preferences/{name}/train'
  config.report = report.get_config('smoke' * is_smoke)
  return config
