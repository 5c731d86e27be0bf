"""Subjects that are things: food, vehicles, abstract figures.

Each function draws into the box x, y in [-1, 1], y downwards, standing on 1.
"""

import math

from pasta.t2i.sketch.shapes import Shapes

# Coordinates are laid out by hand, a shape a line or two.
# fmt: off


def cake(s: Shapes):
  s.poly('plate_dark', (-0.2, 0.8), (0.2, 0.8), (0.38, 1.0), (-0.38, 1.0))
  s.ellipse('plate', 0, 0.76, 0.96, 0.12)
  s.rect('sponge', -0.74, 0.16, 0.74, 0.72)
  s.ellipse('sponge', 0, 0.72, 0.74, 0.08)
  s.rect('icing_pink', -0.74, 0.4, 0.74, 0.52)
  s.ellipse('plate', 0, 0.16, 0.76, 0.12)
  for i in range(8):
    x = -0.66 + 0.19 * i
    s.blob('plate', (x - 0.1, 0.14), (x + 0.1, 0.14), (x + 0.06, 0.3),
           (x, 0.36 + 0.06 * (i % 3)), (x - 0.06, 0.3))
  s.rect('choco', -0.48, -0.28, 0.48, 0.14)
  s.ellipse('choco', 0, 0.14, 0.48, 0.07)
  s.rect('icing_pink', -0.48, -0.1, 0.48, -0.02)
  s.ellipse('icing_pink', 0, -0.28, 0.5, 0.1)
  for i in range(6):
    x = -0.4 + 0.16 * i
    s.blob('icing_pink', (x - 0.09, -0.28), (x + 0.09, -0.28),
           (x + 0.05, -0.14), (x, -0.09 + 0.05 * (i % 2)), (x - 0.05, -0.14))
  for x in (-0.6, -0.3, 0.0, 0.3, 0.6):
    s.ellipse('red', x, 0.58, 0.055, 0.055, sides=10)
  for x, m in ((-0.28, 'a4'), (0.0, 'a3'), (0.28, 'a5')):
    s.rect(m, x - 0.05, -0.7, x + 0.05, -0.3)
    s.line('white', 0.03, (x - 0.05, -0.42), (x + 0.05, -0.5))
    s.line('white', 0.03, (x - 0.05, -0.56), (x + 0.05, -0.64))
    s.blob('flame', (x, -1.02), (x + 0.08, -0.82), (x, -0.7),
           (x - 0.08, -0.82))


def ramen(s: Shapes):
  for i, x in enumerate((-0.4, 0.0, 0.4)):
    s.line('smoke', 0.07, (x, -0.42), (x + 0.12, -0.62), (x - 0.1, -0.8),
           (x + 0.06, -1.0 - 0.04 * i), end=0.02)
  s.line('timber', 0.06, (0.2, 0.0), (1.1, -0.86), end=0.09)
  s.line('timber', 0.06, (0.36, 0.06), (1.18, -0.7), end=0.09)
  s.blob('red', (-1.0, 0.05), (1.0, 0.05), (0.86, 0.5), (0.42, 0.88),
         (0.0, 0.92), (-0.42, 0.88), (-0.86, 0.5))
  s.blob('red_dark', (0.3, 0.2), (1.0, 0.05), (0.86, 0.5), (0.42, 0.88),
         (0.1, 0.92))
  s.rect('red_dark', -0.36, 0.86, 0.36, 1.0)
  for i in range(7):
    x = -0.72 + 0.24 * i
    y = 0.52 + 0.06 * (1 - ((i - 3) / 3) ** 2)
    s.poly('white', (x - 0.08, y), (x, y - 0.09), (x + 0.08, y), (x, y + 0.09))
  s.ellipse('white', 0, 0.02, 1.0, 0.38)
  s.ellipse('broth', 0, 0.03, 0.9, 0.31)
  for i in range(6):
    y = -0.14 + 0.075 * i
    w = 0.78 * math.sqrt(max(0.0, 1 - ((y - 0.03) / 0.32) ** 2))
    s.line('noodle', 0.05, (-w, y), (-w * 0.5, y - 0.05), (0, y + 0.03),
           (w * 0.5, y - 0.04), (w, y))
  s.poly('nori', (-0.8, -0.02), (-0.62, -0.52), (-0.3, -0.44), (-0.42, 0.0))
  for x, y in ((0.4, -0.08), (0.1, 0.16)):
    s.ellipse('white', x, y, 0.24, 0.16)
    s.ellipse('yolk', x, y, 0.13, 0.09)
  for x, y in ((-0.3, 0.16), (-0.16, 0.06), (-0.46, 0.1), (0.62, 0.14),
               (-0.05, -0.16)):
    s.ellipse('scallion', x, y, 0.07, 0.05, sides=10)
  s.ellipse('pink', -0.12, -0.02, 0.14, 0.09, sides=12)
  s.ellipse('white', -0.12, -0.02, 0.07, 0.04, sides=10)


