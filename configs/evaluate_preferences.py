"""Tables of how well a user model predicts public preference data.

  python -m launch.evaluate_preferences --workdir=DIR \
    --config=configs/evaluate_preferences.py:NAME

NAME: pairs, ratings or slates of your own, pick_a_pic, hpd_v2, pamela,
simulacra_aesthetic_captions, pick_a_filter, sessions (those in DIR/features),
or several, joined by commas. Reads DIR/user_model and DIR/preferences, leaves
DIR/preference_tables.
"""

import ml_collections

from configs import common


def _table(
  path: str, protocol: str, validation: str = '', context: str = ''
) -> ml_collections.ConfigDict:
  """A table on one split."""
  config = ml_collections.ConfigDict()
  config.path = f'preferences/{path}'  # the split that is judged
  # pairs, chains, choices, rankings, ratings or sessions
  config.protocol = protocol
  # Where the threshold of ties is chosen, and where else people have answered.
  config.validation = f'preferences/{validation}' if validation else ''
  config.context = f'preferences/{context}' if context else ''
  # As of the data set in configs/train_user_model.py: judge what it reserves.
  config.reserve = 'none'
  config.reserve_share = 0.1
  return config


def _pick_a_pic(tables) -> None:
  splits = 'pick_a_pic/test', 'pick_a_pic/validation', 'pick_a_pic/train'
  tables.pick_a_pic = _table(splits[0], 'pairs', *splits[1:])
  tables.pick_a_pic_chains = _table(splits[0], 'chains', '', splits[2])


def _hpd_v2(tables) -> None:
  tables.hpd_v2 = _table('hpd_v2/test', 'rankings')


def _pamela(tables) -> None:
  tables.pamela_seen = _table('pamela/test_seen', 'ratings', '', 'pamela/train')
  tables.pamela_unseen = _table('pamela/test_unseen', 'ratings')


def _simulacra_aesthetic_captions(tables) -> None:
  tables.simulacra = _table('simulacra_aesthetic_captions/train', 'ratings')
  tables.simulacra.reserve = 'users'


def _sessions(tables) -> None:
  tables.sessions = _table('', 'sessions')
  tables.sessions.path = 'features'
  tables.sessions.reserve = 'users'


def _pick_a_filter(tables) -> None:
  tables.pick_a_filter = _table('pick_a_filter/train', 'pairs')
  tables.pick_a_filter.reserve = 'users'


def _pairs(tables) -> None:
  tables.pairs = _table('pairs/test', 'pairs')


def _ratings(tables) -> None:
  tables.ratings = _table('ratings/test', 'ratings')


def _slates(tables) -> None:
  tables.slates = _table('slates/test', 'choices')


_TABLES = {
  'pairs': _pairs,
  'ratings': _ratings,
  'slates': _slates,
  'pick_a_pic': _pick_a_pic,
  'hpd_v2': _hpd_v2,
  'pamela': _pamela,
  'simulacra_aesthetic_captions': _simulacra_aesthetic_captions,
  'sessions': _sessions,
  'pick_a_filter': _pick_a_filter,
}


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: data sets; several are joined by commas."""
  names = arg.split(',')
  for name in names:
    common.check_variant(name, tuple(_TABLES), is_needed=True)
  config = ml_collections.ConfigDict()
  config.user_model = 'user_model'  # directory of the fitted model
  config.features = 'preferences'  # directory of features in all paths below
  # Further scorers, NAME=DIRECTORY of the same data's features by another
  # encoder, whose cosine is the score: ('pickscore=preferences_pickscore',).
  config.baselines = ()
  config.output = 'preference_tables'
  config.tables = ml_collections.ConfigDict()
  for name in names:
    _TABLES[name](config.tables)
  return config
