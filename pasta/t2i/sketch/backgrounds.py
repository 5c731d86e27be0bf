"""Settings in the open country, and the list of all settings.

A function draws one setting into the unit square, over the sky, with the
horizon at `h` and uniform numbers `u` (at least 24) for variety. The middle
stays calm: the subject will stand there.
"""

import math
from collections.abc import Sequence

from pasta.t2i.sketch import backgrounds_other
from pasta.t2i.sketch.shapes import Shapes

# Coordinates are laid out by hand, a shape a line or two.
# fmt: off


def _pine(s: Shapes, x: float, y: float, height: float, material: str):
  for i in range(3):
    top = y - height * (1.0 - 0.26 * i)
    w = height * (0.14 + 0.07 * i)
    s.poly(material, (x, top), (x + w, top + height * 0.44),
           (x - w, top + height * 0.44))


def forest(s: Shapes, h: float, u: Sequence[float]):
  s.rect('leaf_far', -0.02, h - 0.3, 1.02, h + 0.02)
  for i in range(7):
    s.ellipse('leaf_far', 0.16 * i, h - 0.3 - 0.06 * u[i], 0.12, 0.1, sides=12)
  for i in range(9):
    x = 0.06 + 0.11 * i + 0.03 * u[i]
    s.rect('trunk_far', x, 0.1, x + 0.028, h + 0.02)
  s.rect('moss', -0.02, h, 1.02, 1.02)
  s.blob('moss_dark', (-0.1, h + 0.03), (0.25, h + 0.06), (0.36, 1.0),
         (-0.1, 1.1))
  s.blob('moss_dark', (1.1, h + 0.03), (0.75, h + 0.07), (0.68, 1.0),
         (1.1, 1.1))
  for i, x in enumerate((-0.01, 0.17, 0.8, 0.96)):
    x += 0.03 * u[8 + i]
    w = 0.075 if i in (0, 3) else 0.055
    y = h + (0.16 if i in (0, 3) else 0.08)
    s.poly('trunk', (x - w / 2, -0.02), (x + w / 2, -0.02),
           (x + w * 0.6, y - 0.05), (x + w, y), (x - w, y),
           (x - w * 0.6, y - 0.05))
  for i in range(9):
    x = 0.125 * i
    depth = 0.16 * abs(2 * x - 1) + 0.03
    s.ellipse('leaf_dark', x, depth * 0.5, 0.12, 0.07 + depth * 0.5, sides=12)
  for i in range(8):
    x = 0.06 + 0.125 * i
    depth = 0.12 * abs(2 * x - 1) + 0.02 * u[i]
    s.ellipse('leaf', x, depth * 0.4 - 0.03, 0.1, 0.05 + depth * 0.5, sides=12)
  for i in range(6):
    x = (0.06, 0.22, 0.34, 0.7, 0.84, 0.96)[i]
    y = 0.98 - 0.06 * u[i + 12]
    for k in (-1, 0, 1):
      s.poly('leaf', (x - 0.02, y + 0.04), (x + 0.02, y + 0.04),
             (x + 0.05 * k, y - 0.09))


def desert(s: Shapes, h: float, u: Sequence[float]):
  x = 0.66 + 0.14 * u[0]
  s.poly('pyramid', (x - 0.26, h + 0.02), (x, h - 0.26), (x + 0.26, h + 0.02))
  s.poly('sand_dark', (x + 0.06, h + 0.02), (x, h - 0.26),
         (x + 0.26, h + 0.02))
  x = 0.14 + 0.1 * u[1]
  s.poly('mesa', (x - 0.24, h + 0.02), (x - 0.17, h - 0.14),
         (x + 0.1, h - 0.14), (x + 0.18, h + 0.02))
  s.rect('sand', -0.02, h, 1.02, 1.02)
  for y, m, a in ((h + 0.02, 'sand_shade', 0.04), (h + 0.14, 'sand', 0.06),
                  (h + 0.26, 'sand_shade', 0.06)):
    top = [(0.125 * i - 0.02, y + a * math.sin(i * 1.1 + 6.3 * u[2] + 9 * y))
           for i in range(9)]
    s.poly(m, *top, (1.02, 1.02), (-0.02, 1.02))
  s.blob('sand_dark', (-0.1, h + 0.1), (0.2, h + 0.08), (0.36, h + 0.16),
         (0.1, h + 0.19))
  s.blob('sand_dark', (0.62, 0.94), (0.84, 0.87), (1.1, 0.9), (1.0, 1.06))
  for i in range(4):
    y = h + 0.1 + 0.07 * i
    s.line('sand_dark', 0.012, (0.5, y), (0.66, y - 0.015), (0.8, y + 0.01))


