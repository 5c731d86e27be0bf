r"""The user model by mini-batch EM.

  python -m launch.train_user_model --config=configs/train_user_model.py \
      --workdir=DIR

Reads DIR/features, leaves DIR/user_model. On sessions like the quickstart's
(500 people of 30 choices, D = 96, population seed 12) it took 143 s beside
other work on 2 cores, without the fit with one type, and predicted held-out
people's choices with a log-likelihood of -0.83 nats (95 % interval -0.89 to
-0.78; chance -1.39).
"""

import ml_collections
from ml_collections import config_dict

from configs import common


def source(path: str, file_format: str) -> ml_collections.ConfigDict:
  """A data set to train on."""
  config = ml_collections.ConfigDict()
  config.path = path  # where it lies; relative to the workdir
  config.format = file_format  # 'sessions' or 'preferences'
  config.membership = 'user'  # what has one type: user, session or example
  config.max_observations = 64  # of one person, at a time
  config.held_out_share = 0.1  # of people, for early stopping
  config.max_held_out_users = 2000  # at most so many
  # What is kept from training for evaluation: 'none', 'users' (a share of
  # people) or, of preference data, 'last' (of each person's answers).
  config.reserve = 'none'
  config.reserve_share = 0.1
  config.weight = 1.0  # of each person, against other data sets' people
  config.batch_users = 40  # most people in a step, over all devices
  config.batch_observations = 2560  # most of their observations in a step
  return config


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '', 'smoke', 'preferences', 'preferences_smoke', 'two_phase'.

  '' trains on the sessions in DIR/features. 'preferences' trains on one
  single-turn data set, --config.sources.preferences.path=PATH, with 'smoke' on
  the end in a few steps; 'two_phase' pre-trains on it and goes on with the
  sessions (paper, section 4).
  """
  known = 'smoke', 'preferences', 'preferences_smoke', 'two_phase'
  common.check_variant(arg, known)
  config = ml_collections.ConfigDict()
  config.name = ''  # of the run: leaves user_model-NAME; '': user_model
  config.seed = 0  # root of all randomness of the fit
  config.num_types = 24  # K; the paper has 16
  config.rank = 0  # of the types' adapters; 0 = none, 4 for a large CLIP
  config.trunk_dim = 0  # width of the shared nonlinear trunk; 0 = none
  config.aggregation = 'max'  # images to column: max, mean, log_mean_exp
  config.whitening_floor = 1.0  # share of the mean eigenvalue added to all

  config.sources = ml_collections.ConfigDict()  # data sets by name
  config.sources.sessions = source('features', 'sessions')
  config.main_sources = ('sessions',)  # trained on together
  config.pretrain = ml_collections.ConfigDict()  # a phase before that
  config.pretrain.sources = ()  # trained on together; () = no such phase
  config.pretrain.num_steps = 2000  # its length; has the restarts and moves
  config.resident_megabytes = 1024  # of features; more are read as needed

  config.num_restarts = 8  # short runs from different random partitions
  config.restart_steps = 200  # length of each
  config.num_steps = 600  # length of the run that goes on, short run included
  config.patience_steps = 200  # without held-out gain, after which it stops
  config.baseline_steps = (
    200  # of the fit with one type to compare with; 0: none
  )
  config.num_move_rounds = 1  # of split-and-merge moves, until none helps
  config.num_moves = 3  # tried in a round, against going on without
  config.move_steps = 50  # length of a trial
  config.move_users = 500  # people whom moves are judged by beforehand
  config.num_devices = 1  # 0 = all of this host's
  config.steps_per_call = 50  # steps between two looks at held-out people
  config.checkpoint_steps = 200  # steps between two checkpoints

  config.learning_rate = 0.05  # peak, of Adam
  config.encoder_learning_rate = 1e-5  # peak, of an encoder that is trained too
  config.warmup_steps = 20  # steps to the peak
  config.max_grad_norm = 10.0  # gradients are clipped to this norm
  config.shared_ridge = 0.5  # prior precision of shared tastes and trunk
  config.type_ridge = 8.0  # prior precision of a type's deviations
  config.adapter_ridge = 50.0  # prior precision of adapters' entries
  config.scale_ridge = 10.0  # per person, precision of logs of noise scales
  config.typical_sigma = 0.15  # centre of that prior: noise of satisfaction
  config.typical_comparison_scale = 1.0  # and logits per unit of utility
  # People as raters, beside what they like:
  config.lapse = False  # learn the share of choices that are made at random
  config.position = False  # learn how a column's place on the screen attracts
  config.typical_lapse = 0.05  # centre of the prior of the lapse rate
  config.lapse_ridge = 0.25  # prior precision of its logit
  config.position_ridge = 0.1  # and of a place's log-odds, around 0
  config.pseudo_count = 2.0  # people added to every type's share
  config.min_share_rate = 0.05  # least step of the running type shares

  config.shared_steps = 20  # steps in which all types learn the same
  config.start_steps = 40  # steps with a random partition's responsibilities
  config.anneal_steps = 200  # steps over which the temperature falls
  config.start_temperature = 4.0  # of responsibilities, where it begins
  config.end_temperature = 1.0  # where it ends; 1 = EM proper
  config.start_sharpness = (6.0, 1.0)  # of starts in turn: 6 parts, 1 Dirichlet

  config.feedback_weights = ml_collections.ConfigDict()  # in the likelihood
  config.feedback_weights.choice = 1.0  # of slate choices
  config.feedback_weights.satisfaction = 1.0
  config.feedback_weights.comparison = 1.0  # better / same / worse
  config.feedback_weights.pair = 1.0
  config.feedback_weights.ranking = 1.0
  config.feedback_weights.rating = 1.0

  config.belief = ml_collections.ConfigDict()  # about a person, kept online
  # How much each kind of feedback of a turn counts in it; 0: not at all. None:
  # what suits held-out people best. Errors of the utilities hang together from
  # turn to turn, so that likelihoods at their word are too sure of themselves.
  config.belief.choice = 1.0
  config.belief.satisfaction = config_dict.placeholder(float)
  config.belief.comparison = config_dict.placeholder(float)
  # Share of the prior that is mixed in between two sessions of a person, as
  # people change; None: what suits held-out people best, 0 among the choices.
  config.belief.widening = config_dict.placeholder(float)

  config.text = ml_collections.ConfigDict()  # regression of utility on prompts
  config.text.hidden_dim = 128  # width of its two hidden layers
  config.text.num_epochs = 20  # passes over shown columns
  config.text.batch_columns = 512  # columns in a step
  config.text.learning_rate = 2e-3  # peak, of AdamW
  config.text.weight_decay = 0.05  # of AdamW

  if arg in ('preferences', 'preferences_smoke', 'two_phase'):
    public = source('preferences', 'preferences')
    public.batch_users, public.batch_observations = 512, 4096
    config.sources.preferences = public
    if arg != 'two_phase':
      del config.sources.sessions
      config.main_sources = ('preferences',)
    else:
      config.pretrain.sources = ('preferences',)

  if arg in ('smoke', 'preferences_smoke'):
    config.num_types = 2
    config.num_restarts = 2
    config.restart_steps = 20
    config.baseline_steps = 10
    config.num_move_rounds = 0
    config.num_steps = 40
    config.steps_per_call = 10
    config.checkpoint_steps = 20
    config.warmup_steps = 5
    config.shared_steps = 4
    config.start_steps = 4
    config.anneal_steps = 4
    config.text.num_epochs = 2
  return config
