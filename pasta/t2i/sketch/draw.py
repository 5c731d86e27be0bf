"""Draws one scene: materials first, then light, style and weather."""

import functools

import numpy as np
from PIL import Image, ImageDraw

from pasta import seeds
from pasta.t2i.sketch import (
  accents,
  backgrounds,
  lexicon,
  palettes,
  shapes,
  skies,
  styles,
  subjects,
  textures,
)

LOOKS = ('sketch', 'sketch:ink')
# Raise when any pixel changes: encoders are trained on one version.
VERSION = 1

_NAMES = {
  slot: tuple(v.name for v in values) for slot, values in lexicon.SLOTS.items()
}
_VARIANTS = 4
# Parts of small pictures are kept once drawn: at 128 pixels (a picture of 64,
# drawn at twice its size) each takes 16 KiB.
_CACHED_PIXELS = 128
# Per composition: horizon, the subject's half height, its base, how much its
# width shrinks from base to top, how far it may stand off the middle.
_COMPOSITIONS = {
  'close_up': (0.74, 0.60, 1.14, 0.0, 0.05),
  'wide': (0.62, 0.21, 0.82, 0.0, 0.14),
  'centered': (0.68, 0.345, 0.885, 0.0, 0.0),
  'low_angle': (0.88, 0.46, 0.99, 0.66, 0.05),
  'framed': (0.66, 0.30, 0.83, 0.0, 0.05),
}
# Where the visible part of the picture begins and ends.
_BOUNDS = {'wide': (0.11, 0.89), 'framed': (0.11, 0.89)}
# Which materials are the subject's, which stand before or in it, which glow.
_SUBJECT = bytes(int(i in range(*palettes.SUBJECT_RANGE)) for i in range(256))
_FOCUS = bytes(int(i >= palettes.SUBJECT_RANGE[0]) for i in range(256))
_LAMPS = bytes(
  int(i in (palettes.MATERIAL['lantern'], palettes.MATERIAL['lantern_core']))
  for i in range(256)
)
_LAMP_GLOW = np.array([0.75, 0.52, 0.22], np.float32)
_DARK = frozenset(('dusk', 'night', 'rays'))
_FOG_LIGHT = {
  'day': 1.0,
  'golden': 0.95,
  'dusk': 0.66,
  'night': 0.42,
  'dawn': 1.0,
  'rays': 0.75,
}
_DITHER = np.array([[0.125, 0.625], [0.875, 0.375]])
_NUM_UNIFORMS = 24  # that a drawing takes
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _uniforms(seed: int) -> list[float]:
  """Uniform numbers in [0, 1) from a 64-bit seed (splitmix64)."""
  index = np.arange(1, _NUM_UNIFORMS + 1, dtype=np.uint64)
  x = seeds.mix64(np.uint64(seed) + index * _GOLDEN)
  return ((x >> np.uint64(40)) * 2.0**-24).tolist()


@functools.cache
def _background_figure(
  setting: str, light: str, composition: str, variant: int
) -> tuple[shapes.Figure, tuple[float, float, float, float], float]:
  """Sky bodies and setting in the unit square; the glow; the horizon."""
  horizon = _COMPOSITIONS[composition][0]
  u = _uniforms(variant * 977 + _NAMES['setting'].index(setting) * 31 + 5)
  s = shapes.Shapes()
  # In a room the sky is seen through a window.
  glow = (0.5, -0.05, 0.5, 0.2)
  if setting != 'underwater':
    below = horizon - 0.2 if setting == 'room' else horizon
    glow = skies.draw(s, light, below, u, setting not in ('space', 'room'))
  backgrounds.DRAW[setting](s, horizon, u)
  return s.figure(), glow, horizon


