"""Styles: from a shaded picture to a painting, a print, a window.

Every style takes a `Plate` and returns float32 [S, S, 3]; values outside
[0, 1] are clipped by the caller.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageFilter

from pasta.t2i.sketch import palettes, textures

_LUMA = np.array([0.30, 0.59, 0.11], np.float32)
_SEPIA = np.array([0.20, 0.11, 0.06], np.float32)
_CREAM = np.array([0.98, 0.93, 0.80], np.float32)
_BAYER = (
  np.array(
    [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32
  )
  / 16.0
  - 0.47
)


def _line_classes() -> np.ndarray:
  """Materials between which no outline is drawn share a class, uint8 [256]."""
  table = np.arange(256, dtype=np.uint8)
  table[: palettes.SKY_BANDS] = 0
  same = (
    ('cloud', 'cloud_shade', 'cloud_low'),
    ('sun', 'sun_fan'),
    ('moon', 'moon_sea'),
    ('moss', 'moss_dark'),
    ('lawn', 'lawn_dark'),
    ('wallpaper', 'stripe'),
    ('trunk_far', 'leaf_far'),
    ('water', 'water_light', 'water_dark'),
    ('nebula', 'nebula_b'),
  )
  for names in same:
    for name in names:
      table[palettes.MATERIAL[name]] = palettes.MATERIAL[names[0]]
  for name in ('nebula', 'nebula_b', 'shaft'):
    table[palettes.MATERIAL[name]] = 0
  return table


_CLASSES = _line_classes().tobytes()
# The same with all of the subject in one class.
_SILHOUETTES = bytes(
  palettes.SUBJECT_RANGE[0] if i in range(*palettes.SUBJECT_RANGE) else c
  for i, c in enumerate(_CLASSES)
)


def lookup(numbers: np.ndarray, table: bytes) -> np.ndarray:
  """table[numbers] for uint8 [2S, 2S]; several times as fast as numpy's."""
  return np.frombuffer(numbers.tobytes().translate(table), np.uint8).reshape(
    numbers.shape
  )


@dataclasses.dataclass
class Plate:
  """What a style works from.

  Attributes:
    size: S, pixels.
    rgb: float32 [S, S, 3] in about [0, 1], lit and shaded.
    numbers: uint8 [2S, 2S], the material at every half pixel.
    mask: float32 [S, S], 1 where the subject is.
    soft: the mask, blurred.
    focus: the same for the subject and all that stands before it.
    tones: dark, middle and light colour of the palette, float32 [3] each.
    tex: textures for S.
    variant: which variant of each texture.
  """

  size: int
  rgb: np.ndarray
  numbers: np.ndarray
  mask: np.ndarray
  soft: np.ndarray
  focus: np.ndarray
  tones: tuple[np.ndarray, np.ndarray, np.ndarray]
  tex: textures.Textures
  variant: int

  def outline(self, width: float, inner: float) -> np.ndarray:
    """Opacity of outlines, [S, S].

    Args:
      width: of lines around things, in 64ths of the picture.
      inner: opacity of the hair-thin lines within the subject.
    """
    unit = self.size / 32
    lines = _lines(
      lookup(self.numbers, _SILHOUETTES), max(1, round(width * unit))
    )
    lines *= 0.6 + 0.4 * self.soft  # The subject leads.
    thin = _lines(lookup(self.numbers, _CLASSES), max(1, round(0.45 * unit)))
    return np.maximum(lines, inner * self.mask * thin)

  def gather(self, index: np.ndarray, radius: float = 0.0) -> np.ndarray:
    """The picture, blurred, with each pixel's colour taken from elsewhere."""
    rgb = blur(self.rgb, radius) if radius else self.rgb
    return rgb.reshape(-1, 3).take(index, axis=0).reshape(rgb.shape)


def _lines(classes: np.ndarray, width: int) -> np.ndarray:
  """Where neighbours differ, `width` half pixels wide, averaged to [S, S]."""
  n = len(classes)
  edge = np.zeros((n, n), np.uint8)
  edge[:-1] = classes[1:] != classes[:-1]
  edge[:, :-1] |= classes[:, 1:] != classes[:, :-1]
  done = 1
  while done < width:
    step = min(done, width - done)
    edge[step:] |= edge[:-step]
    edge[:, step:] |= edge[:, :-step]
    done += step
  total = edge[::2, ::2] + edge[1::2, ::2] + edge[::2, 1::2] + edge[1::2, 1::2]
  return total * np.float32(0.25)


