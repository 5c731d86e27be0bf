"""How many types: user models of several K on the same features.

Every model is fitted on the same people and judged on others, whom no fit has
seen, also not for early stopping. Answers the paper's second open question for
the data at hand.
"""

import functools
import itertools
import os
import time

import jax
import matplotlib
import ml_collections
import numpy as np
from absl import logging

from pasta import workdir
from pasta.latent_class import recovery
from pasta.report import figures, palette
from pasta.storage import session_features as features_lib
from pasta.user_model import belief, em, evaluate, evidence, sources
from pasta.user_model import model as model_lib
from pasta.user_model import sessions_by_person as data_lib
from pasta.user_model import train as train_lib

STAGE = 'sweep_types'
_TIMED_UPDATES = 200
_CHUNK_USERS = 128


def run(config: ml_collections.ConfigDict, workdir_path: str) -> list[dict]:
  """WORKDIR/features -> WORKDIR/type_sweep: results.json and type_sweep.png.

  Returns:
    The results, a row each fit.
  """
  directory = os.path.join(workdir_path, 'type_sweep')
  upstream = workdir.read_done(
    os.path.join(workdir_path, 'features'), 'extract_features'
  )['fingerprint']
  path = os.path.join(directory, 'results.json')
  with workdir.open_stage(STAGE, directory, config, (upstream,)) as info:
    if info is not None:
      features = features_lib.load_dir(os.path.join(workdir_path, 'features'))
      train, test = split_people(features, config.test_share, config.seed)
      rows = []
      for num_types in config.num_types:
        for seed in range(config.num_seeds):
          logging.info('type sweep: K = %d, seed %d', num_types, seed)
          where = os.path.join(directory, f'types-{num_types}-seed-{seed}')
          row = fit_and_measure(train, test, num_types, seed, config, where)
          rows.append({'num_types': num_types, 'seed': seed, **row})
      _add_stability(rows)
      workdir.write_json(path, rows)
      figures.save(
        plot(rows), os.path.join(directory, 'type_sweep.png'), 'type sweep'
      )
      info['num_fits'] = len(rows)
  rows = workdir.read_json(path)
  for line in describe(rows):
    print(line)
  return rows


def split_people(
  features: features_lib.SessionFeatures, test_share: float, seed: int
) -> tuple[features_lib.SessionFeatures, features_lib.SessionFeatures]:
  """Sessions of some people and of the others; at least one on each side."""
  users = np.unique(features.user_id)
  count = int(np.clip(round(test_share * len(users)), 1, len(users) - 1))
  chosen = np.random.default_rng(seed).permutation(users)[:count]
  is_test = np.isin(features.user_id, chosen)
  return (
    features.select(np.flatnonzero(~is_test)),
    features.select(np.flatnonzero(is_test)),
  )


def fit_and_measure(
  train: features_lib.SessionFeatures,
  test: features_lib.SessionFeatures,
  num_types: int,
  seed: int,
  config: ml_collections.ConfigDict,
  directory: str,
) -> dict:
  """One fit, goes on from `directory`; its metrics on the test people."""
  settings = ml_collections.ConfigDict(config.fit.to_dict())
  settings.num_types, settings.seed = num_types, seed
  if num_types == 1:
    settings.num_restarts = 1  # All starts are the same.
  os.makedirs(directory, exist_ok=True)
  started = time.monotonic()
  model, _ = train_lib.fit(
    {'sessions': train},
    settings,
    key=jax.random.key(seed),
    directory=directory,
  )
  seconds = time.monotonic() - started
  grouping = (
    settings.sources.sessions.max_observations,
    settings.sources.sessions.membership,
  )
  data, _ = data_lib.from_features(test, *grouping)
  found = evaluate.predict(model, data)
  train_data, _ = data_lib.from_features(train, *grouping)
  num_parameters = _count(model)
  total = _log_likelihood(model, train_data, settings)
  return {
    **evaluate.judge(model, found, data.text.shape[2]),
    'assignments': _assign(model, data),
    'bic': -2 * total + num_parameters * float(np.log(train_data.num_users)),
    'num_parameters': num_parameters,
    'fit_seconds': seconds,
    'step_megabytes': _step_bytes(model, train_data, settings) / 2**20,
    'update_microseconds': _update_seconds(model, data) * 1e6,
  }


def _assign(model: model_lib.UserModel, data: data_lib.UserData) -> list[int]:
  """Each person's most probable type, given all of their choices."""
  utility = model_lib.column_utility(model, data.text, data.image)
  beliefs = belief.trajectory(model, utility, np.asarray(data.choice))
  return np.asarray(beliefs[:, -1].argmax(-1)).tolist()


def _add_stability(rows: list[dict]) -> None:
  """Replaces assignments by how well the seeds of each K agree in them.

  'stability' is the mean adjusted Rand index over pairs of seeds; without a
  second seed there is none.
  """
  assignments = [np.array(r.pop('assignments')) for r in rows]
  for row in rows:
    same = [
      a for r, a in zip(rows, assignments) if r['num_types'] == row['num_types']
    ]
    agreement = [
      recovery.adjusted_rand_index(a, b)
      for a, b in itertools.combinations(same, 2)
    ]
    if agreement:
      row['stability'] = float(np.mean(agreement))


