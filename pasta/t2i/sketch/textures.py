"""Textures that styles and weather lay over a picture, made once per size."""

import dataclasses
import functools
import math

import numpy as np
from PIL import Image, ImageDraw

VARIANTS = 3


@dataclasses.dataclass(frozen=True)
class Textures:
  """Maps for pictures of `size` x `size`; lists hold VARIANTS of a map.

  Attributes:
    grain: float32 [S, S, 1], paper grain around 1.
    wash: density of a watercolour wash around 1, [S, S, 1].
    border: 1 inside, 0 at the ragged edge of painted paper, [S, S, 1].
    margin: 1 inside a printed plate, 0 on the paper around it, [S, S, 1].
    warp: intp [S * S], where a bleeding edge takes each pixel's colour from.
    hatch, cross: triangle waves in [0, 1] along two diagonals, [S, S].
    graphite: streaky noise around 0, [S, S].
    facet, facet_shade: index of the facet's centre pixel [S * S], factor
      [S, S, 1].
    stroke, relief: centre of each pixel's brush stroke [S * S], factor
      [S, S, 1].
    cell, cell_shade, lead: the same for pieces of glass, and the lead between
      them in [0, 1], [S, S].
    dots: distance-like pattern of halftone dots in [0, 1], [S, S].
    vignette: darkening towards the corners, [S, S].
    shafts: light that falls from the upper left, [S, S, 1].
    fog: density of fog, [S, S, 1].
    rain, snow: opacity of streaks and flakes, [S, S, 1].
  """

  grain: np.ndarray
  wash: list[np.ndarray]
  border: list[np.ndarray]
  margin: np.ndarray
  warp: list[np.ndarray]
  hatch: np.ndarray
  cross: np.ndarray
  graphite: np.ndarray
  facet: list[np.ndarray]
  facet_shade: list[np.ndarray]
  stroke: list[np.ndarray]
  relief: list[np.ndarray]
  cell: list[np.ndarray]
  cell_shade: list[np.ndarray]
  lead: list[np.ndarray]
  dots: np.ndarray
  vignette: np.ndarray
  shafts: np.ndarray
  fog: list[np.ndarray]
  rain: list[np.ndarray]
  snow: list[np.ndarray]


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
  """Smooth noise, about unit variance, float32 [size, size]."""
  coarse = rng.standard_normal((cells, cells)).astype(np.float32)
  image = Image.fromarray(coarse).resize((size, size), Image.BICUBIC)
  return np.asarray(image) * 1.3


def _triangle(phase: np.ndarray) -> np.ndarray:
  return np.abs(2.0 * (phase - np.floor(phase)) - 1.0)