def beach(s: Shapes, h: float, u: Sequence[float]):
  s.rect('sea', -0.02, h - 0.14, 1.02, h + 0.1)
  s.rect('sea_dark', -0.02, h - 0.14, 1.02, h - 0.1)
  x = 0.62 + 0.2 * u[0]
  s.blob('palm', (x - 0.13, h - 0.13), (x, h - 0.2), (x + 0.12, h - 0.13),
         (x, h - 0.12))
  for i in range(5):
    y = h - 0.07 + 0.03 * i
    c = (u[i] + 0.2 * i) % 1.0
    s.line('sea_light', 0.016, (c - 0.14, y), (c, y - 0.01), (c + 0.14, y))
  shore = [(0.125 * i - 0.02, h + 0.05 + 0.022 * math.sin(i * 1.3 + 6 * u[5]))
           for i in range(9)]
  s.poly('foam', *shore, (1.02, 1.02), (-0.02, 1.02))
  s.poly('sand', *[(x, y + 0.035) for x, y in shore], (1.02, 1.02),
         (-0.02, 1.02))
  s.blob('sand_shade', (-0.1, 0.96), (0.3, 0.92), (0.7, 0.97), (1.1, 0.93),
         (1.1, 1.1), (-0.1, 1.1))
  base = h + 0.2
  s.line('trunk', 0.05, (0.05, base), (0.1, h - 0.1), (0.18, 0.24), end=0.03)
  for a in (-2.9, -2.3, -1.2, -0.5, 0.1, 0.7, 2.6):
    tip = (0.18 + 0.2 * math.cos(a), 0.25 + 0.17 * math.sin(a) + 0.04)
    mid = (0.18 + 0.12 * math.cos(a), 0.2 + 0.12 * math.sin(a))
    s.line('palm', 0.05, (0.18, 0.24), mid, tip, end=0.008)
  x = 0.88
  s.line('fence', 0.018, (x, h + 0.24), (x, h - 0.02))
  s.poly('coral', (x - 0.15, h + 0.03), (x - 0.09, h - 0.08), (x, h - 0.12),
         (x + 0.09, h - 0.08), (x + 0.15, h + 0.03))
  s.poly('foam', (x - 0.06, h + 0.03), (x - 0.03, h - 0.1), (x, h - 0.12),
         (x + 0.03, h - 0.1), (x + 0.06, h + 0.03))


def meadow(s: Shapes, h: float, u: Sequence[float]):
  s.blob('hill_far', (-0.2, h + 0.1), (0.1, h - 0.12 - 0.05 * u[0]),
         (0.4, h - 0.02), (0.75, h - 0.16 - 0.05 * u[1]), (1.2, h + 0.02),
         (1.2, 1.1), (-0.2, 1.1))
  s.blob('hill', (-0.2, h), (0.2, h - 0.04), (0.55, h + 0.04), (1.0, h - 0.05),
         (1.2, h), (1.2, 1.1), (-0.2, 1.1))
  for i in range(5):
    x = (0.05, 0.14, 0.78, 0.87, 0.95)[i]
    s.ellipse('grass_dark', x, h - 0.05, 0.04, 0.05 + 0.02 * u[i], sides=10)
  s.blob('grass', (-0.2, h + 0.12), (0.3, h + 0.07), (0.7, h + 0.12),
         (1.2, h + 0.06), (1.2, 1.1), (-0.2, 1.1))
  s.rect('fence', -0.02, h + 0.02, 0.3, h + 0.045)
  s.rect('fence', -0.02, h + 0.075, 0.3, h + 0.1)
  s.rect('fence', 0.72, h + 0.02, 1.02, h + 0.045)
  s.rect('fence', 0.72, h + 0.075, 1.02, h + 0.1)
  for i in range(7):
    x = (0.0, 0.09, 0.18, 0.27, 0.74, 0.83, 0.92)[i]
    s.poly('fence', (x, h + 0.14), (x, h), (x + 0.017, h - 0.025),
           (x + 0.034, h), (x + 0.034, h + 0.14))
  for i in range(12):
    x = (u[i] * 0.08 + i * 0.085) % 1.0
    y = h + 0.2 + 0.1 * (i % 3)
    for k in (-1, 0, 1):
      s.poly('grass_dark', (x - 0.012, y), (x + 0.012, y),
             (x + 0.025 * k, y - 0.06))


