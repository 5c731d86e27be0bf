"""The stage `recover_types`: are planted types found?"""

import os

import ml_collections
import numpy as np

from pasta import files, progress
from pasta import workdir as workdir_lib
from pasta.latent_class import recovery


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Runs the experiment: DIR/recovery/recovery.json, and a table on screen."""
  directory = os.path.join(workdir, 'recovery')
  path = os.path.join(directory, 'recovery.json')
  with workdir_lib.open_stage('recover_types', directory, config) as info:
    if info is not None:
      cells = [
        (u, s) for u in config.num_users for s in range(config.num_seeds)
      ]
      options = {'num_types': config.num_types, **config.fit.to_dict()}
      rows = [
        {
          'num_users': u,
          'seed': s,
          **recovery.measure(recovery.plant(u, config, s), options),
        }
        for u, s in progress.progress(cells, unit='fit', desc='recovery')
      ]
      files.write_json(path, rows)
      info['num_fits'] = len(rows)
  for line in describe(files.read_json(path)):
    print(line)


def describe(rows: list[dict]) -> list[str]:
  """A table: means over seeds, the worst case for what must not fail."""
  lines = [
    f'{"people":>8} {"ARI":>8} {"Bayes":>8} {"found":>6} {"worst corr.":>12} '
    f'{"largest |b|":>12} {"true":>8} {"log-lik.":>10} {"from truth":>11}'
  ]
  for num_users in sorted({r['num_users'] for r in rows}):
    part = [r for r in rows if r['num_users'] == num_users]

    def of(name, part=part):
      return np.array([r[name] for r in part])

    lines.append(
      f'{num_users:>8} {of("rand_index").mean():>8.3f} '
      f'{of("bayes_rand_index").mean():>8.3f} '
      f'{of("types_found").min():>6} '
      f'{of("worst_utility_correlation").min():>12.4f} '
      f'{of("largest_coefficient").max():>12.2f} '
      f'{of("largest_true_coefficient").max():>8.2f} '
      f'{of("log_likelihood").mean():>10.1f} '
      f'{of("log_likelihood_from_truth").mean():>11.1f}'
    )
  return lines
