"""A sweep over numbers of types: its figure and its table."""

import matplotlib
import numpy as np

from pasta.report import figures, palette


def by_types(rows: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
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
        counts, values = by_types(rows, name)
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
  for i, k in enumerate(by_types(rows, 'seed')[0]):
    cells = [
      form.format(by_types(rows, name)[1][i].mean())
      for name, _, form in columns
    ]
    lines.append(f'{k:>4}' + ''.join(f'{c:>11}' for c in cells))
  return lines