def river(s: Shapes, h: float, u: Sequence[float]):
  s.poly('hill_far', (-0.02, h + 0.02), (-0.02, h - 0.15), (0.14, h - 0.24),
         (0.3, h - 0.1), (0.42, h - 0.06), (0.6, h - 0.18), (0.8, h - 0.26),
         (1.02, h - 0.1), (1.02, h + 0.02))
  for i in range(10):
    x = 0.02 + 0.107 * i + 0.02 * u[i]
    _pine(s, x, h + 0.03, 0.13 + 0.06 * u[(i * 3) % 12], 'bank_dark')
  s.rect('bank', -0.02, h, 1.02, 1.02)
  s.blob('bank_dark', (-0.1, h + 0.16), (0.16, h + 0.1), (0.2, 1.0),
         (-0.1, 1.1))
  s.blob('sea', (0.46, h - 0.01), (0.54, h - 0.01), (0.74, h + 0.08),
         (0.66, h + 0.14), (0.74, h + 0.22), (1.3, 0.93), (1.2, 1.2),
         (0.2, 1.3), (-0.05, 1.02), (0.2, h + 0.25), (0.42, h + 0.14),
         (0.5, h + 0.06))
  for x, y, w in ((0.58, h + 0.07, 0.07), (0.5, h + 0.17, 0.12),
                  (0.3, 0.93, 0.16), (0.72, 0.96, 0.18),
                  (0.62, h + 0.24, 0.12)):
    s.line('sea_light', 0.018, (x - w, y), (x, y - 0.012), (x + w, y))
  for i in range(6):
    x = (0.03, 0.07, 0.11, 0.9, 0.94, 0.98)[i]
    top = h + 0.02 + 0.05 * u[i + 12]
    s.line('reed', 0.014, (x, h + 0.26), (x + 0.01, top))
    s.line('trunk', 0.03, (x + 0.01, top + 0.05), (x + 0.01, top - 0.03))


def garden(s: Shapes, h: float, u: Sequence[float]):
  s.rect('hedge', -0.02, h - 0.13, 1.02, h + 0.02)
  for i in range(9):
    s.ellipse('hedge_light', 0.125 * i, h - 0.13, 0.07, 0.035 + 0.01 * u[i],
              sides=12)
  s.rect('lawn', -0.02, h, 1.02, 1.02)
  for i in range(5):
    a, b = -0.6 + 0.5 * i, -0.35 + 0.5 * i
    s.poly('lawn_dark', (0.4 + 0.1 * a, h), (0.4 + 0.1 * b, h),
           (b * 1.4 + 0.1, 1.02), (a * 1.4 + 0.1, 1.02))
  s.poly('path', (0.45, h), (0.55, h), (0.8, 1.02), (0.2, 1.02))
  for i in range(4):
    y = h + 0.03 + 0.075 * i
    w = 0.04 + 0.06 * i
    s.line('path_dark', 0.012, (0.5 - w, y), (0.5 + w, y))
  # A rose arch over the path.
  s.arc('trellis', 0.5, h - 0.24, 0.27, 0.225, math.pi, 2 * math.pi)
  s.rect('trellis', 0.23, h - 0.25, 0.275, h + 0.06)
  s.rect('trellis', 0.725, h - 0.25, 0.77, h + 0.06)
  for i in range(11):
    a = math.pi * (1.0 + i / 10)
    x, y = 0.5 + 0.25 * math.cos(a), h - 0.24 + 0.25 * math.sin(a)
    s.ellipse('hedge_light' if i % 2 else 'rose', x, y, 0.04, 0.04, sides=9)
  for x in (0.09, 0.91):
    s.rect('trunk', x - 0.015, h + 0.0, x + 0.015, h + 0.12)
    s.ellipse('hedge', x, h - 0.03, 0.095, 0.095, sides=16)
    s.ellipse('hedge_light', x - 0.03, h - 0.06, 0.045, 0.04, sides=10)
    s.ellipse('hedge', x, h - 0.18, 0.065, 0.065, sides=14)
    s.ellipse('hedge_light', x - 0.02, h - 0.2, 0.03, 0.025, sides=10)
    s.poly('pyramid', (x - 0.06, h + 0.1), (x + 0.06, h + 0.1),
           (x + 0.045, h + 0.2), (x - 0.045, h + 0.2))


DRAW = {**{f.__name__: f for f in (forest, desert, beach, meadow, river,
                                   garden)}, **backgrounds_other.DRAW}
