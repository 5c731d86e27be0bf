"""The English that `grammar` writes, beyond the lexicon's canonical phrases.

Every entry means exactly what it stands for to the parser of sketch: a
rewording names its value and nothing else, a frame or a touch names nothing.
"""

from pasta.t2i.sketch import lexicon

SLOT = {name: i for i, name in enumerate(lexicon.SLOT_NAMES)}
_VALUES = tuple(lexicon.SLOTS.values())
(SUBJECT, SETTING, STYLE, PALETTE, LIGHT, COMPOSITION, WEATHER, ACCENT) = range(
  len(lexicon.SLOT_NAMES)
)
# The order in which new phrases are written; the subject stands before them.
ORDER = (SETTING, WEATHER, LIGHT, ACCENT, STYLE, PALETTE, COMPOSITION)
PHRASES = tuple(tuple(v.phrase for v in values) for values in _VALUES)

# Slot -> value name -> other ways to put the canonical phrase.
_REWORDINGS = {
  'setting': {
    'forest': ('in the woods', 'in a woodland'),
    'desert': ('in the desert', 'among dunes'),
    'beach': ('at the seaside', 'by the shore', 'at the beach'),
    'meadow': ('in a field', 'in the meadow'),
    'street': ('in the street', 'in an alley'),
    'room': ('indoors', 'inside a cosy room'),
    'space': ('in the cosmos', 'out in space'),
    'underwater': ('underwater', 'in the deep sea'),
    'river': ('at the riverside', 'beside a stream', 'by the river'),
    'garden': ('in the garden', 'in a park'),
    'clouds': ('high in the sky', 'among the clouds'),
    'ruins': ('amid old ruins', 'among ruins'),
  },
  'style': {
    'watercolor': ('watercolor', 'in watercolor'),
    'ink': ('pen drawing', 'line art'),
    'pixel_art': ('8-bit pixel art', 'in pixel art'),
    'low_poly': ('low poly', 'low poly style'),
    'neon': ('cyberpunk', 'synthwave'),
    'oil': ('in oil', 'oil on canvas'),
    'flat': ('flat illustration', 'minimalist poster'),
    'pencil': ('pencil drawing', 'drawn in pencil'),
    'stained_glass': ('leaded glass', 'in stained glass'),
    'pop_art': ('comic book style', 'in pop art style'),
  },
  'palette': {
    'warm': ('in warm tones', 'warm hues'),
    'cool': ('in cool blue', 'cool tones'),
    'pastel': ('in soft colours', 'pastel tones'),
    'mono': ('monochrome', 'in monochrome'),
    'earthy': ('in sepia and brown', 'earthy hues'),
    'vivid': ('vibrant colours', 'in bright colours'),
    'forest_green': ('verdant greens', 'in emerald tones'),
    'candy': ('in pink and purple', 'violet and magenta'),
  },
  'light': {
    'day': ('at midday', 'in full daylight'),
    'golden': ('at sunset', 'in the golden hour'),
    'dusk': ('at twilight', 'in the evening'),
    'night': ('by moonlight', 'at midnight'),
    'dawn': ('at sunrise', 'in the early morning'),
    'rays': ('with sunbeams', 'under dramatic light rays'),
  },
  'composition': {
    'close_up': ('seen close up', 'a closeup'),
    'wide': ('wide panorama', 'seen as a panorama'),
    'centered': ('symmetrical', 'neatly centered'),
    'low_angle': ('from a low angle', 'viewed from below'),
    'framed': ('with an ornate border', 'framed'),
  },
  'weather': {
    'clear': ('under a clear sky', 'in cloudless weather'),
    'rain': ('in rainy weather', 'under falling rain'),
    'snow': ('in the snow', 'in winter'),
    'fog': ('in the mist', 'in foggy weather'),
  },
  'accent': {
    'alone': ('and nothing else', 'with nothing else in sight'),
    'birds': ('with birds flying by', 'with swallows overhead'),
    'balloons': ('with drifting balloons', 'with balloons overhead'),
    'lanterns': ('with lanterns', 'lit by lanterns'),
    'flowers': ('with flowers', 'surrounded by flowers'),
    'people': ('with people', 'with a few people'),
    'butterflies': ('with butterflies around', 'with fluttering butterflies'),
  },
}
# [slot][value] -> all ways to say it, the canonical phrase first. Subjects
# are reworded by their nouns instead.
WORDINGS: tuple[tuple[tuple[str, ...], ...], ...] = tuple(
  tuple((v.phrase, *_REWORDINGS.get(slot, {}).get(v.name, ())) for v in values)
  for slot, values in lexicon.SLOTS.items()
)

