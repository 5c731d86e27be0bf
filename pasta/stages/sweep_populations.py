"""How many types for how many true ones: the type sweep on several populations.

For each number of true types, hidden people of such a population sit down at
a policy that needs no training, features are extracted, and user models of
several K are fitted and judged (`evaluate.type_sweep`).
"""

import os

import matplotlib
import ml_collections
import numpy as np
from absl import logging

from pasta import errors, workdir
from pasta.report import figures, palette
from pasta.stages import extract_features, stage, sweep_types


def run(config: ml_collections.ConfigDict, workdir_path: str) -> None:
  """-> WORKDIR/true-types-N/ for each N, populations.json and populations.png.

  Args:
    config: `configs/sweep_types.py:populations`.
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
      collect = ml_collections.ConfigDict(config.collect.to_dict())
      collect.population.num_types = num
      collect.run(collect, where, worlds)
      extract_features.run(config.extract_features, where, worlds)
      print(f'{num} true types')
      found[num] = sweep_types.run(config.sweep, where)
  workdir.write_json(
    os.path.join(workdir_path, 'populations.json'),
    [{'true_types': num, **row} for num, rows in found.items() for row in rows],
  )
  path = os.path.join(workdir_path, 'populations.png')
  figures.save(plot(found), path, 'type sweep by population')


def plot(found: dict[int, list[dict]]) -> figures.Figure:
  """Held-out log-likelihood of a choice over K, a panel each population."""
  figure = figures.blank(2.3)
  width = 0.88 / len(found)
  low = min(r['choice_log_likelihood'] for rows in found.values() for r in rows)
  high = max(
    r['choice_log_likelihood'] for rows in found.values() for r in rows
  )
  with matplotlib.rc_context(figures.STYLE):
    for i, (num, rows) in enumerate(found.items()):
      ax = figure.add_axes((0.12 + i * width, 0.22, 0.86 * width, 0.64))
      counts = sorted({r['num_types'] for r in rows})
      values = [
        [r['choice_log_likelihood'] for r in rows if r['num_types'] == k]
        for k in counts
      ]
      colour = palette.LIGHT['pasta']
      ax.plot(counts, np.mean(values, 1), color=colour)
      ax.plot(counts, values, '.', color=colour, markersize=3)
      ax.set_xscale('log', base=2)
      shown = counts[:: -(-len(counts) // 4)]
      ax.set_xticks(shown, [str(k) for k in shown])
      ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
      ax.set_title(f'{num} true type' + 's' * (num > 1))
      ax.set_xlabel('types K')
      if i:
        ax.set_yticklabels([])
      else:
        ax.set_ylabel('log-likelihood')
  return figure
