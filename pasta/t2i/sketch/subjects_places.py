"""Subjects one can visit: landscapes and buildings.

Each function draws into the box x, y in [-1, 1], y downwards, standing on 1.
"""

from pasta.t2i.sketch.shapes import Shapes

# Coordinates are laid out by hand, a shape a line or two.
# fmt: off


def _pine(s: Shapes, x: float, y: float, h: float):
  s.rect('timber', x - 0.03, y - h * 0.2, x + 0.03, y)
  for i in range(3):
    top = y - h * (1.0 - 0.24 * i)
    s.poly('pine', (x, top), (x + h * (0.16 + 0.07 * i), top + h * 0.4),
           (x - h * (0.16 + 0.07 * i), top + h * 0.4))


def mountain(s: Shapes):
  s.poly('rock', (-1.25, 1), (-0.62, -0.34), (0.1, 1))
  s.poly('rock_dark', (-0.62, -0.34), (-0.45, 0.2), (-0.5, 1), (0.1, 1))
  s.poly('snowcap', (-0.62, -0.34), (-0.82, 0.08), (-0.68, 0.0),
         (-0.58, 0.12), (-0.46, 0.0), (-0.4, 0.07))
  s.poly('rock', (1.3, 1), (0.72, -0.1), (0.1, 1))
  s.poly('rock_dark', (0.72, -0.1), (0.84, 0.3), (0.78, 1), (1.3, 1))
  s.poly('snowcap', (0.72, -0.1), (0.55, 0.22), (0.68, 0.14), (0.76, 0.26),
         (0.9, 0.24))
  s.poly('rock_light', (-0.85, 1), (-0.3, -0.1), (0.08, -1.0), (0.5, -0.2),
         (1.0, 1))
  s.poly('rock_dark', (0.08, -1.0), (0.2, -0.5), (0.1, -0.1), (0.3, 0.4),
         (0.2, 1), (1.0, 1), (0.5, -0.2))
  s.poly('rock', (-0.3, 0.3), (-0.1, 0.0), (-0.02, 0.5), (-0.2, 0.8))
  s.poly('snowcap', (0.08, -1.0), (-0.24, -0.26), (-0.1, -0.36),
         (-0.02, -0.14), (0.1, -0.4), (0.2, -0.5))
  s.poly('snow_shade', (0.08, -1.0), (0.2, -0.5), (0.1, -0.4), (0.24, -0.14),
         (0.34, -0.34), (0.46, -0.26))
  for x, h in ((-0.95, 0.4), (-0.72, 0.52), (-0.5, 0.36), (0.55, 0.38),
               (0.78, 0.54), (1.0, 0.4)):
    _pine(s, x, 1.04, h)


def harbour(s: Shapes):
  s.blob('water', (-1.15, 0.6), (0, 0.5), (1.15, 0.6), (1.1, 1.0), (0, 1.08),
         (-1.1, 1.0))
  for x, y, w in ((-0.6, 0.92, 0.3), (0.5, 0.96, 0.34), (0.0, 0.7, 0.24)):
    s.line('water_light', 0.05, (x - w, y), (x, y - 0.03), (x + w, y))
  s.blob('rock_dark', (-1.1, 0.66), (-0.96, 0.38), (-0.62, 0.32),
         (-0.3, 0.46), (-0.2, 0.68), (-0.6, 0.76))
  s.poly('white', (-0.78, 0.42), (-0.44, 0.42), (-0.5, -0.56), (-0.72, -0.56))
  for i in range(3):
    a, b = 0.42 - 0.34 * i, 0.42 - 0.34 * i - 0.17
    wa, wb = 0.17 - 0.021 * 2 * i, 0.17 - 0.021 * (2 * i + 1)
    s.poly('red', (-0.61 - wa, a), (-0.61 + wa, a), (-0.61 + wb, b),
           (-0.61 - wb, b))
  s.rect('black', -0.78, -0.62, -0.44, -0.55)
  s.rect('beacon', -0.7, -0.8, -0.52, -0.62)
  s.poly('red_dark', (-0.76, -0.8), (-0.61, -1.0), (-0.46, -0.8))
  s.poly('beacon', (-0.5, -0.78), (0.6, -1.0), (0.6, -0.66), (-0.5, -0.66))
  # Two moored boats: masts without sails, unlike a sailboat.
  for x, y, k, m in ((0.02, 0.6, 0.75, 'hull'), (0.62, 0.74, 1.0, 'red')):
    s.line('plank_dark', 0.05, (x, y), (x, y - 0.95 * k))
    s.line('plank_dark', 0.03, (x, y - 0.9 * k), (x + 0.34 * k, y - 0.12))
    s.line('plank_dark', 0.03, (x, y - 0.9 * k), (x - 0.34 * k, y - 0.12))
    s.rect('white', x - 0.16 * k, y - 0.26 * k, x + 0.1 * k, y - 0.05)
    s.poly(m, (x - 0.42 * k, y - 0.1 * k), (x + 0.46 * k, y - 0.12 * k),
           (x + 0.3 * k, y + 0.14 * k), (x - 0.3 * k, y + 0.14 * k))
  for x in (-0.9, -0.55, -0.2, 0.15):
    s.rect('plank_dark', x - 0.04, 0.78, x + 0.04, 1.04)
  s.poly('plank', (-1.1, 0.74), (0.3, 0.78), (0.3, 0.87), (-1.1, 0.85))


