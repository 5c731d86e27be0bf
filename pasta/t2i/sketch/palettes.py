"""Colours of sketch: materials, palettes, light, and the tables they make.

A scene is first drawn as a picture of material numbers. A table then gives
every material its colour: natural colour -> light -> palette. Numbers below
`SKY_BANDS` are the rows of the sky, from the top to the horizon.
"""

import functools

import numpy as np

from pasta.t2i.sketch import lexicon

SKY_BANDS = 32

# fmt: off
# Natural colours. What stands behind the subject:
_BACK = {
    'cloud': 'ffffff', 'cloud_shade': 'd5e0ee', 'cloud_low': 'b4c3d9',
    'leaf': '3f8f3a', 'leaf_dark': '1f5a2b', 'leaf_far': '6aa77a',
    'trunk': '5b3a22', 'trunk_far': '8a7a66', 'moss': '6f9a45',
    'moss_dark': '456f2f', 'mesa': 'b5664a', 'sand': 'eccb8b',
    'sand_shade': 'd5a562', 'sand_dark': 'a9793f', 'pyramid': 'dfae5c',
    'sea': '1f86b8', 'sea_light': '5fc0d8', 'sea_dark': '13527f',
    'foam': 'f4fdff', 'palm': '2f8a4a', 'hill_far': '8fc3a5',
    'hill': '6fb554', 'grass': '8fcf4e', 'grass_dark': '4f9a3a',
    'fence': 'e9dcc4', 'wall_a': 'b0705a',
    'wall_b': '7d6a80', 'wall_c': 'd09a6a', 'pane_dark': '33405a',
    'road': '5a5c66', 'road_line': 'f4e3a0', 'kerb': 'b9b6b0',
    'lamp_post': '2b2d36', 'wallpaper': 'e7c9a6', 'stripe': 'd8b088',
    'floor': '9a6238', 'floor_dark': '744527', 'curtain': 'b23a48',
    'curtain_dark': '85242f', 'sill': 'f7eede', 'rug': '2f6f8a',
    'rug_light': 'e9c46a', 'shelf': '6b3f22', 'book_a': 'c8553d',
    'book_b': '588157', 'book_c': '3d5a80', 'planet': 'e08a5a',
    'planet_band': 'b95f45', 'ring': 'f3d9a4', 'moonlet': '9fb3d1',
    'nebula': '5a3a8f', 'nebula_b': '2f4f8f', 'lunar': '9a97a6',
    'lunar_dark': '6c697b', 'lunar_light': 'c3c0cc', 'weed': '2f9a6a',
    'weed_dark': '14604f', 'coral': 'f2707a',
    'seabed': 'cdbb8a', 'seabed_dark': '9a8b66',
    'shaft': '8fdcee', 'fish': 'f9b233', 'bank': '86b85a',
    'bank_dark': '527f3c', 'hedge': '2f7a3c', 'hedge_light': '58a64c',
    'lawn': '9ad05f', 'lawn_dark': '7dbb4d', 'path': 'e3d4b4',
    'path_dark': 'b9a683', 'trellis': 'fbf6ea', 'rose': 'e8506a',
    'stone': 'd6c9ae', 'stone_dark': '9b8d76', 'stone_deep': '6d6252',
    'slab': 'bfae8c', 'reed': '6f7a2f',
}
# Gives off its own light, so the hour does not darken it.
_LIT = {
    'sun': 'ffe98a', 'sun_fan': 'ffe2a6', 'moon': 'fdf6dc', 'moon_sea':
    'd9cfae', 'star': 'ffffff', 'pane': 'ffd97a', 'lamp': 'fff0b0',
    'lantern': 'ffb347', 'lantern_core': 'fff2c0', 'flame': 'ffcf4a',
    'visor': '6ff7ff', 'beacon': 'fff6c2',
}
# The subject itself.
_SUBJECT = {
    'black': '1f1d27', 'white': 'fffaf0', 'grey': 'a9adb8', 'pink': 'f2899b',
    'cat': '77819c', 'cat_dark': '48506b', 'cat_light': 'd9dce6',
    'cat_eye': 'b7e34a', 'fox': 'e8662a', 'fox_dark': '4a241c',
    'fox_deep': 'b8431c', 'whale': '3a74b8', 'whale_dark': '24508a',
    'whale_light': 'e4f0fa', 'spray': 'c8efff', 'wave': '4fb3d9',
    'rock': '7d7f8c', 'rock_dark': '55566a', 'rock_light': 'a2a3ab',
    'snowcap': 'ffffff', 'snow_shade': 'c3d3ea', 'pine': '24603f',
    'water': '5fb5e6', 'water_light': 'dff4ff', 'water_dark': '2c7cba',
    'red': 'd8383f', 'red_dark': '98222e',
    'plank': 'a8774a', 'plank_dark': '70492b', 'hull': '2e5a8f',
    'sponge': 'e9b872', 'icing_pink': 'f59ab5',
    'choco': '6a3a26', 'plate': 'eef1f5', 'plate_dark': 'b3bccb',
    'broth': 'd98a35',
    'noodle': 'ffe08a', 'yolk': 'ff9f1c', 'nori': '20382c',
    'scallion': '7cc242',
    'orange': 'ff8c1a', 'banana': 'ffd93b', 'grape': '6f3fa0',
    'grape_dark': '4c2677', 'pear': 'b5cf3f', 'china': '3f74a8',
    'china_light': 'cfe2f2', 'skin': 'f2c19c', 'skin_dark': 'd1946d',
    'hair': '6b2f1c', 'hair_light': '9a4d2a', 'dress': 'c2325e',
    'lips': 'c8384a', 'beard': '3b2a22',
    'beard_light': '5d4334', 'suit': '2d4a63', 'suit_dark': '1b2f44',
    'tie': 'd8a23a', 'steel': 'b7c4d1', 'steel_dark': '71808f',
    'copper': 'd9813f', 'tower_a': '4a6a9a',
    'tower_b': '6f8fb8', 'tower_c': '34496f', 'tower_d': '8a6f95',
    'roof': 'b5483a', 'roof_dark': '7f2c28', 'plaster': 'f6e5c3',
    'plaster_dark': 'd3b98e', 'timber': '6b4528', 'door': '3f6f5a',
    'smoke': 'dfe3ea', 'smoke_dark': 'b5bcc9', 'keep': 'c9bba6',
    'keep_dark': '978976', 'keep_light': 'e3d8c5', 'spire': '4a5fa5',
    'spire_dark': '303f78', 'saguaro': '4c9a4a',
    'saguaro_dark': '2c6b3a', 'saguaro_light': '86c96a', 'pot': 'cf6b3e',
    'pot_dark': '98452a', 'petal': 'ffc61a', 'petal_dark': 'ee9412',
    'seed': '5a3418', 'seed_dark': '38200f', 'stem': '4f9a35',
    'stem_dark': '2f6b27', 'bark': '6d4a31', 'bark_dark': '452c1d',
    'foliage': '4f9a3f', 'foliage_dark': '2c6a33', 'foliage_light': '8cc65a',
    'sail': 'fff6e2', 'sail_shade': 'e6d2ae',
    'engine': '2c3e46', 'engine_dark': '17232a',
    'brass': 'e0b040', 'rail': '7d6a5a',
    'paint_light': 'f27068', 'glass': 'c9ebf5',
    'a1': 'ef476f', 'a2': 'ffd166', 'a3': '06a77d',
    'a4': '1b6ca8', 'a5': '6a3d9a', 'a6': 'f8f4e3', 'a7': 'f78c3b',
    'grout': '2f2a3a',
}
# Accents and framing, in front of everything.
_FRONT = {
    'bird': '26283a', 'bal_a': 'e63946', 'bal_b': 'ffd166', 'bal_c': '2a9d8f',
    'bal_d': 'f4f1e8', 'basket': '7a4a2a', 'cord': '3a3540',
    'blossom': 'ff6f91', 'blossom_b': 'ffe27a', 'blossom_c': 'b28dff',
    'eye': 'fff1a8', 'stalk': '3f8a3a', 'coat_a': '34344e',
    'coat_b': 'a63446', 'coat_c': '2e6f73', 'face': 'e8b893',
    'wing': 'ff8c42', 'wing_b': 'f9d65c', 'wing_edge': '2b2233',
    'bar': '0d0c12', 'frame': 'c99b3f', 'frame_dark': '7a5420',
    'frame_light': 'f3d98f', 'frame_gem': 'b23a48',
}

