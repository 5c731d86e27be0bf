"""Feedback of all kinds as flat arrays: what a step of EM reads.

Observations lie one after another, person after person; which person each
belongs to is an index. People may have different numbers of observations, and
choice sets different sizes.
"""

import flax
import jax
import jax.numpy as jnp

from pasta.storage import session_features as features_lib

NO_COMPARISON = features_lib.MISSING_COMPARISON


@flax.struct.dataclass
class Observations:
  """N observations of up to G people; padding has weight 0.

  Attributes:
    user: person of each place in the batch, position in the data set [G],
      int32; free where nobody is.
    group: place in the batch of each observation's person [N], int32, growing.
    weight: of each observation in the likelihood [N], float32; 0 = padding.
    text: prompts' features [N, L, D], or [N, 1, D] where columns share one.
    image: images' features [N, L, M, D].
    available: [N, L], bool, false = no such column; None: all are there.
    position: of the columns on the screen [N, L], 1 first to 0 last, 0
      throughout where the order is not known; None: it is of none.
    feedback: arrays by kind, [N] unless said.
      'choice': chosen column, int.
      'satisfaction' with the chosen column, in [0, 1]; NaN = not given.
      'comparison' of the chosen column with that of the person's observation
        before: -1 worse, 0 same, 1 better, int; other values = not given.
      'pair': how much the first of two columns was preferred, in [0, 1].
      'ranking': columns from best to worst [N, L], int, -1 from where it ends.
      'rating': a number given to the one column, standardised.
  """

  user: jax.Array
  group: jax.Array
  weight: jax.Array
  text: jax.Array
  image: jax.Array
  available: jax.Array | None
  position: jax.Array | None
  feedback: dict[str, jax.Array]

  @property
  def num_people(self) -> int:
    """G, places for people."""
    return self.user.shape[0]


def masks(batch: Observations) -> dict[str, jax.Array]:
  """Which observations hold which kind of feedback, [N] bool each."""
  observed = batch.weight > 0
  found = {kind: observed for kind in batch.feedback}
  if 'satisfaction' in found:
    found['satisfaction'] = observed & jnp.isfinite(
      batch.feedback['satisfaction']
    )
  if 'comparison' in found:
    # A person's first observation in the batch has no predecessor there.
    follows = jnp.diff(batch.group, prepend=-1) == 0
    given = jnp.abs(batch.feedback['comparison']) <= 1
    found['comparison'] = observed & follows & given
  return found


def weights(batch: Observations) -> dict[str, jax.Array]:
  """Weight of each observation in each kind's likelihood, [N] each."""
  return {k: jnp.where(m, batch.weight, 0.0) for k, m in masks(batch).items()}


def per_person(values: jax.Array, batch: Observations) -> jax.Array:
  """Sums of observations' values by person, [N, ...] -> [G, ...]."""
  return jax.ops.segment_sum(
    values, batch.group, batch.num_people, indices_are_sorted=True
  )


def present(batch: Observations) -> jax.Array:
  """1 where somebody was observed, [G], float32."""
  observed = (batch.weight > 0).astype(jnp.float32)
  return jnp.minimum(per_person(observed, batch), 1.0)