def fruit(s: Shapes):
  s.blob('banana', (-0.95, -0.1), (-0.72, 0.2), (-0.2, 0.36), (0.1, 0.24),
         (-0.3, 0.12), (-0.62, -0.16), (-0.78, -0.46), (-0.92, -0.4))
  s.blob('pear', (0.5, -0.9), (0.64, -0.66), (0.86, -0.3), (0.8, 0.2),
         (0.3, 0.24), (0.2, -0.24), (0.36, -0.66))
  s.line('timber', 0.05, (0.5, -0.86), (0.56, -1.04))
  s.ellipse('orange', 0.02, -0.22, 0.4, 0.4)
  s.ellipse('yolk', -0.08, -0.34, 0.16, 0.13)
  s.ellipse('red', -0.46, 0.02, 0.38, 0.36)
  s.ellipse('paint_light', -0.58, -0.12, 0.11, 0.09)
  s.line('timber', 0.05, (-0.46, -0.28), (-0.4, -0.5))
  s.blob('stem', (-0.42, -0.42), (-0.22, -0.56), (-0.08, -0.46),
         (-0.24, -0.38))
  for x, y in ((0.42, 0.02), (0.62, 0.0), (0.8, 0.06), (0.5, 0.18),
               (0.7, 0.18), (0.88, 0.24)):
    s.ellipse('grape_dark', x + 0.02, y + 0.02, 0.13, 0.13, sides=12)
    s.ellipse('grape', x, y, 0.11, 0.11, sides=12)
  s.blob('china', (-1.02, 0.26), (-0.4, 0.34), (0.4, 0.34), (1.02, 0.26),
         (0.82, 0.66), (0.4, 0.88), (-0.4, 0.88), (-0.82, 0.66))
  s.poly('china', (-0.34, 0.86), (0.34, 0.86), (0.46, 1.0), (-0.46, 1.0))
  s.line('china_light', 0.07, (-0.94, 0.38), (0.0, 0.48), (0.94, 0.38))
  for i in range(5):
    s.ellipse('china_light', -0.56 + 0.28 * i, 0.66, 0.08, 0.08, sides=10)


def sailboat(s: Shapes):
  s.line('timber', 0.07, (0.02, 0.6), (0.02, -1.0))
  s.poly('red', (0.02, -1.04), (-0.26, -0.96), (0.02, -0.88))
  s.blob('sail', (0.08, -0.86), (0.44, -0.42), (0.84, 0.34), (0.44, 0.4),
         (0.08, 0.4), (0.14, -0.2))
  for y, w in ((-0.3, 0.3), (0.05, 0.5)):
    s.line('sail_shade', 0.05, (0.12, y), (0.12 + w, y + 0.05))
  s.blob('red', (-0.04, -0.8), (-0.12, -0.2), (-0.05, 0.38),
         (-0.4, 0.42), (-0.74, 0.36), (-0.38, -0.2))
  s.poly('timber', (-0.96, 0.5), (0.98, 0.46), (0.74, 0.9), (-0.66, 0.9))
  s.poly('white', (-0.96, 0.5), (0.98, 0.46), (0.93, 0.58), (-0.91, 0.6))
  s.poly('bark_dark', (-0.76, 0.78), (0.82, 0.78), (0.74, 0.9),
         (-0.66, 0.9))
  for x in (-0.4, 0.0, 0.4):
    s.ellipse('brass', x, 0.69, 0.06, 0.06, sides=10)
  for i in range(5):
    x = -1.0 + 0.5 * i
    s.blob('wave', (x - 0.3, 1.04), (x - 0.12, 0.84), (x + 0.1, 0.86),
           (x + 0.3, 1.04))
    s.line('spray', 0.04, (x - 0.16, 0.9), (x, 0.84), (x + 0.16, 0.92))