_NATURAL = {**_BACK, **_LIT, **_SUBJECT, **_FRONT}
MATERIAL: dict[str, int] = {
    name: SKY_BANDS + i for i, name in enumerate(_NATURAL)}
SUBJECT_RANGE = (MATERIAL['black'], MATERIAL['grout'] + 1)
if len(MATERIAL) + SKY_BANDS > 256:
  raise ValueError('sketch has more materials than a byte can number')


def _rgb(*colours: str) -> np.ndarray:
  """Hex colours as float64 [N, 3] in [0, 1]."""
  return np.array([[int(c[i:i + 2], 16) for i in (0, 2, 4)]
                   for c in colours]) / 255.0


# Five stops from dark to light for warm natural colours, five for cool ones,
# the share of the natural colour that stays, its saturation.
_PALETTES = {
    'warm': (('2a0710', '9c2418', 'ef7a35', 'ffcf74', 'fff4d8'),
             ('240a1c', '7a2038', 'd0583c', 'f6a862', 'ffe9bd'), 0.10, 1.2),
    'cool': (('061026', '1c4585', '5a92cf', 'aed4f0', 'f2fbff'),
             ('03182e', '0b4d80', '2a9cc0', '8ddbe6', 'e9fcfc'), 0.06, 1.0),
    'pastel': (('8f7f9f', 'd8a3b8', 'f9c3c4', 'fee0d0', 'fffaf3'),
               ('7e8db3', 'a3b9e2', 'b5dfe6', 'd6f2e2', 'fbfffa'), 0.18, 1.0),
    'mono': (('08080a', '444447', '8a8a8c', 'cbcbcb', 'fcfcfc'),
             ('060608', '3a3a3d', '7c7c80', 'c2c2c4', 'f6f6f7'), 0.0, 1.0),
    'earthy': (('201309', '684020', 'a57245', 'd2ae7a', 'f2e4c6'),
               ('1a190f', '4a472a', '7d7748', 'b2a878', 'e9dfc0'), 0.08, 0.8),
    'vivid': (('2a0a2a', 'c81d3c', 'ff6a1f', 'ffd21f', 'fffbe6'),
              ('0a0f3d', '1440c8', '0aa0e6', '35e0c0', 'eaffff'), 0.66, 1.75),
    'forest_green': (('0c1c08', '2c5a16', '79a832', 'c6dd72', 'f6fad8'),
                     ('031c14', '08563c', '259a66', '88d6a4', 'e6faea'), 0.06,
                     1.0),
    'candy': (('2c0430', 'a01a86', 'f25aae', 'ffb0d6', 'fff1f9'),
              ('1a0842', '4f27b4', '8d66ec', 'c6b0fc', 'f5efff'), 0.06, 1.2),
}

