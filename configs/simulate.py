"""Sessions of people drawn from the learned user model (paper, section 4.2).

  python -m launch.simulate --config=configs/simulate.py --workdir=DIR

Reads DIR/user_model and the initial prompts of DIR/sessions, leaves
DIR/simulated.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '', 'paper', 'smoke'; 'paper,smoke' is both."""
  variants = common.parse_variants(arg, ('paper', 'smoke'))
  config = ml_collections.ConfigDict()
  config.world = common.world()
  config.sizes = common.sizes()
  # Of the run: leaves simulated-NAME, reads user_model-NAME if there is one.
  config.name = ''
  config.seed = 0
  config.num_sessions = 600
  # Text file of initial prompts, one a line;
  # '': what people have typed in DIR/sessions.
  config.prompts = ''
  # Keep the candidates that slates were picked from: for naive and
  # conservative Q-learning, cloning and off-policy evaluation.
  config.with_pool = False
  config.batch_size = 200  # sittings in lockstep, and sessions a shard
  # Image seeds a turn: few, so that the cache answers for repeated prompts;
  # 0: all 2^32.
  config.image_seed_pool = 4
  # Draw images' features instead of rendering: directory of a surrogate that
  # launch.train_surrogate has left, relative to the workdir; '': render.
  config.surrogate = ''
  # Policies that make the data; batches take turns. 'pasta' is the agent of
  # `value_from`, an earlier value function: data that follow the policy.
  config.value_from = ''  # its directory, relative to the workdir; '': none
  config.behaviour = ml_collections.ConfigDict()
  config.behaviour.greedy = common.policy('greedy', temperature=0.5)
  if 'paper' in variants:
    # Values from scratch cannot tell what a candidate adds from what the prompt
    # was worth before, where all slates are good ones.
    config.behaviour.random = common.policy('random')
  if 'smoke' in variants:
    config.num_sessions = 24
    config.batch_size = 16
  return config
