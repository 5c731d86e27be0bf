"""How many types for how many true ones: the type sweep on several populations.

For each number of true types, hidden people of such a population sit down at
a policy that needs no training, features are extracted, and user models of
several K are fitted and judged (`sweep_types`).
"""

import os

import ml_collections
from absl import logging

from pasta import errors, files
from pasta.report import figures, population_sweep
from pasta.stages import collect, extract_features, stage, sweep_types


def run(config: ml_collections.ConfigDict, workdir_path: str) -> None:
  """-> WORKDIR/true-types-N/ for each N, populations.json and populations.png.

  Args:
    config: `configs/sweep_populations.py`.
    workdir_path: the working directory.
  """
  if not config.true_types:
    raise errors.PastaError(
      'true_types is empty, expected numbers of true types'
    )
  found = {}
  with stage.Worlds() as worlds:
    for num in config.true_types:
      logging.info('population of %d true types', num)
      where = os.path.join(workdir_path, f'true-types-{num}')
      settings = ml_collections.ConfigDict(config.collect.to_dict())
      settings.population.num_types = num
      collect.run(settings, where, worlds)
      extract_features.run(config.extract_features, where, worlds)
      print(f'{num} true types')
      found[num] = sweep_types.run(config.sweep, where)
  files.write_json(
    os.path.join(workdir_path, 'populations.json'),
    [{'true_types': num, **row} for num, rows in found.items() for row in rows],
  )
  path = os.path.join(workdir_path, 'populations.png')
  figures.save(population_sweep.plot(found), path, 'type sweep by population')
