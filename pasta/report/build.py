"""Builds the report of a working directory: one self-contained HTML page.

Reads what the stages have left and says, in its place on the page, what is
not there yet. Everything is rendered again from prompts and seeds, so that a
working directory keeps no images.
"""

import os
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from pasta import errors, files, runs
from pasta.report import (
  curves,
  figures,
  headline,
  palette,
  plots,
  preference_tables,
  strips,
  taste,
  theme,
)
from pasta.report import experiments as experiments_page
from pasta.user_model import saved

_TITLE = 'An agent in the making'  # where nothing is measured yet
_PREFERENCES_TITLE = 'What people prefer, predicted'  # where just that is
_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
# What a run's curves show first; other metrics follow where there is room.
_USER_MODEL_METRICS = (
  'choice_log_likelihood',
  'sequential_accuracy',
  'log_likelihood',
  'effective_types',
)
_VALUE_METRICS = ('loss_q', 'loss_v', 'q_return_correlation', 'v_mean')
_COMPARED = (headline.AGENT, headline.BASELINE, headline.CEILING)
_SLATE_SIZE = 96  # pixels of a picture of a whole slate, which come in number
_NUM_OPEN_TYPES = 9  # cards on the page; the rest opens on demand
_ABSENT = {
  'evaluation': 'Not measured yet: {dir}/evaluation/results.json is missing. '
  'The evaluate stage writes it.',
  'returning': 'Not measured: {dir}/evaluation/results.json holds no sessions '
  'of people who come back. The evaluate stage plays them where '
  'returning.num_sessions is above 1.',
  'sessions': 'No sessions to show: {dir}/evaluation/sessions/ lacks those of '
  'pasta and lmm. The evaluate stage writes them.',
  'preferences': 'No preference tables: '
  '{dir}/preference_tables/results.json is missing. The evaluate_preferences '
  'stage writes it.',
  'user_model': 'No user model yet in {dir}/user_model/. The train_user_model '
  'stage writes it.',
  'beliefs': 'No beliefs recorded: {dir}/evaluation/beliefs.npz is missing, or '
  'lacks the sessions shown here. The evaluate stage writes it.',
  'user_model_curves': 'No learning curves of the user model: '
  '{dir}/user_model/metrics.jsonl is missing.',
  'value_curves': 'No learning curves of the value function: '
  '{dir}/value/metrics.jsonl is missing.',
  'timing': 'No timing recorded: {dir}/timing.json is missing.',
}


def build(directory: str, config: ml_collections.ConfigDict, world) -> str:
  """Writes DIRECTORY/report/index.html and DIRECTORY/report/plots/*.png.

  Of a named run it is report-NAME, and stands on what has its name.

  Args:
    directory: a working directory.
    config: see configs/report.py.
    world: a pasta.world.world.World.

  Returns:
    The page's path.

  Raises:
    PastaError: the working directory or that of experiments is missing, or a
      file in it is damaged.
      A missing file is no error: the page says so.
  """
  if not os.path.isdir(directory):
    raise errors.PastaError(f'{directory}: no such working directory')
  report_dir = os.path.join(directory, runs.output('report', config.name))
  plot_dir = os.path.join(report_dir, 'plots')
  os.makedirs(plot_dir, exist_ok=True)
  where = {
    part: os.path.join(directory, runs.source(directory, part, config.name))
    for part in ('evaluation', 'user_model', 'value')
  }
  name = os.path.basename(os.path.abspath(directory))
  context = {
    'absent': {k: v.format(dir=name) for k, v in _ABSENT.items()},
    'letters': _LETTERS,
    'thin': '\u202f',
    'number': headline.number,
    'percent': headline.percent,
    'strip_size': config.strip_size,
    'slate_size': min(_SLATE_SIZE, config.strip_size),
    'num_pool_prompts': config.num_pool_prompts,
    'num_open_types': _NUM_OPEN_TYPES,
    'plots': {},
    'experiments': config.experiments
    and experiments_page.sections(config.experiments),
    'preferences': preference_tables.read(directory),
    **_timing(directory),
  }
  pairs = strips.read_pairs(
    os.path.join(where['evaluation'], 'sessions'), config.num_strips
  )
  context |= _people(pairs, world, config)
  context |= _types(where['user_model'], world, config)
  drawn = {}
  context |= _results(where['evaluation'], drawn)
  if context['preferences'] and not context['results']:
    context['title'] = _PREFERENCES_TITLE
  context |= _beliefs(
    where['evaluation'], pairs, config.num_beliefs, context['types'], drawn
  )
  _learning(where, drawn)
  for plot, (figure, label) in drawn.items():
    path = os.path.join(plot_dir, f'{plot}.png')
    context['plots'][plot] = figures.save(figure, path, label)
  for file in os.listdir(plot_dir):
    # A plot of an earlier build whose numbers are gone would mislead.
    if file.endswith('.png') and file[: -len('.png')] not in drawn:
      os.remove(os.path.join(plot_dir, file))
  path = os.path.join(report_dir, 'index.html')
  files.atomic_write(path, render(context))
  return path


