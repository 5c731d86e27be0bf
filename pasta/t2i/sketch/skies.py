"""What hangs in the sky: sun, moon, stars, clouds, by light."""

import math
from collections.abc import Sequence

from pasta.t2i.sketch.shapes import Shapes

# Coordinates are laid out by hand, a shape a line or two.
# fmt: off


def cloud(s: Shapes, x: float, y: float, r: float, shade: str = 'cloud_shade',
          body: str = 'cloud'):
  """A puffy cloud about 4 r wide."""
  s.ellipse(shade, x, y + 0.35 * r, 2.0 * r, 0.5 * r, sides=14)
  for dx, dy, k in ((-1.1, 0.1, 0.6), (-0.3, -0.3, 0.9), (0.6, -0.15, 0.75),
                    (1.3, 0.15, 0.5)):
    s.ellipse(body, x + dx * r, y + dy * r, k * r, k * r * 0.85, sides=12)
  s.ellipse(body, x, y + 0.25 * r, 1.7 * r, 0.36 * r, sides=14)


def _stars(s: Shapes, u: Sequence[float], horizon: float, count: int):
  for i in range(count):
    x = (u[i % len(u)] + i * 0.381966) % 1.0
    y = (u[(i * 5 + 1) % len(u)] + i * 0.618034) % 1.0 * horizon
    r = 0.008 + 0.008 * (i % 3 == 0)
    s.poly('star', (x, y - 1.7 * r), (x + 0.5 * r, y - 0.5 * r),
           (x + 1.7 * r, y), (x + 0.5 * r, y + 0.5 * r), (x, y + 1.7 * r),
           (x - 0.5 * r, y + 0.5 * r), (x - 1.7 * r, y),
           (x - 0.5 * r, y - 0.5 * r))


def draw(s: Shapes, light: str, horizon: float, u: Sequence[float],
         clouds: bool) -> tuple[float, float, float, float]:
  """Draws the sky's bodies.

  Args:
    s: collects the polygons, in the unit square.
    light: name of the light.
    horizon: where the sky ends.
    u: uniform numbers, at least 8.
    clouds: whether clouds may hang there.

  Returns:
    The glow: x, y, radius, strength.
  """
  side = 0.17 + 0.1 * u[0]
  if light == 'day':
    y = 0.15 + 0.05 * u[1]
    s.ellipse('sun', side, y, 0.075, 0.075)
    if clouds:
      cloud(s, 0.72 + 0.1 * u[2], 0.15 + 0.08 * u[3], 0.075)
      cloud(s, 0.36 + 0.1 * u[4], 0.34 + 0.06 * u[5], 0.045)
      cloud(s, 0.93, 0.38 + 0.08 * u[6], 0.05)
    return side, y, 0.16, 0.35
  if light == 'golden':
    x, y = 0.3 + 0.12 * u[0], horizon - 0.07
    s.ellipse('sun_fan', x, y, 0.24, 0.24, sides=28)
    s.ellipse('sun', x, y, 0.17, 0.17, sides=24)
    if clouds:
      for i in range(4):
        cx, cy = (u[i + 1] * 0.5 + i * 0.31) % 1.0, horizon * (0.15 + 0.19 * i)
        s.ellipse('cloud_shade', cx, cy, 0.26 - 0.03 * i, 0.018, sides=14)
    return x, y, 0.5, 0.42
  if light == 'dusk':
    x, y = 0.8 - 0.1 * u[0], 0.16 + 0.05 * u[1]
    _stars(s, u, horizon * 0.55, 9)
    s.arc('moon', x, y, 0.075, 0.0, 0.0, 2 * math.pi)
    s.ellipse(4, x + 0.045, y - 0.02, 0.066, 0.066)
    if clouds:
      for i in range(3):
        cx = (u[i + 2] + i * 0.37) % 1.0
        s.ellipse('cloud_low', cx, horizon - 0.07 - 0.09 * i, 0.26, 0.016,
                  sides=14)
    return x, y, 0.12, 0.15
  if light == 'night':
    x, y = 0.78 - 0.12 * u[0], 0.19 + 0.05 * u[1]
    _stars(s, u, horizon, 34)
    s.ellipse('moon', x, y, 0.105, 0.105, sides=24)
    for dx, dy, r in ((-0.03, -0.03, 0.026), (0.035, 0.02, 0.02),
                      (-0.02, 0.05, 0.015)):
      s.ellipse('moon_sea', x + dx, y + dy, r, r, sides=10)
    return x, y, 0.22, 0.34
  if light == 'dawn':
    x = 0.38 + 0.24 * u[0]
    for i in range(9):
      a = math.pi * (1.0 + (i + 0.25) / 9)
      b = a + math.pi / 18
      s.poly('sun_fan', (x, horizon), (x + 1.3 * math.cos(a),
                                       horizon + 1.3 * math.sin(a)),
             (x + 1.3 * math.cos(b), horizon + 1.3 * math.sin(b)))
    s.ellipse('sun', x, horizon, 0.16, 0.16, sides=24)
    return x, horizon, 0.36, 0.3
  if clouds:  # Rays: heavy clouds that the shafts break through.
    for i in range(5):
      cloud(s, (u[i] * 0.25 + i * 0.23), 0.04 + 0.08 * u[i + 1],
            0.1 + 0.03 * u[i + 2], 'cloud_low', 'cloud_shade')
  return 0.08, -0.02, 0.5, 0.4
