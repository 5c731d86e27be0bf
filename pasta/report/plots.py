"""The report's plots: each a function from numbers to a figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pasta.report import figures, headline, palette

Estimate = dict[str, float]  # mean, low, high

_C = palette.LIGHT
# Where the gap begins, what common taste alone reaches of it, where it ends.
_FLOOR, _MIDDLE, _CEILING = headline.BASELINE, 'prior', headline.CEILING


def _marker(policy: str, size: float) -> dict[str, Any]:
  style = palette.style(policy)
  colour = _C[style.colour]
  return dict(
    marker=style.marker,
    markersize=size,
    color=colour,
    markeredgewidth=1.3,
    markeredgecolor=colour if style.is_ceiling else _C['page'],
    markerfacecolor=_C['page'] if style.is_ceiling else colour,
  )


def returns(policies: dict[str, Estimate]) -> Figure:
  """Mean return of every policy, on the scale of the gap that can be closed."""
  names = sorted(policies, key=lambda p: policies[p]['mean'])
  figure = figures.blank(0.72 + 0.33 * len(names))
  height = 0.33 * len(names) / figure.get_figheight()
  with matplotlib.rc_context(figures.STYLE):
    ax = figure.add_axes((0.18, 0.45 / figure.get_figheight(), 0.79, height))
    ax.grid(False)
    lows = [policies[p]['low'] for p in names]
    highs = [policies[p]['high'] for p in names]
    span = max(max(highs) - min(lows), 1e-9)
    ax.set_xlim(min(lows) - 0.03 * span, max(highs) + 0.13 * span)
    ax.set_ylim(-0.9, len(names) - 0.4)
    ax.set_yticks(range(len(names)), [palette.style(p).label for p in names])
    for tick, name in zip(ax.get_yticklabels(), names):
      tick.set_color(_C[palette.style(name).colour])
      tick.set_fontweight('bold' if name == 'pasta' else 'normal')
    ax.set_xlabel('mean return of a session (sum of satisfaction over turns)')
    if _FLOOR in policies and _CEILING in policies:
      _gap_axis(ax, policies)
    for y, name in enumerate(names):
      p, style = policies[name], palette.style(name)
      ax.plot(
        [p['low'], p['high']],
        [y, y],
        color=_C[style.colour],
        linewidth=3 if name == 'pasta' else 1.8,
        linestyle=(0, (2, 1.2)) if style.is_ceiling else '-',
        dash_capstyle='butt',
      )
      ax.plot([p['mean']], [y], **_marker(name, 9 if name == 'pasta' else 7))
      ax.annotate(
        f'{p["mean"]:.2f}',
        (p['high'], y),
        (6, 0),
        textcoords='offset points',
        va='center',
        fontsize=9.5,
        color=_C['ink'] if name == 'pasta' else _C['soft'],
        fontweight='bold' if name == 'pasta' else 'normal',
      )
  return figure


def _gap_axis(ax, policies) -> None:
  """Shades floor → middle → ceiling and marks shares of the gap on top."""
  start, end = policies[_FLOOR]['mean'], policies[_CEILING]['mean']
  width = end - start
  if width <= 0:
    return
  parts = [(start, end, 'adaptation', '')]
  if _MIDDLE in policies and start < policies[_MIDDLE]['mean'] < end:
    between = policies[_MIDDLE]['mean']
    parts = [
      (start, between, 'common', 'common taste'),
      (between, end, 'adaptation', 'adaptation'),
    ]
  limits = ax.get_xlim()
  inches = ax.get_position().width * figures.WIDTH / (limits[1] - limits[0])
  # About 0.07 inches a letter.
  fits = all((p[1] - p[0]) * inches > 0.07 * len(p[3]) for p in parts)
  for low, high, colour, label in parts:
    ax.axvspan(low, high, color=_C[colour], linewidth=0, zorder=0)
    if fits:
      ax.text(
        (low + high) / 2,
        -0.82,
        label,
        ha='center',
        va='bottom',
        fontsize=8.5,
        color=_C['soft'],
      )
  top = ax.secondary_xaxis(
    'top',
    functions=(
      lambda x: 100 * (x - start) / width,
      lambda x: start + x * width / 100,
    ),
  )
  # The last label starts at its mark, away from the others.
  top.set_xticks([0, 100], ['0 %', '100 % of the gap'])
  top.get_xticklabels()[1].set_ha('left')
  top.spines['top'].set_visible(False)
  top.tick_params(labelsize=9, colors=_C['soft'])


def satisfaction(policies: dict[str, Sequence[Estimate]]) -> Figure:
  """Mean satisfaction at each turn, one line a policy, with intervals.

  Args:
    policies: T estimates per policy.
  """
  figure = figures.blank(4.0)
  with matplotlib.rc_context(figures.STYLE):
    ax = figure.add_axes((0.09, 0.12, 0.70, 0.86))
    names = palette.ordered(policies)
    num_turns = max(len(policies[n]) for n in names)
    dodge = np.linspace(-0.11, 0.11, len(names)) if len(names) > 1 else [0.0]
    for offset, name in zip(dodge, reversed(names)):
      style, estimates = palette.style(name), policies[name]
      x = np.arange(1, len(estimates) + 1) + offset
      colour, strong = _C[style.colour], name == 'pasta'
      line = dict(
        color=colour,
        linewidth=2.6 if strong else 1.4,
        zorder=5 if strong else 3,
      )
      ax.vlines(
        x,
        [e['low'] for e in estimates],
        [e['high'] for e in estimates],
        alpha=0.6,
        color=colour,
        linewidth=2.2 if strong else 1.3,
        zorder=2,
      )
      ax.plot(
        x,
        [e['mean'] for e in estimates],
        **{**_marker(name, 7 if strong else 5), **line},
        linestyle=(0, (3, 2)) if style.is_ceiling else '-',
      )
    ax.set_xticks(range(1, num_turns + 1))
    ax.set_xlim(0.8, num_turns + 0.16)
    ax.set_xlabel('turn')
    low, high = ax.get_ylim()
    ends = [policies[n][-1]['mean'] for n in names]
    gap = 0.052 * (high - low)
    for name, y, end in zip(names, figures.spread(ends, gap), ends):
      colour = _C[palette.style(name).colour]
      x = num_turns + 0.13
      ax.plot(
        [x, x + 0.1], [end, y], color=colour, linewidth=0.7, clip_on=False
      )
      ax.text(
        x + 0.14,
        y,
        palette.style(name).label,
        va='center',
        color=colour,
        fontweight='bold' if name == 'pasta' else 'normal',
      )
  return figure


def returning(sessions: Sequence[dict[str, Estimate]]) -> Figure:
  """Return of the same people's sessions 1, 2, …, known and as if new.

  Args:
    sessions: of `evaluate.returning.play`, of pasta.
  """
  figure = figures.blank(2.9)
  with matplotlib.rc_context(figures.STYLE):
    ax = figure.add_axes((0.09, 0.17, 0.66, 0.8))
    x = np.arange(1, len(sessions) + 1)
    for label, key, offset, marker in (
      ('known', 'return', 0.0, {}),
      ('as if new', 'fresh', 0.05, {'markerfacecolor': 'page'}),
    ):
      colour = _C['pasta' if key == 'return' else 'soft']
      marker = {k: _C[v] for k, v in marker.items()}
      # In the first session everybody is new.
      found = [row.get(key, row['return']) for row in sessions]
      ax.vlines(
        x[key == 'fresh' :] + offset,
        [e['low'] for e in found[key == 'fresh' :]],
        [e['high'] for e in found[key == 'fresh' :]],
        color=colour,
        linewidth=1.8,
        alpha=0.6,
      )
      ax.plot(
        x + offset * (x > 1),
        [e['mean'] for e in found],
        color=colour,
        marker='o',
        markersize=7,
        linewidth=2.2 if key == 'return' else 1.4,
        linestyle='-' if key == 'return' else (0, (3, 2)),
        zorder=5 if key == 'return' else 3,
        **marker,
      )
      ax.text(
        len(sessions) + 0.14,
        found[-1]['mean'],
        label,
        va='center',
        color=colour,
        fontweight='bold' if key == 'return' else 'normal',
      )
    for i, row in enumerate(sessions):
      if 'gain' in row:
        ax.annotate(
          headline.number(row['gain']['mean'], signed=True),
          (x[i], row['return']['high']),
          (0, 4),
          textcoords='offset points',
          ha='center',
          fontsize=9.5,
          color=_C['pasta'],
        )
    ax.set_xticks(x)
    ax.set_xlim(0.8, len(sessions) + 0.12)
    ax.margins(y=0.12)
    ax.set_xlabel('session of the same person')
    ax.set_ylabel('return')
  return figure


def comparison(policies: dict[str, Sequence[dict[str, float]]]) -> Figure:
  """Shares of better / same / worse than the turn before, a panel a policy.

  Args:
    policies: for each policy the shares at turns 2..T.
  """
  names = palette.ordered(policies)
  figure = figures.blank(2.75)
  with matplotlib.rc_context(figures.STYLE):
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
      left=0.105, right=0.985, top=0.87, bottom=0.2, wspace=0.12
    )
    for ax, name in zip(axes, names):
      shares = policies[name]
      x = np.arange(2, len(shares) + 2)
      base = np.zeros(len(x))
      for key in ('better', 'same', 'worse'):
        height = np.array([100 * s[key] for s in shares])
        ax.bar(
          x,
          height,
          bottom=base,
          width=0.86,
          color=_C[key],
          edgecolor=_C['page'],
          linewidth=1.2,
        )
        for xi, h, b in zip(x, height, base):
          if h >= 9:
            ax.text(
              xi,
              b + h / 2,
              f'{h:.0f}',
              ha='center',
              va='center',
              fontsize=8.5,
              color=_C['ink'] if key == 'same' else _C['page'],
            )
        base += height
      ax.set_title(
        palette.style(name).label,
        pad=6,
        color=_C[palette.style(name).colour],
        fontweight='bold' if name == 'pasta' else 'normal',
      )
      ax.set_xticks(x)
      ax.set_xlabel('turn')
      ax.set_ylim(0, 100)
      ax.grid(False)
    axes[0].set_yticks([0, 50, 100], ['0', '50', '100 %'])
  return figure


def _panels(
  num: int, extra: float, **spaces: float
) -> tuple[Figure, np.ndarray, int]:
  """A figure of panels, two a row; its axes, and how many a row.

  Args:
    num: of panels.
    extra: height besides the rows', inches.
    **spaces: of `Figure.subplots_adjust`.
  """
  columns = min(2, num)
  rows = -(-num // columns)
  figure = figures.blank(extra + 1.75 * rows)
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  height = figure.get_figheight()
  figure.subplots_adjust(
    right=0.965, top=1 - 0.3 / height, bottom=0.45 / height, **spaces
  )
  for ax in axes[num:]:
    ax.set_visible(False)
  return figure, axes, columns


def beliefs(
  belief: np.ndarray, titles: Sequence[str], names: Sequence[str]
) -> Figure:
  """Belief over types by turn: stacked areas, a panel a session.

  The three types that end up most probable are coloured, by rank; the first is
  named.

  Args:
    belief: probabilities [n, T + 1, K].
    titles: n panel titles.
    names: K short names of the types.
  """
  ranks = ('first', 'second', 'third')
  with matplotlib.rc_context(figures.STYLE):
    figure, axes, columns = _panels(
      len(belief), 0.5, left=0.105, wspace=0.14, hspace=0.42
    )
    for panel, (ax, probs, title) in enumerate(zip(axes, belief, titles)):
      turns = np.arange(probs.shape[0])
      top = np.argsort(-probs[-1], kind='stable')[: len(ranks)]
      others = 1.0 - probs[:, top].sum(1)
      layers = [probs[:, k] for k in top] + [np.maximum(others, 0.0)]
      colours = [*ranks[: len(top)], 'rest']
      ax.stackplot(
        turns,
        layers,
        colors=[_C[c] for c in colours],
        edgecolor=_C['page'],
        linewidth=0.9,
      )
      ax.set_title(
        names[top[0]], pad=5, loc='right', fontsize=8.5, color=_C['first']
      )
      ax.set_title(title, pad=5, fontweight='bold')
      ax.set_xlim(0, turns[-1])
      ax.set_ylim(0, 1)
      ax.grid(False)
      ax.set_xticks(turns)
      ax.set_yticks(
        [0, 0.5, 1], ['0', '50', '100 %'] if panel % columns == 0 else [''] * 3
      )
      if panel >= len(belief) - columns:
        ax.set_xlabel('after turn')
  return figure


def learning_curves(
  curves: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]],
) -> Figure:
  """Training and held-out metrics over steps, one panel a metric.

  Args:
    curves: metric -> group ('train', 'val', …) -> (steps, values).
  """
  colours = {'train': 'random', 'val': 'first'}
  with matplotlib.rc_context(figures.STYLE):
    figure, axes, columns = _panels(
      len(curves), 0.35, left=0.1, wspace=0.22, hspace=0.45
    )
    for panel, (ax, (name, groups)) in enumerate(zip(axes, curves.items())):
      for group, (steps, values) in sorted(groups.items()):
        ax.plot(
          steps,
          values,
          color=_C[colours.get(group, 'greedy')],
          linewidth=2.0 if group == 'val' else 1.3,
          zorder=3 if group == 'val' else 2,
          marker='o' if len(steps) == 1 else '',
          markersize=4,
        )
      ax.set_title(name, pad=5)
      ax.locator_params(axis='y', nbins=4)
      ax.locator_params(axis='x', nbins=4)
      ax.tick_params(labelsize=9)
      ax.margins(x=0.02)
      if panel >= len(curves) - columns:
        ax.set_xlabel('step')
  return figure
