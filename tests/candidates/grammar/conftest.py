"""Random sessions with the grammar."""

import random

import numpy as np
import pytest
import rough_prompts

from pasta.candidates.grammar import generator as grammar
from pasta.types import PromptHistory

_CRITIQUES = (
  '',
  '',
  '',
  'warmer, no people',
  'more snow please',
  'less neon',
  'brighter',
  'too dark',
  'closer',
  'no birds',
  'people please',
  'in a garden, pixel art',
  'not so warm',
)

_NUM_SESSIONS = 150
_TURNS = 5


@pytest.fixture(scope='session')
def turns():
  """(history, pool) of random sessions; the choice is uniform."""
  generator = grammar.Grammar()
  rng = random.Random(0)
  histories = [
    PromptHistory(p) for p in rough_prompts.initial_prompts(_NUM_SESSIONS, 7)
  ]
  out = []
  for turn in range(_TURNS):
    pools = generator.propose(histories, np.arange(_NUM_SESSIONS) + 1000 * turn)
    out += zip(histories, pools)
    histories = [
      PromptHistory(
        h.initial_prompt,
        (*h.chosen, rng.choice(pool).text),
        (),
        (*h.critiques, rng.choice(_CRITIQUES) if i % 2 else ''),
      )
      for i, (h, pool) in enumerate(zip(histories, pools))
    ]
  return out
