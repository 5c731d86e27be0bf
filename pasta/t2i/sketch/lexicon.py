"""The words that sketch understands.

A scene has one value in each of eight slots. Every value has a canonical
phrase (what `grammar` writes) and synonyms (what people may write instead).
Nothing here imports jax: render workers load this module on their own.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Value:
  """One value of a slot.

  Attributes:
    name: identifier, unique within its slot.
    phrase: canonical English, as it reads inside a prompt.
    synonyms: other words or phrases that mean the same.
    weight: relative frequency with which an open slot takes this value.
  """

  name: str
  phrase: str
  synonyms: tuple[str, ...] = ()
  weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Subject(Value):
  """A subject also belongs to a group."""

  group: str = ''


# Group name -> words that name the group and leave the subject open.
GROUPS: dict[str, tuple[str, ...]] = {
  'animals': ('animal', 'creature', 'pet', 'wildlife'),
  'landscapes': ('landscape', 'scenery', 'nature', 'view'),
  'food': ('food', 'meal', 'dish', 'snack'),
  'portraits': ('portrait', 'face', 'person', 'character'),
  'city': ('city', 'town', 'building', 'architecture', 'urban'),
  'plants': ('plant', 'botanical', 'vegetation', 'houseplant'),
  'vehicles': ('vehicle', 'transport', 'machine', 'ride'),
  'abstract': ('abstract', 'pattern', 'geometry', 'shapes'),
}

# Group name -> (name, phrase, synonyms) of its subjects.
_SUBJECTS = {
  'animals': (
    ('cat', 'a cat', ('kitten', 'kitty', 'feline')),
    ('fox', 'a fox', ('vixen', 'foxes')),
    ('whale', 'a whale', ('orca', 'whales')),
  ),
  'landscapes': (
    (
      'mountain',
      'a mountain',
      ('mountains', 'peak', 'summit', 'alps', 'hill', 'hills'),
    ),
    (
      'harbour',
      'a harbour',
      ('harbor', 'port', 'marina', 'pier', 'dock', 'bay'),
    ),
    ('waterfall', 'a waterfall', ('cascade', 'falls')),
  ),
  'food': (
    ('cake', 'a cake', ('pastry', 'dessert', 'cupcake')),
    ('ramen', 'a bowl of ramen', ('ramen', 'noodles', 'soup')),
    (
      'fruit',
      'a bowl of fruit',
      ('fruit', 'fruits', 'apples', 'oranges', 'still life'),
    ),
  ),
  'portraits': (
    ('woman', 'a woman', ('girl', 'lady', 'queen', 'princess')),
    ('man', 'a bearded man', ('man', 'boy', 'king', 'gentleman')),
    ('robot', 'a robot', ('android', 'cyborg', 'droid')),
  ),
  'city': (
    ('skyline', 'a skyline', ('skyscrapers', 'downtown', 'metropolis')),
    ('cottage', 'a cottage', ('house', 'cabin', 'hut', 'home')),
    ('castle', 'a castle', ('fortress', 'palace', 'tower')),
  ),
  'plants': (
    ('cactus', 'a cactus', ('cacti', 'succulent')),
    ('sunflower', 'a sunflower', ('sunflowers', 'daisy', 'bloom')),
    ('tree', 'an old tree', ('tree', 'oak', 'willow', 'bonsai')),
  ),
  'vehicles': (
    ('sailboat', 'a sailboat', ('sailing boat', 'yacht', 'ship')),
    ('train', 'a steam train', ('train', 'locomotive', 'railway')),
    ('car', 'a vintage car', ('car', 'automobile', 'roadster')),
  ),
  'abstract': (
    ('spiral', 'a spiral', ('swirl', 'vortex', 'swirls')),
    ('circles', 'overlapping circles', ('circles', 'bubbles', 'orbs')),
    ('tiles', 'a mosaic of tiles', ('tiles', 'mosaic', 'tessellation')),
  ),
}
SUBJECTS: tuple[Subject, ...] = tuple(
  Subject(*words, group=group)
  for group, subjects in _SUBJECTS.items()
  for words in subjects
)

SETTINGS: tuple[Value, ...] = (
  Value('forest', 'in a forest', ('forest', 'woods', 'woodland', 'jungle')),
  Value('desert', 'in a desert', ('desert', 'dunes', 'sahara')),
  Value('beach', 'on a beach', ('beach', 'seaside', 'shore', 'coast')),
  Value('meadow', 'in a meadow', ('meadow', 'field', 'grassland', 'prairie')),
  Value('street', 'on a city street', ('street', 'alley', 'road', 'avenue')),
  Value(
    'room',
    'in a cosy room',
    ('room', 'indoors', 'interior', 'kitchen', 'studio'),
  ),
  Value(
    'space',
    'in outer space',
    ('outer space', 'space', 'galaxy', 'cosmos', 'planets'),
  ),
  Value(
    'underwater',
    'under the sea',
    ('underwater', 'under the sea', 'undersea', 'reef', 'deep sea'),
  ),
  Value('river', 'by a river', ('river', 'stream', 'riverside', 'canal')),
  Value('garden', 'in a garden', ('garden', 'park', 'courtyard', 'orchard')),
  Value(
    'clouds',
    'above the clouds',
    ('clouds', 'in the sky', 'cloudscape', 'floating'),
  ),
  Value(
    'ruins', 'among ancient ruins', ('ruins', 'temple', 'columns', 'ancient')
  ),
)

STYLES: tuple[Value, ...] = (
  Value(
    'watercolor',
    'watercolor painting',
    ('watercolor', 'watercolour', 'aquarelle', 'wash'),
  ),
  Value('ink', 'ink drawing', ('ink', 'line art', 'pen drawing', 'etching')),
  Value('pixel_art', 'pixel art', ('pixel', 'pixelated', '8-bit', '8 bit')),
  Value(
    'low_poly',
    'low poly render',
    ('low poly', 'low-poly', 'polygonal', 'faceted'),
  ),
  Value('neon', 'neon glow art', ('neon', 'cyberpunk', 'synthwave')),
  Value('oil', 'oil painting', ('oil', 'impasto', 'brushstrokes')),
  Value(
    'flat',
    'flat vector illustration',
    ('flat', 'vector', 'minimalist', 'poster', 'minimal'),
  ),
  Value(
    'pencil',
    'pencil sketch',
    ('pencil', 'charcoal', 'graphite', 'crosshatching'),
  ),
  Value('stained_glass', 'stained glass', ('leaded glass', 'glasswork')),
  Value('pop_art', 'pop art', ('halftone', 'comic', 'comic book')),
)

PALETTES: tuple[Value, ...] = (
  Value(
    'warm',
    'warm colours',
    ('warm', 'warmer', 'orange tones', 'fiery', 'autumn'),
  ),
  Value('cool', 'cool blue tones', ('cool', 'cooler', 'blue', 'icy', 'cold')),
  Value(
    'pastel',
    'pastel colours',
    ('pastel', 'pastels', 'soft colours', 'soft colors', 'softer'),
  ),
  Value(
    'mono',
    'black and white',
    ('monochrome', 'grayscale', 'greyscale', 'grey', 'gray'),
  ),
  Value('earthy', 'earthy tones', ('earthy', 'brown', 'sepia', 'rustic')),
  Value(
    'vivid',
    'vivid colours',
    (
      'vivid',
      'vibrant',
      'colorful',
      'colourful',
      'bright colours',
      'bright colors',
      'saturated',
    ),
  ),
  Value(
    'forest_green',
    'lush greens',
    ('green', 'greens', 'emerald', 'verdant', 'lush'),
  ),
  Value(
    'candy', 'pink and purple', ('pink', 'purple', 'magenta', 'violet', 'candy')
  ),
)

LIGHTS: tuple[Value, ...] = (
  Value(
    'day', 'in daylight', ('daylight', 'midday', 'noon', 'sunny', 'brighter')
  ),
  Value(
    'golden', 'at golden hour', ('golden hour', 'sunset', 'sunlit', 'golden')
  ),
  Value('dusk', 'at dusk', ('dusk', 'twilight', 'evening')),
  Value(
    'night',
    'at night',
    ('night', 'midnight', 'moonlit', 'darker', 'dark', 'moonlight'),
  ),
  Value('dawn', 'at dawn', ('dawn', 'sunrise', 'morning')),
  Value(
    'rays',
    'with dramatic light rays',
    ('dramatic', 'light rays', 'sunbeams', 'god rays', 'rays'),
  ),
)

COMPOSITIONS: tuple[Value, ...] = (
  Value(
    'close_up',
    'close-up',
    ('close up', 'closeup', 'macro', 'closer', 'detailed view'),
  ),
  Value(
    'wide',
    'wide shot',
    ('wide', 'panorama', 'panoramic', 'far away', 'distant'),
  ),
  Value(
    'centered',
    'centered composition',
    ('centered', 'centred', 'symmetrical', 'symmetric'),
  ),
  Value(
    'low_angle', 'seen from below', ('low angle', 'from below', 'towering')
  ),
  Value(
    'framed', 'in a decorative frame', ('framed', 'border', 'vignette', 'frame')
  ),
)

WEATHERS: tuple[Value, ...] = (
  Value('clear', 'in clear weather', ('clear', 'clear sky', 'cloudless'), 2.0),
  Value('rain', 'in the rain', ('rain', 'rainy', 'storm', 'stormy', 'wet')),
  Value('snow', 'in falling snow', ('snow', 'snowy', 'winter', 'blizzard')),
  Value('fog', 'in thick fog', ('fog', 'foggy', 'mist', 'misty', 'hazy')),
)

ACCENTS: tuple[Value, ...] = (
  Value(
    'alone',
    'with nothing else around',
    ('nothing else', 'lonely', 'empty', 'quiet', 'simple'),
    2.0,
  ),
  Value(
    'birds', 'with birds in the air', ('birds', 'bird', 'seagulls', 'swallows')
  ),
  Value(
    'balloons',
    'with hot air balloons',
    ('balloons', 'balloon', 'hot air balloon'),
  ),
  Value(
    'lanterns',
    'with glowing lanterns',
    ('lanterns', 'lantern', 'fireflies', 'candles'),
  ),
  Value(
    'flowers',
    'with flowers around',
    ('flowers', 'flower', 'blossoms', 'petals'),
  ),
  Value(
    'people',
    'with people strolling',
    ('people', 'crowd', 'strollers', 'figures', 'children'),
  ),
  Value('butterflies', 'with butterflies', ('butterfly', 'moths')),
)

# Slot order is part of the format: scenes are integer arrays in this order.
SLOTS: dict[str, tuple[Value, ...]] = {
  'subject': SUBJECTS,
  'setting': SETTINGS,
  'style': STYLES,
  'palette': PALETTES,
  'light': LIGHTS,
  'composition': COMPOSITIONS,
  'weather': WEATHERS,
  'accent': ACCENTS,
}
SLOT_NAMES: tuple[str, ...] = tuple(SLOTS)
SLOT_SIZES: tuple[int, ...] = tuple(len(v) for v in SLOTS.values())
GROUP_NAMES: tuple[str, ...] = tuple(GROUPS)
# Group index of every subject.
SUBJECT_GROUP: tuple[int, ...] = tuple(
  GROUP_NAMES.index(s.group) for s in SUBJECTS
)
