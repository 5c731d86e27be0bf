r"""The small CLIP for sketch renders that is shipped in pasta/encoders.

  python -m launch.train_clip --config=configs/train_clip.py --workdir=DIR

The shipped weights come from a second phase on top, which asks for values that
linear maps can read:

  python -m launch.train_clip --config=configs/train_clip.py:refine \
    --config.start=DIR/sketch_clip --workdir=OTHER_DIR

and was run twice for them: first with --config.num_steps=3000
--config.learning_rate=6e-4 --config.regression_weight=4, then from there as it
stands. Leaves DIR/sketch_clip. Measured on 2 cores: 35 minutes for the first
phase beside other jobs, 11 and 14 for the others, after 6 of rendering. On
held-out combinations a caption then finds its image among 64 in 96 % of the
draws; a linear probe reads the subject in 96 %, the style in 99.7 % and the
setting, the hardest slot, in 77 %.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '', 'refine' (give it config.start) and 'smoke'."""
  common.check_variant(arg, ('refine', 'smoke'))
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.start = ''  # directory of a trained CLIP to go on from; '': scratch
  config.num_images = 50_000  # scenes rendered for training
  config.ink_fraction = 0.2  # share of them in the look sketch:ink
  config.captions_per_image = 3
  config.num_eval_images = 3000  # held-out scenes, rendered in both looks
  config.num_choices = 64  # pairs among which retrieval is measured
  config.num_workers = 2  # render processes; 0: none
  config.vocab_size = 2000  # tokens

  config.model = ml_collections.ConfigDict()
  config.model.projection_dim = 96  # D
  config.model.image_size = 64  # pixels
  config.model.patch_size = 16  # pixels
  config.model.vision_width = 128
  config.model.vision_mlp_dim = 384
  config.model.vision_layers = 3
  config.model.vision_heads = 4
  config.model.max_tokens = 77
  config.model.text_width = 64
  config.model.text_mlp_dim = 256
  config.model.text_layers = 2
  config.model.text_heads = 4
  config.pixel_mean = 0.5  # of pixel values in [0, 1], all channels
  config.pixel_std = 0.25

  config.num_steps = 8000
  config.batch_size = 64  # pairs
  config.length_buckets = (24, 32, 77)  # tokens; captions are padded to these
  config.phrase_weight = 1.0  # of the loss against one-value captions
  config.head_weight = 4.0  # of the linear heads' loss over slots
  config.regression_weight = 0.0  # of the linear regression of values
  config.canonical_phrase_prob = 0.4  # of the canonical one-value caption
  config.learning_rate = 1.5e-3  # peak
  config.warmup_steps = 200
  config.weight_decay = 0.05
  config.adam_b2 = 0.98
  config.max_grad_norm = 1.0
  config.log_every_steps = 50
  config.checkpoint_every_steps = 250
  if arg == 'refine':
    config.num_steps = 8000
    config.learning_rate = 8e-4
    config.head_weight = 1.0
    config.regression_weight = 8.0
  if arg == 'smoke':
    config.regression_weight = 1.0
    config.num_images = 64
    config.num_eval_images = 128
    config.num_workers = 0
    config.captions_per_image = 1
    config.model.vision_width = 32
    config.model.vision_mlp_dim = 64
    config.model.vision_layers = 1
    config.model.vision_heads = 2
    config.model.text_width = 32
    config.model.text_mlp_dim = 64
    config.model.text_layers = 1
    config.model.text_heads = 2
    config.model.projection_dim = 32
    config.length_buckets = (77,)
    config.num_steps = 60
    config.batch_size = 32
    config.learning_rate = 1e-2
    config.warmup_steps = 5
    config.log_every_steps = 5
    config.checkpoint_every_steps = 30
  return config
