"""The experiments of configs/experiments.py that change the world."""

from configs import experiment_arms as arms

# Text-to-image models of the experiment 'matrix', as `world.t2i.name` has them;
# hidden people judge what they know to be drawn, which sketch tells.
MATRIX_MODELS = ('sketch', 'sketch:ink')


# Prompts only grow, and half of the people tire of styles and palettes.
_HORIZON = (
  ('world.candidates.append_only', True),
  ('population.habituation', 0.5),
)
# Simulated people do not tire: values learn from hidden ones alone.
_TIRING = (('train_value.data', 'human'), ('train_value.tiring', True))


def _cell(policy: str, trained: str, used: str) -> str:
  """Name of an arm of the experiment 'matrix'."""
  return f'{policy}_{trained}_{used}'.replace(':', '_').replace('.', '_')


def matrix(c, models: tuple[str, ...] = ()) -> None:
  """Each trained model with each model in use.

  Hidden people judge where all models tell what they draw. Else people drawn
  from the user model do, and agents learn from one model alone, as each has
  people of its own.
  """
  models = models or MATRIX_MODELS
  told = tuple(m for m in models if m in MATRIX_MODELS)
  people = 'hidden' if told == models else 'user_model'
  learned_from = models if people == 'hidden' else (*told, *MATRIX_MODELS)[:1]
  c.title = 'Trained with one text-to-image model, used with another'
  c.question = (
    'Every agent learns from the pictures of one model (rows) and is used with '
    'those of each, without retraining (columns). In percent more return than '
    'lmm has with the model in use; after it, in return, the difference to the '
    'agent that learned from the model in use.'
  )
  c.figure = 'relative_gain'
  for policy in ('pasta', 'greedy_slate', 'greedy'):
    for trained in learned_from:
      for used in models:
        c.arms[_cell(policy, trained, used)] = arms.arm(
          f'{policy.replace("_", " ")}, {trained} → {used}',
          policy,
          ('world.t2i.name', trained),
          ('evaluate.world.t2i.name', used),
          ('evaluate.people', people),
          series=policy.replace('_', ' '),
          row=f'trained with {trained}',
          column=f'used with {used}',
          reference=_cell(policy, used, used)
          if used != trained and used in learned_from
          else '',
        )


def sizes(c) -> None:
  c.title = 'Columns, candidates, turns, images'
  c.question = (
    'Everything is collected and trained anew at each size. After the share of '
    'lmm → bayes, in return, the difference of pasta to greedy of that size.'
  )
  policies = ('pasta',)
  arms.against_greedy(c, policies, 'default', 'L = 4, L_C = 25, H = 5, M = 4')
  for path, field, values in (
    ('L', 'sizes.num_columns', (2, 3, 5)),
    ('L_C', 'world.candidates.num_candidates', (10, 50)),
    ('H', 'sizes.num_turns', (3, 8)),
    ('M', 'sizes.images_per_prompt', (1, 2)),
  ):
    for value in values:
      arms.against_greedy(
        c, policies, f'{path}_{value}', f'{path} = {value}', (field, value)
      )


def generator(c) -> None:
  c.title = 'Candidates from an unseen generator'
  c.question = (
    'Trained on candidates of grammar, used with those of grammar:terse, which '
    'words its prompts otherwise; with and without a penalty for candidates '
    'unlike all that was shown.'
  )
  unseen = ('evaluate.world.candidates.name', 'grammar:terse')
  for policy in ('pasta', 'greedy_slate', 'greedy'):
    c.arms[f'{policy}_seen'] = arms.arm(
      f'{policy.replace("_", " ")}, seen', policy
    )
    c.arms[f'{policy}_unseen'] = arms.arm(
      f'{policy.replace("_", " ")}, unseen', policy, unseen
    )
  for weight in (0.0, 0.3):
    c.arms[f'items_unseen_{round(10 * weight)}'] = arms.arm(
      f'pasta, items, penalty {weight}, unseen',
      'pasta',
      *arms.ITEM,
      unseen,
      support_weight=weight,
    )


def personalisation(c) -> None:
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
      arms.against_greedy(
        c,
        ('greedy_slate', 'pasta'),
        f'{field}_{str(value).replace(".", "").zfill(2)}',
        f'{field} = {value:g}',
        (f'population.{field}', value),
      )


def horizon(c) -> None:
  c.title = 'A world with a horizon'
  c.question = (
    'Prompts only grow and half of the people tire of styles and palettes: '
    'what is named early is seen in every later picture. Slates for the turn '
    'at hand, a hand rule that leaves looks open (for all alike, or told who '
    'tires), learned values, and policies that know the truth.'
  )
  c.figure = 'gain'
  c.reference = 'greedy_slate'

  def add(name, label, policy, *overrides, reference='', **fields):
    c.arms[name] = arms.arm(
      label, policy, *_HORIZON, *overrides, reference=reference, **fields
    )

  add('lmm', 'lmm', 'lmm')
  add('greedy_slate', 'greedy slate', 'greedy_slate')
  add('bayes_slate', 'bayes slate', 'bayes_slate')
  truth = 'bayes_slate'
  add('bayes_ahead', 'bayes ahead', 'bayes_ahead', reference=truth)
  for name, told in (('sparing', 'alike'), ('sparing_told', 'told')):
    for weight in (0.2, 0.4, 0.8):
      at = f'{name}_{round(10 * weight)}'
      label = f'hand rule, {told}, k = {weight}'
      add(
        f'greedy_slate_{at}',
        f'greedy slate, {label}',
        f'greedy_slate_{name}',
        sparing_weight=weight,
      )
      add(
        f'bayes_{at}',
        f'bayes slate, {label}',
        f'bayes_{name}',
        reference=truth,
        sparing_weight=weight,
      )
  for base in ('myopic', 'none'):
    for credit in ('slate', 'choice', 'mean'):
      add(
        f'pasta_{base}_{credit}',
        f'pasta, base {base}, credit {credit}',
        'pasta',
        *_TIRING,
        ('train_value.base', base),
        ('train_value.credit', credit),
      )
