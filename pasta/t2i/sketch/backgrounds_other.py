"""Settings that people built or cannot walk through.

Same contract as in `backgrounds`.
"""

import math
from collections.abc import Sequence

from pasta.t2i.sketch import skies
from pasta.t2i.sketch.shapes import Shapes

# Coordinates are laid out by hand, a shape a line or two.
# fmt: off


def street(s: Shapes, h: float, u: Sequence[float]):
  for i in range(5):
    x = 0.26 + 0.1 * i
    top = h - 0.12 - 0.16 * u[i]
    s.rect('wall_b', x, top, x + 0.1, h + 0.02)
  for side in (0, 1):
    def at(x, y, side=side):
      return (x if side == 0 else 1.0 - x, y)

    for k, (x0, x1, t0, t1, m) in enumerate((
        (-0.02, 0.17, 0.02, 0.14, 'wall_a'),
        (0.17, 0.31, 0.22 - 0.1 * u[6 + side], 0.26, 'wall_c'))):
      b0 = h + 0.13 * (1 - x0 / 0.34)
      b1 = h + 0.13 * (1 - x1 / 0.34)
      s.poly(m, at(x0, t0), at(x1, t1), at(x1, b1), at(x0, b0))
      cols = 3 if k == 0 else 2
      for row in range(4):
        for col in range(cols):
          f0 = (col + 0.25) / cols
          f1 = (col + 0.75) / cols
          g0, g1 = 0.08 + 0.21 * row, 0.08 + 0.21 * row + 0.11
          quad = []
          for f, g in ((f0, g0), (f1, g0), (f1, g1), (f0, g1)):
            top, low = t0 + f * (t1 - t0), b0 + f * (b1 - b0)
            quad.append(at(x0 + f * (x1 - x0), top + g * (low - top)))
          lit = u[(row * 3 + col + 7 * side + 5 * k) % 24] > 0.5
          s.poly('pane' if lit else 'pane_dark', *quad)
  s.rect('kerb', -0.02, h + 0.13, 1.02, 1.02)
  s.poly('kerb', (0.31, h), (0.69, h), (1.02, h + 0.15), (-0.02, h + 0.15))
  s.poly('road', (0.42, h), (0.58, h), (1.1, 1.02), (-0.1, 1.02))
  for i in range(4):
    a = 0.02 + 0.24 * i
    b = a + 0.13
    y0, y1 = h + a * (1.02 - h), h + b * (1.02 - h)
    s.poly('road_line', (0.5 - 0.02 * a - 0.004, y0),
           (0.5 + 0.02 * a + 0.004, y0), (0.5 + 0.02 * b + 0.006, y1),
           (0.5 - 0.02 * b - 0.006, y1))
  for x in (0.13, 0.87):
    s.rect('lamp_post', x - 0.011, h - 0.26, x + 0.011, h + 0.17)
    s.ellipse('lamp', x, h - 0.28, 0.04, 0.045, sides=12)


def room(s: Shapes, h: float, u: Sequence[float]):
  x0, x1, y0, y1 = 0.09, 0.43, 0.11, h - 0.2
  for box in ((-0.02, -0.02, 1.02, y0), (-0.02, y1, 1.02, h + 0.02),
              (-0.02, y0, x0, y1), (x1, y0, 1.02, y1)):
    s.rect('wallpaper', *box)
  for i in range(9):
    x = 0.03 + 0.12 * i
    if x1 < x or x + 0.03 < x0:
      s.rect('stripe', x, -0.02, x + 0.04, h)
    else:
      s.rect('stripe', x, -0.02, x + 0.04, y0)
      s.rect('stripe', x, y1, x + 0.04, h)
  s.rect('floor', -0.02, h, 1.02, 1.02)
  for i in range(9):
    x = -1.5 + 0.5 * i
    s.line('floor_dark', 0.012, (0.5 + (x - 0.5) * 0.45, h), (x, 1.02))
  s.rect('sill', -0.02, h - 0.025, 1.02, h + 0.01)
  s.ellipse('rug', 0.5, h + 0.2, 0.4, 0.13, sides=28)
  s.ellipse('rug_light', 0.5, h + 0.2, 0.34, 0.1, sides=28)
  s.ellipse('rug', 0.5, h + 0.2, 0.29, 0.08, sides=28)
  xm, ym = (x0 + x1) / 2, (y0 + y1) / 2
  for box in ((x0 - 0.02, y0 - 0.02, x1 + 0.02, y0 + 0.01),
              (x0 - 0.03, y1 - 0.01, x1 + 0.03, y1 + 0.03),
              (x0 - 0.02, y0, x0 + 0.01, y1), (x1 - 0.01, y0, x1 + 0.02, y1),
              (xm - 0.01, y0, xm + 0.01, y1), (x0, ym - 0.01, x1, ym + 0.01)):
    s.rect('sill', *box)
  for side, x in ((1, x0 - 0.04), (-1, x1 + 0.04)):
    s.blob('curtain', (x, y0 - 0.05), (x + side * 0.13, y0 - 0.05),
           (x + side * 0.1, ym), (x + side * 0.03, y1 - 0.05),
           (x + side * 0.06, y1 + 0.1), (x - side * 0.03, y1 + 0.1))
    s.line('curtain_dark', 0.014, (x + side * 0.05, y0 - 0.03),
           (x + side * 0.03, y1 + 0.08))
  s.rect('shelf', x0 - 0.09, y0 - 0.07, x1 + 0.09, y0 - 0.04)
  # A bookcase and a lamp on the other side.
  bx = 0.74 + 0.04 * u[0]
  s.rect('shelf', bx, h - 0.42, bx + 0.22, h + 0.05)
  for row in range(3):
    y = h - 0.4 + 0.15 * row
    s.rect('curtain_dark', bx + 0.02, y, bx + 0.2, y + 0.12)
    for i in range(5):
      top = y + 0.015 + 0.04 * u[(row * 5 + i) % 24]
      s.rect(('book_a', 'book_b', 'book_c')[(i + row) % 3],
             bx + 0.025 + 0.035 * i, top, bx + 0.052 + 0.035 * i, y + 0.12)
  s.rect('shelf', 0.58, 0.16, 0.7, 0.33)
  s.rect('hill_far', 0.595, 0.18, 0.685, 0.31)
  s.poly('hill', (0.595, 0.31), (0.64, 0.23), (0.685, 0.31))