# Per light: the sky from top to horizon, the gain on the ground, how much
# haze lifts it, the gain on the subject (which must stand out at any hour),
# and the tint that is laid over the palette's colours.
_LIGHTS = {
    'day': (('2f83e0', '7fc0f4', 'e4f5ff'), 1.0, 0.14, 0.97, (1.0, 1.0, 1.0)),
    'golden': (('d9824a', 'f9bd5a', 'fff2ae'), 0.92, 0.10, 0.86,
               (1.16, 0.96, 0.66)),
    'dusk': (('151540', '573a86', 'ff8e72'), 0.40, 0.0, 0.78,
             (0.96, 0.78, 1.06)),
    'night': (('03060f', '0a1632', '1e3462'), 0.25, 0.0, 0.72,
              (0.72, 0.84, 1.14)),
    'dawn': (('9ec4ef', 'f3cfe0', 'fff0cf'), 0.98, 0.22, 0.90,
             (1.07, 0.95, 1.0)),
    'rays': (('222b3c', '3f4e64', '7f8d9c'), 0.48, 0.0, 0.92,
             (1.0, 0.98, 0.94)),
}
# Other skies, mixed into the light's own.
_SKIES = {
    'air': None,
    'space': ('05030f', '120a2c', '2a1650'),
    'sea': ('5fd0e6', '1d86b5', '0b4374'),
}
_SNOWED = frozenset((
    'moss', 'moss_dark', 'sand', 'sand_shade', 'sand_dark', 'hill_far', 'hill',
    'grass', 'grass_dark', 'road', 'kerb', 'leaf', 'leaf_far', 'palm',
    'lunar', 'lunar_dark', 'lunar_light', 'bank', 'bank_dark', 'hedge_light',
    'lawn', 'lawn_dark', 'path', 'path_dark', 'slab', 'seabed', 'pyramid',
    'mesa', 'floor', 'cloud_low'))
