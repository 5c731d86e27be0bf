"""The experiments of configs/experiments.py on what an agent hears and offers.

`greedy_slate`, the slate whose pick is expected to be best, learns no values:
it shows what belief and pool are worth.
"""

from configs import experiment_arms as arms


def feedback(c) -> None:
  c.title = 'What the belief hears'
  c.question = (
    'The same user model and the same slates, with beliefs from some kinds of '
    'feedback or from all; in slates of 4 columns and of 2. After the share, '
    'in return, the difference to choices alone.'
  )
  kinds = ('choice', 'satisfaction', 'comparison')
  heard = {
    'all': (),
    'choices_and_comparisons': ('choice', 'comparison'),
    'choices_and_satisfaction': ('choice', 'satisfaction'),
    'choices': ('choice',),
  }
  for columns in (4, 2):
    sizes = (('evaluate.sizes.num_columns', columns),) if columns != 4 else ()
    for name, hears in heard.items():
      c.arms[f'{name}_{columns}'] = arms.arm(
        f'{name.replace("_", " ")}, L = {columns}',
        'greedy_slate',
        *sizes,
        reference='' if name == 'choices' else f'choices_{columns}',
        row=f'L = {columns}',
        column=', '.join(hears or kinds),
        series='greedy slate',
        feedback=hears,
      )


def pools(c) -> None:
  c.title = 'Larger pools, as many renders'
  c.question = (
    'Slates of 4 out of 25 or of 100 candidates: more texts, no more images. '
    'pasta is compared with the slate that learns no values on the same pools, '
    'that one with itself on pools of 25. And what the rule of one candidate a '
    'category costs.'
  )
  for num in (25, 100):
    c.arms[f'greedy_slate_{num}'] = arms.arm(
      f'greedy slate, {num} candidates',
      'greedy_slate',
      reference='' if num == 25 else 'greedy_slate_25',
      num_candidates=num,
    )
    c.arms[f'pasta_{num}'] = arms.arm(
      f'pasta, {num} candidates',
      'pasta',
      reference=f'greedy_slate_{num}',
      num_candidates=num,
    )
    c.arms[f'bayes_full_{num}'] = arms.arm(
      f'bayes full, {num} candidates',
      'bayes_full',
      reference='' if num == 25 else 'bayes_full_25',
      num_candidates=num,
    )
  c.arms.no_categories = arms.arm(
    'greedy slate, 25 candidates, no categories',
    'greedy_slate',
    reference='greedy_slate_25',
    use_categories=False,
  )


def raters(c) -> None:
  c.title = 'People who click carelessly, and whom a place attracts'
  c.question = (
    'A share of choices at random, and a bonus for the first column on the '
    'screen; with user models that know of neither, and with ones that learn '
    'how often and how much. Everything is collected and trained anew.'
  )
  for world, field, value, habit in (
    ('careless', 'careless_share', 0.3, 'lapse'),
    ('first_column', 'position_bias', 1.0, 'position'),
  ):
    for is_on in (False, True):
      for policy in ('greedy_slate', 'pasta'):
        known = 'learned' if is_on else 'not known'
        c.arms[f'{world}_{is_on}_{policy}'.lower()] = arms.arm(
          f'{policy.replace("_", " ")}, {field} = {value}, {known}',
          policy,
          (f'population.{field}', value),
          (f'train_user_model.{habit}', is_on),
          series=f'{field} = {value}',
          row=known,
          column=policy.replace('_', ' '),
          reference=f'{world}_false_{policy}' if is_on else '',
        )
