"""Experiments: what each part of the agent is worth, on several populations.

  python -m launch.experiments --config=configs/experiments.py:NAME \
    --workdir=DIR

NAME is one of NAMES below; NAME,smoke is a tiny one. Leaves DIR/NAME with
results.json and plot.png, and DIR/index.html with all experiments done so far.
Stages that arms share are run once and kept in DIR/store. Each seed costs about
the quickstart's time, and each arm that retrains the value function half a
minute more on two cores; arms that change the world cost a quickstart each.
"""

import ml_collections

from configs import common, quickstart
from configs import experiment_arms as arms
from configs import experiment_beliefs as beliefs
from configs import experiment_worlds as worlds


def _data(c) -> None:
  c.title = 'Human and simulated sessions'
  c.question = (
    'The user model always learns from the human sessions; the value function '
    'from those, from sessions simulated with that user model, or both.'
  )
  c.axis = 'human sessions'
  for people in (60, 150, 300, 500):
    for data, name in (
      ('human', 'human only'),
      ('simulated', 'simulated only'),
      ('mixed', 'both'),
    ):
      c.arms[f'{data}_{people}'] = arms.arm(
        f'{name}, {6 * people} human sessions',
        'pasta',
        ('collect.num_people', people),
        ('train_value.data', data),
        x=float(6 * people),
        series=name,
      )


def _sessions(c) -> None:
  c.title = 'How many sessions value learning needs'
  c.question = (
    'Values learned from simulated sessions alone, from scratch (base none) '
    "or on top of the user model's expected utility (base myopic)."
  )
  c.axis = 'simulated sessions'
  c.reference = 'greedy_slate'
  c.arms.greedy_slate = arms.arm('greedy slate', 'greedy_slate')
  for base in ('none', 'myopic'):
    for credit in ('mean', 'choice', 'slate'):
      for num in (500, 2000, 8000, 30000):
        c.arms[f'{base}_{credit}_{num}'] = arms.arm(
          f'base {base}, credit {credit}, {num} sessions',
          'pasta',
          ('train_value.data', 'simulated'),
          ('train_value.base', base),
          ('train_value.credit', credit),
          ('simulate.num_sessions', num),
          x=float(num),
          series=f'{base}, {credit}',
        )
  for num in (500, 2000, 8000, 30000):
    c.arms[f'paper_{num}'] = arms.arm(
      f"the paper's variant, {num} sessions",
      'pasta',
      ('train_value.data', 'simulated'),
      *arms.paper(),
      ('simulate.num_sessions', num),
      x=float(num),
      series="the paper's variant",
    )


def _behaviour(c) -> None:
  c.title = 'Whose sessions to learn from'
  c.question = (
    'The policy that shows the slates of the simulated sessions; the last '
    'agent is one that was trained on sessions of noisy greedy.'
  )
  c.reference = 'greedy'
  for name, policy, temperature in (
    ('random', 'random', 0.0),
    ('lmm', 'lmm', 1.0),
    ('greedy', 'greedy', 0.5),
  ):
    c.arms[name] = arms.arm(
      f'{name} behaviour',
      'pasta',
      *arms.ITEM,
      ('train_value.data', 'simulated'),
      ('simulate.behaviour', {name: common.policy(policy, temperature)}),
    )
  c.arms.last_agent = arms.arm(
    'the last agent',
    'pasta',
    *arms.ITEM,
    ('train_value.data', 'simulated'),
    ('simulate.behaviour', {'pasta': common.policy('pasta', 0.5)}),
    previous='greedy',
  )


def _rivals(c) -> None:
  c.title = 'IQL against its rivals'
  c.question = (
    'All learn from the same sessions. Rivals that look at candidates one by '
    'one are beside an IQL that does so, too. Predicted minus realised is what '
    'a value function believes of its own slates.'
  )
  c.reference = 'pasta'
  c.arms.pasta = arms.arm('pasta')
  c.arms.iql = arms.arm('pasta, items', 'pasta', *arms.ITEM)
  for backup, label in (
    ('sarsa', 'SARSA'),
    ('monte_carlo', 'Monte Carlo'),
    ('q_learning', 'naive Q-learning'),
    ('conservative', 'conservative Q-learning'),
    ('cloning', 'behaviour cloning'),
  ):
    c.arms[backup] = arms.arm(
      label, 'pasta', *arms.ITEM, ('train_value.backup', backup)
    )
  c.arms.ensemble = arms.arm(
    'pasta, pessimistic ensemble',
    'pasta',
    ('train_value.num_members', 4),
    pessimism=0.5,
  )
  for policy in (
    'greedy_slate',
    'lookahead',
    'greedy',
    'greedy_rendered',
    'greedy_slate_rendered',
    'prior',
    'bayes',
    'bayes_slate',
    'bayes_full',
    'type_told',
    'oracle',
    'lmm',
    'random',
  ):
    c.arms[policy] = arms.arm(policy.replace('_', ' '), policy)
  c.arms.optimistic = arms.arm('optimistic', 'optimistic', spread_weight=0.3)