def render(context: Mapping[str, Any]) -> str:
  """The page as HTML, from everything that the template names."""
  environment, css = theme.load(
    num_tiles=max(len(context['tiles']), 1),
    num_type_pictures=taste.NUM_PICTURES,
  )
  # Plots that were not drawn are tested for in the template.
  named = dict.fromkeys(
    (
      'comparison',
      'returning',
      'belief',
      'user_model_curves',
      'value_curves',
    )
  )
  return environment.get_template('report.html.j2').render(
    **{**context, 'plots': named | context['plots'], 'css': css}
  )


def _results(directory: str, drawn: dict) -> dict[str, Any]:
  """The comparison of policies, in numbers, words and plots."""
  path = os.path.join(directory, 'results.json')
  if not os.path.exists(path):
    return {
      'title': _TITLE,
      'results': None,
      'tiles': [],
      'population': [],
      'policy_ids': [],
    }
  results = files.read_json(path)
  try:
    policies = results['policies']
    drawn['returns'] = (
      plots.returns({n: p['return'] for n, p in policies.items()}),
      'Mean return of each policy with its 95 % interval',
    )
    drawn['satisfaction'] = (
      plots.satisfaction({n: p['satisfaction'] for n, p in policies.items()}),
      'Mean satisfaction by turn for each policy',
    )
    compared = {
      n: policies[n]['comparison']
      for n in _COMPARED
      if n in policies and policies[n]['comparison']
    }
    if compared:
      drawn['comparison'] = (
        plots.comparison(compared),
        'Shares of better, same and worse by turn',
      )
    if len(headline.returning(results)) > 1:
      drawn['returning'] = (
        plots.returning(headline.returning(results)),
        'Return by session of people who come back, known and as if new',
      )
    return {
      'title': headline.title(results),
      'results': results,
      'tiles': headline.tiles(results),
      'split_sentence': headline.split_sentence(results),
      'rows': headline.rows(results),
      'gap_ends': [palette.style(c).label for c in headline.ceilings(results)],
      'returning_rows': headline.returning_rows(results),
      'satisfaction_rows': headline.satisfaction_rows(results),
      'population': _flatten(results['population']),
      'policy_ids': [
        (palette.style(n).label, policies[n]['policy_id'])
        for n in palette.ordered(policies)
      ],
    }
  except (KeyError, TypeError) as e:
    raise errors.PastaError(
      f'{path}: not the results of an evaluation ({e!r})'
    ) from e


def _flatten(settings: Mapping[str, Any], prefix: str = '') -> list:
  """Nested settings as (dotted name, value) pairs."""
  out = []
  for key, value in settings.items():
    if isinstance(value, Mapping):
      out += _flatten(value, f'{prefix}{key}.')
    else:
      out.append((prefix + key, value))
  return out


def _people(pairs: list[strips.Pair], world, config) -> dict[str, Any]:
  slates = []
  if pairs:
    slates = strips.render_slates(
      pairs[0].agent,
      world,
      config.strip_size,
      min(_SLATE_SIZE, config.strip_size),
    )
  return {
    'people': strips.render(pairs, world, config.strip_size),
    'slates': slates,
  }


