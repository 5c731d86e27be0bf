"""What a batch of sittings has seen so far, as arrays that policies read.

Letters: N sittings, T turns, L columns, M images per prompt, C candidates,
D embedding width, K user types.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pasta import seeds
from pasta.agent import history as history_lib
from pasta.candidates.base import CandidateGenerator
from pasta.interaction import extraction
from pasta.interaction import people as people_lib
from pasta.storage import session_features as features_lib
from pasta.types import CATEGORIES, screen_position
from pasta.user_model import belief as belief_lib
from pasta.user_model import model as user_model_lib
from pasta.world import world as world_lib


class Board:
  """The batch's growing arrays: what was shown, chosen and believed."""

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
    self._model = user_model
    self._with_features = with_features
    dim = world.encoder.embedding_dim if with_features else 0
    turns, columns = sizes.num_turns, sizes.num_columns
    self._initial = np.zeros((num, dim), np.float32)
    self._text = np.zeros((num, turns, columns, dim), np.float32)
    self._image = np.zeros(
      (num, turns, columns, sizes.images_per_prompt, dim), np.float32
    )
    self._category = np.zeros((num, turns, columns), np.int32)
    self._choice = np.full((num, turns), -1, np.int32)
    self._satisfaction = np.full((num, turns), np.nan, np.float32)
    self._pool_text = None
    if with_pool:
      self._pool_text = np.zeros(
        (num, turns, generator.num_candidates, dim), np.float16
      )
    self._prompt_utility = jnp.zeros((num, 1))
    self._fixed_belief = fixed_belief
    self.belief = belief
    if belief is None and user_model is not None:
      self.belief = belief_lib.initial(user_model, num)

  @property
  def log_belief(self) -> jax.Array:
    """Over types, as policies are told it [N, K]."""
    if self._fixed_belief is not None:
      return self._fixed_belief
    if self.belief is None:
      return jnp.zeros((len(self._initial), 1))
    return self.belief.log_types

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
        utility = _column_utility(
          self._model,
          text,
          jnp.asarray(image.reshape(*shape, *image.shape[1:])),
        )
      else:
        utility = _text_utility(self._model, text)
    return history_lib.CandidateSet(
      category=jnp.asarray(category),
      valid=jnp.ones(shape, bool),
      text=text,
      utility=utility,
    )

  def history(self, initial_prompts, turn) -> history_lib.History:
    """What the agent knows before turn `turn`."""
    if self._with_features and turn == 0:
      self._initial = self._world.text_features(list(initial_prompts))
      if self._model is not None:
        self._prompt_utility = _text_utility(self._model, self._initial)
    num = len(self._initial)
    return history_lib.History(
      turn=jnp.full((num,), turn, jnp.int32),
      initial_text=jnp.asarray(self._initial),
      slate_text=jnp.asarray(self._text),
      slate_image=jnp.asarray(history_lib.column_image(self._image)),
      slate_category=jnp.asarray(self._category),
      choice=jnp.asarray(self._choice),
      log_belief=self.log_belief,
      prompt_utility=self._prompt_utility,
      satisfaction=jnp.asarray(self._satisfaction),
    )

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
      log_belief=None if self._model is None else np.asarray(self.log_belief),
    )

  def record(self, turn, shown, answer, category) -> None:
    """Takes the answers in; updates the belief."""
    self._choice[:, turn] = answer.choice
    self._satisfaction[:, turn] = answer.satisfaction
    self._category[:, turn] = category
    if self._with_features:
      self._text[:, turn] = shown.text
      self._image[:, turn] = shown.image
      if self._model is not None:
        self.belief = _update_belief(
          self._model,
          self.belief,
          jnp.asarray(shown.text),
          jnp.asarray(shown.image),
          _feedback(shown, answer),
        )
        self._prompt_utility = self.belief.previous

  def features(self, records) -> features_lib.SessionFeatures | None:
    if not self._with_features:
      return None
    return extraction.assemble(
      records,
      self._initial,
      self._text,
      self._image,
      encoder_id=self._world.encoder.encoder_id,
      candidate_text=self._pool_text,
    )


_text_utility = jax.jit(user_model_lib.text_utility)
_column_utility = jax.jit(user_model_lib.column_utility)


def _feedback(
  shown: people_lib.Shown, answer: people_lib.Answer
) -> belief_lib.Feedback:
  """What N people answered, as the belief hears it."""
  comparison = answer.comparison
  if comparison is None:
    comparison = np.full(len(answer.choice), features_lib.MISSING_COMPARISON)
  return belief_lib.Feedback(
    choice=jnp.asarray(answer.choice, jnp.int32),
    satisfaction=jnp.asarray(answer.satisfaction, jnp.float32),
    comparison=jnp.asarray(comparison, jnp.int32),
    position=jnp.asarray(screen_position(shown.columns)),
  )


@jax.jit
def _update_belief(model, belief, text, image, feedback):
  utility = user_model_lib.column_utility(model, text, image)
  return belief_lib.update(model, belief, utility, feedback)
