"""Accents around the subject, and the frame and bars of compositions.

Accents are drawn into the unit square; `top` and `low` bound the picture's
visible part. The middle, where the subject stands, stays free.
"""

import functools
import math
from collections.abc import Sequence

from pasta.t2i.sketch import shapes
from pasta.t2i.sketch.shapes import Shapes

# Coordinates are laid out by hand, a shape a line or two.
# fmt: off


def birds(s: Shapes, top: float, low: float, u: Sequence[float]):
  del low
  for i, (x, y, k) in enumerate(((0.16, 0.06, 1.0), (0.34, 0.0, 0.7),
                                 (0.82, 0.04, 1.1), (0.66, 0.1, 0.75),
                                 (0.2, 0.24, 0.8), (0.88, 0.24, 0.85))):
    x += 0.06 * (u[i] - 0.5)
    y += top + 0.07 + 0.05 * u[i + 6]
    w, d = 0.088 * k, 0.05 * k * (0.6 + 0.8 * u[i + 3])
    s.poly('bird', (x - w, y - d), (x - w * 0.45, y - d * 0.9),
           (x, y + 0.006), (x + w * 0.45, y - d * 0.9), (x + w, y - d),
           (x + w * 0.45, y - d * 0.35), (x, y + 0.034 * k),
           (x - w * 0.45, y - d * 0.35))


def balloons(s: Shapes, top: float, low: float, u: Sequence[float]):
  del low
  for i, (x, y, r) in enumerate(((0.17, 0.16, 0.1), (0.84, 0.12, 0.085),
                                 (0.9, 0.38, 0.055))):
    x += 0.06 * (u[i] - 0.5)
    y += top + 0.05 * (u[i + 3] - 0.5)
    a, b = (('bal_a', 'bal_d'), ('bal_b', 'bal_a'), ('bal_c', 'bal_d'))[i]
    outline = ((0, -1), (0.7, -0.75), (1, -0.1), (0.75, 0.55), (0.25, 1.1),
               (-0.25, 1.1), (-0.75, 0.55), (-1, -0.1), (-0.7, -0.75))
    s.blob(a, *[(x + r * p, y + r * q) for p, q in outline])
    for k in (0.62, 0.2):
      s.blob(b if k > 0.5 else a,
             *[(x + r * p * k, y + r * q) for p, q in outline])
    for side in (-1, 1):
      s.line('cord', 0.01, (x + side * 0.25 * r, y + 1.05 * r),
             (x + side * 0.2 * r, y + 1.55 * r))
    s.rect('basket', x - 0.26 * r, y + 1.5 * r, x + 0.26 * r, y + 1.95 * r)


def lanterns(s: Shapes, top: float, low: float, u: Sequence[float]):
  del low
  s.line('cord', 0.012, (0.0, top + 0.02), (0.25, top + 0.09),
         (0.5, top + 0.05), (0.75, top + 0.09), (1.0, top + 0.02))
  for i, (x, y) in enumerate(((0.09, 0.12), (0.28, 0.2), (0.5, 0.1),
                              (0.72, 0.2), (0.91, 0.12), (0.1, 0.44),
                              (0.9, 0.46))):
    x += 0.03 * (u[i] - 0.5)
    y += top + 0.04 * (u[i + 7] - 0.5)
    if i < 5:
      s.line('cord', 0.01, (x, top + 0.05), (x, y - 0.05))
    s.rect('basket', x - 0.025, y - 0.07, x + 0.025, y + 0.07)
    s.ellipse('lantern', x, y, 0.055, 0.058, sides=14)
    s.ellipse('lantern_core', x, y, 0.028, 0.036, sides=10)


def flowers(s: Shapes, top: float, low: float, u: Sequence[float]):
  del top
  places = ((0.06, 0.13), (0.17, 0.06), (0.28, 0.1), (0.4, 0.045),
            (0.6, 0.05), (0.73, 0.1), (0.84, 0.055), (0.94, 0.13))
  for i, (x, y) in enumerate(places):
    x += 0.03 * (u[i] - 0.5)
    y = low - y - 0.03 * u[i + 8]
    s.line('stalk', 0.016, (x, y), (x + 0.01, low + 0.02))
    m = ('blossom', 'blossom_b', 'blossom_c')[i % 3]
    r = 0.042 + 0.008 * u[i + 4]
    for k in range(5):
      a = 2 * math.pi * k / 5 + 6.3 * u[i]
      s.ellipse(m, x + r * 0.72 * math.cos(a), y + r * 0.72 * math.sin(a),
                r * 0.52, r * 0.52, sides=8)
    s.ellipse('eye', x, y, r * 0.42, r * 0.42, sides=8)