# Subject name -> nouns without an article; the canonical one first.
_NOUNS = {
  'cat': ('cat', 'feline', 'kitty'),
  'fox': ('fox', 'vixen'),
  'whale': ('whale', 'orca'),
  'mountain': ('mountain', 'peak', 'summit'),
  'harbour': ('harbour', 'marina', 'port'),
  'waterfall': ('waterfall', 'cascade'),
  'cake': ('cake', 'dessert'),
  'ramen': ('bowl of ramen', 'bowl of noodles'),
  'fruit': ('bowl of fruit', 'bowl of apples'),
  'woman': ('woman', 'lady'),
  'man': ('bearded man', 'bearded gentleman'),
  'robot': ('robot', 'android'),
  'skyline': ('skyline', 'metropolis'),
  'cottage': ('cottage', 'cabin', 'house'),
  'castle': ('castle', 'fortress'),
  'cactus': ('cactus', 'succulent'),
  'sunflower': ('sunflower', 'daisy'),
  'tree': ('old tree', 'old oak'),
  'sailboat': ('sailboat', 'yacht'),
  'train': ('steam train', 'steam locomotive'),
  'car': ('vintage car', 'vintage automobile'),
  'spiral': ('spiral', 'swirl'),
  'circles': ('overlapping circles', 'overlapping orbs'),
  'tiles': ('mosaic of tiles', 'tessellation'),
}
NOUNS: tuple[tuple[str, ...], ...] = tuple(
  _NOUNS[s.name] for s in lexicon.SUBJECTS
)
# Subjects that take no 'a'.
PLURAL = frozenset(
  i for i, s in enumerate(lexicon.SUBJECTS) if s.name == 'circles'
)
# Phrase -> (slot, value), for phrases that have other wordings; subjects
# without their article.
WORDED: dict[str, tuple[int, int]] = {
  phrase: (slot, value)
  for slot, values in enumerate((NOUNS, *WORDINGS[1:]))
  for value, phrases in enumerate(values)
  for phrase in phrases
}

# Adjectives per group of subjects; none of them means anything to sketch.
ADJECTIVES: dict[str, tuple[str, ...]] = {
  'animals': ('young', 'curious', 'sleepy', 'playful', 'majestic', 'gentle'),
  'landscapes': ('vast', 'serene', 'rugged', 'hidden', 'majestic', 'remote'),
  'food': (
    'homemade',
    'delicious',
    'steaming',
    'generous',
    'tempting',
    'festive',
  ),
  'portraits': (
    'elegant',
    'smiling',
    'pensive',
    'confident',
    'gentle',
    'mysterious',
  ),
  'city': (
    'weathered',
    'charming',
    'whimsical',
    'grand',
    'storied',
    'picturesque',
  ),
  'plants': ('tall', 'delicate', 'sturdy', 'graceful', 'thriving', 'slender'),
  'vehicles': ('gleaming', 'weathered', 'elegant', 'tiny', 'sturdy', 'beloved'),
  'abstract': (
    'intricate',
    'delicate',
    'hypnotic',
    'bold',
    'playful',
    'graceful',
  ),
}
ALL_ADJECTIVES = frozenset(a for group in ADJECTIVES.values() for a in group)


def adjectives(value: int) -> tuple[str, ...]:
  """The adjectives that suit a subject."""
  return ADJECTIVES[lexicon.SUBJECTS[value].group]


# A style in front of its picture: 'a watercolor painting of a fox'.
_STYLE_FRAMES = {
  'watercolor': 'a watercolor painting',
  'ink': 'an ink drawing',
  'pixel_art': 'pixel art',
  'low_poly': 'a low poly render',
  'neon': 'neon glow art',
  'oil': 'an oil painting',
  'flat': 'a flat vector illustration',
  'pencil': 'a pencil sketch',
  'stained_glass': 'a stained glass image',
  'pop_art': 'pop art',
}
STYLE_FRAMES = tuple(_STYLE_FRAMES[v.name] + ' of ' for v in lexicon.STYLES)

