"""How people choose beside what they like: lapses, and places on the screen.

  C(l | k, slate) = (1 − ε) softmax_l(τ R_k(l) + β x_l) + ε / L

ε is the share of choices made at random, β the log-odds of the screen's first
column against its last. Both are learned with the heads, by EM; as the heads
know the people whom they were fitted on too well, both are set once more with τ
on held-out people, whose choices also say how far they are certain.

Intervals are those of the profile likelihood: unlike the curvature at the
maximum they hold where a rate is 0, the edge of what it can be.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax import flatten_util

from pasta import errors
from pasta.user_model import likelihoods, predictions
from pasta.user_model.model import UserModel
from pasta.user_model.sources import Source

# Half the 95 % quantile of χ² with one degree of freedom.
_DROP = 1.920729
_NEWTON_STEPS = 50  # at most
_SMALL_GAIN = 1e-3  # nats over all people; a step that gains less is the last
_BISECTIONS = 10
_MOST_PEOPLE = 500  # whose choices set habits: more hardly narrow an interval
_FIRST_STEP = 0.05  # of the search for the end of a place's interval
_FURTHEST = 50.0  # where it is given up


def initial(config: ml_collections.ConfigDict) -> dict[str, jax.Array]:
  """Habits before any data; those that are off are left out."""
  found = {}
  if config.lapse:
    if not 0.0 < config.typical_lapse < 1.0:
      raise errors.PastaError(
        f'typical_lapse is {config.typical_lapse}, expected a rate between 0 '
        'and 1'
      )
    found['lapse_logit'] = jnp.asarray(_typical_logit(config), jnp.float32)
  if config.position:
    found['position'] = jnp.zeros(())
  return found


def _typical_logit(config: ml_collections.ConfigDict) -> float:
  return float(np.log(config.typical_lapse) - np.log1p(-config.typical_lapse))


def prior(config: ml_collections.ConfigDict) -> dict[str, tuple[float, float]]:
  """Centre and precision of each habit's weak normal prior."""
  return {
    'lapse_logit': (_typical_logit(config), config.lapse_ridge),
    'position': (0.0, config.position_ridge),
  }


def log_prior(
  values: dict[str, jax.Array], of: dict[str, tuple[float, float]]
) -> jax.Array | float:
  """Log density of the values that have a prior, up to a constant; []."""
  known = sorted(values.keys() & of.keys())
  return sum(-0.5 * of[k][1] * (values[k] - of[k][0]) ** 2 for k in known)


class Choices(NamedTuple):
  """N choices of U people, person after person.

  Attributes:
    utility: R of the slates' columns [N, L, K].
    choice: chosen column [N].
    position: of the columns on the screen [N, L].
    available: [N, L], bool.
    person: whose it is [N], growing.
    log_prior: log η [K].
  """

  utility: jax.Array
  choice: jax.Array
  position: jax.Array
  available: jax.Array
  person: jax.Array
  log_prior: jax.Array


def choices(model: UserModel, source: Source) -> Choices:
  """What slate choices of (at most 500) people say under a model's heads."""
  some = source.select(np.arange(min(source.num_users, _MOST_PEOPLE)))
  found = predictions.by_observation(model, some)
  shape = found.utility.shape[:2]
  position, available = some.position, some.available
  return Choices(
    utility=jnp.asarray(found.utility),
    choice=jnp.asarray(some.feedback['choice']),
    position=jnp.zeros(shape) if position is None else jnp.asarray(position),
    available=jnp.ones(shape, bool) if available is None else available,
    person=jnp.asarray(found.person, jnp.int32),
    log_prior=model.log_prior,
  )


def log_likelihood(
  values: dict[str, jax.Array], data: Choices, num_people: int
) -> jax.Array:
  """Σ_u log Σ_k η_k Π C(choice | k) in nats, [].

  Args:
    values: 'log_scale' [], log τ, and habits; 'position_worth' [], β / τ, may
      stand in place of 'position'.
    data: choices.
    num_people: U.
  """
  values = dict(values)
  if 'position_worth' in values:
    scale = jnp.exp(values['log_scale'])
    values['position'] = values.pop('position_worth') * scale
  each = likelihoods.slate_choice(
    data.utility,
    data.choice,
    jnp.ones_like(data.choice),
    values['log_scale'],
    data.available,
    {k: v for k, v in values.items() if k != 'log_scale'},
    data.position,
  )
  total = jax.ops.segment_sum(
    each, data.person, num_people, indices_are_sorted=True
  )
  return jax.nn.logsumexp(data.log_prior + total, -1).sum()