def luma(rgb: np.ndarray) -> np.ndarray:
  """Brightness, [S, S, 3] -> [S, S]."""
  return rgb @ _LUMA


def saturate(rgb: np.ndarray, amount: float) -> np.ndarray:
  """Moves colours away from (amount > 1) or towards grey."""
  grey = luma(rgb)[..., None]
  return grey + amount * (rgb - grey)


def blur(values: np.ndarray, radius: float) -> np.ndarray:
  """Gaussian blur of float32 [S, S] or [S, S, 3] in [0, 1]."""
  image = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
  image = image.filter(ImageFilter.GaussianBlur(radius))
  return np.asarray(image, np.float32) * np.float32(1 / 255)


def watercolor(p: Plate) -> np.ndarray:
  t, v = p.tex, p.variant
  paint = 0.10 + 0.94 * p.gather(t.warp[v])
  rim = p.outline(0.9, 0.5).ravel()[t.warp[v]].reshape(p.size, p.size)
  paint = 1.0 - (1.0 - saturate(paint, 1.15)) * (t.wash[v] * 0.9)
  paint *= (1.0 - 0.55 * rim)[..., None]
  paper = 0.6 + 0.4 * p.tones[2]
  return (paper + (paint - paper) * t.border[v]) * t.grain


def ink(p: Plate) -> np.ndarray:
  t = p.tex
  light = luma(p.rgb)
  first = np.clip(((0.80 - light) - t.hatch) * 4.0, 0, 1)
  second = np.clip(((0.42 - light) * 1.9 - t.cross) * 4.0, 0, 1)
  hatching = np.maximum(first, second) * (0.85 - 0.35 * p.mask)
  cover = np.maximum(hatching, p.outline(1.3, 0.8))[..., None]
  dark, _, pale = p.tones
  paper = (0.55 + 0.45 * pale) * 0.80 + 0.20 * p.rgb
  pen = 0.8 * dark + 0.1 * p.rgb
  return (paper + (pen - paper) * cover) * t.grain