def waterfall(s: Shapes):
  s.blob('rock', (-1.1, 1.0), (-1.08, -0.5), (-0.8, -0.82), (-0.3, -0.74),
         (-0.25, 0.4), (-0.4, 1.0))
  s.blob('rock', (1.1, 1.0), (1.1, -0.6), (0.8, -0.9), (0.32, -0.76),
         (0.25, 0.4), (0.4, 1.0))
  for p in (((-0.95, -0.3), (-0.5, -0.45), (-0.45, -0.1), (-0.85, 0.1)),
            ((-0.9, 0.3), (-0.5, 0.2), (-0.5, 0.6), (-0.95, 0.7)),
            ((0.5, -0.5), (0.9, -0.4), (0.85, -0.05), (0.5, -0.1)),
            ((0.52, 0.2), (1.0, 0.25), (0.95, 0.66), (0.5, 0.6))):
    s.poly('rock_dark', *p)
  s.poly('rock_light', (-0.95, -0.6), (-0.4, -0.72), (-0.4, -0.6),
         (-0.9, -0.46))
  s.poly('rock_light', (0.4, -0.74), (0.95, -0.7), (0.9, -0.56),
         (0.42, -0.6))
  s.poly('water', (-0.34, -0.8), (0.34, -0.8), (0.36, 0.75), (-0.36, 0.75))
  for x, w, m in ((-0.24, 0.1, 'water_light'), (-0.04, 0.13, 'water_light'),
                  (0.2, 0.1, 'water_light'), (-0.14, 0.05, 'water_dark'),
                  (0.1, 0.05, 'water_dark')):
    s.line(m, w, (x * 0.9, -0.78), (x * 1.1, 0.0), (x * 1.2, 0.74))
  s.blob('water', (-0.95, 0.86), (-0.4, 0.66), (0.4, 0.66), (0.95, 0.86),
         (0.6, 1.04), (-0.6, 1.04))
  s.line('water_light', 0.05, (-0.6, 0.92), (-0.2, 0.97), (0.3, 0.93))
  for x, y, r in ((-0.3, 0.7, 0.2), (0.0, 0.74, 0.22), (0.3, 0.7, 0.2)):
    s.ellipse('plate', x, y, r, r * 0.6)
  for x, y, h in ((-0.95, -0.62, 0.44), (-0.66, -0.78, 0.34),
                  (0.66, -0.84, 0.3), (0.94, -0.74, 0.42)):
    _pine(s, x, y, h)


def skyline(s: Shapes):
  towers = ((-1.0, -0.62, -0.1, 'tower_b'), (0.66, 1.02, -0.22, 'tower_b'),
            (-0.34, 0.0, -0.4, 'tower_d'), (0.1, 0.46, -0.3, 'tower_d'),
            (-0.76, -0.36, -0.56, 'tower_a'), (0.4, 0.78, -0.6, 'tower_a'),
            (-0.18, 0.2, -0.74, 'tower_c'), (-1.1, -0.82, 0.3, 'tower_c'),
            (0.84, 1.1, 0.26, 'tower_a'))
  for x0, x1, top, material in towers:
    s.rect(material, x0, top, x1, 1.0)
    if x1 - x0 > 0.3:
      s.rect('rock_dark', x1 - 0.06, top, x1, 1.0)
  s.poly('tower_c', (-0.18, -0.74), (0.2, -0.74), (0.1, -0.9), (-0.08, -0.9))
  s.line('tower_c', 0.05, (0.01, -0.88), (0.01, -1.1))
  s.poly('tower_a', (-0.76, -0.56), (-0.36, -0.56), (-0.36, -0.74))
  s.line('tower_a', 0.04, (0.59, -0.6), (0.59, -0.84))
  for x0, x1, top, _ in towers[2:7]:
    cols = 3
    for i in range(cols):
      x = x0 + 0.05 + i * (x1 - x0 - 0.12) / cols
      y = top + 0.1
      while y < 0.86:
        # A fixed pattern of dark windows reads as a lived-in tower.
        if (int(y * 31) + i * 7 + int(x0 * 50)) % 4:
          s.rect('pane', x, y, x + 0.06, y + 0.09)
        y += 0.19
  s.rect('rock_dark', -1.15, 0.94, 1.15, 1.03)