def space(s: Shapes, h: float, u: Sequence[float]):
  s.blob('nebula', (-0.1, 0.5), (0.2, 0.34), (0.5, 0.36), (0.85, 0.16),
         (1.1, 0.2), (1.1, 0.42), (0.6, 0.5), (0.3, 0.6))
  s.blob('nebula_b', (0.0, 0.54), (0.3, 0.42), (0.6, 0.42), (0.95, 0.27),
         (0.7, 0.46), (0.35, 0.54))
  for i in range(44):
    x = (u[i % 24] + i * 0.381966) % 1.0
    y = (u[(i * 7 + 3) % 24] + i * 0.618034) % 1.0 * h
    r = 0.007 + 0.006 * (i % 4 == 0)
    s.rect('star', x - r, y - r, x + r, y + r)
  x, y, r = 0.2 + 0.06 * u[0], 0.26 + 0.04 * u[1], 0.135
  def ring(start, count):
    return [(x + 0.25 * math.cos(a), y + 0.075 * math.sin(a)
             - 0.045 * math.cos(a))
            for a in (start + 0.31416 * i for i in range(count))]

  s.line('ring', 0.03, *ring(math.pi, 11), curved=False)
  s.ellipse('planet', x, y, r, r, sides=26)
  for dy in (-0.06, 0.0, 0.06):
    w = math.sqrt(r * r - dy * dy) * 0.96
    s.line('planet_band', 0.025, (x - w, y + dy), (x, y + dy + 0.015),
           (x + w, y + dy))
  s.line('ring', 0.03, *ring(0.0, 11), curved=False)
  s.ellipse('moonlet', 0.87, 0.4 + 0.05 * u[3], 0.06, 0.06, sides=16)
  s.ellipse('lunar_dark', 0.89, 0.39 + 0.05 * u[3], 0.016, 0.016, sides=8)
  s.ellipse('lunar', 0.5, h + 0.62, 1.1, 0.64, sides=40)
  for i in range(7):
    x = (0.08, 0.26, 0.42, 0.6, 0.76, 0.93, 0.5)[i]
    y = h + 0.1 + 0.09 * (i % 3)
    r = 0.045 + 0.03 * u[i + 4]
    s.ellipse('lunar_light', x, y, r * 1.2, r * 0.5, sides=14)
    s.ellipse('lunar_dark', x, y + 0.007, r, r * 0.38, sides=14)


def underwater(s: Shapes, h: float, u: Sequence[float]):
  for i in range(4):
    x = 0.1 + 0.26 * i + 0.08 * u[i]
    s.poly('shaft', (x, -0.02), (x + 0.07, -0.02), (x - 0.02, 0.5),
           (x - 0.14, 0.5))
  for i in range(4):
    x = 0.25 * i
    s.line('foam', 0.02, (x, 0.03), (x + 0.06, 0.06), (x + 0.13, 0.03),
           (x + 0.2, 0.055))
  s.blob('sea_dark', (-0.1, h + 0.05), (0.1, h - 0.14), (0.25, h - 0.06),
         (0.4, h + 0.05))
  s.blob('sea_dark', (0.6, h + 0.05), (0.78, h - 0.1), (0.95, h - 0.18),
         (1.1, h + 0.05))
  top = [(0.125 * i - 0.02, h + 0.02 * math.sin(1.4 * i + 6 * u[4]))
         for i in range(9)]
  s.poly('seabed', *top, (1.02, 1.02), (-0.02, 1.02))
  for i in range(4):
    y = h + 0.07 + 0.07 * i
    s.line('seabed_dark', 0.014, (0.1 + 0.2 * i, y), (0.2 + 0.2 * i, y - 0.02),
           (0.3 + 0.2 * i, y))
  for i, x in enumerate((0.03, 0.1, 0.17, 0.83, 0.9, 0.97)):
    top = 0.3 + 0.16 * u[5 + i]
    m = 'weed' if i % 2 else 'weed_dark'
    base = h + 0.12
    mid = (top + base) / 2
    s.line(m, 0.045, (x, base), (x + 0.04, (mid + base) / 2), (x - 0.03, mid),
           (x + 0.035, (mid + top) / 2), (x, top), end=0.012)
  for x, m in ((0.25, 'coral'), (0.76, 'fish')):
    y = h + 0.13
    for dx in (-0.07, -0.03, 0.03, 0.07):
      s.line(m, 0.03, (x, y), (x + dx * 0.6, y - 0.07), (x + dx, y - 0.13),
             end=0.022)
  for i in range(9):
    x = (u[i + 11] * 0.25 + (i * 0.618)) % 1.0
    y = 0.14 + 0.06 * i
    r = 0.012 + 0.012 * (i % 3)
    s.ellipse('foam', x, y, r, r, sides=10)
  for i, (x, y) in enumerate(((0.3, 0.2), (0.72, 0.3), (0.6, 0.14))):
    x, y = x + 0.06 * u[i], y + 0.05 * u[i + 20]
    s.ellipse('fish', x, y, 0.05, 0.026, sides=12)
    s.poly('fish', (x + 0.035, y), (x + 0.075, y - 0.03), (x + 0.075, y + 0.03))


