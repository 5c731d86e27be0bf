"""All policies on the same fresh people of the hidden population.

  python -m launch.evaluate --config=configs/evaluate.py --workdir=DIR

Reads DIR/user_model and DIR/value, leaves DIR/evaluation.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.world = common.world()
  config.sizes = common.sizes()
  config.population = common.population()
  # Of the run: leaves evaluation-NAME, reads user_model-NAME and value-NAME
  # where there are such.
  config.name = ''
  config.seed = 1000  # draws the people: never those that data came from
  config.num_people = 300
  # Who judges: 'hidden' people, who see what only the embedded text-to-image
  # model can tell; or 'user_model', people drawn from the user model, for any.
  config.people = 'hidden'
  # Text file of initial prompts, one a line; '': hidden people type what they
  # have in mind, others what has been typed in DIR/sessions.
  config.prompts = ''
  config.batch_size = 100  # sittings in lockstep, and sessions a shard
  # Go on where the value function never saw candidates of this generator.
  config.allow_unseen_generator = False
  # The same people come back: their next sessions with what was learned of
  # them, and as if they were new.
  config.returning = ml_collections.ConfigDict()
  config.returning.num_sessions = 3  # of each person; 1: nobody comes back
  config.returning.num_people = 150
  config.returning.policies = ('pasta',)  # of those below
  # The policy whose beliefs are judged by true types, which those people must
  # have whom the user model was trained on; '': none.
  config.beliefs_of = 'pasta'
  config.ceilings = ml_collections.ConfigDict()
  config.ceilings.num_particles = 2048  # draws behind the exact posterior
  # Of these, drawn by their weight, those that a hedging slate is made for.
  config.ceilings.slate_particles = 192
  config.policies = ml_collections.ConfigDict()
  for name in (
    'lmm',
    'random',
    'greedy',
    'greedy_slate',
    'optimistic',
    'pasta',
    'prior',
    'bayes',
    'bayes_slate',
    'bayes_full',
    'type_told',
    'oracle',
  ):
    config.policies[name] = common.policy(name)
    config.policies[name].value = ''  # 'NAME': of value-NAME; '': this run's
  config.policies.optimistic.spread_weight = 0.3
  # The agent, and what it is held against, choose from larger pools: more texts
  # and as many images.
  for name in ('pasta', 'greedy_slate'):
    config.policies[name].num_candidates = 100
  if arg == 'smoke':
    config.num_people = 12
    config.batch_size = 12
    config.ceilings.num_particles = 256
    for name in ('pasta', 'greedy_slate'):
      config.policies[name].num_candidates = 50
    config.returning.num_sessions = 2
    config.returning.num_people = 12
    config.ceilings.slate_particles = 32
  return config
