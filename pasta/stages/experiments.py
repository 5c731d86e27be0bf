"""Runs an experiment: its arms on its seeds, then a table, a plot, a page."""

import os
import time

import ml_collections
from absl import logging

from pasta import errors, files
from pasta.experiments import summary
from pasta.population import ceilings
from pasta.report import experiments as experiments_page
from pasta.stages import arms as arms_lib
from pasta.stages import stage

_WORLD = ('world', 'sizes', 'population', 'evaluate')


def run(config: ml_collections.ConfigDict, workdir_path: str) -> None:
  """-> WORKDIR/NAME/ with results.json and plot.png, and WORKDIR/index.html.

  Restarting the same command goes on where it was cut off; stages that arms
  and experiments share lie in WORKDIR/store and are run once.

  Args:
    config: of configs/experiments.py.
    workdir_path: of all experiments.

  Raises:
    PastaError: no arm or seed, or an arm that sets what does not exist.
  """
  arms = config.arms
  if not config.seeds or not arms:
    raise errors.PastaError(
      'an experiment needs seeds and arms: expected at least one of each'
    )
  fields = {f'arms.{name}.reference': a.reference for name, a in arms.items()}
  for field, name in {'reference': config.reference, **fields}.items():
    if name and name not in arms:
      raise errors.PastaError(
        f"config field '{field}' is '{name}': expected one of {tuple(arms)}"
      )
  store = os.path.join(workdir_path, 'store')
  outcomes = {name: [] for name in arms}
  with stage.Worlds() as worlds:
    for seed in config.seeds:
      for name in arms:
        started = time.time()
        outcomes[name].append(_run(config, name, seed, store, worlds))
        logging.info(
          '%s: arm %s, seed %d: %.0f s',
          config.name,
          name,
          seed,
          time.time() - started,
        )
  rows = summary.summarise(outcomes, arms, config.reference)
  rows.sort(key=lambda row: _rank(row, config.figure))
  directory = os.path.join(workdir_path, config.name)
  os.makedirs(directory, exist_ok=True)
  results = {
    'name': config.name,
    'title': config.title,
    'question': config.question,
    'axis': config.axis,
    'figure': config.figure,
    'reference': config.reference,
    'seeds': list(config.seeds),
    'num_people': config.base.evaluate.num_people,
    'rows': rows,
  }
  files.write_json(os.path.join(directory, 'results.json'), results)
  files.write_json(os.path.join(directory, 'config.json'), config)
  for line in experiments_page.table(results):
    print(line)
  print(f'experiments: {experiments_page.build(workdir_path)}')


def _rank(row: dict, figure: str) -> tuple:
  """Along the plot's axis where there is one, else the best first.

  What has its place in a table stays in the order of the arms' names.
  """
  if row['row']:
    return '', 0.0
  if row['x'] is not None:
    return row['series'], row['x']
  found = row.get(figure, {'mean': None})['mean']
  return '', float('inf') if found is None else -found


def _run(experiment, name, seed, store, worlds) -> dict:
  """One arm on one seed, and the ends of the gaps in the same world."""
  base, arms = experiment.base, experiment.arms
  arm = arms[name]
  previous = ''
  if arm.previous:
    if arm.previous not in arms:
      raise errors.PastaError(
        f"arm '{name}' follows '{arm.previous}': there is no such arm"
      )
    earlier = arms_lib.configured(base, arms[arm.previous].overrides, seed)
    needed = arms_lib.needed_stages(earlier, 'pasta')
    previous = arms_lib.prepare(earlier, store, needed, worlds)
  config = arms_lib.configured(base, arm.overrides, seed)
  outcome, played = arms_lib.run_arm(
    config, arm.policy, store, worlds, previous
  )
  # What only learners are told changes nothing for those who learn nothing.
  outside = [o for o in arm.overrides if o[0].split('.')[0] in _WORLD]
  plain = arms_lib.configured(base, outside, seed)
  found = {
    'arm': outcome,
    'diversity': arms_lib.diversity(played, worlds(config.evaluate.world)),
  }
  for end in summary.ENDS:
    if end in ceilings.NAMES and plain.evaluate.people != 'hidden':
      found[end] = found[
        summary.ENDS[0]
      ]  # No truth, no gap to take a share of.
      continue
    found[end], _ = arms_lib.run_arm(
      plain, base.evaluate.policies[end], store, worlds
    )
  return found
