"""The type sweep on several populations, side by side."""

from typing import Any

import matplotlib

from pasta.report import figures, palette, type_sweep


def plot(found: dict[int, list[dict[str, Any]]]) -> figures.Figure:
  """Held-out log-likelihood of a choice over K, a panel each population.

  Args:
    found: by number of true types, rows of `sweep_types`.
  """
  figure = figures.blank(2.3)
  width = 0.88 / len(found)
  low = min(r['choice_log_likelihood'] for rows in found.values() for r in rows)
  high = max(
    r['choice_log_likelihood'] for rows in found.values() for r in rows
  )
  with matplotlib.rc_context(figures.STYLE):
    for i, (num, rows) in enumerate(found.items()):
      ax = figure.add_axes((0.12 + i * width, 0.22, 0.86 * width, 0.64))
      counts, values = type_sweep.by_types(rows, 'choice_log_likelihood')
      colour = palette.LIGHT['pasta']
      ax.plot(counts, values.mean(1), color=colour)
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