def _indices(y: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
  """Flat pixel indices of unit coordinates."""
  y = np.clip((y * size).astype(np.intp), 0, size - 1)
  x = np.clip((x * size).astype(np.intp), 0, size - 1)
  return y * size + x


def _facets(rng, size):
  """Triangles over a jittered grid: centre index [S*S], shade [S, S, 1]."""
  n = 10
  grid = np.stack(np.meshgrid(*[np.arange(-1, n + 2) / n] * 2), -1)
  grid = grid + rng.uniform(-0.36, 0.36, grid.shape) / n
  label = Image.new('I', (size, size))
  pen = ImageDraw.Draw(label)
  centres, shades = [], []
  for i in range(n + 2):
    for j in range(n + 2):
      a, b, c, d = (
        grid[i, j],
        grid[i, j + 1],
        grid[i + 1, j + 1],
        grid[i + 1, j],
      )
      halves = ((a, b, c), (a, c, d)) if (i + j) % 2 else ((a, b, d), (b, c, d))
      for k, corners in enumerate(halves):
        pen.polygon(
          [float(v) * size for p in corners for v in p], fill=len(centres)
        )
        centres.append(np.mean(corners, 0))
        shades.append(0.91 + 0.15 * k + rng.uniform(-0.16, 0.16))
  label = np.asarray(label)
  centres = np.array(centres)
  index = _indices(centres[:, 1], centres[:, 0], size)
  shade = np.array(shades, np.float32)
  return index[label].ravel(), shade[label][..., None]


def _strokes(rng, size):
  """Brush strokes along a flow: centre index [S*S], relief [S, S, 1]."""
  count = 2600
  flow = _noise(rng, 64, 4)
  label = Image.new('I', (size, size))
  bump = Image.new('L', (size, size), 128)
  pen, knife = ImageDraw.Draw(label), ImageDraw.Draw(bump)
  x, y = rng.uniform(-0.02, 1.02, (2, count))
  index = _indices(y, x, size)
  gain = rng.uniform(0.88, 1.13, count).astype(np.float32)
  for i in range(count):
    a = (
      0.4
      + 0.6
      * flow[int(np.clip(y[i], 0, 0.99) * 64), int(np.clip(x[i], 0, 0.99) * 64)]
    )
    c, s = math.cos(a), math.sin(a)
    half, thick = rng.uniform(0.022, 0.045), rng.uniform(0.010, 0.016)

    def box(lo, hi, c=c, s=s, half=half, i=i):
      return [
        size * v
        for u, w in ((-half, lo), (half, lo), (half, hi), (-half, hi))
        for v in (x[i] + c * u - s * w, y[i] + s * u + c * w)
      ]

    pen.polygon(box(-thick, thick), fill=i)
    knife.polygon(box(-thick, thick), fill=128)
    knife.polygon(box(-thick, -thick * 0.45), fill=205)
    knife.polygon(box(thick * 0.45, thick), fill=58)
    for k in (-0.2, 0.15):
      knife.polygon(box(thick * k, thick * (k + 0.14)), fill=100)
  label = np.asarray(label)
  relief = 1.0 + (np.asarray(bump, np.float32) - 128.0) / 128.0 * 0.22
  return index[label].ravel(), (relief * gain[label])[..., None]


def _cells(rng, size):
  """Voronoi cells: centre index [S*S], shade [S, S, 1], lead [S, S]."""
  n = 7
  px, py = [v.ravel() for v in np.meshgrid(*[(np.arange(n) + 0.5) / n] * 2)]
  px = px + rng.uniform(-0.42, 0.42, n * n) / n
  py = py + rng.uniform(-0.42, 0.42, n * n) / n
  at = ((np.arange(size) + 0.5) / size).astype(np.float32)
  near = np.full((size, size), 9.0, np.float32)
  second = near.copy()
  label = np.zeros((size, size), np.intp)
  for i in range(n * n):
    d = np.hypot(at[None, :] - px[i], at[:, None] - py[i]).astype(np.float32)
    closer = d < near
    second = np.where(closer, near, np.minimum(second, d))
    label[closer] = i
    near = np.where(closer, d, near)
  lead = np.clip(1.6 - (second - near) * 75.0, 0.0, 1.0).astype(np.float32)
  shade = rng.uniform(0.78, 1.26, n * n).astype(np.float32)
  glow = 1.12 - 1.6 * near
  return (
    _indices(py, px, size)[label].ravel(),
    (shade[label] * glow)[..., None].astype(np.float32),
    lead,
  )


def _drawn(size, draw) -> np.ndarray:
  """An opacity map that `draw(pen, scale)` paints, float32 [S, S, 1]."""
  image = Image.new('L', (2 * size, 2 * size))
  draw(ImageDraw.Draw(image), 2 * size)
  image = image.resize((size, size), Image.BOX)
  return (np.asarray(image, np.float32) / 255.0)[..., None]


def _rain(rng, size):
  def draw(pen, n):
    for x, y, k in zip(
      rng.uniform(-0.1, 1.1, 46),
      rng.uniform(-0.1, 1.0, 46),
      rng.uniform(0.09, 0.2, 46),
    ):
      pen.line(
        (x * n, y * n, (x - 0.34 * k) * n, (y + k) * n),
        fill=225,
        width=max(1, round(0.013 * n)),
      )

  return _drawn(size, draw)


def _snow(rng, size):
  def draw(pen, n):
    for x, y, r in zip(
      rng.uniform(0, 1, 64),
      rng.uniform(0, 1, 64),
      0.009 + 0.019 * rng.uniform(0, 1, 64) ** 2,
    ):
      pen.ellipse(
        ((x - r) * n, (y - r) * n, (x + r) * n, (y + r) * n), fill=250
      )

  return _drawn(size, draw)


def _fog(rng, size):
  at = (np.arange(size, dtype=np.float32) + 0.5) / size
  bands = 0.52 + 0.26 * np.exp(-(((at - 0.6) / 0.2) ** 2))
  streaks = _noise(rng, size, 5)
  flat = np.asarray(
    Image.fromarray(streaks).resize((size * 3, size), Image.BICUBIC)
  )[:, :size]
  return np.clip(bands[:, None] + 0.09 * flat, 0.3, 0.92)[..., None].astype(
    np.float32
  )


def _margin(edge: np.ndarray) -> np.ndarray:
  """A plate mark: paper, a thin line, a gap, the picture."""
  line = np.exp(-(((edge - 0.024) / 0.008) ** 2))
  return np.maximum(line, np.clip((edge - 0.05) * 90, 0, 1)).astype(np.float32)


@functools.lru_cache(maxsize=8)
def make(size: int) -> Textures:
  """All textures for one picture size (the same in every process)."""
  rng = np.random.default_rng(20241014)
  at = ((np.arange(size) + 0.5) / size).astype(np.float32)
  x, y = at[None, :], at[:, None]
  base = [
    (_noise(rng, size, 7), _noise(rng, size, 19), _noise(rng, size, 40))
    for _ in range(VARIANTS)
  ]
  fine = _noise(rng, size, min(size, 90))
  edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
  warp, wash, border = [], [], []
  for low, mid, high in base:
    warp.append(
      _indices(
        y + 0.006 * mid + 0.003 * high,
        x + 0.006 * np.roll(mid, size // 3, 0) + 0.003 * high.T,
        size,
      ).ravel()
    )
    wash.append(
      np.clip(0.88 + 0.13 * low + 0.07 * mid + 0.03 * high, 0.45, 1.25)[
        ..., None
      ].astype(np.float32)
    )
    border.append(
      np.clip((edge - 0.03 + 0.010 * mid + 0.005 * high) * 40, 0, 1)[
        ..., None
      ].astype(np.float32)
    )
  facets = [_facets(rng, size) for _ in range(VARIANTS)]
  strokes = [_strokes(rng, size) for _ in range(VARIANTS)]
  cells = [_cells(rng, size) for _ in range(VARIANTS)]
  wobble = 0.05 * base[0][0]
  streak = np.asarray(
    Image.fromarray(fine)
    .rotate(35, Image.BICUBIC)
    .resize((size * 3, size))
    .crop((size, 0, 2 * size, size))
    .rotate(-35, Image.BICUBIC)
  )
  angle = np.arctan2(y + 0.06, x + 0.02)
  beams = np.clip(np.sin(angle * 19.0) + 0.25 * np.sin(angle * 43.0), 0, 1)
  shafts = beams * np.clip(1.25 - 0.75 * np.hypot(x, y), 0.1, 1)
  du = (x * 13 + y * 13) / math.sqrt(2) * 1.1
  dv = (x * 13 - y * 13) / math.sqrt(2) * 1.1
  dots = np.hypot(du - np.round(du), dv - np.round(dv)) / 0.7072
  return Textures(
    grain=(1.0 + 0.035 * fine)[..., None],
    wash=wash,
    border=border,
    margin=_margin(edge)[..., None],
    warp=warp,
    hatch=_triangle((x + y) * 12.0 + wobble).astype(np.float32),
    cross=_triangle((x - y) * 12.0 + wobble).astype(np.float32),
    graphite=(0.6 * streak + 0.5 * fine).astype(np.float32),
    facet=[f[0] for f in facets],
    facet_shade=[f[1] for f in facets],
    stroke=[s[0] for s in strokes],
    relief=[s[1] for s in strokes],
    cell=[c[0] for c in cells],
    cell_shade=[c[1] for c in cells],
    lead=[c[2] for c in cells],
    dots=dots.astype(np.float32),
    vignette=(1.04 - 0.34 * ((x - 0.5) ** 2 + (y - 0.5) ** 2) * 1.6).astype(
      np.float32
    ),
    shafts=shafts.astype(np.float32)[..., None],
    fog=[_fog(rng, size) for _ in range(VARIANTS)],
    rain=[_rain(rng, size) for _ in range(VARIANTS)],
    snow=[_snow(rng, size) for _ in range(VARIANTS)],
  )
