"""What N people's sittings have seen so far, as arrays that policies read.

The loop keeps one for all of its people, the library one for each.

Letters: N sittings, T turns, L columns, M images per prompt, C candidates,
D embedding width, K user types.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pasta.agent import history as history_lib
from pasta.user_model import belief as belief_lib
from pasta.user_model import model as user_model_lib


@dataclasses.dataclass
class Sitting:
  """What was shown, chosen and believed.

  Attributes:
    model: whose belief it is; None for policies without one.
    fixed_belief: what policies are told instead of the posterior [N, K].
    belief: of N people; None without a user model.
    turn: int32 [N], turns that were answered.
    initial: text features of the initial prompts [N, D].
    text: of what was shown [N, T, L, D].
    image: [N, T, L, M, D].
    category: int32 [N, T, L].
    choice: int32 [N, T], -1 where there was none.
    satisfaction: [N, T], NaN where there was none.
    prompt_utility: of the prompts that the next turn extends [N, K].
  """

  model: user_model_lib.UserModel | None
  fixed_belief: jax.Array | None
  belief: belief_lib.Belief | None
  turn: np.ndarray
  initial: np.ndarray
  text: np.ndarray
  image: np.ndarray
  category: np.ndarray
  choice: np.ndarray
  satisfaction: np.ndarray
  prompt_utility: jax.Array

  @property
  def log_belief(self) -> jax.Array:
    """Over types, as policies are told it [N, K]."""
    if self.fixed_belief is not None:
      return self.fixed_belief
    if self.belief is None:
      return jnp.zeros((len(self.initial), 1))
    return self.belief.log_types

  def meet(self, initial: np.ndarray) -> None:
    """Takes in the text features of the initial prompts [N, D]."""
    self.initial = initial
    if self.model is not None:
      self.prompt_utility = text_utility(self.model, initial)

  def history(self) -> history_lib.History:
    """What the agent knows before the turn at hand."""
    return history_lib.History(
      turn=jnp.asarray(self.turn),
      initial_text=jnp.asarray(self.initial),
      slate_text=jnp.asarray(self.text),
      slate_image=jnp.asarray(history_lib.column_image(self.image)),
      slate_category=jnp.asarray(self.category),
      choice=jnp.asarray(self.choice),
      log_belief=self.log_belief,
      prompt_utility=self.prompt_utility,
      satisfaction=jnp.asarray(self.satisfaction),
    )

  def record(
    self,
    feedback: belief_lib.Feedback,
    category: np.ndarray,
    text: np.ndarray | None,
    image: np.ndarray | None,
  ) -> None:
    """Takes the answers of a turn in; updates the belief.

    Args:
      feedback: of N people.
      category: of the columns [N, L].
      text: of the columns [N, L, D]; None where nobody reads features.
      image: [N, L, M, D]; None as text.
    """
    at = np.arange(len(self.turn)), self.turn
    self.choice[at] = feedback.choice
    self.satisfaction[at] = feedback.satisfaction
    self.category[at] = category
    if text is not None:
      self.text[at], self.image[at] = text, image
      if self.model is not None:
        self.belief = _update_belief(
          self.model,
          self.belief,
          jnp.asarray(text),
          jnp.asarray(image),
          jax.tree.map(jnp.asarray, feedback),
        )
        self.prompt_utility = self.belief.previous
    self.turn = self.turn + 1


def begin(
  num: int,
  model: user_model_lib.UserModel | None,
  shape: tuple[int, int, int, int],
  belief: belief_lib.Belief | None = None,
  fixed_belief: jax.Array | None = None,
) -> Sitting:
  """N sittings before their first turn.

  Args:
    num: N.
    model: whose belief it is.
    shape: T, L, M, D; D is 0 where nobody reads features.
    belief: of the N people, from earlier sessions; None: the prior.
    fixed_belief: what policies are told instead of the posterior [N, K].
  """
  turns, columns, images, dim = shape
  if belief is None and model is not None:
    belief = belief_lib.initial(model, num)
  return Sitting(
    model=model,
    fixed_belief=fixed_belief,
    belief=belief,
    turn=np.zeros(num, np.int32),
    initial=np.zeros((num, dim), np.float32),
    text=np.zeros((num, turns, columns, dim), np.float32),
    image=np.zeros((num, turns, columns, images, dim), np.float32),
    category=np.zeros((num, turns, columns), np.int32),
    choice=np.full((num, turns), -1, np.int32),
    satisfaction=np.full((num, turns), np.nan, np.float32),
    prompt_utility=jnp.zeros((num, 1)),
  )


_ARRAYS = tuple(
  f.name
  for f in dataclasses.fields(Sitting)
  if f.name not in ('model', 'fixed_belief')
)


def join(sittings: Sequence[Sitting]) -> Sitting:
  """Sittings of one user model and shape as one, in their order."""
  arrays = [{n: getattr(s, n) for n in _ARRAYS} for s in sittings]
  joined = jax.tree.map(lambda *x: np.concatenate(x), *arrays)
  return dataclasses.replace(sittings[0], **joined)


def split(sitting: Sitting, num: int) -> list[Sitting]:
  """The first `num` of N sittings, one each."""
  arrays = jax.device_get({n: getattr(sitting, n) for n in _ARRAYS})
  return [
    dataclasses.replace(
      sitting, **jax.tree.map(lambda x, i=i: x[i : i + 1].copy(), arrays)
    )
    for i in range(num)
  ]


text_utility = jax.jit(user_model_lib.text_utility)
column_utility = jax.jit(user_model_lib.column_utility)


@jax.jit
def _update_belief(model, belief, text, image, feedback):
  utility = user_model_lib.column_utility(model, text, image)
  return belief_lib.update(model, belief, utility, feedback)