# fmt: on


def _apply_palette(rgb: np.ndarray, palette: int) -> np.ndarray:
  """Maps natural colours [N, 3] onto a palette's two ramps, [N, 3]."""
  warm, cool, keep, saturation = _PALETTES[lexicon.PALETTES[palette].name]
  luma = rgb @ np.array([0.30, 0.59, 0.11])
  stops = np.linspace(0.0, 1.0, 5)
  warm, cool = _rgb(*warm), _rgb(*cool)
  share = 1.0 / (1.0 + np.exp(-7.0 * (rgb[:, 0] - rgb[:, 2])))[:, None]
  ramps = [
    np.stack([np.interp(luma, stops, ramp[:, c]) for c in range(3)], 1)
    for ramp in (warm, cool)
  ]
  mapped = share * ramps[0] + (1.0 - share) * ramps[1]
  natural = luma[:, None] + saturation * (rgb - luma[:, None])
  return (1.0 - keep) * mapped + keep * np.clip(natural, 0.0, 1.0)


@functools.cache
def tones(palette: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """A palette's darkest, middle and lightest colour, each float32 [3]."""
  warm, cool, _, _ = _PALETTES[lexicon.PALETTES[palette].name]
  mean = 0.5 * (_rgb(*warm) + _rgb(*cool))
  return tuple(mean[i].astype(np.float32) for i in (0, 2, 4))


@functools.cache
def colour_table(
  palette: int, light: int, sky: str, snow: bool, banded: bool
) -> bytes:
  """Colours of all materials, as Pillow's putpalette wants them.

  Args:
    palette: index into lexicon.PALETTES.
    light: index into lexicon.LIGHTS.
    sky: a name of _SKIES.
    snow: whether snow lies on the ground.
    banded: whether the sky has four flat bands in place of a gradient.

  Returns:
    768 bytes: red, green and blue of numbers 0..255.
  """
  stops, ground_gain, haze, subject_gain, tint = _LIGHTS[
    lexicon.LIGHTS[light].name
  ]
  where = np.linspace(0.0, 1.0, SKY_BANDS) ** 1.15
  if banded:
    where = (np.floor(where * 3.999) + 0.5) / 4.0
  stops = _rgb(*stops)
  if _SKIES[sky] is not None:
    own = 0.42 if sky == 'space' else 0.38
    stops = (1.0 - own) * _rgb(*_SKIES[sky]) * (
      0.45 + 0.6 * ground_gain
    ) + own * stops
  bands = np.stack(
    [np.interp(where, (0.0, 0.55, 1.0), stops[:, c]) for c in range(3)], 1
  )
  natural = _rgb(*_NATURAL.values())
  gain = np.ones(len(natural))
  for i, name in enumerate(_NATURAL):
    if name in _BACK:
      if snow and name in _SNOWED:
        natural[i] = 0.16 * natural[i] + 0.84 * np.array([0.95, 0.97, 1.0])
      gain[i] = ground_gain
      natural[i] += haze * (1.0 - natural[i])
    elif name in _SUBJECT or name in _FRONT:
      gain[i] = subject_gain
  rgb = np.concatenate([bands, np.clip(natural * gain[:, None], 0.0, 1.0)])
  rgb = _apply_palette(rgb, palette)
  # A palette is the person's wish; the hour only leans on it.
  strength = 0.12 if lexicon.PALETTES[palette].name == 'mono' else 0.55
  rgb = rgb * np.array(tint) ** strength
  table = np.zeros((256, 3))
  table[: len(rgb)] = np.clip(rgb, 0.0, 1.0)
  return np.round(table * 255.0).astype(np.uint8).tobytes()
