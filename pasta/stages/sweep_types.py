"""The stage `sweep_types`: how many types?

Every model is fitted on the same people and judged on others, whom no fit has
seen, also not for early stopping. Answers the paper's second open question for
the data at hand.
"""

import os
import time
from typing import Any

import jax
import ml_collections
from absl import logging

from pasta import files, workdir
from pasta.evaluate import type_sweep
from pasta.report import figures
from pasta.report import type_sweep as page
from pasta.storage import session_features as features_lib
from pasta.user_model import em
from pasta.user_model import train as train_lib

STAGE = 'sweep_types'


def run(config: ml_collections.ConfigDict, workdir_path: str) -> list[dict]:
  """WORKDIR/features -> WORKDIR/type_sweep: results.json and type_sweep.png.

  Returns:
    The results, a row each fit.
  """
  directory = os.path.join(workdir_path, 'type_sweep')
  upstream = workdir.upstream(workdir_path, 'features', 'extract_features')
  path = os.path.join(directory, 'results.json')
  with workdir.open_stage(STAGE, directory, config, (upstream,)) as info:
    if info is not None:
      features = features_lib.load_dir(os.path.join(workdir_path, 'features'))
      train, test = type_sweep.split_people(
        features, config.test_share, config.seed
      )
      rows = []
      for num_types in config.num_types:
        for seed in range(config.num_seeds):
          logging.info('type sweep: K = %d, seed %d', num_types, seed)
          where = os.path.join(directory, f'types-{num_types}-seed-{seed}')
          row = fit_and_measure(train, test, num_types, seed, config, where)
          rows.append({'num_types': num_types, 'seed': seed, **row})
      type_sweep.add_stability(rows)
      files.write_json(path, rows)
      figures.save(
        page.plot(rows), os.path.join(directory, 'type_sweep.png'), 'type sweep'
      )
      info['num_fits'] = len(rows)
  rows = files.read_json(path)
  for line in page.describe(rows):
    print(line)
  return rows


def fit_and_measure(
  train: features_lib.SessionFeatures,
  test: features_lib.SessionFeatures,
  num_types: int,
  seed: int,
  config: ml_collections.ConfigDict,
  directory: str,
) -> dict[str, Any]:
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
    update=em.update,
  )
  seconds = time.monotonic() - started
  found = type_sweep.measure(model, train, test, settings)
  return {**found, 'fit_seconds': seconds}