def _types(user_model_dir: str, world, config) -> dict[str, Any]:
  """What the types like; nothing where there is no user model yet."""
  # A run that was cut off leaves metrics and checkpoints but no model.
  done = os.path.join(user_model_dir, 'train_user_model.done.json')
  if not os.path.exists(done):
    return {'types': [], 'num_types': 0, 'other_encoder': ''}
  made_by = saved.encoder_id(user_model_dir)
  if made_by != world.encoder.encoder_id:
    # Its types judge pictures by features that this world does not make.
    return {'types': [], 'num_types': 0, 'other_encoder': made_by}
  model = saved.load(user_model_dir, world.encoder.encoder_id)
  types = taste.types(model, world, config.num_pool_prompts, config.strip_size)
  return {'types': types, 'num_types': model.num_types, 'other_encoder': ''}


def _beliefs(
  directory: str,
  pairs: list[strips.Pair],
  num_shown: int,
  types: list[dict],
  drawn: dict,
) -> dict[str, Any]:
  """Beliefs in the sessions that are shown, and how sharp they get in all."""
  path = os.path.join(directory, 'beliefs.npz')
  if not os.path.exists(path):
    return {'belief_sentence': ''}
  try:
    with np.load(path) as content:
      belief, ids = content['belief'], [str(i) for i in content['session_id']]
  except (KeyError, ValueError, OSError, EOFError) as e:
    raise errors.PastaError(f'{path}: not a file of beliefs ({e})') from e
  if belief.ndim != 3 or len(belief) != len(ids):
    raise errors.PastaError(
      f'{path}: belief is {list(belief.shape)} for {len(ids)} sessions, '
      'expected [n, T + 1, K]'
    )
  row = {session_id: i for i, session_id in enumerate(ids)}
  titles = {
    row[pair.agent.session_id]: letter
    for letter, pair in zip(_LETTERS, pairs)
    if pair.agent.session_id in row
  }
  for i in range(len(ids)):
    titles.setdefault(i, '')
  shown = list(titles)[:num_shown]
  if shown:
    words = {t['index']: t['liked'] for t in types if t['index'] is not None}
    names = [
      f'{k}: {words[k][0]["word"]}' if words.get(k) else f'type {k}'
      for k in range(belief.shape[-1])
    ]
    drawn['belief'] = (
      plots.beliefs(belief[shown], [titles[i] for i in shown], names),
      'Belief over types by turn',
    )
  entropy = -np.sum(belief * np.log(np.maximum(belief, 1e-12)), -1)  # [n, T+1]
  effective = np.exp(entropy).mean(0)
  return {
    'belief_sentence': (
      'Before the first choice the belief is spread over '
      f'{effective[0]:.1f} types (the exponential of its entropy); after turn '
      f'{belief.shape[1] - 1} over {effective[-1]:.1f}, on average over '
      f'{len(belief)} sessions.'
    )
  }


def _learning(where: Mapping[str, str], drawn: dict) -> None:
  for stage, preferred, label in (
    ('user_model', _USER_MODEL_METRICS, 'the user model'),
    ('value', _VALUE_METRICS, 'the value function'),
  ):
    found = curves.read(os.path.join(where[stage], 'metrics.jsonl'), preferred)
    if found:
      drawn[f'{stage}_curves'] = (
        plots.learning_curves(found),
        f'Learning curves of {label}',
      )


def _timing(directory: str) -> dict[str, Any]:
  path = os.path.join(directory, 'timing.json')
  if not os.path.exists(path):
    return {'timing': []}
  content = files.read_json(path)
  rows = [
    {
      'stage': stage.replace('_', ' '),
      'seconds': headline.number(times['seconds'], 1),
      'compile_seconds': headline.number(times.get('compile_seconds'), 1),
    }
    for stage, times in content.items()
    if isinstance(times, dict)
  ]
  return {'timing': rows}
