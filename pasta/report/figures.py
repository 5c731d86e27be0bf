"""The look of the report's figures, and how they are saved.

A figure is saved twice: as a PNG in the light theme, for pages that cannot
style it, and as an inline SVG whose colours are CSS variables and whose text
stays text.
"""

import io
import re
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pasta.report import palette

WIDTH = 5.2  # inches; 374 points: about a phone's width, so text stays legible
_DPI = 180
_C = palette.LIGHT
STYLE = {
  'font.size': 10,
  'font.family': 'DejaVu Sans',
  'axes.edgecolor': _C['line'],
  'axes.labelcolor': _C['soft'],
  'axes.titlecolor': _C['ink'],
  'axes.titlesize': 10,
  'axes.titlelocation': 'left',
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.spines.left': False,
  'axes.axisbelow': True,
  'axes.grid': True,
  'axes.grid.axis': 'y',
  'axes.facecolor': 'none',
  'figure.facecolor': _C['page'],
  'grid.color': _C['line'],
  'grid.linewidth': 0.7,
  'text.color': _C['ink'],
  'xtick.color': _C['soft'],
  'ytick.color': _C['soft'],
  'xtick.major.size': 0,
  'ytick.major.size': 0,
  'svg.fonttype': 'none',
  'lines.solid_capstyle': 'round',
}


def blank(height: float) -> Figure:
  """An empty figure of the report's width; height in inches."""
  with matplotlib.rc_context(STYLE):
    return Figure(figsize=(WIDTH, height))


def save(figure: Figure, path: str, label: str) -> str:
  """Writes a figure as PNG and returns it as SVG for an HTML page.

  Args:
    figure: drawn in palette.LIGHT's colours.
    path: of the PNG to write.
    label: what the figure shows, for readers who cannot see it.
  """
  with matplotlib.rc_context({**STYLE, 'svg.hashsalt': label}):
    figure.savefig(path, format='png', dpi=_DPI)
    figure.patch.set_visible(False)
    out = io.StringIO()
    figure.savefig(out, format='svg', metadata={'Date': None, 'Creator': None})
  return themed_svg(out.getvalue(), label)


def themed_svg(svg: str, label: str) -> str:
  """An SVG file as an element of a page, its colours as CSS variables."""
  svg = svg[svg.index('<svg') :]
  svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.S)
  # Group names repeat from figure to figure; ids in a page must not.
  svg = re.sub(r'<g id="[a-zA-Z]+[0-9a-z]*_\d+"', '<g', svg)
  # The page's own font, at the size that was drawn.
  svg = re.sub(
    r"font: (?:(\d+) )?([\d.]+px) 'DejaVu Sans'[^;\"]*",
    r'font-size: \2; font-weight: \g<1>',
    svg,
  )
  svg = svg.replace('font-weight: ;', '').replace('font-weight: "', '"')
  svg = re.sub(
    r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
    r'<svg viewBox="\1" role="img" aria-label="LABEL">',
    svg,
    count=1,
  )
  svg = svg.replace('LABEL', re.sub(r'[<>&"]', ' ', label), 1)
  names = {value: name for name, value in palette.LIGHT.items()}
  return re.sub(
    '#[0-9a-f]{6}',
    lambda m: f'var(--{names[m[0]]})' if m[0] in names else m[0],
    svg,
  )


def spread(positions: Sequence[float], gap: float) -> np.ndarray:
  """Moves label positions apart to at least `gap`, keeping their order."""
  order = np.argsort(positions, kind='stable')
  placed = np.asarray(positions, float)[order]
  for _ in range(200):
    overlap = gap - np.diff(placed)
    if (overlap <= 1e-9).all():
      break
    for i in np.flatnonzero(overlap > 0):
      shift = (gap - (placed[i + 1] - placed[i])) / 2
      if shift > 0:
        placed[i] -= shift
        placed[i + 1] += shift
  out = np.empty_like(placed)
  out[order] = placed
  return out
