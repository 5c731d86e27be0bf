"""What policies would have brought, estimated from logged sessions alone.

  python -m launch.off_policy --config=configs/off_policy.py --workdir=DIR

Reads DIR/user_model, DIR/value and DIR/simulated (or DIR/sessions and
DIR/features), which must have been made with with_pool = True; leaves
DIR/off_policy. Variants: '' and 'smoke'.

On 1,000 sessions and six policies about 7 CPU minutes, and one to two minutes a
policy for 400 people of the truth. Measured on a quickstart's first 1,000
sessions of people (data = 'human', value function with credit 'choice'): errors
of fitted Q evaluation at item level between -0.02 and +0.03, at returns of 2.5
to 2.9. With a user model and values that saw only the 1,002 sessions of 167
people that were evaluated: -0.04 to +0.08, and +0.01 for pasta with credit
'slate'. That pasta is deterministic: it has no temperature.
"""

import ml_collections
from ml_collections import config_dict

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  is_smoke = arg == 'smoke'
  c = ml_collections.ConfigDict()
  # Of the run: leaves off_policy-NAME, reads user_model-NAME, value-NAME and
  # simulated-NAME where there are such.
  c.name = ''
  c.seed = 2000  # of fits, resampling and the people of the truth
  c.data = 'simulated'  # 'simulated': simulated/; 'human': features/
  c.reward = 'dense'  # 'dense': every turn's satisfaction; 'sparse': the last
  c.discount = 1.0  # γ a turn
  c.num_slates = 16 if is_smoke else 128  # sampled for a sum over all slates
  # Importance sampling refuses below so many equally weighted sessions: at 20,
  # a standard error is over a fifth of the deviation between sessions, about
  # the difference between two policies worth comparing.
  c.min_effective_sessions = 20.0
  # People who really sit down with each policy, drawn as those in the logs
  # were: the truth that errors are measured against. 0: there is none.
  c.num_truth_sessions = 24 if is_smoke else 400
  c.batch_size = 24 if is_smoke else 200  # sittings of the truth in lockstep
  c.policies = ml_collections.ConfigDict()
  for name, policy, temperature in (
    ('lmm', 'lmm', 0.0),
    ('random', 'random', 0.0),
    ('greedy', 'greedy', 0.0),
    ('pasta', 'pasta', 0.0),
    ('greedy_noisy', 'greedy', 0.5),
    ('greedy_noisier', 'greedy', 1.0),
  ):
    c.policies[name] = common.policy(policy, temperature)
    c.policies[name].value = ''  # 'NAME': of value-NAME; '': this run's
  if is_smoke:
    for name in ('lmm', 'pasta', 'greedy_noisier'):
      del c.policies[name]
  c.fitted_q = fitted_q(is_smoke)
  return c


def fitted_q(is_smoke: bool) -> ml_collections.ConfigDict:
  """Fitted Q evaluation; fields as in configs/train_value.py."""
  c = ml_collections.ConfigDict()
  # Each is fitted on people drawn anew; their spread gives the interval.
  c.num_members = 2 if is_smoke else 8
  c.belief = 'on'  # whether belief and utilities enter: 'on' or 'off'
  c.num_categories = 5  # G, as in types.CATEGORIES
  c.base = 'myopic'
  c.history = 'full'
  c.projection_dim = 4
  c.item_text = True
  c.tiring = False
  c.backbone = 'transformer'  # or 'mlp'
  c.width = 16 if is_smoke else 32
  c.num_layers = 1
  c.num_heads = 2 if is_smoke else 4
  c.head_dims = (16,) if is_smoke else (32,)
  c.min_slope = 0.05
  c.num_steps = 40 if is_smoke else 1000  # updates
  c.steps_per_call = 20 if is_smoke else 100  # updates a compiled call
  c.batch_sessions = 16 if is_smoke else 48
  c.target_rate = 0.02  # EMA step of the target parameters an update
  c.learning_rate = 1e-3
  c.warmup_steps = 10 if is_smoke else 100
  c.weight_decay = config_dict.placeholder(float)
  c.decay = common.value_decay()
  c.max_gradient_norm = 1.0
  return c
