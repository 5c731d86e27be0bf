"""The exact posterior over persons, by weighted draws from the true prior.

A particle is a person: a taste and what they have in mind. Its weight is the
probability of all feedback that was heard so far, by the very formulas of
`population.answer`: who chose, who said what of their satisfaction and of the
turn before. A person's generosity, which shifts the satisfaction of all turns
alike, is integrated out on a grid.

Letters: N people, P particles, J values of the generosity, L slate columns,
M images per prompt, S slots, V values of a slot.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from pasta.population import population as population_lib

KINDS = ('choice', 'satisfaction', 'comparison')
# Deviations of the generosity that the grid covers to each side, and its size:
# steps of a third of a deviation, an eighth of what a session can tell apart.
_GRID_REACH = 3.5
_GRID_SIZE = 21
# Noise below these is taken for them, so that likelihoods stay finite.
_LEAST_NOISE = 1e-3
_LEAST_SATISFACTION_NOISE = 0.02
_SMALLEST = 1e-30


@flax.struct.dataclass
class Particles:
  """Draws from the prior.

  Attributes:
    tastes: [P, S, V].
    intents: [P, S, V].
  """

  tastes: jax.Array
  intents: jax.Array


@flax.struct.dataclass
class Told:
  """What is known of N people beforehand.

  Attributes:
    known: weights that are added to every particle's [N, S, V].
    open: 1 for slots whose intent is not known [N, S].
  """

  known: jax.Array
  open: jax.Array


@flax.struct.dataclass
class Posterior:
  """What is believed of N people.

  Attributes:
    log_joint: of particle and generosity, not normalised [N, P, J]; J is 1
      where no satisfaction was heard.
    previous: each particle's utility of the column chosen last [N, P].
  """

  log_joint: jax.Array
  previous: jax.Array

  @property
  def log_weights(self) -> jax.Array:
    """Of the particles, not normalised [N, P]."""
    return jax.nn.logsumexp(self.log_joint, -1)


@flax.struct.dataclass
class Noise:
  """The true parameters of what people answer, see `population.answer`.

  Attributes:
    choice, satisfaction, comparison: scales of the noise.
    careless: share of choices that are made at random.
    place: utility of the screen's first column to a choice.
    threshold: 'same' below this difference.
    slope: of the satisfaction, in logits.
    center: utility at which satisfaction is one half.
    generosity: the grid [J], in logits.
    log_share: log prior of its values [J].
  """

  choice: jax.Array
  satisfaction: jax.Array
  comparison: jax.Array
  careless: jax.Array
  place: jax.Array
  threshold: jax.Array
  slope: jax.Array
  center: jax.Array
  generosity: jax.Array
  log_share: jax.Array


def draw(
  population: population_lib.Population, num: int, *, with_types: bool
) -> Particles:
  """Draws P persons, always the same.

  Args:
    population: the truth.
    num: P.
    with_types: False: deviations from the type alone, for people whose type
      is told.
  """
  rng = _rng(population)
  types, tastes = population_lib.draw_tastes(population, num, rng)
  values, weights = population_lib.draw_intents(population, num, rng)
  if not with_types:
    tastes = tastes - population.tastes[types]
  # Persons and intents are independent: one draw of each a particle.
  return Particles(
    jnp.asarray(tastes, jnp.float32),
    jnp.asarray(population_lib.intent_table(values, weights), jnp.float32),
  )


def drawn_types(population: population_lib.Population, num: int) -> np.ndarray:
  """True types of the persons that `draw` draws, int [P]."""
  return population_lib.draw_tastes(population, num, _rng(population))[0]


def _rng(population: population_lib.Population) -> np.random.Generator:
  return np.random.default_rng([population.config.seed, 7])


def noise(population: population_lib.Population) -> Noise:
  """The true parameters as arrays."""
  c = population.config
  grid, log_share = np.zeros(1), np.zeros(1)
  if c.generosity_spread:
    grid = np.linspace(-_GRID_REACH, _GRID_REACH, _GRID_SIZE)
    share = np.exp(-0.5 * grid**2)
    grid, log_share = c.generosity_spread * grid, np.log(share / share.sum())
  values = (
    max(c.choice_noise, _LEAST_NOISE),
    max(c.satisfaction_noise, _LEAST_SATISFACTION_NOISE),
    max(c.comparison_noise, _LEAST_NOISE),
    c.careless_share,
    c.position_bias,
    c.comparison_threshold,
    c.satisfaction_slope,
    population.center,
    grid,
    log_share,
  )
  return Noise(*[jnp.asarray(x, jnp.float32) for x in values])


def initial(particles: Particles, num: int, log_share: jax.Array) -> Posterior:
  """The prior, for N people; `log_share` [J] is that of the generosity."""
  size = len(particles.tastes)
  return Posterior(
    jnp.broadcast_to(log_share, (num, size, len(log_share))),
    jnp.zeros((num, size)),
  )


def log_satisfaction(
  utility: jax.Array, satisfaction: jax.Array, noise: Noise
) -> jax.Array:
  """log p(satisfaction | utility, generosity), of utilities [P]: [P, J].

  A reported 0 or 1 stands for all that was cut off there. NaN says nothing.
  """
  logit = noise.slope * (utility - noise.center)[:, None] + noise.generosity
  level = jax.nn.sigmoid(logit)
  off = (satisfaction - level) / noise.satisfaction
  inside = norm.logpdf(off) - jnp.log(noise.satisfaction)
  cut = jnp.where(satisfaction <= 0, norm.logcdf(off), norm.logcdf(-off))
  is_cut = (satisfaction <= 0) | (satisfaction >= 1)
  return jnp.where(jnp.isnan(satisfaction), 0.0, jnp.where(is_cut, cut, inside))


def log_comparison(
  difference: jax.Array, comparison: jax.Array, noise: Noise
) -> jax.Array:
  """log P(worse, same or better | difference of utilities [P]): [P]."""
  above = norm.cdf((difference - noise.threshold) / noise.comparison)
  below = norm.cdf((-difference - noise.threshold) / noise.comparison)
  probs = jnp.stack([below, 1.0 - above - below, above])
  return jnp.log(jnp.maximum(probs[comparison + 1], _SMALLEST))


def persons(
  particles: Particles, known: jax.Array, open_slots: jax.Array
) -> jax.Array:
  """Weights [P, S, V] that each particle gives one person."""
  return particles.tastes + particles.intents * open_slots[:, None] + known


@jax.jit
def update(
  posterior: Posterior,
  particles: Particles,
  told: Told,
  noise: Noise,
  scenes: jax.Array,
  position: jax.Array,
  choice: jax.Array,
  satisfaction: jax.Array | None = None,
  comparison: jax.Array | None = None,
) -> Posterior:
  """Multiplies in the likelihood of one turn's answers.

  Args:
    posterior: before the turn.
    particles: the draws.
    told: what is known beforehand, at this turn.
    noise: the true parameters.
    scenes: what the slates show, int8 [N, L, M, S].
    position: of the columns on the screen [N, L], `types.screen_position`.
    choice: int [N].
    satisfaction: [N], NaN where not given; None: not heard.
    comparison: -1, 0 or 1 [N]; None: not heard, or no turn before.
  """
  num_values = particles.tastes.shape[-1]

  def one(x):
    posterior, told, scenes, position, choice, satisfaction, comparison = x
    shown = jax.nn.one_hot(scenes, num_values)  # [L, M, S, V]
    total = persons(particles, told.known, told.open)
    utility = jnp.einsum('lmsv,psv->plm', shown, total).max(-1)  # [P, L]
    appeal = utility + noise.place * position
    log_probs = jax.nn.log_softmax(appeal / noise.choice, -1)
    # A careless choice takes any column alike.
    log_probs = jnp.logaddexp(
      jnp.log1p(-noise.careless) + log_probs,
      jnp.log(noise.careless / len(position)),
    )
    chosen = utility[:, choice]
    evidence = log_probs[:, choice]
    if comparison is not None:
      evidence += log_comparison(chosen - posterior.previous, comparison, noise)
    log_joint = posterior.log_joint + evidence[:, None]
    if satisfaction is not None:
      log_joint += log_satisfaction(chosen, satisfaction, noise)
    return Posterior(log_joint, chosen)

  return jax.lax.map(
    one, (posterior, told, scenes, position, choice, satisfaction, comparison)
  )


def resampled(log_weights: jax.Array, num: int) -> jax.Array:
  """Particles of equal weight in place of weighted ones.

  Systematic: particle p comes up num · weight times, rounded up or down.

  Args:
    log_weights: of one person's particles, not normalised [P].
    num: R.

  Returns:
    Indices int [R].
  """
  ends = jnp.cumsum(jax.nn.softmax(log_weights))
  ends /= ends[-1]
  return jnp.searchsorted(ends, (jnp.arange(num) + 0.5) / num)
