"""What each learned type likes: in words, as a profile and in pictures.

A type's taste in words is what a phrase adds to its text utility, averaged
over a few short prompts; what all types share is taken off, so that the words
tell the types apart.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence

import jax
import numpy as np

from pasta.report import pictures
from pasta.t2i.sketch import lexicon
from pasta.user_model import model as user_model_lib

TextFeatures = Callable[[Sequence[str]], np.ndarray]  # P texts -> [P, D]

# Phrases are probed in the company of one subject of each group (a phrase of
# the subject slot: of one style each), as prompts are written.
_NUM_CONTEXTS = 6
_PICTURE_SLOTS = ('setting', 'style', 'palette', 'light', 'composition')
NUM_PICTURES = 4  # best ones of a type, and as many worst ones
_NUM_WORDS = 6  # liked ones of a type's profile, and as many disliked ones
_POOL_SEED = 0
_SMALL_WORDS = re.compile(r'^((in|on|at|with|by|among|above) )?((a|an|the) )?')
_jit_text_utility = jax.jit(user_model_lib.text_utility)
_jit_column_utility = jax.jit(user_model_lib.column_utility)


@dataclasses.dataclass(frozen=True)
class Profile:
  """What phrases add to each type's utility.

  Attributes:
    words: V short names, such as 'close-up' or 'golden hour'.
    slots: V slot names.
    common: what all types feel on average [V].
    deviation: what each type feels beyond that [K, V].
  """

  words: tuple[str, ...]
  slots: tuple[str, ...]
  common: np.ndarray
  deviation: np.ndarray


def _probes() -> tuple[list[str], list[str], list[list[str]]]:
  """Short names, slots, and for each phrase its V × contexts prompts."""
  first = {}
  for subject in lexicon.SUBJECTS:
    first.setdefault(subject.group, subject.phrase)
  subjects = list(first.values())[:_NUM_CONTEXTS]
  styles = [s.phrase for s in lexicon.STYLES[:_NUM_CONTEXTS]]
  words, slots, prompts = [], [], []
  for slot, values in lexicon.SLOTS.items():
    for value in values:
      words.append(_SMALL_WORDS.sub('', value.phrase))
      slots.append(slot)
      prompts.append(
        [f'{value.phrase}, {s}' for s in styles]
        if slot == 'subject'
        else [f'{s}, {value.phrase}' for s in subjects]
      )
  return words, slots, prompts


def profile(
  model: user_model_lib.UserModel, text_features_fn: TextFeatures
) -> Profile:
  """Probes a user model with every phrase of the lexicon.

  Args:
    model: K types.
    text_features_fn: from P prompts to their features [P, D].
  """
  words, slots, prompts = _probes()
  features = text_features_fn([p for row in prompts for p in row])
  utility = np.asarray(_jit_text_utility(model, features))  # [V × contexts, K]
  utility = utility.reshape(len(words), -1, utility.shape[-1]).mean(1)
  # Within a slot: a word competes with the other words for the same thing.
  names = np.array(slots)
  for slot in dict.fromkeys(slots):
    utility[names == slot] -= utility[names == slot].mean(0)
  common = utility.mean(1)
  return Profile(
    tuple(words), tuple(slots), common, (utility - common[:, None]).T
  )


def _extremes(values: np.ndarray, num_words: int) -> tuple[list, list]:
  """Indices of the largest and of the smallest values that have that sign."""
  order = np.argsort(-values, kind='stable')
  liked = [int(i) for i in order[:num_words] if values[i] > 0]
  disliked = [int(i) for i in order[::-1][:num_words] if values[i] < 0]
  return liked, disliked


def type_words(
  model: user_model_lib.UserModel,
  text_features_fn: TextFeatures,
  num_words: int = 3,
) -> list[tuple[list[str], list[str]]]:
  """(liked words, disliked words) of each of the K types, strongest first.

  A model of a single type has nobody to differ from: its words are the common
  taste.
  """
  taste = profile(model, text_features_fn)
  rows = taste.deviation if len(taste.deviation) > 1 else taste.common[None]
  return [
    tuple([taste.words[i] for i in side] for side in _extremes(row, num_words))
    for row in rows
  ]


def in_words(liked: Sequence[str], disliked: Sequence[str]) -> str:
  """'oil painting, night, close-up; dislikes thick fog'."""
  text = ', '.join(liked) if liked else 'no strong likes'
  return f'{text}; dislikes {", ".join(disliked)}' if disliked else text


def random_prompts(num_prompts: int, seed: int) -> list[str]:
  """Prompts with a subject and three further attributes, drawn at random."""
  rng = np.random.default_rng(seed)
  prompts = []
  for _ in range(num_prompts):
    slots = rng.permutation(len(_PICTURE_SLOTS))[:3]
    parts = [lexicon.SUBJECTS[rng.integers(len(lexicon.SUBJECTS))].phrase]
    for slot in sorted(slots):
      values = lexicon.SLOTS[_PICTURE_SLOTS[slot]]
      parts.append(values[rng.integers(len(values))].phrase)
    prompts.append(', '.join(parts))
  return prompts


def pictures_by_type(
  model: user_model_lib.UserModel, world, num_pool_prompts: int, size: int
) -> list[tuple[list[dict], list[dict]]]:
  """(best, worst) pictures of each type, from a pool that nobody chose.

  A picture is rated by what the type feels beyond the average type, in units
  of the type's own spread over the pool. The last entry, K, is the average
  type itself: what all agree on.

  Args:
    model: K types.
    world: features and pictures.
    num_pool_prompts: how many prompts, one picture each, are rated.
    size: edge of a picture, pixels.

  Returns:
    K + 1 pairs of lists of dicts with image (a data URI) and prompt; K = 1
    gives the average type alone.
  """
  num = min(NUM_PICTURES, num_pool_prompts)
  prompts = random_prompts(num_pool_prompts, _POOL_SEED)
  seeds = np.arange(len(prompts), dtype=np.uint64)
  utility = np.asarray(
    _jit_column_utility(
      model,
      world.text_features(prompts),
      world.image_features(prompts, seeds, 1),
    )
  )  # [P, K]
  utility = (utility - utility.mean(0)) / np.maximum(utility.std(0), 1e-9)
  common = utility.mean(1, keepdims=True)
  ratings = common
  if utility.shape[1] > 1:
    ratings = np.concatenate([utility - common, common], 1)  # [P, K + 1]
  order = np.argsort(-ratings, 0, kind='stable').T  # [K + 1, P]
  best, worst = order[:, :num], order[:, ::-1][:, :num]
  shown = np.unique(np.concatenate([best.ravel(), worst.ravel()]))
  drawn = pictures.columns(
    world, [prompts[i] for i in shown], seeds[shown], 1, size
  )
  image = {int(i): column[0] for i, column in zip(shown, drawn)}

  def cards(indices):
    return [
      {'image': image[int(i)], 'prompt': prompts[int(i)]} for i in indices
    ]

  return [(cards(b), cards(w)) for b, w in zip(best, worst)]


def types(
  model: user_model_lib.UserModel, world, num_pool_prompts: int, size: int
) -> list[dict]:
  """What the page shows: the common taste, then types by frequency.

  Args:
    model: K types.
    world: features and pictures.
    num_pool_prompts: how many random prompts the types rate.
    size: edge of a picture, pixels.

  Returns:
    One dict a type: index, share, liked and disliked (lists of dicts with
    word and strength in [−1, 1], relative to the strongest of all types),
    words (a few, as text), best and worst pictures. The first entry, with
    index None, is what all types share.
  """
  taste = profile(model, world.text_features)
  shown = pictures_by_type(model, world, num_pool_prompts, size)
  share = np.exp(np.asarray(model.log_prior, np.float64))
  everyone = (None, None, taste.common, shown[-1])
  rows = [everyone]
  if len(share) > 1:
    rows = [
      (k, float(share[k]), taste.deviation[k], shown[k])
      for k in np.argsort(-share, kind='stable')
    ]
    rows = [everyone, *rows]
  strongest = np.abs(taste.deviation).max() if len(share) > 1 else 0.0
  out = []
  for k, probability, values, (best, worst) in rows:
    scale = max(np.abs(values).max() if k is None else strongest, 1e-9)
    liked, disliked = (
      [
        {'word': taste.words[i], 'strength': float(values[i] / scale)}
        for i in side
      ]
      for side in _extremes(values, _NUM_WORDS)
    )
    out.append(
      {
        'index': None if k is None else int(k),
        'share': probability,
        'liked': liked,
        'disliked': disliked,
        'words': in_words(
          [w['word'] for w in liked[:3]], [w['word'] for w in disliked[:1]]
        ),
        'best': best,
        'worst': worst,
      }
    )
  return out
