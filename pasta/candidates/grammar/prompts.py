"""Rough prompts as people type them, to start sessions with.

`prompt_from_values` says what a synthetic person has in mind. What a prompt
names is checked against the parser of sketch, so filler words can't add a
meaning.
"""

from collections.abc import Mapping
from typing import Protocol

from pasta.candidates import english
from pasta.candidates.grammar import wording
from pasta.t2i.sketch import lexicon, scene


class Uniform(Protocol):
  """`random.Random` and `numpy.random.Generator` both are one."""

  def random(self) -> float:
    """Draws from [0, 1)."""


_MAX_WORDS = 12
_TRIES = 12
# Adjectives are spoken in this order: 'a quiet dark snowy pixel art town'.
_SPOKEN = (
  'accent',
  'setting',
  'light',
  'weather',
  'palette',
  'style',
  'composition',
)
# Words that stand before a noun, per slot and value.
_ADJECTIVES = {
  'weather': {
    'rain': ('rainy', 'stormy'),
    'snow': ('snowy',),
    'fog': ('misty', 'foggy', 'hazy'),
  },
  'light': {
    'day': ('sunny',),
    'golden': ('sunlit', 'golden'),
    'night': ('moonlit', 'dark'),
    'rays': ('dramatic',),
  },
  'palette': {
    'vivid': ('colourful', 'vibrant'),
    'pastel': ('pastel',),
    'mono': ('black and white', 'monochrome'),
    'earthy': ('rustic',),
    'cool': ('blue',),
    'warm': ('warm',),
    'forest_green': ('green',),
    'candy': ('pink', 'purple'),
  },
  'style': {
    'pixel_art': ('pixel art', '8-bit'),
    'low_poly': ('low poly',),
    'neon': ('neon', 'cyberpunk'),
    'flat': ('minimalist',),
    'watercolor': ('watercolor',),
    'pencil': ('pencil drawn',),
    'stained_glass': ('stained glass',),
    'pop_art': ('pop art',),
  },
  'accent': {'alone': ('quiet', 'lonely', 'simple')},
}
# Nouns for a group of subjects, with their article.
_GROUP_NOUNS = {
  'animals': ('an animal', 'a creature', 'some animal', 'my pet'),
  'landscapes': ('a landscape', 'some nature', 'a landscape', 'scenery'),
  'food': ('food', 'a nice meal', 'some food', 'a dish'),
  'portraits': ('a portrait', 'a person', 'some character', 'a face'),
  'city': ('a city', 'a town', 'a building', 'some architecture'),
  'plants': ('a plant', 'some plant', 'a houseplant', 'botanical art'),
  'vehicles': ('a vehicle', 'some machine', 'a vehicle', 'old transport'),
  'abstract': (
    'something abstract',
    'an abstract pattern',
    'a pattern',
    'abstract art',
  ),
}
_POSSESSIVES = ("my grandmother's", "my brother's", 'our', 'my', 'the')
_FILLER_ADJECTIVES = (
  'nice',
  'cosy',
  'beautiful',
  'dreamy',
  'funny',
  'cute',
  'magical',
  'strange',
  'lovely',
  'peaceful',
)
_ENDINGS = (
  ', something dreamy',
  ' please',
  ', for a card',
  ', for my desk',
  ', cosy mood',
  ', make it beautiful',
  ' for a gift',
  ', like a memory',
  ', a bit magical',
  ', surprise me',
)
_HEADLESS = ('something', 'a picture', 'an image', 'a scene', 'something nice')


def _choose(options, rng: Uniform):
  return options[int(rng.random() * len(options))]


def _noun_phrase(name: str | None, adjectives: list[str], rng: Uniform) -> str:
  """A subject, or a stand-in for one, with its adjectives and article."""
  if name is None:
    head = _choose(_HEADLESS, rng)
    if not adjectives:
      return head
    return ' '.join(
      _articled(
        [*adjectives, _choose(('scene', 'picture', 'image', 'mood'), rng)]
      )
    )
  if name in lexicon.GROUPS:
    words = _choose(_GROUP_NOUNS[name], rng).split()
    lead = 1 if words[0] in ('a', 'an', 'some', 'my', 'something') else 0
    words[lead:lead] = adjectives
    if words[0] in ('a', 'an'):
      words = _articled(words[1:])
    return ' '.join(words)
  value = next(i for i, s in enumerate(lexicon.SUBJECTS) if s.name == name)
  nouns = wording.NOUNS[value]
  noun = nouns[0] if rng.random() < 0.6 else _choose(nouns, rng)
  words = [*adjectives, *noun.split()]
  draw = rng.random()
  if value in wording.PLURAL or draw < 0.15:
    return ' '.join(words)  # people drop articles
  if draw < 0.25:
    return ' '.join((_choose(_POSSESSIVES, rng), *words))
  return ' '.join(_articled(words))