def clouds(s: Shapes, h: float, u: Sequence[float]):
  for row, (m, r) in enumerate((('cloud_low', 0.1), ('cloud_shade', 0.13),
                                ('cloud', 0.15))):
    y = h - 0.06 + 0.13 * row
    s.rect(m, -0.02, y + 0.02, 1.02, 1.02)
    for i in range(8):
      x = 0.15 * i - 0.04 + 0.06 * u[(i + 8 * row) % 24]
      k = r * (0.65 + 0.5 * u[(i * 3 + row) % 24])
      s.ellipse(m, x, y + 0.02, k, k * 0.8, sides=14)
  skies.cloud(s, 0.1 + 0.06 * u[0], 0.42, 0.06)
  skies.cloud(s, 0.86 + 0.06 * u[1], 0.3, 0.07)
  skies.cloud(s, 0.6, 0.1 + 0.04 * u[2], 0.04)
  for i in range(4):
    x, y = 0.12 + 0.26 * i, 0.97 - 0.05 * u[i]
    s.ellipse('cloud_shade', x, y, 0.1, 0.03, sides=12)


def ruins(s: Shapes, h: float, u: Sequence[float]):
  s.blob('hill_far', (-0.2, h + 0.05), (0.2, h - 0.08), (0.6, h - 0.02),
         (0.9, h - 0.1), (1.2, h + 0.05))
  s.rect('slab', -0.02, h, 1.02, 1.02)
  for i in range(3):
    y = h + 0.06 + 0.09 * i
    s.line('stone_dark', 0.012, (-0.02, y), (1.02, y))
  for i in range(7):
    x = -0.8 + 0.42 * i
    s.line('stone_dark', 0.01, (0.5 + (x - 0.5) * 0.45, h), (x, 1.02))
  columns = ((0.06, 0.08, 0.15), (0.25, 0.066, 0.15),
             (0.75, 0.066, 0.36 + 0.1 * u[0]), (0.94, 0.08, 0.2 + 0.1 * u[1]))
  s.rect('stone', -0.04, 0.07, 0.34, 0.15)
  s.rect('stone_dark', -0.04, 0.125, 0.34, 0.15)
  s.poly('stone', (-0.04, 0.07), (0.34, 0.07), (0.22, 0.0), (-0.04, -0.02))
  for i, (x, w, top) in enumerate(columns):
    base = h + (0.13 if w == 0.08 else 0.07)
    s.rect('stone', x - w / 2, top, x + w / 2, base)
    s.rect('stone_deep', x + w * 0.22, top, x + w / 2, base)
    for k in (-0.24, 0.02):
      s.line('stone_dark', 0.012, (x + k * w, top), (x + k * w, base))
    s.rect('stone_dark', x - w * 0.7, base - 0.035, x + w * 0.7, base)
    if i < 2:
      s.rect('stone', x - w * 0.7, top, x + w * 0.7, top + 0.035)
    else:  # A jagged break.
      s.poly('stone', (x - w / 2, top), (x - w * 0.2, top - 0.05), (x, top),
             (x + w * 0.25, top - 0.03), (x + w / 2, top + 0.01))
  for i in range(6):
    x = (0.14, 0.34, 0.66, 0.84, 0.46, 0.04)[i]
    y = h + 0.12 + 0.06 * u[i + 4]
    s.poly('stone_dark' if i % 2 else 'stone', (x - 0.05, y),
           (x - 0.03, y - 0.05), (x + 0.02, y - 0.06), (x + 0.05, y))
  for x, y in ((0.22, 0.17), (0.92, 0.34), (0.02, 0.1)):
    for k in range(4):
      s.ellipse('grass_dark', x + 0.012 * (k % 2), y + 0.045 * k, 0.024, 0.03,
                sides=8)


DRAW = {f.__name__: f for f in (street, room, space, underwater, clouds,
                                ruins)}
