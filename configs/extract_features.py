"""Features of sessions, or of a prepared data set.

  python -m launch.extract_features --config=configs/extract_features.py \
    --workdir=DIR

draws and encodes what the sessions in DIR/sessions showed; leaves DIR/features.

  python -m launch.extract_features --workdir=DIR \
    --config=configs/extract_features.py:NAME --config.encoder=DIR_OR_HUB_ID

encodes the data set that `launch.prepare_data` has left in DIR/data/NAME (NAME
as in configs/prepare_data.py); leaves DIR/preferences/NAME/SPLIT. Data sets of
sessions (pasta_release, pasta_sessions) leave DIR/sessions and DIR/features
instead, as if they had been collected here. Pick-a-Filter has features itself:
no encoder.
"""

import ml_collections

from configs import common, prepare_data


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '', 'smoke', which is the same, and the names of data sets."""
  common.check_variant(arg, ('smoke', *prepare_data.NAMES))
  config = ml_collections.ConfigDict()
  config.data_set = ''  # name of a prepared data set; '' = DIR/sessions
  if arg not in prepare_data.NAMES:
    config.world = common.world()
    # Keep the candidates that slates were picked from: for naive and
    # conservative Q-learning, cloning and off-policy evaluation.
    config.with_pool = False
    return config
  config.data_set = arg
  config.variant = prepare_data.get_config(arg).variant  # of the data set
  config.splits = ()  # which; () = all
  config.max_bad_share = 0.01  # of images; more broken ones are an error
  # Directory of preference data, or which sessions/ and features/ go to.
  config.output = '' if arg in prepare_data.SESSIONS else 'preferences'
  # 'sketch-clip', a directory or a hub id, e.g. 'yuvalkirstain/PickScore_v1'.
  config.encoder = 'openai/clip-vit-large-patch14'
  if arg in prepare_data.EMBEDDED:
    config.encoder = ''  # The data set has features itself.
  # Of sessions: keep the candidates that slates were picked from, too.
  config.with_pool = False
  config.dtype = 'auto'  # bfloat16, but float32 on CPUs; or either
  config.batch_size = 256  # images in a call, over all devices of a host
  config.block_images = 4096  # images of a file; what a restart may do again
  config.num_devices = 0  # of a host; 0 = all
  config.num_threads = 0  # that decode images; 0 = one a core
  config.num_workers = 0  # processes of the first pass; 0 = one a core
  return config