def _articled(words: list[str]) -> list[str]:
  return [english.article_for(words[0]), *words]


def _compose(values: Mapping[str, str], rng: Uniform) -> str:
  """One try at a rough prompt; may say more or less than meant."""
  adjectives, phrases, trailing = [], [], []
  opener = ''
  for slot in _SPOKEN:
    if slot not in values:
      continue
    name = values[slot]
    index = next(i for i, v in enumerate(lexicon.SLOTS[slot]) if v.name == name)
    known = _ADJECTIVES.get(slot, {}).get(name, ())
    if known and len(adjectives) < 2 and rng.random() < 0.45:
      adjectives.append(_choose(known, rng))
      continue
    ways = wording.WORDINGS[wording.SLOT[slot]][index]
    phrase = ways[0] if rng.random() < 0.5 else _choose(ways, rng)
    if slot == 'style' and not opener and rng.random() < 0.3:
      opener = wording.STYLE_FRAMES[index]
    elif slot in ('style', 'palette', 'composition'):
      trailing.append(phrase)
    else:
      phrases.append(phrase)
  if rng.random() < 0.15 and len(adjectives) < 2:
    adjectives.insert(0, _choose(_FILLER_ADJECTIVES, rng))
  subject = values.get('subject')
  if (
    subject is None
    and not phrases
    and not opener
    and not adjectives
    and (rng.random() < 0.5)
  ):
    return ', '.join(trailing)
  text = opener + _noun_phrase(subject, adjectives, rng)
  if phrases:
    text += ' ' + phrases[0]
  text = ', '.join((text, *phrases[1:], *trailing))
  if rng.random() < 0.15:
    ending = _choose(_ENDINGS, rng)
    text += ending if ',' in ending or ',' not in text else ',' + ending
  return text


def _plain(values: Mapping[str, str]) -> str:
  """Canonical phrases, one after the other: always right, never pretty."""
  out = []
  for slot in lexicon.SLOT_NAMES:
    if slot not in values:
      continue
    name = values[slot]
    if slot == 'subject' and name in lexicon.GROUPS:
      out.append(lexicon.GROUPS[name][0])
    else:
      out += [v.phrase for v in lexicon.SLOTS[slot] if v.name == name]
  return ', '.join(out)


def _meaning(values: Mapping[str, str]) -> scene.Parsed:
  """What `scene.parse` must give for a prompt of these values."""
  rows = []
  for slot, known in lexicon.SLOTS.items():
    name = values.get(slot)
    by = 'group' if slot == 'subject' and name in lexicon.GROUPS else 'name'
    found = (i for i, v in enumerate(known) if getattr(v, by) == name)
    rows.append((tuple(found), ()))
  return tuple(rows)


def prompt_from_values(values: Mapping[str, str], rng: Uniform) -> str:
  """Writes a rough prompt that names exactly the given values.

  Args:
    values: slot name -> value name; the subject may be the name of a group.
      Three or four values make a natural prompt.
    rng: source of randomness; only `rng.random()` is called.

  Raises:
    ValueError: for no values, or an unknown slot or value.
  """
  if not values:
    raise ValueError('values is empty: expected at least one slot')
  for slot, name in values.items():
    if slot not in lexicon.SLOTS:
      raise ValueError(
        f'slot {slot!r} is unknown; known: {", ".join(lexicon.SLOTS)}'
      )
    names = [v.name for v in lexicon.SLOTS[slot]]
    if slot == 'subject':
      names += lexicon.GROUPS
    if name not in names:
      raise ValueError(f'{slot} {name!r} is unknown; known: {", ".join(names)}')
  meaning = _meaning(values)
  for _ in range(_TRIES):
    text = _compose(values, rng)
    if scene.parse(text) == meaning and (
      len(text.split()) <= _MAX_WORDS or len(values) > 3
    ):
      return text
  return _plain(values)
