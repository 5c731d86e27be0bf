"""What tells whether a person tires of looks, and what candidates add to them.

For worlds where prompts only grow and looks wear off: there a value has to know
what was shown lately, whether that wears off for this person, and how much a
candidate settles. Nothing here knows which looks there are.

Letters: T turns, L slate columns, N items, D embedding width.
"""

import chex
import flax.struct
import jax
import jax.numpy as jnp

DECAY = 0.7  # a turn, of what was shown
_SATISFACTION_SCALE = 4.0  # a quarter counts as one


@flax.struct.dataclass
class Lately:
  """What past turns say before each turn.

  Attributes:
    shown: [..., D], Σ_{s<t} 0.7^(t−1−s) x_s with x_s the normalised image
      features of the column chosen at turn s.
    mood: [..., 2], the mean satisfaction so far, less one half, and how the
      last one differs from the first; four for 1. Zero where none was given.
    prompt: [..., D], normalised text features of the prompt that is extended.
  """

  shown: jax.Array
  mood: jax.Array
  prompt: jax.Array


def state_dim(embedding_dim: int) -> int:
  """Numbers that `of_states` has."""
  return embedding_dim + 2


def item_dim(embedding_dim: int) -> int:
  """Numbers that `of_items` has."""
  return embedding_dim + 1


def lately(
  initial_text: jax.Array,
  slate_text: jax.Array,
  slate_image: jax.Array,
  choice: jax.Array,
  satisfaction: jax.Array,
) -> Lately:
  """Before every turn of one session.

  Args:
    initial_text: [D], normalised as the next two.
    slate_text: [T, L, D].
    slate_image: [T, L, D].
    choice: int [T], -1 where there was none.
    satisfaction: [T], NaN where none was given.

  Returns:
    [T, ...].
  """
  chex.assert_rank(
    [initial_text, slate_text, slate_image, choice, satisfaction],
    [1, 3, 3, 1, 1],
  )
  is_chosen = jax.nn.one_hot(choice, slate_text.shape[1])  # -1: zeros

  def step(carry, x):
    return DECAY * carry + x, carry

  image = jnp.einsum('tl,tld->td', is_chosen, slate_image)
  _, shown = jax.lax.scan(step, jnp.zeros_like(image[0]), image)
  text = jnp.einsum('tl,tld->td', is_chosen, slate_text)
  prompt = jnp.concatenate([initial_text[None], text[:-1]])
  given = ~jnp.isnan(satisfaction)
  told = jnp.where(given, satisfaction, 0.0)
  count = jnp.cumsum(given)
  mean = jnp.where(count > 0, jnp.cumsum(told) / jnp.maximum(count, 1), 0.5)
  change = jnp.where(given & given[0], told - told[0], 0.0)
  mood = _SATISFACTION_SCALE * jnp.stack([mean - 0.5, change], -1)
  # What was said at a turn is known from the next one on.
  mood = jnp.concatenate([jnp.zeros((1, 2)), mood[:-1]])
  return Lately(shown, mood, prompt)


def of_states(lately: Lately) -> jax.Array:
  """What states hold of it: [..., D + 2]."""
  return jnp.concatenate([lately.shown, lately.mood], -1)


def of_items(lately: Lately, text: jax.Array) -> jax.Array:
  """What items hold of it: [..., N, D + 1].

  The squares of what an item's text adds to the prompt's, and how much it is
  like what was shown lately.

  Args:
    lately: [..., D] each.
    text: normalised, [..., N, D].
  """
  step = text - lately.prompt[..., None, :]
  alike = (text * lately.shown[..., None, :]).mean(-1, keepdims=True)
  return jnp.concatenate([step**2, alike], -1)
