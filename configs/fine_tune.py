r"""Fine-tunes the CLIP encoder on people's choices (PickScore's way).

  python -m launch.fine_tune --config=configs/fine_tune.py --workdir=DIR

Reads DIR/sessions, DIR/features and DIR/user_model, leaves
DIR/fine_tune/encoder. To use it, run the stages from extract_features on in
another directory with --config.world.encoder=DIR/fine_tune/encoder.
"""

import ml_collections

from configs import common, train_user_model


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.world = common.world()
  config.seed = 0  # root of all randomness
  config.fit = train_user_model.get_config(arg)
  config.fit.num_steps = 300
  config.fit.steps_per_call = 25
  config.fit.checkpoint_steps = 100
  config.fit.patience_steps = 100
  config.fit.learning_rate = 2e-3  # of the heads
  config.fit.encoder_learning_rate = 3e-5
  config.fit.resident_megabytes = 0  # images are rendered as they are read
  config.fit.sources.sessions.batch_users = 8
  config.fit.sources.sessions.batch_observations = 40
  config.fit.sources.sessions.max_observations = 5
  config.fit.sources.sessions.max_held_out_users = 40
  if arg == 'smoke':
    config.fit.num_steps = 4
    config.fit.steps_per_call = 2
    config.fit.checkpoint_steps = 2
    config.fit.sources.sessions.batch_users = 2
    config.fit.sources.sessions.batch_observations = 10
    config.fit.sources.sessions.max_held_out_users = 4
  return config