def _wheel(s: Shapes, x: float, y: float, r: float):
  rim, tyre = 'red', 'engine_dark'
  s.ellipse(tyre, x, y, r, r)
  s.ellipse(rim, x, y, r * 0.72, r * 0.72, sides=16)
  s.ellipse(tyre, x, y, r * 0.52, r * 0.52, sides=14)
  for i in range(3):
    a = i * math.pi / 3 + 0.3
    c, n = math.cos(a) * r * 0.62, math.sin(a) * r * 0.62
    s.line(rim, r * 0.12, (x - c, y - n), (x + c, y + n))
  s.ellipse(rim, x, y, r * 0.2, r * 0.2, sides=10)


def train(s: Shapes):
  for x, y, r in ((-0.56, -0.66, 0.16), (-0.34, -0.84, 0.2),
                  (0.0, -0.94, 0.24), (0.4, -0.98, 0.26)):
    s.ellipse('smoke', x, y, r, r * 0.8, sides=14)
    s.ellipse('smoke_dark', x + 0.04, y + 0.06, r * 0.7, r * 0.5, sides=12)
  s.rect('rail', -1.15, 0.94, 1.15, 1.0)
  for i in range(9):
    s.rect('plank_dark', -1.1 + 0.27 * i, 0.97, -0.98 + 0.27 * i, 1.05)
  s.poly('engine_dark', (-0.74, -0.1), (-0.5, -0.1), (-0.44, -0.52),
         (-0.8, -0.52))
  s.rect('brass', -0.82, -0.58, -0.42, -0.5)
  s.rect('engine_dark', -0.86, 0.5, 1.0, 0.66)
  s.rect('engine', -0.9, -0.12, 0.4, 0.54)
  s.rect('engine_dark', -0.9, 0.34, 0.4, 0.54)
  s.ellipse('engine_dark', -0.9, 0.21, 0.09, 0.33)
  for x in (-0.56, -0.16, 0.22):
    s.rect('brass', x, -0.12, x + 0.05, 0.54)
  s.ellipse('brass', -0.06, -0.14, 0.14, 0.14, sides=12)
  s.rect('red', 0.34, -0.46, 0.98, 0.56)
  s.rect('pane', 0.46, -0.3, 0.84, 0.04)
  s.line('engine_dark', 0.04, (0.65, -0.3), (0.65, 0.04))
  s.rect('brass', 0.34, 0.24, 0.98, 0.3)
  s.poly('engine_dark', (0.24, -0.44), (1.1, -0.44), (1.02, -0.58),
         (0.32, -0.58))
  s.ellipse('beacon', -0.95, -0.16, 0.1, 0.1, sides=12)
  s.poly('red', (-0.86, 0.58), (-1.14, 0.94), (-0.7, 0.94))
  for x, r in ((-0.5, 0.22), (0.0, 0.26), (0.58, 0.26)):
    _wheel(s, x, 0.94 - r, r)
  s.line('steel', 0.06, (-0.5, 0.74), (0.58, 0.68))


def car(s: Shapes):
  s.blob('red_dark', (-0.46, 0.3), (-0.3, -0.22), (0.05, -0.34),
         (0.42, -0.28), (0.62, 0.3))
  s.blob('glass', (-0.36, 0.24), (-0.24, -0.12), (0.02, -0.22), (0.06, 0.24))
  s.blob('glass', (0.14, 0.24), (0.12, -0.22), (0.38, -0.16), (0.5, 0.24))
  s.blob('red', (-1.02, 0.66), (-1.0, 0.4), (-0.78, 0.26), (-0.44, 0.22),
         (0.4, 0.2), (0.82, 0.24), (1.02, 0.42), (1.04, 0.7), (0.5, 0.8),
         (-0.6, 0.8))
  s.rect('red_dark', -0.5, 0.68, 0.52, 0.82)
  s.line('paint_light', 0.05, (-0.92, 0.4), (-0.3, 0.32), (0.5, 0.32),
         (0.96, 0.46))
  s.line('red_dark', 0.03, (0.08, 0.24), (0.06, 0.66))
  s.rect('brass', 0.14, 0.4, 0.26, 0.45)
  for x in (-0.62, 0.62):
    s.blob('red_dark', (x - 0.4, 0.76), (x - 0.3, 0.44), (x, 0.32),
           (x + 0.3, 0.44), (x + 0.4, 0.76))
    s.ellipse('engine_dark', x, 0.72, 0.28, 0.28)
    s.ellipse('white', x, 0.72, 0.21, 0.21, sides=16)
    s.ellipse('engine_dark', x, 0.72, 0.15, 0.15, sides=14)
    s.ellipse('brass', x, 0.72, 0.09, 0.09, sides=12)
  s.ellipse('beacon', -0.96, 0.42, 0.11, 0.12, sides=12)
  s.ellipse('red', 1.0, 0.46, 0.06, 0.08, sides=10)
  s.rect('plate', -1.1, 0.7, -0.88, 0.78)
  s.rect('plate', 0.9, 0.7, 1.1, 0.78)


