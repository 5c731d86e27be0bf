"""Between a batch of sittings and the world: candidates, screens, answers.

Letters: N sittings, T turns, L columns, M images per prompt, C candidates,
D embedding width, K user types.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pasta import seeds
from pasta.agent import history as history_lib
from pasta.agent import sitting as sitting_lib
from pasta.candidates.base import CandidateGenerator
from pasta.interaction import extraction
from pasta.interaction import people as people_lib
from pasta.storage import session_features as features_lib
from pasta.types import CATEGORIES, screen_position
from pasta.user_model import belief as belief_lib
from pasta.user_model import model as user_model_lib
from pasta.world import world as world_lib


class Board:
  """What the batch of sittings has seen, and the world that it is shown."""

  def __init__(
    self,
    num: int,
    world: world_lib.World,
    sizes: world_lib.Sizes,
    user_model: user_model_lib.UserModel | None,
    with_features: bool,
    with_pool: bool,
    belief: belief_lib.Belief | None,
    fixed_belief: jax.Array | None,
    generator: CandidateGenerator,
  ):
    self._world = world
    self._sizes = sizes
    self._with_features = with_features
    dim = world.encoder.embedding_dim if with_features else 0
    turns, columns = sizes.num_turns, sizes.num_columns
    self.sitting = sitting_lib.begin(
      num,
      user_model,
      (turns, columns, sizes.images_per_prompt, dim),
      belief,
      fixed_belief,
    )
    self._pool_text = None
    if with_pool:
      self._pool_text = np.zeros(
        (num, turns, generator.num_candidates, dim), np.float16
      )

  def candidate_set(
    self, turn, pools, texts, policy, image_seeds
  ) -> history_lib.CandidateSet:
    """The turn's pool, with what the policy reads of it."""
    category = np.array(
      [[CATEGORIES.index(c.category) for c in pool] for pool in pools],
      np.int32,
    )
    shape = category.shape
    text = utility = None
    flat = [t for row in texts for t in row]
    if policy.uses_features or self._pool_text is not None:
      text = self._world.text_features(flat).reshape(*shape, -1)
      if self._pool_text is not None:
        self._pool_text[:, turn] = text
    if policy.uses_features:
      text = jnp.asarray(text)
      if policy.renders_pool:
        image = self._world.image_features(
          flat,
          np.repeat(image_seeds[:, :1], shape[1], 1).reshape(-1),
          self._sizes.images_per_prompt,
        )
        utility = sitting_lib.column_utility(
          self.sitting.model,
          text,
          jnp.asarray(image.reshape(*shape, *image.shape[1:])),
        )
      else:
        utility = sitting_lib.text_utility(self.sitting.model, text)
    return history_lib.CandidateSet(
      category=jnp.asarray(category),
      valid=jnp.ones(shape, bool),
      text=text,
      utility=utility,
    )

  def history(self, initial_prompts, turn) -> history_lib.History:
    """What the agent knows before turn `turn`."""
    if self._with_features and turn == 0:
      self.sitting.meet(self._world.text_features(list(initial_prompts)))
    return self.sitting.history()

  def show(self, turn, pools, slate, image_seeds, people) -> people_lib.Shown:
    """Makes what the screen shows: only what somebody looks at."""
    sizes = self._sizes
    num = len(pools)
    prompts = [tuple(pools[i][c].text for c in slate[i]) for i in range(num)]
    flat = [p for row in prompts for p in row]
    order = np.argsort(
      seeds.uniform(
        people.sitting_seeds[:, None],
        'columns',
        turn,
        np.arange(sizes.num_columns),
      ),
      axis=1,
    )
    scenes = text = image = None
    shape = (num, sizes.num_columns)
    if people.needs_scenes:
      scenes = self._world.scenes(
        flat, image_seeds.reshape(-1), sizes.images_per_prompt
      )
      scenes = scenes.reshape(*shape, *scenes.shape[1:])
    if self._with_features:
      text = self._world.text_features(flat).reshape(*shape, -1)
      image = self._world.image_features(
        flat, image_seeds.reshape(-1), sizes.images_per_prompt
      )
      image = image.reshape(*shape, *image.shape[1:])
    return people_lib.Shown(
      turn=turn,
      prompts=prompts,
      seeds=image_seeds,
      columns=order,
      scenes=scenes,
      text=text,
      image=image,
      log_belief=(
        None
        if self.sitting.model is None
        else np.asarray(self.sitting.log_belief)
      ),
    )

  def record(self, shown, answer, category) -> None:
    """Takes the answers in; updates the belief."""
    self.sitting.record(
      _feedback(shown, answer), category, shown.text, shown.image
    )

  def features(self, records) -> features_lib.SessionFeatures | None:
    if not self._with_features:
      return None
    return extraction.assemble(
      records,
      self.sitting.initial,
      self.sitting.text,
      self.sitting.image,
      encoder_id=self._world.encoder.encoder_id,
      candidate_text=self._pool_text,
    )


def _feedback(
  shown: people_lib.Shown, answer: people_lib.Answer
) -> belief_lib.Feedback:
  """What N people answered, as the belief hears it."""
  comparison = answer.comparison
  if comparison is None:
    comparison = np.full(len(answer.choice), features_lib.MISSING_COMPARISON)
  return belief_lib.Feedback(
    choice=np.asarray(answer.choice, np.int32),
    satisfaction=np.asarray(answer.satisfaction, np.float32),
    comparison=np.asarray(comparison, np.int32),
    position=screen_position(shown.columns),
  )