def _paint_background(setting, light, composition, variant, pixels):
  figure, _, horizon = _background_figure(setting, light, composition, variant)
  rows = np.minimum(np.arange(pixels) / (pixels * horizon), 1.0)
  rows = rows * (palettes.SKY_BANDS - 1)
  # Dithered, so that the halved picture has four times as many shades.
  numbers = np.floor(
    rows[:, None] + np.tile(_DITHER, (pixels // 2, pixels // 2))
  ).astype(np.uint8)
  numbers = np.minimum(numbers, palettes.SKY_BANDS - 1)
  image = Image.fromarray(numbers)
  pen = ImageDraw.Draw(image)
  shapes.paint(pen, figure, figure.points * pixels)
  if composition == 'centered':
    halo = accents.halo()
    shapes.paint(pen, halo, halo.points * pixels)
  return image


_cached_background = functools.lru_cache(maxsize=1440)(_paint_background)


def _background(where, mirrored, pixels):
  small = pixels <= _CACHED_PIXELS
  image = (_cached_background if small else _paint_background)(*where, pixels)
  if mirrored:
    return image.transpose(Image.FLIP_LEFT_RIGHT)
  return image.copy() if small else image


def _layer(figure, pixels):
  """A figure as an image of numbers and a mask of where it paints."""
  image = Image.new('L', (pixels, pixels))
  shapes.paint(ImageDraw.Draw(image), figure, figure.points * pixels)
  return image, image.point([0] + [255] * 255)


@functools.cache
def _accent_figure(accent, bounds, variant):
  s = shapes.Shapes()
  accents.DRAW[accent](s, *bounds, _uniforms(variant + 40))
  return s.figure()


def _paint_accent(accent, bounds, variant, mirrored, pixels):
  layer = _layer(_accent_figure(accent, bounds, variant), pixels)
  if mirrored:
    layer = [part.transpose(Image.FLIP_LEFT_RIGHT) for part in layer]
  return layer


_cached_accent = functools.lru_cache(maxsize=256)(_paint_accent)


@functools.lru_cache(maxsize=4)
def _frame(pixels: int) -> tuple[Image.Image, Image.Image]:
  return _layer(accents.frame(), pixels)


def _pose(figure, composition, pixels, u):
  """The subject's points in pixels; its middle, base and half height."""
  _, half, base, taper, stray = _COMPOSITIONS[composition]
  half *= 0.95 + 0.1 * u[0]
  middle = 0.5 + stray * (2.0 * u[1] - 1.0)
  x, y = figure.points[:, 0], figure.points[:, 1]
  if u[2] < 0.5:
    x = -x
  x = x + 0.035 * np.sin(3.0 * y + 6.3 * u[3])  # No two drawn quite alike.
  width = half * (0.95 + 0.1 * u[4])
  if taper:
    x = x * (1.2 - taper * 0.5 * (1.0 - y))
  points = np.empty_like(figure.points)
  points[:, 0] = (middle + width * x) * pixels
  points[:, 1] = (base + half * (y - 1.0)) * pixels
  return points, (middle, base, half)


def _share(numbers, table):
  """Share of each pixel that the table marks, float32 [S, S] in [0, 1]."""
  marks = styles.lookup(numbers, table)
  rows = marks[::2] + marks[1::2]
  return (rows[:, ::2] + rows[:, 1::2]) * np.float32(0.25)


@functools.lru_cache(maxsize=8)
def _axis(size: int) -> np.ndarray:
  return ((np.arange(size) + 0.5) / size).astype(np.float32)


def _spot(size, x, y, rx, ry):
  """A Gaussian spot, float32 [S, S]."""
  at = _axis(size)
  return (
    np.exp(-(((at - y) / ry) ** 2))[:, None]
    * np.exp(-(((at - x) / rx) ** 2))[None, :]
  )


def _paint_materials(name, subject, u, pixels):
  """All of the scene as an image of numbers; the pose; the glow."""
  mirrored = u[6] < 0.5
  where = (
    name['setting'],
    name['light'],
    name['composition'],
    int(u[7] * _VARIANTS),
  )
  image = _background(where, mirrored, pixels)
  _, (x, y, radius, strength), _ = _background_figure(*where)
  figure = subjects.figure(subject)
  points, pose = _pose(figure, name['composition'], pixels, u)
  pen = ImageDraw.Draw(image)
  shapes.paint(pen, figure, points)
  if name['accent'] != 'alone':
    paint = _cached_accent if pixels <= _CACHED_PIXELS else _paint_accent
    extra, opaque = paint(
      name['accent'],
      _BOUNDS.get(name['composition'], (0.02, 1.0)),
      int(u[8] * _VARIANTS),
      u[9] < 0.5,
      pixels,
    )
    image.paste(extra, mask=opaque)
  if name['composition'] == 'wide':
    bars = accents.bars()
    shapes.paint(pen, bars, bars.points * pixels)
  elif name['composition'] == 'framed':
    frame, opaque = _frame(pixels)
    image.paste(frame, mask=opaque)
  return image, pose, (1.0 - x if mirrored else x, y, radius, strength)


def _shade(rgb, name, mask, soft, pose, glow, tones, tex, mirrored):
  """Rounds the subject, grounds it, and lets the sky's light glow; in place."""
  size = len(mask)
  middle, base, half = pose
  step = max(1, size // 32)
  relief = np.roll(soft, (-step, step if mirrored else -step), (0, 1)) - soft
  around = soft * (1.0 - mask)
  dark = name['light'] in _DARK
  shade = tex.vignette * (1.0 - (0.1 if dark else 0.56) * around)
  shade *= 1.0 - 1.1 * relief * mask
  if name['subject'] not in subjects.FLOATING:
    shade *= 1.0 - 0.5 * _spot(size, middle, base, half, 0.045) * (1.0 - mask)
  rgb *= shade[..., None]
  if dark:  # Lit from behind, to stand out.
    rgb += around[..., None] * (0.20 * tones[2])
  x, y, radius, strength = glow
  spot = strength * _spot(size, x, y, radius, radius) * (1.0 - 0.5 * mask)
  rgb += spot[..., None] * (0.4 + 0.6 * tones[2])


def draw_scene(
  scene: np.ndarray, seed: int, size: int, look: str
) -> np.ndarray:
  """Draws one scene; deterministic given its arguments.

  Args:
    scene: int8 [S], a value per slot in the lexicon's order.
    seed: unsigned 64-bit integer: pose, details, texture.
    size: width and height, pixels.
    look: one of LOOKS.

  Returns:
    uint8 [size, size, 3].
  """
  scene = [int(v) for v in scene]
  name = {slot: names[v] for (slot, names), v in zip(_NAMES.items(), scene)}
  subject, palette, light = scene[0], scene[3], scene[4]
  style, weather = name['style'], name['weather']
  u = _uniforms(seed)
  tex = textures.make(size)
  tones = palettes.tones(palette)
  variant = int(u[5] * textures.VARIANTS)
  mirrored = u[6] < 0.5
  image, pose, glow = _paint_materials(name, subject, u, 2 * size)

  numbers = np.asarray(image)
  sky = {'space': 'space', 'underwater': 'sea'}.get(name['setting'], 'air')
  image.putpalette(
    palettes.colour_table(
      palette, light, sky, weather == 'snow', style == 'flat'
    )
  )
  rgb = np.asarray(image.convert('RGB').reduce(2), np.float32)
  spread = 0.0 if name['palette'] == 'mono' else 0.10
  rgb = rgb * np.array(
    [(1.0 + spread * (v - 0.5)) / 255.0 for v in u[10:13]], np.float32
  )
  mask = _share(numbers, _SUBJECT)
  soft = styles.blur(mask, size / 26)
  if style != 'flat':
    _shade(rgb, name, mask, soft, pose, glow, tones, tex, mirrored)
  if name['light'] == 'rays':
    shafts = tex.shafts[:, ::-1] if mirrored else tex.shafts
    rgb += (0.42 * shafts) * (0.35 + 0.65 * tones[2])
  if name['accent'] == 'lanterns':
    lamps = styles.blur(_share(numbers, _LAMPS), size / 20)
    rgb += lamps[..., None] * _LAMP_GLOW

  if weather == 'fog':
    density = tex.fog[variant] * (1.0 - 0.5 * mask[..., None])
    rgb += (tones[2] * 0.9 * _FOG_LIGHT[name['light']] - rgb) * density
  elif weather in ('rain', 'snow'):
    rgb = rgb * (0.94 if weather == 'snow' else 0.80) + 0.03
  falling = {'rain': tex.rain, 'snow': tex.snow}.get(weather)
  # Drops between the pixels of pixel art would give it away.
  early = style == 'pixel_art'
  if falling is not None and early:
    rgb += (0.95 - rgb) * falling[variant]
  plate = styles.Plate(
    size=size,
    rgb=rgb,
    numbers=numbers,
    mask=mask,
    soft=soft,
    focus=_share(numbers, _FOCUS),
    tones=tones,
    tex=tex,
    variant=variant,
  )
  out = styles.DRAW[style](plate)
  if falling is not None and not early:
    colour = 0.98
    if weather == 'rain' and style in styles.ON_PAPER:
      colour = tones[0]
    cover = falling[variant] * (0.9 - 0.35 * mask)[..., None]
    out = out + (colour - out) * cover
  if look == 'sketch:ink':
    out = styles.pen_and_wash(
      plate, np.clip(out, 0.0, 1.0), style in styles.OUTLINED
    )
  return (np.clip(out, 0.0, 1.0) * np.float32(255)).astype(np.uint8)
