"""First prompts of sessions, as rough and varied as people's."""

import random

from pasta.candidates.grammar import prompts
from pasta.t2i.sketch import lexicon

_MAX_WORDS = 12
_UNKNOWN = (
  'something dreamy',
  'surprise me',
  'a birthday gift for dad',
  'make it magical',
  'sleepy dragon over rooftops',
  'a feeling of hope',
  'album cover for my band',
  'the best day ever',
  'childhood memories',
  'a story about friendship',
  'wizard reading a letter',
  'two friends laughing',
  'something for our hallway',
  'a wish come true',
)


def initial_prompts(num: int, seed: int) -> list[str]:
  """Draws rough first prompts: at most 12 words that name up to 3 slots.

  Args:
    num: how many; they are all different up to a few hundred.
    seed: the same seed gives the same list.
  """
  rng = random.Random(seed)
  out, seen = [], set()
  subjects = [s.name for s in lexicon.SUBJECTS]
  while len(out) < num:
    for _ in range(4):
      draw = rng.random()
      if draw < 0.06:
        text = _choose(_UNKNOWN, rng)
      else:
        values = {}
        if draw < 0.72:
          values['subject'] = _choose(subjects, rng)
        elif draw < 0.9:
          values['subject'] = _choose(lexicon.GROUP_NAMES, rng)
        total = 1 + (rng.random() < 0.6) + (rng.random() < 0.3)
        others = list(lexicon.SLOT_NAMES[1:])
        while len(values) < total:
          slot = others.pop(int(rng.random() * len(others)))
          values[slot] = _choose(lexicon.SLOTS[slot], rng).name
        text = prompts.prompt_from_values(values, rng)
        if rng.random() < 0.04 and 'accent' not in values:
          text += ', no people'
      if len(text.split()) <= _MAX_WORDS and text not in seen:
        break
    seen.add(text)
    out.append(text)
  return out


def _choose(options, rng):
  return options[int(rng.random() * len(options))]
