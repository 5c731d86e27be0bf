"""The value function: implicit Q-learning on logged or simulated sessions.

  python -m launch.train_value --config=configs/train_value.py --workdir=DIR

About 30 CPU seconds, a third of it compiling. Variants: '' and 'smoke'.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  common.check_variant(arg, ('smoke',))
  is_smoke = arg == 'smoke'
  c = ml_collections.ConfigDict()
  c.seed = 0  # of initialisation, batches and the held-out split
  # Data.
  c.data = 'mixed'  # sessions: 'human', 'simulated' or 'mixed', both
  c.reward = 'dense'  # 'dense': every turn's satisfaction; 'sparse': the last
  # The belief in the state: 'on'; 'prior', never moved; 'oracle', as if the
  # types were known; 'off', neither belief nor utilities (needs base 'none').
  c.belief = 'on'
  c.num_categories = 5  # G, as in candidates.base.CATEGORIES
  c.heldout_fraction = 0.1  # of sessions, for the val/ metrics
  # Learning problem.
  # 'choice': f fits the chosen column; 'mean': the slate's mean (paper);
  # 'slate': a critic of whole slates, with attention over their columns.
  c.credit = 'choice'
  # Or a rival: 'sarsa', 'monte_carlo'; with the logged candidates (with_pool)
  # 'q_learning', 'conservative', 'cloning'.
  c.backup = 'iql'
  c.conservatism = 0.3  # weight of the penalty of 'conservative'
  c.discount = 1.0  # γ a turn; sessions end, so 1 is the plain sum
  c.expectile = 0.6  # α; 0.5 values the behaviour, 1 its best action
  c.target_rate = 0.01  # EMA step of the target parameters an update
  # Network.
  c.base = 'myopic'  # f = expected utility + residual; 'none': from scratch
  c.backbone = 'transformer'  # over turn tokens; or 'mlp'
  c.width = 16 if is_smoke else 32  # of the state embedding
  c.num_layers = 1  # of the transformer
  c.num_heads = 2 if is_smoke else 4  # of attention
  c.head_dims = (16,) if is_smoke else (32,)  # hidden units of the heads
  c.num_twins = 2  # heads of f; the target takes their minimum
  c.num_members = 1  # of an ensemble, trained at once, each with its own seed
  c.score = 'mean'  # of the twins when the policy scores: 'mean' or 'min'
  c.min_slope = 0.05  # least first slope of f on the standardised utility
  # Optimisation.
  c.num_steps = 40 if is_smoke else 2000  # updates
  c.batch_sessions = 16 if is_smoke else 48  # whole sessions a batch
  c.learning_rate = 1e-3  # peak, of AdamW on a cosine
  c.warmup_steps = 10 if is_smoke else 100  # updates
  # Decoupled, on matrices, at 1,000 training sessions; it falls as one over
  # their number, like a prior that data outweigh. Without it f overfits.
  c.weight_decay = 300.0
  c.max_gradient_norm = 1.0  # gradients are clipped to this global norm
  # Running.
  c.steps_per_call = 20 if is_smoke else 100  # updates a compiled call
  c.log_steps = 20 if is_smoke else 500  # updates between metrics
  c.checkpoint_steps = 40 if is_smoke else 1000  # updates between checkpoints
  return c
