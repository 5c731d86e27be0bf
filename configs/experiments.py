"""Experiments: what each part of the agent is worth, on several populations.

  python -m launch.experiments --config=configs/experiments.py:NAME \
    --workdir=DIR

NAME is one of NAMES below; NAME,smoke is a tiny one. Leaves DIR/NAME with
results.json and plot.png, and DIR/index.html with all experiments done so far.
Stages that arms share are run once and kept in DIR/store. Each seed costs about
the quickstart's time, and each arm that retrains the value function half a
minute more on two cores; arms that change the world cost a quickstart each.
"""

from collections.abc import Sequence

import ml_collections

from configs import common, quickstart

# Text-to-image models of the experiment 'matrix', as `world.t2i.name` has them;
# hidden people judge what they know to be drawn, which sketch tells.
MATRIX_MODELS = ('sketch', 'sketch:ink')
_ITEM = (('train_value.credit', 'choice'),)  # rivals value single candidates


def _arm(
  label: str,
  policy: str = 'pasta',
  *overrides: tuple[str, object],
  x: float | None = None,
  series: str = '',
  previous: str = '',
  row: str = '',
  column: str = '',
  reference: str = '',
  **policy_fields: object,
) -> ml_collections.ConfigDict:
  """One arm: a policy, and what differs from the base config."""
  arm = ml_collections.ConfigDict()
  arm.label = label  # in tables and plots
  arm.series = series or label  # arms of one line in a plot over x
  arm.x = x  # where on that line
  # Where in a table that has one cell an arm and one block a series, in the
  # order of the arms' names; '': none.
  arm.row, arm.column = row, column
  arm.reference = reference  # the arm that it is compared with; '': c.reference
  arm.policy = common.policy(policy)
  arm.policy.update(policy_fields)
  arm.overrides = overrides  # (dotted field of configs/quickstart.py, value)
  # Another arm whose value function is the behaviour behind simulated data.
  arm.previous = previous
  return arm


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
      c.arms[f'{data}_{people}'] = _arm(
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
  c.arms.greedy_slate = _arm('greedy slate', 'greedy_slate')
  for base in ('none', 'myopic'):
    for credit in ('mean', 'choice', 'slate'):
      for num in (500, 2000, 8000, 30000):
        c.arms[f'{base}_{credit}_{num}'] = _arm(
          f'base {base}, credit {credit}, {num} sessions',
          'pasta',
          ('train_value.data', 'simulated'),
          ('train_value.base', base),
          ('train_value.credit', credit),
          ('simulate.num_sessions', num),
          x=float(num),
          series=f'{base}, {credit}',
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
    c.arms[name] = _arm(
      f'{name} behaviour',
      'pasta',
      *_ITEM,
      ('train_value.data', 'simulated'),
      ('simulate.behaviour', {name: common.policy(policy, temperature)}),
    )
  c.arms.last_agent = _arm(
    'the last agent',
    'pasta',
    *_ITEM,
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
  c.arms.pasta = _arm('pasta')
  c.arms.iql = _arm('pasta, items', 'pasta', *_ITEM)
  for backup, label in (
    ('sarsa', 'SARSA'),
    ('monte_carlo', 'Monte Carlo'),
    ('q_learning', 'naive Q-learning'),
    ('conservative', 'conservative Q-learning'),
    ('cloning', 'behaviour cloning'),
  ):
    c.arms[backup] = _arm(
      label, 'pasta', *_ITEM, ('train_value.backup', backup)
    )
  c.arms.ensemble = _arm(
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
    'oracle',
    'lmm',
    'random',
  ):
    c.arms[policy] = _arm(policy.replace('_', ' '), policy)
  c.arms.optimistic = _arm('optimistic', 'optimistic', spread_weight=0.3)


def _credit(c) -> None:
  c.title = 'How a slate is credited'
  c.question = (
    "The slate's mean (the paper), the chosen column, or a critic of whole "
    'slates; with candidates picked for the sum of their values or for what a '
    'softmax choice makes of them.'
  )
  c.reference = 'mean_myopic'
  for base in ('myopic', 'none'):
    for credit in ('mean', 'choice', 'slate'):
      c.arms[f'{credit}_{base}'] = _arm(
        f'{credit}, base {base}',
        'pasta',
        ('train_value.credit', credit),
        ('train_value.base', base),
      )
  c.arms.choice_selector = _arm(
    'choice, choice selector',
    'pasta',
    ('train_value.credit', 'choice'),
    selector='choice',
  )


def _cell(policy: str, trained: str, used: str) -> str:
  """Name of an arm of the experiment 'matrix'."""
  return f'{policy}_{trained}_{used}'.replace(':', '_')


def _matrix(c) -> None:
  c.title = 'Trained with one text-to-image model, used with another'
  c.question = (
    'Every agent learns from the pictures of one model (rows) and is used with '
    'those of each, without retraining (columns). In percent more return than '
    'lmm has with the model in use; after it, in return, the difference to the '
    'agent that learned from the model in use.'
  )
  c.figure = 'relative_gain'
  for policy in ('pasta', 'greedy_slate', 'greedy'):
    for trained in MATRIX_MODELS:
      for used in MATRIX_MODELS:
        c.arms[_cell(policy, trained, used)] = _arm(
          f'{policy.replace("_", " ")}, {trained} → {used}',
          policy,
          ('world.t2i.name', trained),
          ('evaluate.world.t2i.name', used),
          series=policy.replace('_', ' '),
          row=f'trained with {trained}',
          column=f'used with {used}',
          reference='' if used == trained else _cell(policy, used, used),
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
        c.arms[f'{data}_{images}_{num}'] = _arm(
          f'{label}, {images}, {num}',
          'pasta',
          ('train_value.data', data),
          ('simulate.surrogate', field),
          ('simulate.num_sessions', num),
          x=float(num),
          series=f'{label}, {images}',
        )
  c.arms.human = _arm('human only', 'pasta', ('train_value.data', 'human'))
  c.arms.greedy_slate = _arm('greedy slate', 'greedy_slate')


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
    c.arms[policy] = _arm(label, policy)


def _settings(c) -> None:
  c.title = 'Reward, expectile, belief, categories'
  c.question = 'One setting of the agent changed at a time.'
  c.reference = 'default'
  c.arms.default = _arm('pasta')
  c.arms.sparse = _arm(
    'sparse reward', 'pasta', ('train_value.reward', 'sparse')
  )
  for expectile in (0.5, 0.8, 0.9):
    c.arms[f'expectile_{round(100 * expectile)}'] = _arm(
      f'expectile {expectile}', 'pasta', ('train_value.expectile', expectile)
    )
  for belief in ('prior', 'oracle'):
    c.arms[f'belief_{belief}'] = _arm(
      f'belief: {belief}', 'pasta', ('train_value.belief', belief)
    )
  c.arms.belief_off = _arm(
    'belief: off (base none)',
    'pasta',
    *_ITEM,
    ('train_value.belief', 'off'),
    ('train_value.base', 'none'),
  )
  c.arms.belief_on = _arm(
    'belief: on (base none)',
    'pasta',
    *_ITEM,
    ('train_value.base', 'none'),
  )
  c.arms.no_categories = _arm(
    'without categories', 'pasta', use_categories=False
  )
  c.arms.greedy_no_categories = _arm(
    'greedy without categories', 'greedy', use_categories=False
  )
  c.arms.greedy = _arm('greedy', 'greedy')


def _against_greedy(
  c, policies: Sequence[str], name: str, row: str, *overrides
) -> None:
  """A line of a table: greedy, and what each other policy has over it."""
  for policy in ('greedy', *policies):
    column = policy.replace('_', ' ')
    c.arms[f'{name}_{policy}'] = _arm(
      f'{column}, {row}',
      policy,
      *overrides,
      series=c.name,
      row=row,
      column=column,
      reference='' if policy == 'greedy' else f'{name}_greedy',
    )


def _sizes(c) -> None:
  c.title = 'Columns, candidates, turns, images'
  c.question = (
    'Everything is collected and trained anew at each size. After the share of '
    'lmm → bayes, in return, the difference of pasta to greedy of that size.'
  )
  policies = ('pasta',)
  _against_greedy(c, policies, 'default', 'L = 4, L_C = 25, H = 5, M = 4')
  for path, field, values in (
    ('L', 'sizes.num_columns', (2, 3, 5)),
    ('L_C', 'world.candidates.num_candidates', (10, 50)),
    ('H', 'sizes.num_turns', (3, 8)),
    ('M', 'sizes.images_per_prompt', (1, 2)),
  ):
    for value in values:
      _against_greedy(
        c, policies, f'{path}_{value}', f'{path} = {value}', (field, value)
      )


def _exploration(c) -> None:
  c.title = 'Exploration'
  c.question = (
    'Bonuses for what the belief is unsure of, slates that hedge, noise: how '
    'varied slates are, and what it brings.'
  )
  c.reference = 'greedy'
  c.arms.greedy = _arm('greedy', 'greedy')
  for weight in (0.15, 0.3, 0.6, 1.0):
    c.arms[f'optimistic_{round(100 * weight)}'] = _arm(
      f'optimistic, {weight}', 'optimistic', spread_weight=weight
    )
  for temperature in (0.25, 0.5, 1.0):
    c.arms[f'noisy_{round(100 * temperature)}'] = _arm(
      f'greedy, temperature {temperature}', 'greedy', temperature=temperature
    )
  c.arms.greedy_slate = _arm('greedy slate', 'greedy_slate')
  c.arms.pasta = _arm('pasta')
  c.arms.random = _arm('random', 'random')


def _generator(c) -> None:
  c.title = 'Candidates from an unseen generator'
  c.question = (
    'Trained on candidates of grammar, used with those of grammar:terse, which '
    'words its prompts otherwise; with and without a penalty for candidates '
    'unlike all that was shown.'
  )
  unseen = ('evaluate.world.candidates.name', 'grammar:terse')
  for policy in ('pasta', 'greedy_slate', 'greedy'):
    c.arms[f'{policy}_seen'] = _arm(f'{policy.replace("_", " ")}, seen', policy)
    c.arms[f'{policy}_unseen'] = _arm(
      f'{policy.replace("_", " ")}, unseen', policy, unseen
    )
  for weight in (0.0, 0.3):
    c.arms[f'items_unseen_{round(10 * weight)}'] = _arm(
      f'pasta, items, penalty {weight}, unseen',
      'pasta',
      *_ITEM,
      unseen,
      support_weight=weight,
    )


def _personalisation(c) -> None:
  c.title = 'Where personalisation pays'
  c.question = (
    "The hidden population's knobs, one at a time: the gain over lmm of the "
    'agent, of the slate whose pick is expected to be best (it learns no '
    'values), and of greedy; after it, the difference to greedy. Everything is '
    'collected and trained anew.'
  )
  c.figure = 'gain'
  for field, values in (
    ('num_types', (1, 4, 24, 96)),
    ('type_scale', (0.25, 0.5, 1.0)),
    ('intent_scale', (0.0, 1.2)),
    ('choice_noise', (0.05, 0.8)),
    ('drift_scale', (0.1, 0.3)),
  ):
    for value in values:
      _against_greedy(
        c,
        ('greedy_slate', 'pasta'),
        f'{field}_{str(value).replace(".", "").zfill(2)}',
        f'{field} = {value:g}',
        (f'population.{field}', value),
      )


_EXPERIMENTS = {
  'data': _data,
  'sessions': _sessions,
  'behaviour': _behaviour,
  'rivals': _rivals,
  'credit': _credit,
  'matrix': _matrix,
  'surrogate': _surrogate,
  'single_turn': _single_turn,
  'settings': _settings,
  'sizes': _sizes,
  'exploration': _exploration,
  'generator': _generator,
  'personalisation': _personalisation,
}
NAMES = tuple(_EXPERIMENTS)


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: one of NAMES, with ',smoke' for a tiny one."""
  name, _, size = arg.partition(',')
  if name not in NAMES or size not in ('', 'smoke'):
    raise ValueError(
      f"unknown variant {arg!r}, expected one of {NAMES}, or 'NAME,smoke'"
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
  _EXPERIMENTS[name](c)
  if size == 'smoke':
    c.seeds = (10, 11)
    c.base.evaluate.num_people = 8
  return c