def people(s: Shapes, top: float, low: float, u: Sequence[float]):
  del top
  coats = ('coat_a', 'coat_b', 'coat_c')
  for i, (x, y, k) in enumerate(((0.09, 0.07, 1.0), (0.2, 0.09, 0.9),
                                 (0.32, 0.03, 0.75), (0.8, 0.08, 0.95),
                                 (0.92, 0.04, 1.05))):
    x += 0.03 * (u[i] - 0.5)
    foot = low - y + 0.02 * u[i + 5]
    h = 0.25 * k
    stride = (0.035 + 0.02 * u[i + 8]) * k
    for side in (-1, 1):
      s.line('coat_a', 0.028 * k, (x, foot - 0.4 * h),
             (x + side * stride, foot))
    s.poly(coats[i % 3], (x - 0.03 * k, foot - 0.78 * h),
           (x + 0.03 * k, foot - 0.78 * h), (x + 0.052 * k, foot - 0.3 * h),
           (x - 0.052 * k, foot - 0.3 * h))
    s.ellipse('face', x, foot - 0.88 * h, 0.032 * k, 0.034 * k, sides=10)
    if i % 2:
      s.poly(coats[(i + 1) % 3], (x - 0.05 * k, foot - 0.92 * h),
             (x + 0.05 * k, foot - 0.92 * h), (x + 0.02 * k, foot - 1.04 * h),
             (x - 0.02 * k, foot - 1.04 * h))


def butterflies(s: Shapes, top: float, low: float, u: Sequence[float]):
  span = low - top
  for i, (x, y, k) in enumerate(((0.14, 0.2, 1.1), (0.84, 0.14, 1.0),
                                 (0.88, 0.5, 1.15), (0.1, 0.56, 0.95),
                                 (0.32, 0.08, 0.8), (0.68, 0.34, 0.7))):
    x += 0.06 * (u[i] - 0.5)
    y = top + span * (y + 0.06 * (u[i + 6] - 0.5))
    tilt = 0.6 * (u[i + 3] - 0.5)
    r = 0.05 * k
    m = 'wing' if i % 2 else 'wing_b'
    for side in (-1, 1):
      a = tilt - side * 0.6
      s.ellipse('wing_edge', x + side * r * 0.95, y - r * 0.6, r * 1.0,
                r * 0.72, a, sides=12)
      s.ellipse(m, x + side * r * 0.9, y - r * 0.55, r * 0.72, r * 0.48, a,
                sides=10)
      s.ellipse(m, x + side * r * 0.62, y + r * 0.55, r * 0.58, r * 0.5, -a,
                sides=10)
    s.line('wing_edge', r * 0.3, (x, y - r * 0.8), (x, y + r * 0.9))


DRAW = {f.__name__: f for f in (birds, balloons, lanterns, flowers, people,
                                butterflies)}


@functools.cache
def frame() -> shapes.Figure:
  """A carved picture frame around the unit square."""
  s = Shapes()

  def ring(material, outer, inner):
    a, b = 1.0 - outer, 1.0 - inner
    s.rect(material, outer, outer, a, inner)
    s.rect(material, outer, b, a, a)
    s.rect(material, outer, inner, inner, b)
    s.rect(material, b, inner, a, b)

  ring('frame_dark', -0.02, 0.018)
  ring('frame', 0.018, 0.085)
  ring('frame_dark', 0.085, 0.1)
  ring('frame_light', 0.1, 0.112)
  for i in range(1, 12):
    t = i / 12
    for x, y in ((t, 0.05), (t, 0.95), (0.05, t), (0.95, t)):
      s.poly('frame_light' if i % 2 else 'frame_dark', (x - 0.024, y),
             (x, y - 0.024), (x + 0.024, y), (x, y + 0.024))
  for x in (0.07, 0.93):
    for y in (0.07, 0.93):
      for k in range(6):
        a = k * math.pi / 3
        s.ellipse('frame_light', x + 0.05 * math.cos(a),
                  y + 0.05 * math.sin(a), 0.034, 0.034, sides=10)
      s.ellipse('frame_dark', x, y, 0.046, 0.046, sides=14)
      s.ellipse('frame_gem', x, y, 0.034, 0.034, sides=12)
  return s.figure()


@functools.cache
def bars() -> shapes.Figure:
  """The dark bars above and below a wide shot."""
  s = Shapes()
  s.rect('bar', -0.02, -0.02, 1.02, 0.11)
  s.rect('bar', -0.02, 0.89, 1.02, 1.02)
  return s.figure()


@functools.cache
def halo() -> shapes.Figure:
  """The ring behind the subject of a centred picture."""
  s = Shapes()
  s.arc('beacon', 0.5, 0.5, 0.455, 0.43, 0.0, 2 * math.pi)
  return s.figure()