def _ceilings(c) -> None:
  c.title = 'What knowing the truth is worth'
  c.question = (
    'Nothing is learned: all know the population. They differ in what they are '
    'told of the person, in the feedback that they hear, and in whether slates '
    'hedge.'
  )
  c.reference = 'bayes_slate'
  for policy in (
    'lmm',
    'prior',
    'bayes',
    'bayes_slate',
    'bayes_full',
    'type_told',
    'oracle',
  ):
    c.arms[policy] = arms.arm(policy.replace('_', ' '), policy)
  c.arms.bayes_slate_fine = arms.arm(
    'bayes slate, four times the particles',
    'bayes_slate',
    ('evaluate.ceilings.num_particles', 8192),
    ('evaluate.ceilings.slate_particles', 768),
  )


def _credit(c) -> None:
  c.title = 'How a slate is credited'
  c.question = (
    "The slate's mean (the paper), the chosen column, or a critic of whole "
    'slates; with candidates picked for the sum of their values or for what a '
    "softmax choice makes of them. The paper's variant is base none, mean, and "
    'what makes that work (configs/paper.py).'
  )
  c.reference = 'mean_myopic'
  for base in ('myopic', 'none'):
    for credit in ('mean', 'choice', 'slate'):
      c.arms[f'{credit}_{base}'] = arms.arm(
        f'{credit}, base {base}',
        'pasta',
        ('train_value.credit', credit),
        ('train_value.base', base),
      )
  c.arms.paper = arms.arm("the paper's variant", 'pasta', *arms.paper())
  c.arms.greedy = arms.arm('greedy', 'greedy')
  c.arms.greedy_slate = arms.arm('greedy slate', 'greedy_slate')
  c.arms.choice_selector = arms.arm(
    'choice, choice selector',
    'pasta',
    ('train_value.credit', 'choice'),
    selector='choice',
  )


def _surrogate(c) -> None:
  c.title = 'Sessions simulated without rendering'
  c.question = (
    'Image features are drawn by a surrogate, which learned from the rendered '
    'human sessions, in place of rendering and encoding; all agents are used '
    'with rendered images.'
  )
  c.axis = 'simulated sessions'
  c.reference = 'simulated_rendered_600'
  for data, label in (('simulated', 'simulated only'), ('mixed', 'both')):
    for images, field, counts in (
      ('rendered', '', (600,)),
      ('surrogate', 'surrogate', (600, 6000)),
    ):
      for num in counts:
        c.arms[f'{data}_{images}_{num}'] = arms.arm(
          f'{label}, {images}, {num}',
          'pasta',
          ('train_value.data', data),
          ('simulate.surrogate', field),
          ('simulate.num_sessions', num),
          x=float(num),
          series=f'{label}, {images}',
        )
  c.arms.human = arms.arm('human only', 'pasta', ('train_value.data', 'human'))
  c.arms.greedy_slate = arms.arm('greedy slate', 'greedy_slate')


def _single_turn(c) -> None:
  c.title = 'Five turns against one, at the same number of renders'
  c.question = (
    'The final image after five turns; against the best of 80 images drawn '
    "from the initial prompt, and of 75 spread over one turn's candidates."
  )
  c.figure = 'final_utility'
  c.reference = 'at_once'
  for policy, label in (
    ('pasta', 'pasta, five turns'),
    ('greedy_slate', 'greedy slate, five turns'),
    ('lmm', 'lmm, five turns'),
    ('at_once', '80 from the prompt'),
    ('one_turn', 'one turn, 25 candidates'),
  ):
    c.arms[policy] = arms.arm(label, policy)


