"""Policies that know the truth, to measure the others against.

All know the population's true parameters and act for the turn at hand. They
differ in what they are told of the person, in what feedback their posterior
hears, and in how they fill a slate:

| name | told | hears | slate |
|---|---|---|---|
| `prior` | – | nothing: what common taste alone is worth | columns |
| `bayes` | – | choices | columns |
| `bayes_slate` | – | choices | hedging |
| `bayes_full` | – | choices, satisfaction, comparisons | hedging |
| `type_told` | the true type | all of these | hedging |
| `oracle` | taste and intent | nothing is left to hear | columns |

'columns' takes the candidates of the best expected utility one by one.
'hedging' builds the slate whose pick has the best expected utility, as
`greedy_slate` does with learned types (`agent.expected_selection`): what
people pick is worth more than a slate's columns on average, and a slate that
holds something for each person who is still likely is worth most. A column's
utility is that of its best image: exact moments, normal in between. Sampled
scenes in place of that change nothing for `bayes_slate`.

Where people tire of looks (`population.habituation`), all know who does, how
much, and of what at the turn at hand. There foresight may pay (`foresight`).
Three more act as `bayes_slate` does, and for later turns: `bayes_sparing` by a
hand rule that leaves looks open, for all people alike; `bayes_sparing_told` by
that rule as far as a person tires; `bayes_ahead` looks one turn ahead with the
true generator.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta import errors
from pasta.agent import expected_selection, slates
from pasta.agent import history as history_lib
from pasta.agent.policy import Policy
from pasta.candidates.base import CandidateGenerator
from pasta.population import foresight
from pasta.population import population as population_lib
from pasta.population import posterior as posterior_lib
from pasta.types import screen_position

# Mean and deviation of the largest of M standard normals, M = 1..8; numerical
# integration.
_BEST_OF = (0.0, 0.56419, 0.84628, 1.02938, 1.16296, 1.26721, 1.35218, 1.42360)
_BEST_STD = (1.0, 0.82565, 0.74798, 0.70122, 0.66898, 0.64492, 0.62603, 0.61065)
# Behind the value of a slate that may come: it is an average over many.
_AHEAD_PARTICLES = 48


class _Kind(NamedTuple):
  """How one ceiling differs from the others.

  Attributes:
    told: 'nothing', 'type' or 'person'.
    hears: kinds of feedback, of `posterior.KINDS`.
    hedges: whether slates hedge.
    foresight: '', 'sparing', 'sparing_told' or 'ahead'; hedging slates alone.
  """

  told: str
  hears: tuple[str, ...]
  hedges: bool
  foresight: str = ''


_KINDS = {
  'prior': _Kind('nothing', (), False),
  'bayes': _Kind('nothing', ('choice',), False),
  'bayes_slate': _Kind('nothing', ('choice',), True),
  'bayes_full': _Kind('nothing', posterior_lib.KINDS, True),
  'type_told': _Kind('type', posterior_lib.KINDS, True),
  'oracle': _Kind('person', (), False),
  'bayes_sparing': _Kind('nothing', ('choice',), True, 'sparing'),
  'bayes_sparing_told': _Kind('nothing', ('choice',), True, 'sparing_told'),
  'bayes_ahead': _Kind('nothing', ('choice',), True, 'ahead'),
}
NAMES = tuple(_KINDS)


class Ceiling(Policy):
  """One of the policies above, for hidden people alone.

  Args:
    name: one of NAMES.
    population: the truth.
    config: `num_particles`, draws from the true prior behind the posterior;
      `slate_particles`, those of equal weight that a hedging slate is made
      for.
    images_per_prompt: M.
    num_columns: L.
    sparing_weight: k of `foresight.sparing`; a person's own is k h_i.
    generator: writes the candidates; for 'bayes_ahead'.
  """

  def __init__(
    self,
    name: str,
    population: population_lib.Population,
    config: ml_collections.ConfigDict,
    *,
    images_per_prompt: int,
    num_columns: int,
    sparing_weight: float = 0.0,
    generator: CandidateGenerator | None = None,
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
    errors.check_least(
      config, 'ceilings.{}', num_particles=1, slate_particles=1
    )
    self._kind = _KINDS[name]
    if self._kind.foresight.startswith('sparing'):
      name += f':weight={sparing_weight:g}'
    super().__init__(name=name, num_columns=num_columns, uses_features=False)
    self._population = population
    self._sparing_weight = sparing_weight
    self._generator = generator
    self._best_of = (
      _BEST_OF[images_per_prompt - 1],
      _BEST_STD[images_per_prompt - 1],
    )
    self._slate_particles = config.slate_particles
    self._noise = posterior_lib.noise(population)
    if self._kind.told == 'person':
      # One particle, to which the whole person is added.
      nobody = jnp.zeros((1, *population_lib.VALID.shape))
      self._particles = posterior_lib.Particles(nobody, nobody)
    else:
      self._particles = posterior_lib.draw(
        population,
        config.num_particles,
        with_types=self._kind.told == 'nothing',
      )

  def begin(self, people: Any) -> None:
    """Takes its seat beside N people; knows who they are where it is told."""
    crowd = people.crowd
    # The initial prompt tells everyone what it names.
    known = crowd.intents * crowd.named[..., None]
    if self._kind.told == 'type':
      known = known + self._population.tastes[crowd.types]
    elif self._kind.told == 'person':
      known = crowd.tastes + crowd.intents
    self._habituation = crowd.habituation[:, None, None]
    self._fresh = known  # [N, S, V]
    self._open = jnp.asarray(1.0 - crowd.named, jnp.float32)  # [N, S]
    self._boredom = np.zeros_like(known)
    self._tell()
    if self._kind.foresight == 'ahead':
      self._ahead = foresight.Ahead(self._generator, people)
    shifts = 'satisfaction' in self._kind.hears
    self._posterior = posterior_lib.initial(
      self._particles,
      len(crowd),
      self._noise.log_share if shifts else jnp.zeros(1),
    )

  def _tell(self) -> None:
    """What is known of people, as bored as they are."""
    known = self._fresh - self._habituation * self._boredom
    self._told = posterior_lib.Told(jnp.asarray(known, jnp.float32), self._open)

  def log_types(self) -> np.ndarray:
    """What it knows of people's true types: log probabilities [N, K*]."""
    types = posterior_lib.drawn_types(
      self._population, len(self._particles.tastes)
    )
    weights = jax.nn.softmax(self._posterior.log_weights, -1)
    is_type = np.eye(len(self._population.type_prior))[types]
    probs = np.asarray(weights, np.float64) @ is_type
    # A type that no particle has: less than one of them.
    least = 1.0 / len(types)
    return np.log(np.maximum(probs, least * 1e-3))

  def _later(
    self, probs: jax.Array, history: history_lib.History
  ) -> jax.Array | None:
    """What picking a candidate is worth for later turns [N, C], if anything."""
    how = self._kind.foresight
    if how == 'ahead':
      turn = int(history.turn[0])
      is_last = turn + 1 == history.choice.shape[1]
      return None if is_last else self._next_slates(probs, turn)
    if how:
      weight = self._sparing_weight
      if how == 'sparing_told':
        weight = weight * self._habituation[:, 0, 0]
      return foresight.sparing(probs, foresight.turns_left(history), weight)
    return None

  def _next_slates(self, probs: jax.Array, turn: int) -> jax.Array:
    """Worth of the best slates that would follow each candidate [N, C]."""
    texts, category = self._ahead.pools(self._texts, turn)
    size = probs.shape[1]
    boredom = population_lib.expected_boredom(
      self._boredom[:, None], np.asarray(probs)
    )  # [N, C, S, V]
    known = self._fresh[:, None] - self._habituation[:, None] * boredom
    *_, value = _hedging_slates(
      foresight.probs_of(texts),
      jnp.repeat(self._posterior.log_weights, size, 0),
      self._particles,
      posterior_lib.Told(
        jnp.asarray(known.reshape(-1, *known.shape[2:]), jnp.float32),
        jnp.repeat(self._open, size, 0),
      ),
      self._best_of,
      history_lib.CandidateSet(
        category=jnp.asarray(category),
        valid=jnp.ones(category.shape, bool),
        text=None,
        utility=None,
      ),
      self._noise,
      None,
      num_columns=self.num_columns,
      num_particles=_AHEAD_PARTICLES,
    )
    return value.reshape(-1, size)

  def see(self, texts: Sequence[Sequence[str]]) -> None:
    """See Policy."""
    self._texts = texts

  def observe(self, shown: Any, answer: Any) -> None:
    """See Policy; reads the slates' scenes [N, L, M, S]."""
    hears = self._kind.hears
    if hears:
      self._hear(hears, shown, answer)
    self._boredom = population_lib.next_boredom(
      self._boredom, shown.scenes, answer.choice
    )
    self._tell()
    if self._kind.foresight == 'ahead':
      self._ahead.observe(shown.prompts, answer.choice)

  def _hear(self, hears: tuple[str, ...], shown: Any, answer: Any) -> None:
    """Moves the posterior by what people said of what they saw."""
    satisfaction = comparison = None
    if 'satisfaction' in hears:
      satisfaction = jnp.asarray(answer.satisfaction, jnp.float32)
    if 'comparison' in hears and answer.comparison is not None:
      comparison = jnp.asarray(answer.comparison)
    self._posterior = posterior_lib.update(
      self._posterior,
      self._particles,
      self._told,
      self._noise,
      jnp.asarray(shown.scenes),
      jnp.asarray(screen_position(shown.columns)),
      jnp.asarray(answer.choice),
      satisfaction,
      comparison,
    )

  def scores(self, texts: Sequence[Sequence[str]]) -> jax.Array:
    """Expected utility of every candidate [N, C]."""
    return _expected_utility(
      foresight.probs_of(texts),
      self._posterior.log_weights,
      self._particles,
      self._told,
      self._best_of,
    )

  def _choose(
    self,
    history: history_lib.History,
    candidates: history_lib.CandidateSet,
    keys: jax.Array,
  ) -> history_lib.Decision:
    """The slate of the best expected utilities, or of the best pick."""
    del keys
    if self._kind.hedges:
      probs = foresight.probs_of(self._texts)
      slate, scores, _ = _hedging_slates(
        probs,
        self._posterior.log_weights,
        self._particles,
        self._told,
        self._best_of,
        candidates,
        self._noise,
        self._later(probs, history),
        num_columns=self.num_columns,
        num_particles=min(self._slate_particles, len(self._particles.tastes)),
      )
    else:
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


