"""Tables, plots and one page of all experiments in a directory."""

import itertools
import os

import markupsafe
import matplotlib
import numpy as np
from matplotlib import lines

from pasta import errors, files
from pasta.report import figures, headline, palette, theme

_COLOURS = ('pasta', 'greedy', 'bayes', 'optimistic', 'prior', 'lmm', 'random')
_FIGURES = {  # what a plot shows -> (axis, factor, digits)
  'share': ('% of lmm → bayes slate', 100.0, 0),
  'gain': ('return over lmm', 1.0, 3),
  'relative_gain': ('% more return than lmm', 100.0, 1),
  'final_utility': ('utility of the final image', 1.0, 2),
}
_COLUMNS = (  # of tables: (key, title, factor, digits)
  ('return', 'return', 1.0, 3),
  ('share', 'share of lmm → bayes slate, %', 100.0, 0),
  ('share_of_bayes', 'share of lmm → bayes, %', 100.0, 0),
  ('relative_gain', 'over lmm, %', 100.0, 1),
  ('difference', 'difference to reference', 1.0, 3),
  ('overestimate', 'predicted − realised', 1.0, 3),
  ('final_utility', 'final image', 1.0, 2),
  ('final_difference', 'difference of final images', 1.0, 2),
  ('final_win_share', 'final better than lmm, %', 100.0, 0),
  ('distinct_categories', 'categories', 1.0, 2),
  ('diversity', 'slate diversity', 1.0, 3),
  ('renders_per_turn', 'renders a turn', 1.0, 0),
)


def _cell(value, factor: float, digits: int) -> str:
  """A number, or an estimate with its interval."""
  if value is None or isinstance(value, dict) and value['mean'] is None:
    return headline.MISSING
  if not isinstance(value, dict):
    return headline.number(factor * value, digits)
  mean, low, high = (
    headline.number(factor * value[k], digits) for k in ('mean', 'low', 'high')
  )
  return f'{mean} [{low}, {high}]'


def _shown_columns(rows: list[dict], figure: str) -> list[tuple]:
  """Columns that some row has, without those that are the same in all."""
  shown = []
  for column in _COLUMNS:
    if column[0] == 'final_difference' and figure != 'final_utility':
      continue
    values = [r[column[0]] for r in rows if r.get(column[0]) is not None]
    is_estimate = values and isinstance(values[0], dict)
    if is_estimate or len(set(values)) > 1:
      shown.append(column)
  return shown


def is_matrix(results: dict) -> bool:
  """Whether every arm is one cell of a table of rows and columns."""
  rows = results['rows']
  return bool(rows) and all(r.get('row') and r.get('column') for r in rows)


def _blocks(results: dict) -> tuple[list[str], list[str], list[str], dict]:
  """Series, rows and columns of a matrix, and its results by all three."""
  found = {(r['series'], r['row'], r['column']): r for r in results['rows']}
  series, rows, columns = (list(dict.fromkeys(x)) for x in zip(*found))
  return series, rows, columns, found


def _matrix_cell(arm: dict | None, figure: str) -> str:
  """An arm's figure and, where it has a reference, the difference to that."""
  if arm is None:
    return headline.MISSING
  text = _cell(arm.get(figure), *_FIGURES[figure][1:])
  if 'difference' in arm:
    text += '; ' + _cell(arm['difference'], 1.0, 3)
  return text


def _matrix_cells(results: dict) -> tuple[list[str], list[list[str]]]:
  """A line for every series and row, a column for every column."""
  series, rows, columns, found = _blocks(results)
  figure = results['figure']
  lines = [
    [
      *([name] if len(series) > 1 else []),
      row,
      *(_matrix_cell(found.get((name, row, c)), figure) for c in columns),
    ]
    for name in series
    for row in rows
  ]
  titles = [_FIGURES[figure][0], *([''] if len(series) > 1 else []), *columns]
  return titles, lines