def pixel_art(p: Plate) -> np.ndarray:
  cells = 32
  small = Image.fromarray((np.clip(p.rgb, 0, 1) * 255).astype(np.uint8)).resize(
    (cells, cells), Image.BOX
  )
  body = (
    np.asarray(
      Image.fromarray((p.mask * 255).astype(np.uint8)).resize(
        (cells, cells), Image.BOX
      )
    )
    > 110
  )
  grown = body.copy()
  grown[1:] |= body[:-1]
  grown[:-1] |= body[1:]
  grown[:, 1:] |= body[:, :-1]
  grown[:, :-1] |= body[:, 1:]
  x = saturate(np.asarray(small, np.float32) * np.float32(1 / 255), 1.25)
  light = luma(x)
  dither = np.tile(_BAYER, (cells // 4, cells // 4)) * (1.0 - 0.6 * body)
  # Only brightness is quantised: hues stay the palette's.
  x += (np.round(light * 5.0 + dither) * 0.2 - light)[..., None]
  x[grown & ~body] = p.tones[0] * 0.7
  out = Image.fromarray((np.clip(x, 0, 1) * 255).astype(np.uint8)).resize(
    (p.size, p.size), Image.NEAREST
  )
  return np.asarray(out, np.float32) * np.float32(1 / 255)


def low_poly(p: Plate) -> np.ndarray:
  t, v = p.tex, p.variant
  facets = p.gather(t.facet[v], p.size / 32)
  keep = 0.40 + 0.52 * p.focus[..., None]
  bend = (t.facet_shade[v] - 1.0) * (1.35 - 0.65 * p.mask)[..., None]
  return saturate(facets + (p.rgb - facets) * keep, 1.12) * (1.0 + bend)


def neon(p: Plate) -> np.ndarray:
  edge = p.outline(1.5, 0.55) * (0.62 + 0.38 * p.focus)
  peak = p.rgb.max(-1, keepdims=True)
  hue = np.clip(saturate(p.rgb / np.maximum(peak, 0.12), 2.0), 0.02, 1.0)
  tubes = hue * edge[..., None]
  halo = blur(tubes, p.size / 24)
  floor = p.rgb * (0.10 + 0.14 * p.mask)[..., None] + 0.05 * p.tones[0]
  return floor + tubes * 0.95 + halo * 0.85 + 0.25 * (edge**3)[..., None]


def oil(p: Plate) -> np.ndarray:
  t, v = p.tex, p.variant
  strokes = p.gather(t.stroke[v])
  keep = (0.15 + 0.7 * p.focus - 0.12 * p.mask)[..., None]
  return saturate(strokes + (p.rgb - strokes) * keep, 1.3) * t.relief[v]


def flat(p: Plate) -> np.ndarray:
  # A long shadow down to the right, the mark of flat design.
  smear = p.mask.copy()
  step = 1
  while step < p.size // 2:
    smear[step:, step:] = np.maximum(smear[step:, step:], smear[:-step, :-step])
    step *= 2
  shadow = smear * (1.0 - p.mask)
  return p.rgb * (1.02 - 0.32 * shadow)[..., None]


def pencil(p: Plate) -> np.ndarray:
  t = p.tex
  light = luma(p.rgb)
  shade = 1.0 - light
  tone = 0.98 - 0.66 * shade
  tone += (0.5 - t.hatch) * (0.06 + 0.26 * shade) * (1.0 - 0.5 * p.mask)
  tone += t.graphite * (0.05 + 0.09 * shade)
  tone -= 0.6 * p.outline(0.9, 0.7)
  grey = np.clip(tone, 0.08, 0.98)[..., None]
  return grey * (0.9 + 0.1 * p.tones[2]) + 0.34 * (p.rgb - light[..., None])


def stained_glass(p: Plate) -> np.ndarray:
  t, v = p.tex, p.variant
  pieces = p.gather(t.cell[v], p.size / 32)
  keep = (0.45 + 0.5 * p.focus)[..., None]
  glass = saturate(pieces + (p.rgb - pieces) * keep, 1.6) * t.cell_shade[v]
  glass = 0.04 + 1.06 * glass
  lead = np.maximum(p.outline(1.9, 0.6), t.lead[v] * (1.0 - 0.6 * p.focus))
  return glass + (0.035 - glass) * np.minimum(lead, 1.0)[..., None]


def pop_art(p: Plate) -> np.ndarray:
  t = p.tex
  x = saturate(p.rgb, 1.7) * 1.15 + 0.1
  light = luma(x)
  x += (np.round(light * 4.0) * 0.25 - light)[..., None]
  size = (0.34 + 0.34 * np.maximum(1.0 - light, 0.0)) * (1.0 - 0.8 * p.focus)
  dots = np.clip((size - t.dots) * 6.0, 0, 1)[..., None]
  x = x + ((0.45 * x + 0.12 * p.tones[0]) - x) * dots
  return x * (1.0 - p.outline(2.2, 0.7))[..., None]


def pen_and_wash(p: Plate, rgb: np.ndarray, outlined: bool) -> np.ndarray:
  """The look 'sketch:ink': a styled picture reprinted on old paper.

  Args:
    p: the plate that `rgb` was made from.
    rgb: float32 [S, S, 3] in [0, 1], the styled picture.
    outlined: whether the style has drawn outlines already.
  """
  t = p.tex
  light = luma(rgb)
  # Etching brings out the texture of the style and evens out the rest.
  tone = 0.06 + 0.9 * light + 0.7 * (light - blur(light, p.size / 32))
  wash = _SEPIA + (_CREAM - _SEPIA) * tone[..., None]
  wash += 0.52 * (rgb - light[..., None])
  wash *= t.wash[p.variant] * 0.16 + 0.85
  line = np.clip(((0.50 - light) * 1.2 - t.cross) * 3.0, 0, 0.3)
  if not outlined:
    line = np.maximum(line, 0.65 * p.outline(1.0, 0.5))
  wash += (_SEPIA * 0.8 - wash) * line[..., None]
  return (_CREAM + (wash - _CREAM) * t.margin) * t.grain


# In the order of lexicon.STYLES.
DRAW = {
  f.__name__: f
  for f in (
    watercolor,
    ink,
    pixel_art,
    low_poly,
    neon,
    oil,
    flat,
    pencil,
    stained_glass,
    pop_art,
  )
}
# Styles that draw outlines.
OUTLINED = frozenset(('ink', 'neon', 'stained_glass', 'pop_art', 'pencil'))
# Styles on light paper, where rain and snow need dark marks.
ON_PAPER = frozenset(('watercolor', 'ink', 'pencil'))
