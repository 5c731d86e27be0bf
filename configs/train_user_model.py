r"""The user model by mini-batch EM.

  python -m launch.train_user_model --config=configs/train_user_model.py \
      --workdir=DIR

Reads DIR/features, leaves DIR/user_model. In the quickstart (500 people
of 30 choices, D = 96) it took 41 s on 2 shared cores, 9 of them compilation,
and predicted held-out people's choices with a log-likelihood of -0.91 nats
(chance -1.39).
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke'."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.seed = 0  # root of all randomness of the fit
  config.num_types = 16  # K
  config.rank = 0  # of the types' adapters; 0 = none, 4 for a large CLIP
  config.trunk_dim = 0  # width of the shared nonlinear trunk; 0 = none
  config.aggregation = 'max'  # images to column: max, mean, log_mean_exp
  config.whitening_floor = 0.3  # share of the mean eigenvalue added to all
  config.membership = 'user'  # what has one type: user, session or choice
  config.max_observations = 64  # turns kept of one person
  config.held_out_share = 0.1  # of people, for early stopping

  config.num_restarts = 8  # short runs from different random partitions
  config.restart_steps = 200  # length of each
  config.num_steps = 600  # length of the run that goes on, short run included
  config.patience_steps = 200  # without held-out gain, after which it stops
  config.batch_users = 40  # whole people in a step, over all devices
  config.num_devices = 1  # 0 = all of this host's
  config.steps_per_call = 50  # steps between two looks at held-out people
  config.checkpoint_steps = 200  # steps between two checkpoints

  config.learning_rate = 0.05  # peak, of Adam
  config.warmup_steps = 20  # steps to the peak
  config.max_grad_norm = 10.0  # gradients are clipped to this norm
  config.shared_ridge = 0.5  # prior precision of shared tastes and trunk
  config.type_ridge = 8.0  # prior precision of a type's deviations
  config.adapter_ridge = 50.0  # prior precision of adapters' entries
  config.scale_ridge = 10.0  # per person, precision of logs of noise scales
  config.typical_sigma = 0.15  # centre of that prior: noise of satisfaction
  config.typical_comparison_scale = 1.0  # and logits per unit of utility
  config.pseudo_count = 2.0  # people added to every type's share
  config.min_share_rate = 0.05  # least step of the running type shares

  config.shared_steps = 20  # steps in which all types learn the same
  config.start_steps = 40  # steps with a random partition's responsibilities
  config.anneal_steps = 200  # steps over which the temperature falls
  config.start_temperature = 4.0  # of responsibilities, where it begins
  config.end_temperature = 1.0  # where it ends; 1 = EM proper
  config.start_sharpness = 6.0  # of the partition: 1 Dirichlet, higher harder

  config.choice_weight = 1.0  # weight of slate choices in the likelihood
  config.satisfaction_weight = 1.0  # weight of satisfactions
  config.comparison_weight = 1.0  # weight of better / same / worse

  config.text = ml_collections.ConfigDict()  # regression of utility on prompts
  config.text.hidden_dim = 128  # width of its two hidden layers
  config.text.num_epochs = 20  # passes over shown columns
  config.text.batch_columns = 512  # columns in a step
  config.text.learning_rate = 2e-3  # peak, of AdamW
  config.text.weight_decay = 0.05  # of AdamW

  if arg == 'smoke':
    config.num_types = 2
    config.num_restarts = 2
    config.restart_steps = 20
    config.num_steps = 40
    config.steps_per_call = 10
    config.checkpoint_steps = 20
    config.warmup_steps = 5
    config.shared_steps = 4
    config.start_steps = 4
    config.anneal_steps = 4
    config.text.num_epochs = 2
  return config
