"""Raw files of a data set -> TFDS.

  python -m launch.prepare_data --config=configs/prepare_data.py:NAME \
    --raw=DIR --workdir=DIR

NAME is one of NAMES below; how to get its files says data/NAME/README.md. The
result lies in DIR/data/NAME. The same command goes on after a kill.

  python -m launch.prepare_data --config=configs/prepare_data.py:pairs \
    --raw=FILE --workdir=DIR --config.fields.person=COLUMN

Your own tables: pairs, ratings, slates, sessions. Fields whose columns go by
other names than below are said so; launch.inspect_data proposes the command.
"""

import ml_collections

from configs import common

_VARIANTS = {'pick_a_pic': 'v2'}
_OWN = {  # of all one's own tables
  'files': '',  # patterns below --raw, joined by commas; '' = all
  'image_folder': '',  # of images by path; '' = that of the table
  'encoder_id': '',  # who made them, where features stand in place of images
  'test_share': 0.2,  # of people, who are not trained on
}
_OWN_SESSIONS = {  # columns of a row, which is a turn
  'session': 'session',
  'person': 'person',  # '' = every session is a person of its own
  'turn': 'turn',  # '' = rows are in order
  'prompt': 'prompt',  # what the person typed first
  'prompts': 'prompts',  # of the L columns, a list
  'images': 'images',  # M of each column, one list or a list of lists
  'chosen': 'chosen',
  'satisfaction': '',  # '' = not asked
}
_OWN_FIELDS = {  # columns; '' = there is none
  'person': 'person',  # '' = every row is a person of its own
  'prompt': 'prompt',
  'prompt_features': '',
  'time': '',  # what grows with it; '' = rows are in order
}
OPTIONS = {  # by data set; data/NAME/README.md explains them
  'pairs': {
    **_OWN,
    'chosen_is': 'which',  # or 'preference': of image a, in [0, 1]
    'first_index': 0,  # number of image a, or 1
    'fields': {
      **_OWN_FIELDS,
      'image_a': 'image_a',
      'image_b': 'image_b',
      'chosen': 'chosen',
      'image_a_id': '',
      'image_b_id': '',
    },
  },
  'ratings': {
    **_OWN,
    'fields': {
      **_OWN_FIELDS,
      'image': 'image',
      'rating': 'rating',
      'image_id': '',
    },
  },
  'slates': {
    **_OWN,
    'first_index': 0,  # number of the first image, or 1
    'fields': {
      **_OWN_FIELDS,
      'images': 'images',  # a column of lists, or columns joined by commas
      'chosen': 'chosen',
    },
  },
  'sessions': {
    'files': '',  # these three as of the tables above
    'image_folder': '',
    'first_index': 0,
    'satisfaction_low': 0.0,  # becomes 0
    'satisfaction_high': 1.0,  # becomes 1
    'fields': _OWN_SESSIONS,
  },
  'pamela': {'image_path': ''},
  'pasta_release': {
    'records': '',
    'rows': 'session',
    'session_id': '',
    'user_id': '',
    'initial_prompt': '',
    'turns': '',
    'turn': '',
    'turn_base': 1,
    'prompts': '',
    'images': '',
    'flat_images': '',
    'images_cut': '',
    'images_folder': '',
    'image_path': '',
    'first_index': 0,
    'choice': '',
    'choice_is': 'index',
    'choice_base': 0,
    'satisfaction': '',
    'satisfaction_low': 0.0,
    'satisfaction_high': 1.0,
    'comparison': '',
    'comparison_better': 'better',
    'comparison_same': 'same',
    'comparison_worse': 'worse',
    'critique': '',
    'category': '',
    'category_names': '',
    'generator_id': 'gemini-1.5-flash',
    't2i_id': 'sdxl',
  },
  'simulacra_aesthetic_captions': {
    'database': 'sac_public_2022_06_29.sqlite',
    'images': '',
  },
  'pasta_sessions': {'images': 'none'},
  'pick_a_filter': {
    'mix_ratio': '1.0',
    'train_ids': '',
    'validation_ids': '',
    'test_ids': '',
  },
}
OWN = ('pairs', 'ratings', 'slates', 'sessions')  # tables that somebody brings
NAMES = (
  *OWN,
  'pick_a_pic',
  'hpd_v2',
  'simulacra_aesthetic_captions',
  'pamela',
  'pasta_sessions',
  'pick_a_filter',
  'pasta_release',
)
# Those of whole sessions.
SESSIONS = ('sessions', 'pasta_release', 'pasta_sessions')
EMBEDDED = ('pick_a_filter',)  # those that have features, not images


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: the names of data sets, as those of folders in data/."""
  common.check_variant(arg, NAMES, is_needed=True)
  config = ml_collections.ConfigDict()
  config.name = arg
  config.variant = _VARIANTS.get(arg, '')  # of the data set; Pick-a-Pic: v1, v2
  options = dict(OPTIONS.get(arg, {}))
  if arg in OWN:
    config.fields = ml_collections.ConfigDict(options.pop('fields'))
  config.options = ml_collections.ConfigDict(options)
  config.num_workers = 0  # processes; 0 = one a core
  config.max_skipped_share = 0.01  # of all records; more broken ones: an error
  config.duplicates = 'refuse'  # or 'keep': examples with the same id
  # 'local' or 'beam', where nobody sees all records: the three fields above
  # mean nothing there, and half of a unit's records may be broken.
  config.runner = 'local'
  config.beam_options = ()  # e.g. ('--runner=FlinkRunner',)
  return config
