"""What the value function's networks read.

Letters: T turns, L items of a slate or C candidates, D embedding width,
G categories, K user types, F token features, B sessions.
"""

import chex
import flax.struct
import jax
import jax.numpy as jnp

from pasta import errors
from pasta.agent import tiring
from pasta.agent.episodes import Episodes
from pasta.agent.history import History
from pasta.agent.settings import NetworkSettings

_FEATURE_CLIP = 6.0  # in standard deviations


@flax.struct.dataclass
class Constants:
  """Normalisation, computed once from the training sessions; not trained.

  Attributes:
    text_mean, text_scale: [D].
    image_mean, image_scale: [D].
    utility_mean, utility_scale: [], of the expected utility m.
    spread_mean, spread_scale: [], of the spread s.
    expected_mean, expected_scale: [], of a slate's expected utility of
      selection.
    return_mean: [T], mean return from turn t on.
    return_scale: [], standard deviation of the return around that mean.
    slope: [], where the slope of f on the normalised m starts; for credit
      'slate' that of q on the normalised expected utility of selection.
    support_precision: [D, D], inverse covariance of the shown prompts' text
      features, a little shrunk.
    support_limit: [], squared Mahalanobis distance that 95 % of them keep.
  """

  text_mean: jax.Array
  text_scale: jax.Array
  image_mean: jax.Array
  image_scale: jax.Array
  utility_mean: jax.Array
  utility_scale: jax.Array
  spread_mean: jax.Array
  spread_scale: jax.Array
  expected_mean: jax.Array
  expected_scale: jax.Array
  return_mean: jax.Array
  return_scale: jax.Array
  slope: jax.Array
  support_precision: jax.Array
  support_limit: jax.Array


@flax.struct.dataclass
class States:
  """What the networks read of the states h_0 … h_{T−1} of one session.

  Attributes:
    tokens: [T, F], normalised; token t describes turn t − 1. F = 0 for history
      'none'.
    belief: [T, K], probabilities over types before turn t's choice.
    prompt: [T, 2], `prompt_moments` of the prompt that turn t extends.
    lately: `tiring.of_states` before turn t; [T, 0] where settings leave it
      out.
  """

  tokens: jax.Array
  belief: jax.Array
  prompt: jax.Array
  lately: jax.Array


@flax.struct.dataclass
class Items:
  """What the networks read of candidates (or of a slate's columns).

  Attributes:
    features: [..., D + G + 2]: normalised text (unless settings leave it out),
      category, expected utility m and its spread s; behind them, where settings
      say so, `tiring.of_items`.
    mean: [...], m, normalised.
    spread: [...], s, normalised.
  """

  features: jax.Array
  mean: jax.Array
  spread: jax.Array


Read = tuple[States, Items]  # What the networks read of whole sessions.


def normalise(x: jax.Array, mean: jax.Array, scale: jax.Array) -> jax.Array:
  """(x − mean) / scale in float32, clipped so that no outlier dominates."""
  return jnp.clip(
    (x.astype(jnp.float32) - mean) / scale, -_FEATURE_CLIP, _FEATURE_CLIP
  )


