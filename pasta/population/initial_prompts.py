"""What hidden people type first, and what they have in mind with it."""

from collections.abc import Sequence

import numpy as np

from pasta import seeds
from pasta.candidates.grammar import prompts as prompt_lib
from pasta.t2i.sketch import lexicon, scene


def made_of(values: np.ndarray, named: np.ndarray, seed: int) -> list[str]:
  """Prompts that name some of what N people have in mind.

  Args:
    values: what they have in mind [N, S].
    named: which of it they say [N, S].
    seed: of the wording.
  """
  prompts = []
  for i in range(len(values)):
    wanted = {
      name: lexicon.SLOTS[name][values[i, s]].name
      for s, name in enumerate(lexicon.SLOT_NAMES)
      if named[i, s]
    }
    rng = np.random.default_rng([seed, 2, i])
    prompts.append(prompt_lib.prompt_from_values(wanted, rng))
  return prompts


def picked(
  own: Sequence[str], values: np.ndarray, seed: int
) -> tuple[list[str], np.ndarray, np.ndarray]:
  """One of the prompts of one's own for each of N people.

  Args:
    own: the prompts.
    values: what people would have in mind [N, S].
    seed: of the draw.

  Returns:
    The prompts; what people have in mind, which is what the prompt names
    where it names something [N, S]; and where it does [N, S].
  """
  pick = seeds.derive(seed, 'own prompt', np.arange(len(values)))
  prompts = [own[i] for i in pick % np.uint64(len(own))]
  values, named = values.copy(), np.zeros(values.shape, bool)
  for i, prompt in enumerate(prompts):
    for s, (wanted, _) in enumerate(scene.parse(prompt)):
      if wanted:
        values[i, s], named[i, s] = wanted[0], True
  return prompts, values, named
