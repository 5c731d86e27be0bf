"""Images and CLIP features of a list of prompts, or of what sessions show.

  python -m launch.render --config=configs/render.py --workdir=DIR \
    --config.prompts=FILE

renders and encodes the prompts of a text file, one a line;

  python -m launch.render --config=configs/render.py --workdir=DIR \
    --config.sessions=sessions --config.columns=candidates

all candidates of the sessions in DIR/sessions. Leaves DIR/rendered: the store,
and request.jsonl, which lists the columns in order with their keys. The same
command, or one that asks for more, renders what the store lacks. With
--distributed, several processes share the work.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke', which draws what DIR/sessions showed, small."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  # Its t2i.store is used where it is set, else DIR/rendered/store.
  config.world = common.world()
  config.prompts = ''  # text file, UTF-8, one prompt a line
  config.sessions = ''  # or a directory of sessions, in DIR
  config.columns = 'shown'  # of sessions: 'shown' or 'candidates', which is all
  # Of prompts from a file; sessions have their own seeds and numbers of images.
  config.first_seed = 0
  config.seeds_per_prompt = 1  # columns of each prompt
  config.images_per_prompt = 4  # M, of a column
  config.features = True  # of images and texts, by world.encoder
  config.verify = False  # read all that is in the store already, too
  config.chunk_columns = 64  # rendered and stored at once; what a kill costs
  config.num_devices = 0  # of a host, that encode; 0 = all
  if arg == 'smoke':
    config.sessions = 'sessions'
    config.world.t2i.size = 64
    config.chunk_columns = 16
  return config
