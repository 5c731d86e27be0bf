"""A surrogate of rendering: image features drawn from a prompt's text.

  python -m launch.train_surrogate --config=configs/train_surrogate.py \
    --workdir=DIR

Reads DIR/features, DIR/sessions and DIR/user_model, leaves DIR/surrogate; the
stage simulate takes it with --config.surrogate=surrogate. On 1,002 sessions of
167 people (D = 96) it took 5 minutes of a share of two busy cores; the
utilities of test people's columns correlate with rendered ones at 0.606, those
of renders with other seeds at 0.616.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.world = common.world()  # renders test prompts again
  config.seed = 0  # of initialisation, batches and who is held out
  # Data: DIR/features, split by person.
  config.validation_share = 0.1  # of people: the best step is theirs
  config.test_share = 0.1  # of people: figures are theirs
  # The model.
  config.num_couplings = 6  # of the flow; 0: a Gaussian
  config.hidden_dim = 128  # units of a coupling's two layers
  config.trunk_dim = 256  # units of the two layers that read the prompt
  config.whitening_floor = 0.02  # share of the mean eigenvalue added to all
  # Noise on whitened features while training: they lie on a sphere, where
  # densities have no bound.
  config.blur = 0.1
  # Optimisation.
  config.num_steps = 4000  # updates
  config.batch_columns = 64  # in an update, with all their images
  config.learning_rate = 2e-3  # peak, of AdamW on a cosine
  config.warmup_steps = 100  # updates
  config.weight_decay = 0.1  # decoupled
  config.max_gradient_norm = 10.0  # gradients are clipped to this global norm
  # Running.
  config.steps_per_call = 100  # updates between two looks at validation people
  config.checkpoint_steps = 1000  # updates between two checkpoints
  # Judging.
  config.num_test_slates = 500  # at most so many
  # Render their prompts with other seeds: what no surrogate can surpass.
  config.render_again = True
  if arg == 'smoke':
    config.num_couplings = 2
    config.hidden_dim = 16
    config.trunk_dim = 16
    config.num_steps = 40
    config.warmup_steps = 10
    config.steps_per_call = 20
    config.checkpoint_steps = 20
    config.num_test_slates = 10
  return config