def _count(model: model_lib.UserModel) -> int:
  """Parameters that EM has fitted: shared ones, deviations, type shares."""
  leaves = jax.tree.leaves(em.trainable(model))
  return sum(np.size(x) for x in leaves) + model.num_types - 1


_log_likelihoods = jax.jit(evidence.log_likelihoods)


def _log_likelihood(model, data, config) -> float:
  """Marginal log-likelihood of all feedback, nats."""
  total = 0.0
  for index, count in data_lib.chunks(data.num_users, _CHUNK_USERS):
    batch = sources.whole(data.select(index))
    found = _log_likelihoods(model, batch)
    joint = model.log_prior + evidence.weigh(found, config)
    marginal = np.logaddexp.reduce(np.asarray(joint, np.float64), axis=1)
    total += marginal[:count].sum()
  return float(total)


def _step_bytes(model, data, config) -> int:
  """Memory of one EM step: its arguments, state and intermediate results."""
  people = np.arange(config.sources.sessions.batch_users) % data.num_users
  batches = {'sessions': sources.whole(data.select(people))}
  state = em.init(
    jax.random.key(0), model, {'sessions': data.num_users}, 1.0, config
  )
  step = jax.jit(functools.partial(em.update, config=config))
  found = step.lower(state, batches).compile().memory_analysis()
  return found.argument_size_in_bytes + found.temp_size_in_bytes


def _update_seconds(model, data) -> float:
  """Median time of one person's belief update, features to posterior."""

  @jax.jit
  def update(model, log_belief, text, image, choice):
    utility = model_lib.column_utility(model, text, image)
    return belief.update(model, log_belief, utility, choice)

  log_belief = belief.initial(model, 1)
  arrays = [x[:1, 0] for x in (data.text, data.image, data.choice)]
  times = []
  for _ in range(_TIMED_UPDATES):
    started = time.perf_counter()
    jax.block_until_ready(update(model, log_belief, *arrays))
    times.append(time.perf_counter() - started)
  return float(np.median(times))


def _by_types(rows: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
  """K [J] and the values of all seeds [J, seeds]."""
  counts = sorted({r['num_types'] for r in rows})
  return np.array(counts), np.array(
    [[r[name] for r in rows if r['num_types'] == k] for k in counts]
  )


def plot(rows: list[dict]) -> figures.Figure:
  """Accuracy and log-likelihood over K, with own and another's belief."""
  figure = figures.blank(2.6)
  colours = palette.LIGHT
  panels = (
    ('sequential_accuracy', 'mismatched_accuracy', 'accuracy of next choice'),
    (
      'choice_log_likelihood',
      'mismatched_log_likelihood',
      'log-likelihood of a choice',
    ),
  )
  with matplotlib.rc_context(figures.STYLE):
    for i, (own, other, title) in enumerate(panels):
      ax = figure.add_axes((0.08 + 0.5 * i, 0.19, 0.4, 0.68))
      for name, label, key in (
        (own, "own choices' belief", 'pasta'),
        (other, "another person's", 'lmm'),
      ):
        if name not in rows[0]:
          continue  # One test person: nobody to be mistaken for.
        counts, values = _by_types(rows, name)
        ax.plot(counts, values.mean(1), color=colours[key], label=label)
        ax.plot(counts, values, '.', color=colours[key], markersize=3)
      ax.set_xscale('log', base=2)
      ax.set_xticks(counts, [str(k) for k in counts])
      ax.set_xlabel('types K')
      ax.set_title(title)
      if not i:
        ax.legend(fontsize=8, frameon=False, loc=(0.4, 0.2), handlelength=1)
  return figure


def describe(rows: list[dict]) -> list[str]:
  """A table, means over seeds."""
  columns = (
    ('choice_log_likelihood', 'log-lik.', '{:.4f}'),
    ('mismatched_log_likelihood', "other's", '{:.4f}'),
    ('sequential_accuracy', 'accuracy', '{:.3f}'),
    ('mismatched_accuracy', "other's", '{:.3f}'),
    ('cross_turn_accuracy', 'cross-turn', '{:.3f}'),
    ('calibration_error', 'ECE', '{:.3f}'),
    ('effective_types', 'effective', '{:.1f}'),
    ('stability', 'stability', '{:.2f}'),
    ('bic', 'BIC', '{:.0f}'),
    ('fit_seconds', 'fit s', '{:.1f}'),
    ('step_megabytes', 'step MB', '{:.0f}'),
    ('update_microseconds', 'update us', '{:.0f}'),
  )
  # What the data lack (comparisons, a second person) has no column.
  columns = [c for c in columns if all(c[0] in r for r in rows)]
  lines = [f'{"K":>4}' + ''.join(f'{title:>11}' for _, title, _ in columns)]
  for i, k in enumerate(_by_types(rows, 'seed')[0]):
    cells = [
      form.format(_by_types(rows, name)[1][i].mean())
      for name, _, form in columns
    ]
    lines.append(f'{k:>4}' + ''.join(f'{c:>11}' for c in cells))
  return lines