def moments(
  log_belief: jax.Array, utility: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Expected utility under a belief and its spread over the types.

  m = Σ_k b_k U_k and s = sqrt(Σ_k b_k (U_k − m)²).

  Args:
    log_belief: [..., K].
    utility: [..., N, K].

  Returns:
    m and s, [..., N].
  """
  chex.assert_equal(log_belief.ndim + 1, utility.ndim)
  belief = jnp.exp(log_belief)[..., None, :]
  mean = (belief * utility).sum(-1)
  variance = (belief * (utility - mean[..., None]) ** 2).sum(-1)
  return mean, jnp.sqrt(variance)


def support_excess(constants: Constants, text: jax.Array) -> jax.Array:
  """How far text features [..., D] lie from all that was shown, [...].

  0 within the distance that 95 % of the training slates' prompts keep, 1 at
  twice its square.
  """
  offset = text.astype(jnp.float32) - constants.text_mean
  distance = jnp.einsum(
    '...d,de,...e->...', offset, constants.support_precision, offset
  )
  return jnp.maximum(distance / constants.support_limit - 1.0, 0.0)


def prompt_moments(
  constants: Constants,
  settings: NetworkSettings,
  log_belief: jax.Array,
  utility: jax.Array,
) -> jax.Array:
  """How much is thought of the prompt that a turn extends: [..., 2].

  m and s of its utility under the belief, on the scale of the items'. What a
  candidate is worth hangs on what it is added to.

  Args:
    constants: normalisation.
    settings: static shape.
    log_belief: [..., K].
    utility: [..., K].
  """
  if settings.belief == 'off':
    return jnp.zeros((*utility.shape[:-1], 2), jnp.float32)
  mean, spread = moments(log_belief, utility[..., None, :])
  c = constants
  return jnp.concatenate(
    [
      normalise(mean, c.utility_mean, c.utility_scale),
      normalise(spread, c.spread_mean, c.spread_scale),
    ],
    -1,
  )


def tokens_of(
  constants: Constants, settings: NetworkSettings, seen: Episodes | History
) -> jax.Array:
  """`make_tokens` of whole sessions, or of what is known of them: [B, T, F]."""
  if settings.history == 'none':
    return jnp.zeros((*seen.choice.shape, 0))
  return jax.vmap(make_tokens, in_axes=(None, None, 0, 0, 0, 0, 0))(
    constants,
    settings.num_categories,
    seen.initial_text,
    seen.slate_text,
    seen.slate_image,
    seen.slate_category,
    seen.choice,
  )


def lately_of(
  constants: Constants, settings: NetworkSettings, seen: Episodes | History
) -> tiring.Lately | None:
  """What past turns say before every turn [B, T]; None: settings leave it out.

  Raises:
    PastaError: what was seen does not hold people's satisfaction.
  """
  if not settings.tiring:
    return None
  if seen.satisfaction is None:
    raise errors.PastaError(
      "config field 'tiring' is True, but what was seen lacks satisfaction: "
      'expected histories with it'
    )
  c = constants
  return jax.vmap(tiring.lately)(
    normalise(seen.initial_text, c.text_mean, c.text_scale),
    normalise(seen.slate_text, c.text_mean, c.text_scale),
    normalise(seen.slate_image, c.image_mean, c.image_scale),
    seen.choice,
    seen.satisfaction,
  )


def lately_state(
  settings: NetworkSettings,
  lately: tiring.Lately | None,
  shape: tuple[int, ...],
) -> jax.Array:
  """The part of states [*shape, ...], of width 0 where it is left out."""
  if lately is None:
    return jnp.zeros((*shape, 0))
  return tiring.of_states(lately, settings.history != 'none')


def states_at(
  constants: Constants, settings: NetworkSettings, history: History
) -> States:
  """States [B, T, ...] of which that of the history's turn counts."""
  tokens = tokens_of(constants, settings, history)
  # Both count at the current turn only: others are never read out.
  belief = jnp.broadcast_to(
    jnp.exp(history.log_belief)[:, None],
    (*tokens.shape[:2], history.log_belief.shape[-1]),
  )
  prompt = prompt_moments(
    constants, settings, history.log_belief, history.prompt_utility
  )
  prompt = jnp.broadcast_to(prompt[:, None], (*tokens.shape[:2], 2))
  lately = lately_of(constants, settings, history)
  return States(
    tokens, belief, prompt, lately_state(settings, lately, tokens.shape[:2])
  )


def make_items(
  constants: Constants,
  settings: NetworkSettings,
  log_belief: jax.Array,
  text: jax.Array,
  category: jax.Array,
  utility: jax.Array,
  lately: tiring.Lately | None = None,
) -> Items:
  """Items from text [..., N, D], category [..., N] and utility [..., N, K].

  The belief [..., K] and what past turns say [..., D] have no item axis.
  """
  if settings.belief == 'off':
    # Not the moments of zeros: compiled for a CPU with jax 0.10.2 they came
    # out as variances of -1e29 or NaN, now and then.
    mean = spread = jnp.zeros(category.shape, jnp.float32)
  else:
    mean, spread = moments(log_belief, utility)
  c = constants
  mean = normalise(mean, c.utility_mean, c.utility_scale)
  spread = normalise(spread, c.spread_mean, c.spread_scale)
  text = normalise(text, c.text_mean, c.text_scale)
  category = jax.nn.one_hot(category, settings.num_categories)
  features = [category, mean[..., None], spread[..., None]]
  if settings.item_text:
    features = [text, *features]
  if lately is not None:
    features.append(tiring.of_items(lately, text, settings.item_text))
  features = jnp.concatenate(features, -1)
  return Items(features=features, mean=mean, spread=spread)


def make_tokens(
  constants: Constants,
  num_categories: int,
  initial_text: jax.Array,
  slate_text: jax.Array,
  slate_image: jax.Array,
  slate_category: jax.Array,
  choice: jax.Array,
) -> jax.Array:
  """Tokens of the states h_0 … h_{T−1} of one session.

  A past turn is [chosen text, chosen column's image mean, slate's mean text,
  slate's mean image, chosen category]; the initial prompt stands where a
  chosen text does. Turn T − 1 is never read: what follows it is terminal.

  Args:
    constants: normalisation.
    num_categories: G.
    initial_text: [D].
    slate_text: [T, L, D].
    slate_image: [T, L, D].
    slate_category: int [T, L].
    choice: int [T], -1 where there was none.

  Returns:
    [T, F], F = 4 D + G.
  """
  chex.assert_rank(
    [initial_text, slate_text, slate_image, slate_category, choice],
    [1, 3, 3, 2, 1],
  )
  c = constants
  choice = choice[:-1]
  text = normalise(slate_text[:-1], c.text_mean, c.text_scale)
  image = normalise(slate_image[:-1], c.image_mean, c.image_scale)
  category = jax.nn.one_hot(slate_category[:-1], num_categories)
  is_chosen = jax.nn.one_hot(choice, text.shape[1])  # [T - 1, L]; -1: zeros
  past = jnp.concatenate(
    [
      jnp.einsum('tl,tld->td', is_chosen, text),
      jnp.einsum('tl,tld->td', is_chosen, image),
      text.mean(1),
      image.mean(1),
      jnp.einsum('tl,tlg->tg', is_chosen, category),
    ],
    -1,
  )
  initial = normalise(initial_text, c.text_mean, c.text_scale)
  first = jnp.zeros(past.shape[-1]).at[: initial.shape[0]].set(initial)
  return jnp.concatenate([first[None], past])
