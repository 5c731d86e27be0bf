"""Captions of sketch scenes, to train and to test the small CLIP on.

A caption names some of a scene's values in words that people and `grammar`
use, in varied order, and says nothing false of the scene: `scene.parse` reads
back exactly what was meant. Nothing here imports jax.
"""

import random
from collections.abc import Sequence

import numpy as np

from pasta import seeds
from pasta.t2i.sketch import lexicon, scene

# Chance of naming 2, 3, ... 8 values: rich captions tell scenes apart.
_NUM_VALUES_WEIGHTS = (4, 8, 12, 16, 20, 20, 20)
_MAX_TRIES = 50

# Synonyms that read well in front of a noun, by slot.
ADJECTIVES: dict[str, tuple[str, ...]] = {
  'setting': ('underwater', 'floating', 'ancient', 'seaside', 'riverside'),
  'style': (
    'watercolor watercolour ink pixel pixelated 8-bit low-poly polygonal '
    'faceted neon cyberpunk synthwave oil impasto flat minimalist minimal '
    'pencil charcoal graphite halftone comic'
  ).split(),
  'palette': (
    'warm fiery cool blue icy pastel monochrome grayscale grey gray earthy '
    'brown sepia rustic vivid vibrant colorful colourful saturated green '
    'emerald verdant lush pink purple magenta violet'
  ).split(),
  'light': (
    'sunny sunlit golden twilight moonlit dark midnight evening morning '
    'dramatic sunrise sunset'
  ).split(),
  'composition': (
    'macro panoramic distant wide centered symmetrical symmetric towering '
    'framed'
  ).split(),
  'weather': 'cloudless rainy stormy wet snowy winter foggy misty hazy'.split(),
  'accent': 'lonely empty quiet simple'.split(),
}
# How synonyms may stand on their own, after a comma; {} is the synonym.
_TAILS: dict[str, tuple[str, ...]] = {
  'setting': ('{}', 'in the {}', 'at the {}', 'near the {}', 'by the {}'),
  'style': ('{}', '{} style', 'in {} style', 'as {}', '{} artwork'),
  'palette': ('{}', '{} palette', '{} colours', 'in {}', '{} tones'),
  'light': ('{}', '{} light', 'at {}', '{} lighting'),
  'composition': ('{}', '{} shot', '{} perspective'),
  'weather': ('{}', '{} weather', 'in the {}', '{} day'),
  'accent': ('{}', 'with {}', 'and {}', 'surrounded by {}'),
}
# Words that need no preposition, or already have one.
_BARE = frozenset(
  'indoors underwater undersea floating ancient seaside sahara'.split()
) | {'outer space', 'under the sea', 'in the sky'}
_PLURALS = frozenset(
  'foxes cacti noodles soup fruit falls downtown vegetation geometry nature '
  'scenery wildlife transport architecture food'.split()
)
_FRAMES = (
  'a picture of {}',
  'an image of {}',
  'an image showing {}',
  'a scene with {}',
  'a depiction of {}',
  'artwork of {}',
  'I want to see {}',
  'please draw {}',
  'there is {}',
)
# Words that mean nothing to the lexicon.
FILLERS: tuple[str, ...] = tuple(
  (
    'beautiful dreamy stunning cute tiny giant magical mysterious peaceful '
    'cheerful elegant whimsical nostalgic epic cozy lovely funny strange '
    'romantic melancholic serene playful bold delicate ornate surreal '
    'detailed intricate imaginative charming weathered fancy modern retro '
    'Japanese Nordic fairytale legendary gentle majestic'
  ).split()
)
FILLER_TAILS: tuple[str, ...] = (
  'highly detailed',
  'masterpiece',
  'trending',
  'award winning',
  'high quality',
  '4k',
  'something I would hang on my wall',
  'for my grandmother',
  'like in a dream',
  'in the manner of old books',
  'very imaginative',
  'with a story to tell',
  'please',
  'my favourite kind of thing',
  'reminds me of childhood',
)
_NEGATIONS = ('no {}', 'without {}', 'not {}', 'without any {}')


def caption(
  values: Sequence[int],
  rng: random.Random,
  *,
  num_named: int | None = None,
  filler_prob: float = 0.15,
  negation_prob: float = 0.06,
  group_prob: float = 0.04,
) -> tuple[str, tuple[bool, ...]]:
  """Describes a scene, truthfully and in part.

  Args:
    values: one scene, [S].
    rng: source of all variation.
    num_named: how many values to name; None draws from 2 to 8, mostly many.
    filler_prob: chance of words that mean nothing to the lexicon.
    negation_prob: chance of naming something that the scene does not have
      ('no people').
    group_prob: chance of naming the subject's group only ('an animal').

  Returns:
    The caption, and for each slot whether it pins the scene's value, [S].
  """
  values = tuple(int(v) for v in values)
  for _ in range(_MAX_TRIES):
    if num_named is None:
      count = rng.choices(range(2, 9), _NUM_VALUES_WEIGHTS)[0]
    else:
      count = num_named
    named = _slots_to_name(count, rng)
    by_group = 0 in named and rng.random() < group_prob
    text = _write(values, named, by_group, filler_prob, rng)
    if rng.random() < negation_prob:
      text += ', ' + _negation(values, named, rng)
    if says(text, values, named, by_group):
      pinned = named[1:] if by_group else named
      return text, tuple(s in pinned for s in range(scene.NUM_SLOTS))
  # Canonical phrases always parse; keeps the function total.
  phrases = [list(lexicon.SLOTS.values())[s][values[s]].phrase for s in named]
  return ', '.join(phrases), tuple(s in named for s in range(scene.NUM_SLOTS))