@functools.partial(jax.jit, static_argnames='num_people')
def _maximise(
  start: dict[str, jax.Array],
  fixed: dict[str, jax.Array],
  of: dict[str, tuple[float, float]],
  data: Choices,
  *,
  num_people: int,
) -> tuple[dict[str, jax.Array], jax.Array]:
  """Newton's ascent in what is not fixed, damped until it climbs.

  Args:
    start: where it begins, [] each.
    fixed: values that stay.
    of: prior of the values; {}: none.
    data: choices.
    num_people: U.

  Returns:
    The maximum, fixed values included, and the log posterior there.
  """
  flat, unravel = flatten_util.ravel_pytree(start)

  def value(x):
    values = {**unravel(x), **fixed}
    return log_likelihood(values, data, num_people) + log_prior(values, of)

  def goes_on(carry):
    *_, damping, gain, count = carry
    return (count < _NEWTON_STEPS) & (gain > _SMALL_GAIN) & (damping < 1e6)

  def step(carry):
    x, best, damping, gain, count = carry
    gradient, hessian = jax.grad(value)(x), jax.hessian(value)(x)
    size, vectors = jnp.linalg.eigh(-hessian)
    # Uphill also where the surface bends upwards, and at most a unit far.
    along = (vectors.T @ gradient) / jnp.maximum(jnp.abs(size) + damping, 1e-3)
    move = vectors @ along
    move /= jnp.maximum(jnp.linalg.norm(move), 1.0)
    new = value(x + move)
    is_better = new > best
    return (
      jnp.where(is_better, x + move, x),
      jnp.where(is_better, new, best),
      jnp.where(is_better, 0.1 * damping, 10.0 * damping),
      jnp.where(is_better, new - best, gain),
      count + 1,
    )

  begin = flat, value(flat), jnp.asarray(1.0), jnp.asarray(jnp.inf), 0
  flat, best, *_ = jax.lax.while_loop(goes_on, step, begin)
  return {**unravel(flat), **fixed}, best


def fit(
  model: UserModel, source: Source, config: ml_collections.ConfigDict
) -> UserModel:
  """Sets τ and the habits to what predicts people's choices best.

  Args:
    model: a fitted user model with habits.
    source: people whom its heads were not fitted on.
    config: `configs/train_user_model.py`.
  """
  data = choices(model, source)
  found, _ = _maximise(
    _values(model), {}, prior(config), data, num_people=_num_people(source)
  )
  return model.replace(choice_log_scale=found.pop('log_scale'), habits=found)


def intervals(model: UserModel, source: Source) -> dict[str, float]:
  """The habits of people, τ free beside them, with 95 % intervals.

  Args:
    model: with habits; its heads are taken as they are.
    source: people whom the heads were not fitted on.

  Returns:
    'lapse', ε, 'position_effect', β, and 'position_worth', β / τ, of maximum
    likelihood, each where the model has it, with '..._low' and '..._high'. β is
    in log-odds, which shrink as utilities are known less well; β / τ is in
    units of the model's utility and does not. 'num_without_order', choices
    whose columns have no known place, where places matter.
  """
  if not model.habits:
    return {}
  data, num = choices(model, source), _num_people(source)
  best, top = _maximise(_values(model), {}, {}, data, num_people=num)
  result = {}

  def profile(name: str, value: float) -> float:
    """How far the log-likelihood falls where a habit is held."""
    start = {k: v for k, v in best.items() if k != name}
    fixed = {name: jnp.asarray(value, jnp.float32)}
    return float(top - _maximise(start, fixed, {}, data, num_people=num)[1])

  if 'lapse_logit' in best:

    def fall(rate: float) -> float:
      with np.errstate(divide='ignore'):
        logit = np.log(rate) - np.log1p(-rate)
      return profile('lapse_logit', logit)

    rate = float(jax.nn.sigmoid(best['lapse_logit']))
    low = 0.0 if fall(0.0) < _DROP else _end(fall, rate, 0.0)
    result |= _interval('lapse', rate, low, _end(fall, rate, 0.999))
  if 'position' in best:
    fall = functools.partial(profile, 'position')
    effect = float(best['position'])
    result |= _interval('position_effect', effect, *_ends(fall, effect))
    # The same maximum, told in other terms: τ has a share in its interval.
    effect = float(best.pop('position') / jnp.exp(best['log_scale']))
    best['position_worth'] = jnp.asarray(effect, jnp.float32)
    fall = functools.partial(profile, 'position_worth')
    result |= _interval('position_worth', effect, *_ends(fall, effect))
    result['num_without_order'] = source.num_without_order
  return result


def _ends(fall: Callable[[float], float], inside: float) -> list[float]:
  """Where an interval ends below and above a value in it."""
  ends = []
  for side in (-1.0, 1.0):
    step = side * _FIRST_STEP
    while fall(inside + step) < _DROP and abs(step) < _FURTHEST:
      step *= 2.0
    ends.append(_end(fall, inside, inside + step))
  return ends


def _end(
  fall: Callable[[float], float], inside: float, outside: float
) -> float:
  """Where an interval ends between a value in it and one beyond it."""
  for _ in range(_BISECTIONS):
    middle = 0.5 * (inside + outside)
    if fall(middle) < _DROP:
      inside = middle
    else:
      outside = middle
  return 0.5 * (inside + outside)


def _interval(
  name: str, value: float, low: float, high: float
) -> dict[str, float]:
  return {name: value, f'{name}_low': low, f'{name}_high': high}


def _values(model: UserModel) -> dict[str, jax.Array]:
  return {'log_scale': model.choice_log_scale, **model.habits}


def _num_people(source: Source) -> int:
  return min(source.num_users, _MOST_PEOPLE)
