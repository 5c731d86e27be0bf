"""Shapes as polygons in unit coordinates, built once and painted often."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

from pasta.t2i.sketch import palettes

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Figure:
  """A finished list of polygons, in painting order.

  Attributes:
    points: float32 [N, 2], the corners of all polygons, y downwards.
    spans: (material, first, last) per polygon, offsets into `points.ravel()`.
  """

  points: np.ndarray
  spans: tuple[tuple[int, int, int], ...]


def smooth(points: Sequence[Point], closed: bool, steps: int = 5) -> np.ndarray:
  """A Catmull-Rom curve through the points, float64 [N, 2]."""
  p = np.asarray(points, float)
  if closed:
    p = np.concatenate([p[-1:], p, p[:2]])
  else:
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
  t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
  parts = []
  for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:]):
    parts.append(
      0.5
      * (
        2 * b
        + (c - a) * t
        + (2 * a - 5 * b + 4 * c - d) * t**2
        + (3 * b - a - 3 * c + d) * t**3
      )
    )
  if not closed:
    parts.append(p[-2:-1])
  return np.concatenate(parts)


class Shapes:
  """Collects polygons; every method paints over what came before."""

  def __init__(self):
    self._materials: list[int] = []
    self._polygons: list[np.ndarray] = []

  def _add(self, material, points):
    number = (
      material if isinstance(material, int) else palettes.MATERIAL[material]
    )
    self._materials.append(number)
    self._polygons.append(np.asarray(points, np.float32))

  def poly(self, material: str | int, *points: Point):
    """A polygon with straight sides."""
    self._add(material, points)

  def blob(self, material: str | int, *points: Point):
    """A closed smooth curve through the points."""
    self._add(material, smooth(points, closed=True))

  def rect(
    self, material: str | int, x0: float, y0: float, x1: float, y1: float
  ):
    """An upright rectangle."""
    self._add(material, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))

  def ellipse(
    self,
    material: str | int,
    x: float,
    y: float,
    rx: float,
    ry: float,
    turn: float = 0.0,
    sides: int = 20,
  ):
    """An ellipse, turned clockwise by `turn` radians."""
    a = np.arange(sides) * (2 * math.pi / sides)
    u, v = rx * np.cos(a), ry * np.sin(a)
    c, s = math.cos(turn), math.sin(turn)
    self._add(material, np.stack([x + c * u - s * v, y + s * u + c * v], 1))

  def line(
    self,
    material: str | int,
    width: float,
    *points: Point,
    end: float | None = None,
    curved: bool = True,
  ):
    """A stroke whose width runs from `width` to `end`."""
    p = (
      smooth(points, closed=False, steps=4)
      if curved and len(points) > 2
      else np.asarray(points, float)
    )
    step = np.gradient(p, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = np.linspace(width, width if end is None else end, len(p)) / 2
    normal *= half[:, None]
    self._add(material, np.concatenate([p + normal, (p - normal)[::-1]]))

  def arc(
    self,
    material: str | int,
    x: float,
    y: float,
    outer: float,
    inner: float,
    start: float,
    stop: float,
  ):
    """A piece of a ring, angles in radians, clockwise from the right."""
    n = max(3, int(abs(stop - start) * 5) + 1)
    a = np.linspace(start, stop, n)
    ring = np.stack([np.cos(a), np.sin(a)], 1)
    centre = np.array([x, y])
    self._add(
      material,
      np.concatenate([centre + outer * ring, centre + inner * ring[::-1]]),
    )

  def figure(self) -> Figure:
    """What was collected, ready to paint."""
    ends = np.cumsum([2 * len(p) for p in self._polygons])
    starts = np.concatenate([[0], ends[:-1]])
    return Figure(
      np.concatenate(self._polygons).astype(np.float32),
      tuple(zip(self._materials, starts.tolist(), ends.tolist())),
    )


def paint(pen: ImageDraw.ImageDraw, figure: Figure, points: np.ndarray):
  """Paints a figure.

  Args:
    pen: draws on an image of material numbers (mode 'P' or 'L').
    figure: gives materials and spans.
    points: float [N, 2], the figure's points moved to pixels of the image.
  """
  flat = points.ravel().tolist()
  for material, first, last in figure.spans:
    pen.polygon(flat[first:last], material)