def _moments(
  probs: jax.Array, persons: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Mean and deviation of an image's utility, [C, P] each.

  Args:
    probs: of the candidates' values [C, S, V].
    persons: weights [P, S, V].
  """
  # Particles last: every product below is then a plain matrix product.
  persons = jnp.moveaxis(persons, 0, -1)  # [S, V, P]
  mean = jnp.matmul(jnp.moveaxis(probs, 1, 0), persons)  # [S, C, P]
  num_candidates, num_particles = mean.shape[1:]
  second = probs.reshape(num_candidates, -1) @ (
    (persons**2).reshape(-1, num_particles)
  )  # [C, P]
  variance = second - (mean**2).sum(0)
  return mean.sum(0), jnp.sqrt(jnp.maximum(variance, 0.0))


@jax.jit
def _expected_utility(probs, log_weights, particles, told, best_of):
  """Scores [N, C] averaged over particles with log weights [N, P]."""

  def one(x):
    probs, log_weights, told = x
    mean, std = _moments(
      probs, posterior_lib.persons(particles, told.known, told.open)
    )
    return (mean + best_of[0] * std) @ jax.nn.softmax(log_weights)

  return jax.lax.map(one, (probs, log_weights, told))


@functools.partial(jax.jit, static_argnames=('num_columns', 'num_particles'))
def _hedging_slates(
  probs,
  log_weights,
  particles,
  told,
  best_of,
  candidates,
  noise,
  later,
  *,
  num_columns,
  num_particles,
):
  """Slates of the best expected pick.

  Returns:
    Slates [N, L], candidates' values alone [N, C], values of slates [N].
  """

  def one(x):
    probs, log_weights, told, candidates, later = x
    index = posterior_lib.resampled(log_weights, num_particles)
    likely = jax.tree.map(lambda x: x[index], particles)
    mean, std = _moments(
      probs, posterior_lib.persons(likely, told.known, told.open)
    )  # [C, R]
    pool = jax.tree.map(lambda x: x[None], candidates)
    slate, first, value = expected_selection.insert(
      lambda sets, expected: expected,
      jnp.full((1, num_particles), -jnp.log(num_particles)),
      pool.replace(utility=(mean + best_of[0] * std)[None]),
      expected_selection.Response(
        -jnp.log(noise.choice), best_of[1] * std, noise.careless
      ),
      num_columns,
      None if later is None else later[None],
    )
    return slate[0], first[0], value[0]

  # One person after the other: all at once would hold N times the draws.
  return jax.lax.map(one, (probs, log_weights, told, candidates, later))
