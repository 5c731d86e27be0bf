"""One turn instead of five, at the same number of renders.

- 'at_once': as many images as a whole session shows, all drawn from the
  initial prompt; the person picks the best.
- 'one_turn': the same number of images spread over the first turn's
  candidates, instead of a slate of a few.

Letters: N people, T turns, L columns, M images per prompt, C candidates.
"""

import ml_collections
import numpy as np

from pasta import seeds
from pasta.evaluate import compare
from pasta.population import population as population_lib
from pasta.types import PromptHistory
from pasta.world import world as world_lib

NAMES = ('at_once', 'one_turn')


def play(
  name: str, config: ml_collections.ConfigDict, world: world_lib.World
) -> compare.Outcome:
  """What people of the hidden population pick out of T · L · M images.

  Args:
    name: one of NAMES.
    config: of configs/evaluate.py.
    world: draws scenes; no pixels are needed.

  Returns:
    An outcome with one turn, its satisfaction that of the image picked.
  """
  sizes = config.sizes
  budget = sizes.num_turns * sizes.num_columns * sizes.images_per_prompt
  population = population_lib.build(config.population)
  crowd = population_lib.draw_crowd(
    population, config.num_people, 1, seed=config.seed
  )
  num = len(crowd)
  sitting = seeds.derive(crowd.noise_seeds, 'world')
  if name == 'at_once':
    columns = [[prompt] for prompt in crowd.initial_prompts]
  else:
    pools = world.generator.propose(
      [PromptHistory(p) for p in crowd.initial_prompts],
      seeds.derive(sitting, 'candidates', 0),
    )
    columns = [[c.text for c in pool] for pool in pools]
  width = len(columns[0])
  each = max(budget // width, 1)
  image_seeds = np.repeat(
    (seeds.derive(sitting, 'images', 0) >> np.uint64(32))[:, None], width, 1
  )
  scenes = world.scenes(
    [p for row in columns for p in row], image_seeds.reshape(-1), each
  ).reshape(num, width * each, 1, -1)
  # Every image is a column of its own: people look at each.
  _, satisfaction, _, utility = population_lib.answer(
    population, crowd, scenes, None, 0
  )
  return compare.Outcome(
    policy_id=name,
    satisfaction=satisfaction[:, None],
    comparison=np.zeros((num, 0), int),
    final_utility=utility,
    num_categories=np.full(num, np.nan),
    renders_per_turn=width * each,
    candidates_per_turn=width,
    predicted=np.full((num, 1), np.nan),
  )
