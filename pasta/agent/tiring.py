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


def of_states(lately: Lately, with_shown: bool) -> jax.Array:
  """What states hold of it: the mood, and what was shown, if at all."""
  parts = [lately.mood, *([lately.shown] if with_shown else [])]
  return jnp.concatenate(parts, -1)


def of_items(lately: Lately, text: jax.Array, with_text: bool) -> jax.Array:
  """What items hold of it: how much each is like what was shown lately.

  With text also the squares of what an item's text adds to the prompt's.

  Args:
    lately: [..., D] each.
    text: normalised, [..., N, D].
    with_text: whether items hold their text.

  Returns:
    [..., N, 1 + D], or [..., N, 1].
  """
  alike = (text * lately.shown[..., None, :]).mean(-1, keepdims=True)
  step = text - lately.prompt[..., None, :]
  return jnp.concatenate([alike, *([step**2] if with_text else [])], -1)
