"""Learning curves from a stage's metrics.jsonl."""

import os
from collections.abc import Sequence

import numpy as np

from pasta import metrics

Curves = dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]
_GROUPS = ('train', 'val')


def read(path: str, preferred: Sequence[str], max_panels: int = 4) -> Curves:
  """Curves worth a panel: those named first, then those with held-out values.

  Args:
    path: of a metrics.jsonl; keys are group/name. A torn last line, which a
      killed run may leave, is ignored.
    preferred: metric names, most telling first.
    max_panels: how many metrics at most.

  Returns:
    Metric name -> group -> (steps, values); empty where the file is missing
    or holds no metric of the groups train and val.
  """
  if not os.path.exists(path):
    return {}
  points = {}
  for record in metrics.read_lines(path):
    for key, value in record.items():
      group, _, name = key.partition('/')
      if group in _GROUPS and name:
        points.setdefault(name, {}).setdefault(group, []).append(
          (record['step'], value)
        )
  names = [n for n in preferred if n in points]
  names += sorted(n for n in points if n not in names and 'val' in points[n])
  curves = {}
  for name in names[:max_panels]:
    curves[name.replace('_', ' ')] = {
      group: tuple(np.array(pairs, float).T)
      for group, pairs in points[name].items()
    }
  return curves
