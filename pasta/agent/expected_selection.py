"""Expected utility of a selection: what the column that people pick is worth.

A slate is not as good as its columns on average: people pick what they like.
Under a belief over types a slate that holds something for each likely type is
worth more than four columns for the likeliest one, and its answer tells more
(Viappiani & Boutilier 2010 call this EUS, and show that the best slate for it
is also close to the best question). With U_k(p) the utility predicted from
text, σ_k what a column's images scatter around it, and τ the choice scale,

  EUS(P) = Σ_k b_k E_ε[ Σ_l softmax_l(τ x_kl) x_kl ],  x_kl = U_k(p_l) + σ_k ε_l

with the expectation over ε by a fixed set of draws, the same for all slates. A
share of choices that people make at random (the user model's lapse rate) picks
any column alike.

Letters: B sessions, C candidates, L slate columns, K user types, S draws.
"""

from collections.abc import Callable

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from pasta.agent import slates
from pasta.agent.history import CandidateSet
from pasta.user_model import model as model_lib
from pasta.user_model.model import UserModel

NUM_DRAWS = 32  # S
_MAX_COLUMNS = 256


def _normals() -> np.ndarray:
  """[_MAX_COLUMNS, S] draws, mean 0 and variance 1 in each row, in pairs ±."""
  # Pairs ± have mean 0 in every row without a correction.
  rng = np.random.default_rng(0)
  half = rng.standard_normal((_MAX_COLUMNS, NUM_DRAWS // 2))
  both = np.concatenate([half, -half], 1)
  both /= both.std(1, keepdims=True)
  # Shuffled row by row: else the second half would mirror all columns at once.
  return np.stack([rng.permutation(row) for row in both]).astype(np.float32)


_NORMALS = _normals()


@flax.struct.dataclass
class Response:
  """How people respond to a slate, as the user model has learned it.

  Attributes:
    choice_log_scale: log τ, [].
    residual_std: σ [K], what images add to their prompt's utility; [N, K]
      where it differs between the N columns that are tried.
    lapse: share of choices that are made at random, [].
  """

  choice_log_scale: jax.Array
  residual_std: jax.Array
  lapse: jax.Array | float = 0.0


def learned(user_model: UserModel) -> Response:
  """What a fitted user model says of responses."""
  lapse = 0.0
  if 'lapse_logit' in user_model.habits:
    lapse = jax.nn.sigmoid(user_model.habits['lapse_logit'])
  return Response(
    jnp.asarray(user_model.choice_log_scale),
    model_lib.text_residual_std(user_model),
    jnp.asarray(lapse),
  )


@flax.struct.dataclass
class Partial:
  """Slates while columns are added.

  Attributes:
    log_weight: log Σ_l exp(τ x_kl), [..., K, S]; -inf where empty.
    utility: of the selection, [..., K, S].
    mean: of the columns' utilities, [..., K, S].
    num_columns: so far, static.
  """

  log_weight: jax.Array
  utility: jax.Array
  mean: jax.Array
  num_columns: int = flax.struct.field(pytree_node=False)


def empty(shape: tuple[int, ...]) -> Partial:
  """Slates without a column, for batch axes and K given as shape [..., K]."""
  shape = (*shape, NUM_DRAWS)
  nothing = jnp.zeros(shape)
  return Partial(jnp.full(shape, -jnp.inf), nothing, nothing, 0)


def sample(utility: jax.Array, response: Response) -> jax.Array:
  """Utilities that columns may turn out to have: [..., N, K] to [..., N, K, S].

  Column n has the n-th row of draws, whatever slate it is part of.
  """
  chex.assert_axis_dimension_lteq(utility, -2, _MAX_COLUMNS)
  noise = jnp.asarray(_NORMALS[: utility.shape[-2]])[:, None]  # [N, 1, S]
  return utility[..., None] + response.residual_std[..., None] * noise


def add(
  partial: Partial,
  sampled: jax.Array,
  response: Response,
  later: jax.Array | float = 0.0,
) -> Partial:
  """Adds a column of sampled utility [..., K, S] to each slate.

  What picking it is worth for `later` turns counts, but attracts nobody.
  """
  # One more term of the softmax: the mean so far keeps 1 − share.
  log_weight = jnp.exp(response.choice_log_scale) * sampled
  total = jnp.logaddexp(partial.log_weight, log_weight)
  share = jnp.exp(log_weight - total)
  worth = sampled + later
  num_columns = partial.num_columns + 1
  return Partial(
    total,
    partial.utility + share * (worth - partial.utility),
    partial.mean + (worth - partial.mean) / num_columns,
    num_columns,
  )


def value(
  partial: Partial, log_belief: jax.Array, response: Response
) -> jax.Array:
  """EUS under beliefs [..., K]: [...]."""
  picked = (1.0 - response.lapse) * partial.utility
  picked += response.lapse * partial.mean
  return (jnp.exp(log_belief) * picked.mean(-1)).sum(-1)


def of_prefixes(
  log_belief: jax.Array, utility: jax.Array, response: Response
) -> jax.Array:
  """EUS of the first 1, 2, …, L columns of slates.

  Args:
    log_belief: [..., K].
    utility: [..., L, K], from text.
    response: τ and σ.

  Returns:
    [..., L].
  """
  chex.assert_equal(log_belief.ndim + 1, utility.ndim)
  sampled = sample(utility, response)
  partial = empty(log_belief.shape)
  result = []
  for column in range(utility.shape[-2]):
    partial = add(partial, sampled[..., column, :, :], response)
    result.append(value(partial, log_belief, response))
  return jnp.stack(result, -1)


def insert(
  score: Callable[[jax.Array, jax.Array], jax.Array],
  log_belief: jax.Array,
  candidates: CandidateSet,
  response: Response,
  num_columns: int,
  later: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Builds slates by inserting the best next column, L times.

  EUS is nearly submodular, so that this is nearly the best slate.

  Args:
    score: (slates with each candidate added [B, C, n], their EUS [B, C]) to
      their values [B, C].
    log_belief: [B, K].
    candidates: with leading [B].
    response: τ and σ.
    num_columns: L.
    later: what it is worth for later turns that a candidate is picked, in
      units of utility [B, C]; None for nothing.

  Returns:
    slates int32 [B, L], the value of each candidate as a slate of its own
    [B, C], the values of the slates [B].
  """
  utility, category = candidates.utility, candidates.groups
  valid = candidates.valid
  batch, pool = category.shape
  rows = jnp.arange(batch)
  sampled = sample(utility, response)  # [B, C, K, S]
  later = 0.0 if later is None else later[..., None, None]
  partial = empty((batch, 1, utility.shape[-1]))
  slate = jnp.zeros((batch, 0), jnp.int32)
  used = taken = jnp.zeros_like(valid)
  first = best_value = None
  for _ in range(num_columns):
    # Each candidate is tried as the next column of the slate so far, which
    # has no axis C of its own: [B, 1, K, S] and [B, C, K, S].
    grown = add(partial, sampled, response, later)  # [B, C, K, S]
    sets = jnp.concatenate(
      [
        jnp.broadcast_to(slate[:, None], (batch, pool, slate.shape[1])),
        jnp.broadcast_to(jnp.arange(pool)[:, None], (batch, pool, 1)),
      ],
      -1,
    )
    scores = score(sets, value(grown, log_belief[:, None], response))
    # A score that is not finite (a diverged value) must not win an argmax.
    usable = valid & jnp.isfinite(scores)
    may = slates.allowed(usable, valid, used, taken)
    best = jnp.argmax(
      jnp.where(may, jnp.where(usable, scores, 0.0), -jnp.inf), -1
    )
    first = scores if first is None else first
    best_value = scores[rows, best]
    slate = jnp.concatenate([slate, best[:, None].astype(jnp.int32)], 1)
    # What the chosen candidate made of the slate is where the next
    # column starts.
    partial = jax.tree.map(lambda x, i=best: x[rows, i][:, None], grown)
    used |= category == category[rows, best][:, None]
    taken |= jnp.arange(pool) == best[:, None]
  return slate, first, best_value