# Rhetorical frames before and behind a prompt; they say nothing.
FRAMES = (
  'a picture of',
  'an image of',
  'an image showing',
  'a scene showing',
  'a depiction of',
  'an artwork showing',
  'a picture showing',
  'an artwork of',
  'a rendition of',
  'an imagined scene of',
)
SUFFIXES = (
  'as one picture',
  'in a single image',
  'shown as one scene',
  'as an artwork',
  'as a finished piece',
  'as a complete picture',
  'all in one image',
  'made into a picture',
)
TOUCHES = (
  'fine textures',
  'gentle shadows',
  'rich details',
  'calm mood',
  'crisp focus',
  'soft contours',
  'delicate shading',
  'layered depth',
  'subtle textures',
  'clean edges',
  'playful mood',
  'timeless feel',
  'graceful lines',
  'bold contrast',
  'intimate mood',
  'bold outlines',
  'balanced layout',
  'handmade feel',
  'storybook feel',
  'sense of wonder',
)
# Touches that speak of how a picture is made.
STYLE_TOUCHES = (
  'fine textures',
  'soft contours',
  'delicate shading',
  'clean edges',
  'graceful lines',
  'bold contrast',
  'bold outlines',
  'handmade feel',
)


def _negation(slot: str, phrase: str) -> str:
  if slot == 'subject':
    return 'no ' + phrase.removeprefix('a bowl of ').removeprefix(
      'an '
    ).removeprefix('a ')
  return ('no ' if slot in ('style', 'palette') else 'not ') + phrase


_NEGATED_ACCENTS = {
  'alone': 'not empty',
  'birds': 'no birds',
  'balloons': 'no balloons',
  'lanterns': 'no lanterns',
  'flowers': 'no flowers',
  'people': 'no people',
  'butterflies': 'no butterflies',
}
_NEGATED_WEATHERS = {
  'clear': 'no clear sky',
  'rain': 'no rain',
  'snow': 'no snow',
  'fog': 'no fog',
}
_NEGATED_PALETTES = {'mono': 'not black and white'}
# [slot][value] -> how a prompt rules the value out.
NEGATIONS: tuple[tuple[str, ...], ...] = tuple(
  tuple(
    {
      'accent': _NEGATED_ACCENTS,
      'weather': _NEGATED_WEATHERS,
      'palette': _NEGATED_PALETTES,
    }.get(slot, {}).get(v.name, _negation(slot, v.phrase))
    for v in values
  )
  for slot, values in lexicon.SLOTS.items()
)


def _unlikely() -> frozenset[tuple[int, int, int, int]]:
  """Pairs of values that seldom go together, as (slot, value) twice."""
  indoors = {'room'}
  no_sky = {'room', 'underwater', 'space'}
  huge = {
    'mountain',
    'harbour',
    'waterfall',
    'skyline',
    'cottage',
    'castle',
    'sailboat',
    'train',
    'car',
    'whale',
    'tree',
  }
  landbound = {
    'mountain',
    'harbour',
    'waterfall',
    'skyline',
    'cottage',
    'train',
    'car',
    'tree',
    'sunflower',
    'cactus',
  }
  afloat = {'forest', 'desert', 'meadow', 'street', 'garden', 'room'}
  pairs = []
  for setting in no_sky:
    pairs += [
      ('setting', setting, 'weather', w)
      for w in ('rain', 'snow', 'fog', 'clear')
    ]
    pairs += [('setting', setting, 'accent', a) for a in ('birds', 'balloons')]
    pairs += [
      ('setting', setting, 'light', a) for a in ('day', 'golden', 'dawn')
    ]
  pairs += [('subject', s, 'setting', r) for s in huge for r in indoors]
  pairs += [
    ('subject', s, 'setting', w)
    for s in landbound
    for w in ('underwater', 'space', 'clouds')
  ]
  pairs += [
    ('subject', s, 'setting', w)
    for s in ('whale', 'sailboat', 'harbour')
    for w in afloat
  ]
  pairs += [('palette', 'mono', 'style', s) for s in ('neon', 'pop_art')]
  index = [{v.name: i for i, v in enumerate(values)} for values in _VALUES]
  out = set()
  for slot_a, a, slot_b, b in pairs:
    i, j = SLOT[slot_a], SLOT[slot_b]
    out |= {(i, index[i][a], j, index[j][b]), (j, index[j][b], i, index[i][a])}
  return frozenset(out)


UNLIKELY = _unlikely()