def spiral(s: Shapes):
  colours = ('a1', 'a2', 'a3', 'a4', 'a5', 'a7')
  s.ellipse('a6', 0, 0, 1.0, 1.0, sides=36)
  turns, arms = 2.4, 3
  for arm in range(arms):
    for piece in range(10):
      t = [(piece + k / 4) / 10 for k in range(5)]
      outer, inner = [], []
      for v in t:
        a = v * turns * 2 * math.pi + arm * 2 * math.pi / arms
        r = 0.98 * v ** 0.8
        outer.append((r * math.cos(a), r * math.sin(a)))
        a += 1.15
        inner.append((r * math.cos(a), r * math.sin(a)))
      s.poly(colours[(arm * 2 + piece // 5) % 6], *outer, *inner[::-1])
  s.ellipse('a2', 0, 0, 0.13, 0.13)


def circles(s: Shapes):
  discs = ((-0.38, -0.42, 0.56, 'a1'), (0.44, -0.36, 0.5, 'a2'),
           (0.34, 0.42, 0.56, 'a4'), (-0.46, 0.42, 0.48, 'a3'))
  for x, y, r, m in discs:
    s.ellipse(m, x, y, r, r, sides=28)
  # Lenses where two discs meet, in a third colour.
  for (x0, y0, r0, _), (x1, y1, r1, _), m in (
      (discs[0], discs[1], 'a7'), (discs[1], discs[2], 'a5'),
      (discs[2], discs[3], 'a6'), (discs[3], discs[0], 'a5')):
    d = math.hypot(x1 - x0, y1 - y0)
    if d >= r0 + r1:
      continue
    a = math.acos((d * d + r0 * r0 - r1 * r1) / (2 * d * r0))
    b = math.acos((d * d + r1 * r1 - r0 * r0) / (2 * d * r1))
    t = math.atan2(y1 - y0, x1 - x0)
    edge = [(x0 + r0 * math.cos(t + a * k / 5),
             y0 + r0 * math.sin(t + a * k / 5))
            for k in range(-5, 6)]
    edge += [(x1 - r1 * math.cos(t - b * k / 5),
              y1 - r1 * math.sin(t - b * k / 5)) for k in range(-5, 6)]
    s.poly(m, *edge)
  for x, y, r, m in ((0.0, 0.0, 0.3, 'a6'), (0.0, 0.0, 0.2, 'a1'),
                     (0.0, 0.0, 0.1, 'a2'), (0.84, -0.84, 0.14, 'a3'),
                     (-0.86, -0.02, 0.13, 'a7'), (0.9, 0.1, 0.1, 'a5'),
                     (-0.06, 0.88, 0.12, 'a1')):
    s.ellipse(m, x, y, r, r, sides=18)


def tiles(s: Shapes):
  s.rect('grout', -1.0, -1.0, 1.0, 1.0)
  colours = ('a1', 'a2', 'a3', 'a4', 'a5', 'a7')
  n = 4
  w = 1.88 / n
  for i in range(n):
    for j in range(n):
      x, y = -0.94 + w * i + 0.02, -0.94 + w * j + 0.02
      q = w - 0.04
      first = colours[(i * 2 + j * 3) % 6]
      second = colours[(i * 2 + j * 3 + 2) % 6]
      if (i + j) % 2:
        s.rect(first, x, y, x + q, y + q)
        s.poly(second, (x + q / 2, y), (x + q, y + q / 2),
               (x + q / 2, y + q), (x, y + q / 2))
        s.poly('a6', (x + q / 2, y + q * 0.25), (x + q * 0.75, y + q / 2),
               (x + q / 2, y + q * 0.75), (x + q * 0.25, y + q / 2))
      else:
        s.poly(first, (x, y), (x + q, y), (x, y + q))
        s.poly(second, (x + q, y), (x + q, y + q), (x, y + q))
        s.line('grout', 0.03, (x + q, y), (x, y + q))


DRAW = {f.__name__: f for f in (cake, ramen, fruit, sailboat, train, car,
                                spiral, circles, tiles)}
