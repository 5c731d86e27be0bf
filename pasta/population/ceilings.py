"""Policies that know the truth, to measure the others against.

- `oracle` knows the person: taste and intent.
- `bayes` knows the population's true parameters and the choice model, keeps
  the exact posterior over persons given the same choices that every agent sees
  (by importance weights on draws from the true prior), and acts myopically.
- `prior` is `bayes` that never updates: what common taste alone is worth.

All three score a candidate by the expected utility of its column's best image
and select as the other policies do.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta import errors
from pasta.agent import history as history_lib
from pasta.agent import slates
from pasta.agent.policy import Policy
from pasta.population import population as population_lib
from pasta.t2i.sketch import scene

NAMES = ('prior', 'bayes', 'oracle')
# E[max of M standard normals], M = 1..8; numerical integration.
_BEST_OF = (0.0, 0.56419, 0.84628, 1.02938, 1.16296, 1.26721, 1.35218, 1.42360)


class Ceiling(Policy):
  """One of the policies above, for hidden people alone.

  Args:
    name: 'prior', 'bayes' or 'oracle'.
    population: the truth.
    config: `num_particles`, draws from the true prior behind the posterior.
    images_per_prompt: M.
    num_columns: L.
  """

  def __init__(
    self,
    name: str,
    population: population_lib.Population,
    config: ml_collections.ConfigDict,
    *,
    images_per_prompt: int,
    num_columns: int,
  ):
    if name not in NAMES:
      raise errors.PastaError(
        f'unknown ceiling {name!r}, expected one of {", ".join(NAMES)}'
      )
    if not 1 <= images_per_prompt <= len(_BEST_OF):
      raise errors.PastaError(
        f'ceilings need 1 to {len(_BEST_OF)} images per prompt, not '
        f'{images_per_prompt}'
      )
    super().__init__(name=name, num_columns=num_columns, uses_features=False)
    self._population = population
    self._images_per_prompt = images_per_prompt
    rng = np.random.default_rng([population.config.seed, 7])
    _, tastes = population_lib.draw_tastes(
      population, config.num_particles, rng
    )
    values, weights = population_lib.draw_intents(
      population, config.num_particles, rng
    )
    # Persons and intents are independent: one draw of each a particle.
    self._tastes = jnp.asarray(tastes, jnp.float32)  # [P, S, V]
    self._intents = jnp.asarray(
      population_lib.intent_table(values, weights), jnp.float32
    )

  def begin(self, people: Any) -> None:
    """Takes its seat beside N people, and knows who they are."""
    crowd = people.crowd
    # The initial prompt tells everyone what it names.
    known = crowd.intents * crowd.named[..., None]
    self._known = jnp.asarray(known, jnp.float32)  # [N, S, V]
    self._open = jnp.asarray(1.0 - crowd.named, jnp.float32)  # [N, S]
    self._truth = jnp.asarray(crowd.tastes + crowd.intents, jnp.float32)
    self._log_weights = jnp.zeros((len(crowd), self._tastes.shape[0]))

  def see(self, texts: Sequence[Sequence[str]]) -> None:
    """See Policy."""
    self._texts = texts

  def observe(self, shown: Any, choice: np.ndarray) -> None:
    """Sees the slates' scenes [N, L, M, S] and the choices [N]."""
    if self.name == 'bayes':
      self._log_weights = _update(
        self._log_weights,
        self._tastes,
        self._intents,
        self._known,
        self._open,
        jnp.asarray(shown.scenes),
        jnp.asarray(choice),
        self._population.config.choice_noise,
      )

  def scores(self, texts: Sequence[Sequence[str]]) -> jax.Array:
    """Expected utility of every candidate [N, C]."""
    probs = {
      t: scene.value_probs(t)
      for t in dict.fromkeys(t for row in texts for t in row)
    }
    table = jnp.asarray(
      np.array([[probs[t] for t in row] for row in texts]), jnp.float32
    )
    spread = _BEST_OF[self._images_per_prompt - 1]
    if self.name == 'oracle':
      return _known_scores(table, self._truth, spread)
    return _posterior_scores(
      table,
      self._log_weights,
      self._tastes,
      self._intents,
      self._known,
      self._open,
      spread,
    )

  def _choose(
    self,
    history: history_lib.History,
    candidates: history_lib.CandidateSet,
    keys: jax.Array,
  ) -> history_lib.Decision:
    """The slate of the best expected utilities."""
    del history, keys
    scores = self.scores(self._texts)
    slate = jax.vmap(
      lambda s, c, v: slates.select_mean(s, c, v, self.num_columns)
    )(scores, candidates.groups, candidates.valid)
    return history_lib.Decision(
      slate=slate,
      scores=scores,
      log_propensity=jnp.zeros(len(scores)),
      predicted=jnp.full(len(scores), jnp.nan),
    )


def _best_of(mean: jax.Array, variance: jax.Array, spread: float) -> jax.Array:
  """Expected best of M images: exact moments, normal in between."""
  return mean + spread * jnp.sqrt(jnp.maximum(variance, 0.0))


@jax.jit
def _known_scores(table, truth, spread):
  """Scores [N, C] for known weights [N, S, V]; table [N, C, S, V]."""
  mean = jnp.einsum('ncsv,nsv->ncs', table, truth)
  second = jnp.einsum('ncsv,nsv->ncs', table, truth**2)
  return _best_of(mean.sum(-1), (second - mean**2).sum(-1), spread)


@jax.jit
def _posterior_scores(
  table, log_weights, tastes, intents, known, open_slots, spread
):
  """Scores [N, C] averaged over particles with log weights [N, P]."""
  weights = jax.nn.softmax(log_weights, -1)

  # Particles last: every product below is then a plain matrix product.
  tastes, intents = (jnp.moveaxis(x, 0, -1) for x in (tastes, intents))

  def one(table, weights, known, open_slots):  # [C, S, V] [P] [S, V] [S]
    total = (
      tastes + intents * open_slots[:, None, None] + known[..., None]
    )  # [S, V, P]
    mean = jnp.matmul(jnp.moveaxis(table, 1, 0), total)  # [S, C, P]
    num_candidates, num_particles = mean.shape[1:]
    second = table.reshape(num_candidates, -1) @ (
      (total**2).reshape(-1, num_particles)
    )  # [C, P]
    variance = second - (mean**2).sum(0)
    return _best_of(mean.sum(0), variance, spread) @ weights  # [C]

  return jax.lax.map(lambda x: one(*x), (table, weights, known, open_slots))


@jax.jit
def _update(
  log_weights, tastes, intents, known, open_slots, scenes, choice, choice_noise
):
  """Multiplies in the likelihood of choices [N] among scenes [N, L, M, S]."""
  num_values = tastes.shape[-1]

  def one(log_weights, known, open_slots, scenes, choice):
    shown = jax.nn.one_hot(scenes, num_values)  # [L, M, S, V]
    total = tastes + intents * open_slots[:, None] + known  # [P, S, V]
    utility = jnp.einsum('lmsv,psv->plm', shown, total).max(-1)  # [P, L]
    log_probs = jax.nn.log_softmax(
      utility / jnp.maximum(choice_noise, 1e-3), -1
    )
    return log_weights + log_probs[:, choice]

  return jax.lax.map(
    lambda x: one(*x), (log_weights, known, open_slots, scenes, choice)
  )