def says(
  text: str,
  values: Sequence[int],
  named: Sequence[int],
  by_group: bool = False,
) -> bool:
  """Whether `text` names exactly the values of the slots in `named`."""
  for slot, (found, excluded) in enumerate(scene.parse.__wrapped__(text)):
    if values[slot] in excluded:
      return False
    if slot not in named:
      if found:
        return False
    elif slot == 0 and by_group:
      if values[0] not in found or len(found) == 1:
        return False
    elif found != (values[slot],):
      return False
  return True


def value_captions(slot: int, value: int) -> tuple[str, ...]:
  """Captions that name one value and nothing else, the canonical one first."""
  name = lexicon.SLOT_NAMES[slot]
  entry = lexicon.SLOTS[name][value]
  texts = [entry.phrase, f'a picture, {entry.phrase}']
  for word in entry.synonyms:
    if slot == 0:
      texts.append(_with_article(word))
    else:
      texts.append(word)
      texts.append(_TAILS[name][1].format(word))
  values = [-1] * scene.NUM_SLOTS
  values[slot] = value
  return tuple(t for t in texts if says(t, values, (slot,))) or (entry.phrase,)


def sample_scenes(num: int, rng: np.random.Generator) -> np.ndarray:
  """Scenes with every value of a slot equally likely, int8 [num, S]."""
  columns = [rng.integers(0, n, num) for n in lexicon.SLOT_SIZES]
  return np.stack(columns, axis=1).astype(np.int8)


def is_held_out(scenes: np.ndarray, percent: int = 5) -> np.ndarray:
  """Which scenes are kept from training, by (subject, setting, style).

  Args:
    scenes: int8 [N, S].
    percent: share of the combinations that is held out.

  Returns:
    bool [N].
  """
  subject, setting, style = scenes[:, :3].astype(np.int64).T
  return seeds.derive(0, 'held out', subject, setting, style) % 100 < percent


def _slots_to_name(count: int, rng: random.Random) -> tuple[int, ...]:
  """Mostly the subject and `count - 1` others."""
  slots = list(range(scene.NUM_SLOTS))
  if rng.random() < 0.9:
    return (0, *sorted(rng.sample(slots[1:], count - 1)))
  return tuple(sorted(rng.sample(slots, count)))


def _write(values, named, by_group, filler_prob, rng) -> str:
  """One attempt at a caption of the slots in `named`."""
  fillers = rng.random() < filler_prob
  adjectives, tails = [], []
  if fillers:
    adjectives += rng.sample(FILLERS, rng.randint(0, 2))
    tails += rng.sample(FILLER_TAILS, rng.randint(0 if adjectives else 1, 2))
    if rng.random() < 0.1:  # A few captions ramble up to the token limit.
      tails += rng.sample(FILLER_TAILS, 6) + rng.sample(FILLERS, 5)
  place, frame_style = '', ''
  head_only = rng.random() < 0.5
  for slot in named:
    if slot == 0:
      continue
    name = lexicon.SLOT_NAMES[slot]
    value = lexicon.SLOTS[name][values[slot]]
    usable = [w for w in value.synonyms if w in ADJECTIVES[name]]
    if 0 in named and usable and len(adjectives) < 2 and rng.random() < 0.18:
      adjectives.append(rng.choice(usable))
      continue
    if not value.synonyms or rng.random() < 0.55:
      text = value.phrase
    else:
      text = _tail(name, rng.choice(value.synonyms), rng)
    if 0 not in named:
      tails.append(text)
    elif name == 'setting' and rng.random() < 0.6:
      place = ' ' + text
    elif name == 'style' and not head_only and rng.random() < 0.3:
      frame_style = text
    else:
      tails.append(text)
  rng.shuffle(tails)
  if 0 not in named:
    return ', '.join(tails)
  head = _subject(values[0], by_group, adjectives, rng) + place
  if frame_style:
    head = f'{frame_style} of {head}'
  elif rng.random() < 0.15:
    head = rng.choice(_FRAMES).format(head)
  elif tails and rng.random() < 0.12:
    return ', '.join([tails[0], head, *tails[1:]])
  joiner = ' ' if rng.random() < 0.1 else ', '
  return joiner.join([head, *tails])


def _tail(slot_name: str, word: str, rng: random.Random) -> str:
  if word in _BARE:
    return word
  return rng.choice(_TAILS[slot_name]).format(word)


def _subject(index, by_group, adjectives, rng) -> str:
  """The subject with adjectives and the article that fits."""
  subject = lexicon.SUBJECTS[index]
  if by_group:
    noun = rng.choice(lexicon.GROUPS[subject.group])
  elif not subject.synonyms or rng.random() < 0.6:
    noun = subject.phrase
  else:
    noun = rng.choice(subject.synonyms)
  for article in ('a ', 'an '):
    noun = noun.removeprefix(article)
  words = ' '.join([*adjectives, noun])
  return words if rng.random() < 0.06 else _with_article(words, noun)


def _with_article(words: str, noun: str | None = None) -> str:
  last = (noun or words).split()[-1]
  plural = last.endswith('s') and not last.endswith(('ss', 'polis'))
  if last in _PLURALS or plural:
    return words
  article = 'an' if words[0].lower() in 'aeiou' else 'a'
  return f'{article} {words}'


def _negation(values, named, rng) -> str:
  """'no people' where the scene has none and the caption is silent on it."""
  slots = [s for s in range(1, scene.NUM_SLOTS) if s not in named] or [7]
  slot = rng.choice(slots)
  options = list(lexicon.SLOTS.values())[slot]
  other = rng.choice([i for i in range(len(options)) if i != values[slot]])
  words = options[other].synonyms or (options[other].name,)
  return rng.choice(_NEGATIONS).format(rng.choice(words))
