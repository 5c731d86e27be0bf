r"""The value function: implicit Q-learning on logged or simulated sessions.

  python -m launch.train_value --config=configs/train_value.py --workdir=DIR

About 30 s on two cores in the quickstart, with programs from the cache.
Variants: '', 'smoke', 'gemma', 'paper', and several of them by commas.

  python -m launch.train_value --config=configs/train_value.py:gemma \
    --config.gemma.path=DIR_OR_HUB_ID --workdir=DIR

reads sessions as text through Gemma 2B, the paper's choice, with a LoRA. Time,
memory and results of this variant: not measured.

'paper' is the paper's value function: f is learned from scratch (base 'none'),
a slate is worth the mean of its candidates (credit 'mean'), implicit
Q-learning. Ours is what makes that work on thousands of sessions and without a
Gemma: rewards as the user model expects them; a state of belief, turn and the
worth of the prompt that is extended, without the features of past slates; a
weight decay for this base; and half of the simulated sessions random
(configs/simulate.py:paper). configs/paper.py has all of it.
"""

import ml_collections
from ml_collections import config_dict

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: 'smoke', 'gemma' and 'paper', joined by commas; or ''."""
  variants = common.parse_variants(arg, ('smoke', 'gemma', 'paper'))
  is_smoke, is_gemma = 'smoke' in variants, 'gemma' in variants
  c = ml_collections.ConfigDict()
  # Of the run: leaves value-NAME, reads user_model-NAME and simulated-NAME
  # where there are such.
  c.name = ''
  c.seed = 0  # of initialisation, batches and the held-out split
  # Data.
  c.data = 'mixed'  # sessions: 'human', 'simulated' or 'mixed', both
  # 'dense': every turn's satisfaction; 'sparse': the last; 'expected': every
  # turn's as the user model expects it after the choice.
  c.reward = 'dense'
  # The belief in the state: 'on'; 'prior', never moved; 'oracle', as if the
  # types were known; 'off', neither belief nor utilities (needs base 'none').
  c.belief = 'on'
  c.num_categories = 5  # G, as in types.CATEGORIES
  c.heldout_fraction = 0.1  # of sessions, for the val/ metrics
  # Learning problem.
  # 'slate': a critic of whole slates, with attention over their columns;
  # 'choice': f fits the chosen column; 'mean': the slate's mean (paper).
  c.credit = 'choice' if is_gemma else 'slate'
  # Or a rival: 'sarsa', 'monte_carlo'; with the logged candidates (with_pool)
  # 'q_learning', 'conservative', 'cloning'.
  c.backup = 'iql'
  c.conservatism = 0.3  # weight of the penalty of 'conservative'
  c.discount = 1.0  # γ a turn; sessions end, so 1 is the plain sum
  c.expectile = 0.6  # α; 0.5 values the behaviour, 1 its best action
  c.target_rate = 0.01  # EMA step of the target parameters an update
  # Network.
  c.base = 'myopic'  # f = expected utility + residual; 'none': from scratch
  # What a state holds of past slates beside belief and turn: 'full', their
  # features; 'projected', a few learned numbers of each; 'none'.
  c.history = 'full'
  c.projection_dim = 4  # numbers a turn for history 'projected'
  # Candidates' text features in what values read, beside category, expected
  # utility and spread; mostly a channel to overfit by.
  c.item_text = True
  # States and items hold what tells of people who tire of looks, for worlds
  # where prompts only grow (pasta/agent/tiring.py).
  c.tiring = False
  # 'transformer' over turn tokens; 'mlp'; 'gemma', sessions as text.
  c.backbone = 'gemma' if is_gemma else 'transformer'
  c.width = 16 if is_smoke else 32  # of the state embedding
  c.num_layers = 1  # of the transformer
  c.num_heads = 2 if is_smoke else 4  # of attention
  c.head_dims = (16,) if is_smoke else (32,)  # hidden units of the heads
  c.num_twins = 2  # heads of f; the target takes their minimum
  c.num_members = 1  # of an ensemble, trained at once, each with its own seed
  c.score = 'mean'  # of the twins when the policy scores: 'mean' or 'min'
  c.min_slope = 0.05  # least first slope of f on the standardised utility
  # Backbone 'gemma'.
  c.gemma = ml_collections.ConfigDict()
  # Directory or hub id of a Gemma 1, which no other backbone needs.
  c.gemma.path = config_dict.placeholder(str)
  if is_gemma:
    c.gemma.path = 'google/gemma-2b'
  # 'lora': factors of some kernels; 'full': all parameters, in float32, for f,
  # v and targets each; 'head': the value heads alone.
  c.gemma.tuning = 'lora'
  c.gemma.rank = 16  # of a LoRA
  c.gemma.targets = ('q_proj', 'k_proj', 'v_proj', 'o_proj')  # layers with one
  c.gemma.lora_scale = 2.0  # what its products are multiplied with
  c.gemma.learning_rate = 2e-4  # peak, of a LoRA or of all parameters
  # Of a state and a candidate together; a text that is longer forgets its
  # oldest turns. The log tells how long the longest is.
  c.gemma.max_tokens = 512
  c.gemma.chunk_texts = 32  # encoded at once: memory against speed
  c.gemma.dtype = 'bfloat16'  # of the computation; or 'float32'
  c.gemma.remat = True  # gradients recompute layers: memory against a third
  # Optimisation.
  c.num_steps = 40 if is_smoke else 2000  # updates
  # Whole sessions a batch.
  c.batch_sessions = 16 if is_smoke else 8 if is_gemma else 48
  c.learning_rate = 1e-3  # peak, of AdamW on a cosine
  c.warmup_steps = 10 if is_smoke else 100  # updates
  # Decoupled, on matrices; not set: by base and number of sessions.
  c.weight_decay = config_dict.placeholder(float)
  c.decay = common.value_decay()
  c.max_gradient_norm = 1.0  # gradients are clipped to this global norm
  # Running.
  # Updates a compiled call, between metrics and between checkpoints.
  c.steps_per_call = 20 if is_smoke else 10 if is_gemma else 100
  c.log_steps = 20 if is_smoke else 100 if is_gemma else 500
  c.checkpoint_steps = 40 if is_smoke else 200 if is_gemma else 1000
  if 'paper' in variants:
    c.base, c.credit = 'none', 'mean'
    c.reward, c.history = 'expected', 'none'
  return c
