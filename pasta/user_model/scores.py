"""Scores of (prompt, image) under every type: what a user model is built on.

`Scorer` is the interface; `heads.Heads` on CLIP features is the default,
`Linear` makes the mixture a latent-class conditional logit on plain column
features, and `PerType` takes any Flax module that scores under one type.
"""

from typing import ClassVar

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from pasta import errors

AGGREGATIONS = ('max', 'mean', 'log_mean_exp')


class Scorer(nn.Module):
  """What a user model needs of its scores.

  A subclass has the fields `num_types` (K) and `aggregation` (of a column's M
  images, one of AGGREGATIONS), and

    __call__(text [N, ...], image [N, M, ...], constants) -> s [N, M, K].

  Parameters that belong to one type lie under 'types' with a leading axis K,
  the others are shared. Types are copied, merged and reordered along that axis.

  Attributes:
    text_ndim: number of axes of one prompt's input (features: 1).
    image_ndim: the same of one image.
  """

  text_ndim: ClassVar[int] = 1
  image_ndim: ClassVar[int] = 1

  def log_prior(
    self, params: dict, log_scale: jax.Array, ridges: dict[str, float]
  ) -> jax.Array:
    """Log density of the MAP prior on parameters, up to a constant; [].

    Args:
      params: this module's 'params'.
      log_scale: log τ [], which turns scores into log-odds.
      ridges: precisions 'shared', 'type' and 'adapter'.
    """
    types = params['types']
    shared = {k: v for k, v in params.items() if k != 'types'}
    in_log_odds = jnp.exp(2 * log_scale)
    return (
      -0.5
      * in_log_odds
      * (
        ridges['shared'] * sum_of_squares(shared)
        + ridges['type'] * sum_of_squares(types)
      )
    )


def check_fields(scorer: Scorer) -> None:
  """Raises PastaError where the fields that all scorers have are wrong."""
  errors.check_known('aggregation', scorer.aggregation, AGGREGATIONS)
  errors.check_least(scorer, num_types=1)


def sum_of_squares(tree) -> jax.Array:
  """Sum over all leaves, []."""
  return sum((jnp.sum(x**2) for x in jax.tree.leaves(tree)), jnp.zeros(()))


class Linear(Scorer):
  """Linear utility on column features: s_k = (b + d_k) · x.

  With slates of one "image" a column (its features [D]) the user model is a
  latent-class conditional logit; prompts are not looked at.
  """

  num_types: int
  aggregation: str = 'max'

  @nn.compact
  def __call__(
    self, text: jax.Array, image: jax.Array, constants: dict[str, jax.Array]
  ) -> jax.Array:
    """Returns s [N, M, K] for features [N, M, D]."""
    del text, constants
    chex.assert_rank(image, 3)
    zeros = nn.initializers.zeros_init()
    dim = image.shape[-1]
    shared = self.param('taste', zeros, (dim,))
    types = self.param(
      'types',
      lambda key, shape: {'taste': zeros(key, shape)},
      (self.num_types, dim),
    )
    return image @ (shared + types['taste']).T


class PerType(Scorer):
  """Any Flax module as a scorer: K copies with parameters of their own.

  Attributes:
    types: scores under one type: called with text [N, D] and image [N, M, D],
      gives [N, M].
  """

  types: nn.Module
  num_types: int
  aggregation: str = 'max'

  @nn.compact
  def __call__(
    self, text: jax.Array, image: jax.Array, constants: dict[str, jax.Array]
  ) -> jax.Array:
    """Returns s [N, M, K]; PastaError where the module's shape is another."""
    del constants
    found = nn.vmap(
      lambda module, *inputs: module(*inputs),
      in_axes=None,
      out_axes=-1,
      axis_size=self.num_types,
      variable_axes={'params': 0},
      split_rngs={'params': True},
    )(self.types, text, image)
    if found.shape[:-1] != image.shape[:2]:
      raise errors.PastaError(
        f'{type(self.types).__name__} gave scores of shape '
        f'{found.shape[:-1]}, expected [N, M] = {image.shape[:2]}'
      )
    return found
