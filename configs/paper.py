r"""The paper in one run: its sizes and choices, with quickstart's stages.

  python -m launch.quickstart --config=configs/paper.py --workdir=DIR

K = 16 types, pools of L_C = 25, a value function learned from scratch (base
'none') that takes a slate's worth as the mean of its candidates', on 7,000
human sessions and 30,000 simulated ones. What makes that work here:
configs/train_value.py. Images of simulated sessions are drawn as features by a
surrogate. Hours on two cores; variants, joined by commas:

  small    3,000 human sessions and 600 simulated ones, which are rendered
  smoke    a few of everything
  gemma    the value function reads sessions as text through a Gemma,
           --config.train_value.gemma.path=DIR_OR_HUB_ID
  release  human sessions are the paper's own, see data/pasta_release/README.md:
           prepare_data and extract_features have to come first, the former
           with --config.options.t2i_id=ID of the model that draws here: the
           error of simulate names it. Judges are drawn from the user model, as
           no truth is known.

The paper's other parts by flags, with 'release':

  --config.world.t2i.name=sdxl --config.world.t2i.size=1024
  --config.world.encoder=DIR_OR_HUB_ID   (the one that made the features)
  --config.world.candidates.name=chat
  --config.world.candidates.chat.base_url=URL
  --config.world.candidates.chat.model=NAME
"""

import ml_collections

from configs import common, quickstart, simulate, train_value

_PEOPLE = 1167  # of six sessions each: 7,002


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: 'small', 'smoke', 'gemma' and 'release', joined by commas."""
  known = ('small', 'smoke', 'gemma', 'release')
  variants = common.parse_variants(arg, known)
  size = 'smoke' if 'smoke' in variants else ''
  config = quickstart.get_config(size)
  paper = simulate.get_config('paper')
  config.simulate.behaviour = paper.behaviour
  parts = ['paper', *(v for v in variants if v in ('smoke', 'gemma'))]
  config.train_value = train_value.get_config(','.join(parts))
  for name in ('pasta', 'greedy_slate'):
    config.evaluate.policies[name].num_candidates = 0  # the world's, as all
  config.evaluate.returning.num_sessions = 1  # nobody comes back
  if not size:
    config.train_user_model.num_types = 16
  if not size and 'small' not in variants:
    config.collect.num_people = _PEOPLE
    config.simulate.num_sessions = 30_000
    config.simulate.surrogate = 'surrogate'
  if 'release' in variants:
    config.skip = ('collect', 'extract_features')
    config.evaluate.people = 'user_model'
    config.train_surrogate.render_again = (
      False  # their images are what there is
    )
    config.simulate.surrogate = 'surrogate'
  return config