def cottage(s: Shapes):
  for x, y, r in ((0.5, -0.98, 0.1), (0.62, -1.16, 0.13), (0.8, -1.36, 0.15)):
    s.ellipse('smoke', x, y, r, r * 0.8, sides=12)
  s.rect('roof_dark', 0.4, -0.84, 0.6, -0.3)
  s.rect('plaster', -0.76, -0.04, 0.76, 1.0)
  s.rect('plaster_dark', 0.5, -0.04, 0.76, 1.0)
  for x in (-0.76, -0.3, 0.3, 0.7):
    s.rect('timber', x, -0.04, x + 0.06, 1.0)
  s.rect('timber', -0.76, 0.02, 0.76, 0.08)
  s.poly('roof', (-1.02, 0.06), (-0.58, -0.72), (0.58, -0.72), (1.02, 0.06))
  s.poly('roof_dark', (-1.02, 0.06), (-0.96, -0.04), (0.96, -0.04),
         (1.02, 0.06))
  for y in (-0.54, -0.34, -0.16):
    w = 0.58 + (y + 0.72) * 0.56
    s.line('roof_dark', 0.035, (-w, y), (w, y))
  s.poly('plaster', (-0.26, -0.1), (0.26, -0.1), (0.26, -0.3), (0, -0.62),
         (-0.26, -0.3))
  s.poly('roof_dark', (-0.36, -0.24), (0, -0.74), (0.36, -0.24), (0.28, -0.2),
         (0, -0.58), (-0.28, -0.2))
  s.rect('pane', -0.1, -0.34, 0.1, -0.14)
  s.blob('door', (-0.18, 1.0), (-0.18, 0.5), (0, 0.34), (0.18, 0.5),
         (0.18, 1.0))
  s.ellipse('brass', 0.1, 0.72, 0.035, 0.035, sides=8)
  for x in (-0.5, 0.5):
    s.rect('timber', x - 0.17, 0.28, x + 0.17, 0.66)
    s.rect('pane', x - 0.13, 0.32, x + 0.13, 0.62)
    s.line('timber', 0.035, (x, 0.3), (x, 0.64))
    s.line('timber', 0.035, (x - 0.15, 0.47), (x + 0.15, 0.47))
    s.rect('pot', x - 0.2, 0.66, x + 0.2, 0.74)
    for i in range(4):
      s.ellipse('a1' if i % 2 else 'a2', x - 0.15 + 0.1 * i, 0.65, 0.06, 0.05,
                sides=8)
  for x, r in ((-0.86, 0.2), (0.86, 0.18)):
    s.ellipse('foliage', x, 0.9, r, r * 0.8, sides=12)


def castle(s: Shapes):
  def tower(x, w, top, roof):
    s.rect('keep', x - w, top, x + w, 1.0)
    s.rect('keep_dark', x + w * 0.4, top, x + w, 1.0)
    s.rect('keep_light', x - w * 1.18, top - 0.05, x + w * 1.18, top + 0.06)
    s.poly('spire', (x - w * 1.3, top - 0.04), (x, top - roof),
           (x + w * 1.3, top - 0.04))
    s.poly('spire_dark', (x + w * 0.3, top - 0.04), (x, top - roof),
           (x + w * 1.3, top - 0.04))
    s.line('timber', 0.03, (x, top - roof + 0.05), (x, top - roof - 0.18))
    s.poly('red', (x, top - roof - 0.18), (x + 0.2, top - roof - 0.12),
           (x, top - roof - 0.05))
    s.rect('black', x - 0.05, top + 0.16, x + 0.05, top + 0.34)

  tower(0.0, 0.2, -0.36, 0.52)
  tower(-0.44, 0.15, -0.06, 0.4)
  tower(0.44, 0.15, -0.06, 0.4)
  s.rect('keep', -0.72, 0.36, 0.72, 1.0)
  for i in range(9):
    x = -0.72 + 0.165 * i
    s.rect('keep_light', x, 0.24, x + 0.1, 0.38)
  s.rect('keep_light', -0.72, 0.36, 0.72, 0.41)
  tower(-0.82, 0.18, 0.12, 0.5)
  tower(0.82, 0.18, 0.12, 0.5)
  s.blob('timber', (-0.22, 1.0), (-0.22, 0.66), (0, 0.48), (0.22, 0.66),
         (0.22, 1.0))
  for x in (-0.12, 0.0, 0.12):
    s.line('black', 0.03, (x, 0.56), (x, 1.0))
  s.line('black', 0.03, (-0.2, 0.78), (0.2, 0.78))
  for x, y in ((-0.5, 0.62), (0.5, 0.62), (-0.36, 0.82), (0.42, 0.84)):
    s.rect('keep_dark', x - 0.08, y, x + 0.08, y + 0.06)
  for x in (-0.5, 0.5):
    s.rect('pane', x - 0.05, 0.5, x + 0.05, 0.62)


DRAW = {f.__name__: f for f in (mountain, harbour, waterfall, skyline,
                                cottage, castle)}