def cells(results: dict) -> tuple[list[str], list[list[str]]]:
  """Titles and rows of an experiment's table."""
  if is_matrix(results):
    return _matrix_cells(results)
  columns = _shown_columns(results['rows'], results['figure'])
  titles = ['', *(title for _, title, _, _ in columns)]
  return titles, [
    [
      row['label'],
      *(_cell(row.get(key), factor, n) for key, _, factor, n in columns),
    ]
    for row in results['rows']
  ]


def table(results: dict) -> list[str]:
  """The table as lines of markdown."""
  titles, rows = cells(results)
  return [
    '| ' + ' | '.join(titles) + ' |',
    '|---' * len(titles) + '|',
    *('| ' + ' | '.join(row) + ' |' for row in rows),
  ]


def plot(results: dict) -> figures.Figure:
  """Points with intervals: over x where arms have one, else one line each."""
  rows = [r for r in results['rows'] if r.get(results['figure'])]
  rows = [r for r in rows if r[results['figure']]['mean'] is not None]
  title, factor, _ = _FIGURES[results['figure']]
  if rows and is_matrix(results):
    return _matrix_plot(results, title, factor)
  if any(r['x'] is not None for r in rows):
    return _curves(rows, results, title, factor)
  figure = figures.blank(0.75 + 0.27 * max(len(rows), 1))
  with matplotlib.rc_context(figures.STYLE):
    inches = figure.get_figheight()
    bottom, height = 0.5 / inches, 1 - 0.55 / inches
    ax = figure.add_axes((0, bottom, 0.97, height))
    for i, row in enumerate(rows):
      value = row[results['figure']]
      colour = palette.LIGHT[
        'pasta' if row['label'].startswith('pasta') else 'greedy'
      ]
      ax.plot(
        [factor * value['low'], factor * value['high']], [i, i], color=colour
      )
      ax.plot(factor * value['mean'], i, 'o', color=colour, markersize=5)
    ax.set_yticks(range(len(rows)), [r['label'] for r in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis='x')
    ax.grid(axis='y', visible=False)
    ax.set_xlabel(title)
    _make_room(figure, [ax])
  return figure


def _make_room(figure: figures.Figure, axes: list) -> None:
  """Moves the left ends of axes until their longest label fits."""
  labels = -min(ax.get_tightbbox().x0 for ax in axes) / figure.bbox.width
  left = min(0.01 + labels, 0.6)
  for ax in axes:
    box = ax.get_position()
    ax.set_position((left, box.y0, 0.97 - left, box.height))


def _colours(names: list[str]) -> list[str]:
  """Of policies their own, of others what is left."""
  known = {style.label: style.colour for style in palette.POLICIES.values()}
  taken = {known[name] for name in names if name in known}
  free = itertools.cycle([c for c in _COLOURS if c not in taken] or _COLOURS)
  found = [known[n] if n in known else next(free) for n in names]
  return [palette.LIGHT[colour] for colour in found]


def _matrix_plot(results, title, factor) -> figures.Figure:
  """A panel a series: a line for every row, with a point for every column."""
  series, rows, columns, found = _blocks(results)
  height = 0.5 + 0.2 * len(rows) * (len(columns) + 0.5)
  figure = figures.blank(len(series) * height + 0.55)
  inches = figure.get_figheight()
  colours = _colours(columns)
  with matplotlib.rc_context(figures.STYLE):
    axes = []
    for i, name in enumerate(series):
      bottom = 0.5 + (len(series) - 1 - i) * height
      ax = figure.add_axes(
        (0, bottom / inches, 0.97, (height - 0.3) / inches),
        sharex=axes[0] if axes else None,
      )
      axes.append(ax)
      for j, row in enumerate(rows):
        for k, column in enumerate(columns):
          value = found.get((name, row, column), {}).get(results['figure'])
          if value is None or value['mean'] is None:
            continue
          y = j + 0.7 * (k + 0.5) / len(columns) - 0.35
          colour = colours[k]
          ax.plot(
            [factor * value['low'], factor * value['high']],
            [y, y],
            color=colour,
          )
          ax.plot(factor * value['mean'], y, 'o', color=colour, markersize=5)
      ax.set_yticks(range(len(rows)), rows)
      ax.set_ylim(len(rows) - 0.5, -0.5)
      ax.grid(axis='x')
      ax.grid(axis='y', visible=False)
      if len(series) > 1:
        ax.set_title(name)
      ax.tick_params(labelbottom=i == len(series) - 1)
    axes[-1].set_xlabel(title)
    axes[0].legend(
      handles=[
        lines.Line2D([], [], color=colour, marker='o', label=c)
        for colour, c in zip(colours, columns)
      ],
      fontsize=8,
      frameon=False,
      loc='lower right',
      bbox_to_anchor=(1.0, 1.0),
      ncols=len(columns),
      handlelength=1,
      borderaxespad=0.2,
    )
    _make_room(figure, axes)
  return figure


def _curves(rows, results, title, factor) -> figures.Figure:
  figure = figures.blank(2.9)
  with matplotlib.rc_context(figures.STYLE):
    ax = figure.add_axes((0.12, 0.17, 0.62, 0.78))
    series = list(dict.fromkeys(r['series'] for r in rows))
    for name, colour in zip(series, _colours(series)):
      mine = [r for r in rows if r['series'] == name]
      values = [r[results['figure']] for r in mine]
      mean = [factor * v['mean'] for v in values]
      if all(r['x'] is None for r in mine):
        ax.axhline(mean[0], color=colour, linestyle='--', label=name)
        continue
      x = np.array([r['x'] for r in mine], float)
      ax.plot(x, mean, 'o-', color=colour, label=name, markersize=4)
      ax.fill_between(
        x,
        [factor * v['low'] for v in values],
        [factor * v['high'] for v in values],
        color=colour,
        alpha=0.12,
        linewidth=0,
      )
    everywhere = sorted({r['x'] for r in rows if r['x'] is not None})
    if everywhere[0] > 0 and everywhere[-1] / everywhere[0] > 8:
      ax.set_xscale('log')
    ax.set_xticks(everywhere, [f'{x:g}' for x in everywhere])
    ax.minorticks_off()
    ax.set_xlabel(results['axis'])
    ax.set_ylabel(title)
    if len(series) > 1:
      ax.legend(
        fontsize=8,
        frameon=False,
        handlelength=1,
        loc='upper left',
        bbox_to_anchor=(1.01, 1.0),
      )
  return figure


def sections(directory: str) -> list[dict]:
  """What a page shows of each experiment in a directory.

  Returns:
    Contents of results.json, with `titles` and `cells` of the table and the
    plot as `svg`; the plot is also written as DIRECTORY/NAME/plot.png.

  Raises:
    PastaError: no such directory, or a results.json that is damaged.
  """
  if not os.path.isdir(directory):
    raise errors.PastaError(f'{directory}: no such directory of experiments')
  found = []
  for name in sorted(os.listdir(directory)):
    path = os.path.join(directory, name, 'results.json')
    if not os.path.exists(path):
      continue
    results = files.read_json(path)
    try:
      titles, rows = cells(results)
      svg = figures.save(
        plot(results),
        os.path.join(directory, name, 'plot.png'),
        results['title'],
      )
    except (KeyError, TypeError, IndexError) as e:
      raise errors.PastaError(
        f'{path}: not the results of an experiment ({e!r})'
      ) from e
    found.append(
      {
        **results,
        'titles': titles,
        'cells': rows,
        'svg': markupsafe.Markup(svg),
      }
    )
  return found


def build(directory: str) -> str:
  """Writes DIRECTORY/index.html of all experiments below; returns its path.

  Raises:
    PastaError: a results.json that is damaged.
  """
  environment, css = theme.load()
  path = os.path.join(directory, 'index.html')
  page = environment.get_template('experiments.html.j2').render(
    experiments=sections(directory), css=css
  )
  files.atomic_write(path, page)
  return path