def _settings(c) -> None:
  c.title = 'Reward, expectile, belief, categories'
  c.question = 'One setting of the agent changed at a time.'
  c.reference = 'default'
  c.arms.default = arms.arm('pasta')
  c.arms.sparse = arms.arm(
    'sparse reward', 'pasta', ('train_value.reward', 'sparse')
  )
  for expectile in (0.5, 0.8, 0.9):
    c.arms[f'expectile_{round(100 * expectile)}'] = arms.arm(
      f'expectile {expectile}', 'pasta', ('train_value.expectile', expectile)
    )
  for belief in ('prior', 'oracle'):
    c.arms[f'belief_{belief}'] = arms.arm(
      f'belief: {belief}', 'pasta', ('train_value.belief', belief)
    )
  c.arms.belief_off = arms.arm(
    'belief: off (base none)',
    'pasta',
    *arms.ITEM,
    ('train_value.belief', 'off'),
    ('train_value.base', 'none'),
  )
  c.arms.belief_on = arms.arm(
    'belief: on (base none)',
    'pasta',
    *arms.ITEM,
    ('train_value.base', 'none'),
  )
  c.arms.no_categories = arms.arm(
    'without categories', 'pasta', use_categories=False
  )
  c.arms.greedy_no_categories = arms.arm(
    'greedy without categories', 'greedy', use_categories=False
  )
  c.arms.greedy = arms.arm('greedy', 'greedy')


def _exploration(c) -> None:
  c.title = 'Exploration'
  c.question = (
    'Bonuses for what the belief is unsure of, slates that hedge, noise: how '
    'varied slates are, and what it brings.'
  )
  c.reference = 'greedy'
  c.arms.greedy = arms.arm('greedy', 'greedy')
  for weight in (0.15, 0.3, 0.6, 1.0):
    c.arms[f'optimistic_{round(100 * weight)}'] = arms.arm(
      f'optimistic, {weight}', 'optimistic', spread_weight=weight
    )
  for temperature in (0.25, 0.5, 1.0):
    c.arms[f'noisy_{round(100 * temperature)}'] = arms.arm(
      f'greedy, temperature {temperature}', 'greedy', temperature=temperature
    )
  c.arms.greedy_slate = arms.arm('greedy slate', 'greedy_slate')
  c.arms.pasta = arms.arm('pasta')
  c.arms.random = arms.arm('random', 'random')


_EXPERIMENTS = {
  'data': _data,
  'sessions': _sessions,
  'behaviour': _behaviour,
  'rivals': _rivals,
  'ceilings': _ceilings,
  'credit': _credit,
  'matrix': worlds.matrix,
  'surrogate': _surrogate,
  'single_turn': _single_turn,
  'settings': _settings,
  'sizes': worlds.sizes,
  'exploration': _exploration,
  'generator': worlds.generator,
  'feedback': beliefs.feedback,
  'pools': beliefs.pools,
  'raters': beliefs.raters,
  'personalisation': worlds.personalisation,
  'horizon': worlds.horizon,
}
NAMES = tuple(_EXPERIMENTS)


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: one of NAMES in the file, with ',smoke' for a tiny one.

  'matrix' takes the models that agents are used with, as `world.t2i.name` has
  them: 'matrix,sketch,sdxl,mine:Model'. Those other than sketches are judged by
  people drawn from the user model.
  """
  name, *models = arg.split(',')
  size = models.pop() if models and models[-1] == 'smoke' else ''
  if name not in NAMES or models and name != 'matrix' or not all(models):
    raise ValueError(
      f"unknown variant {arg!r}, expected one of {NAMES}, or 'NAME,smoke', or "
      "'matrix,MODEL,MODEL,...'"
    )
  c = ml_collections.ConfigDict()
  c.name = name
  c.seeds = (10, 11, 12, 13, 14)  # added to all seeds of the base config
  c.base = quickstart.get_config(size)
  c.base.evaluate.num_people = 100  # of each seed
  c.base.evaluate.allow_unseen_generator = name == 'generator'
  # Only rivals read the candidates that slates were picked from, but all
  # experiments share their stages.
  c.base.extract_features.with_pool = True
  c.base.simulate.with_pool = True
  c.title = ''  # of the experiment, on its page
  c.question = ''  # what it asks, in a sentence or two
  c.axis = ''  # what x is, where arms have one
  c.figure = 'share'  # what the plot shows: share, gain, relative_gain, ...
  c.reference = ''  # the arm that others are compared with; '': none
  c.arms = ml_collections.ConfigDict()
  _EXPERIMENTS[name](c, *([tuple(models)] if models else []))
  if size == 'smoke':
    c.seeds = (10, 11)
    c.base.evaluate.num_people = 8
  return c
