"""How SDXL removes noise: DDIM, Euler and DPM-Solver++, as tables of numbers.

All three are linear in what they are given: with a latent x, the network's
output o and the prediction x0 of the clean latent, a step is

  x0 = clean_x · x + clean_out · o,
  x' = next_x · x + next_clean · x0 + next_last · (x0 of the step before),

and the network sees input_scale · x at `timestep`. So a scheduler is a table of
these numbers, computed once in float64 on the host, and one scan runs any of
them. diffusers' Flax schedulers are not used: Euler's 'linspace' takes wrong
sigmas there, DPM-Solver++ overshoots, and only one has the 'trailing' spacing
which few-step models (Lightning, Hyper-SDXL) need.

DDIM and DPM-Solver++ see x = sqrt(ᾱ) · x0 + sqrt(1 - ᾱ) · noise, Euler sees
x0 + σ · noise with σ = sqrt((1 - ᾱ) / ᾱ).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from pasta import errors

SCHEDULERS = ('ddim', 'dpm++', 'euler')
SPACINGS = ('leading', 'linspace', 'trailing')


class Noise(NamedTuple):
  """What the model was trained with, from its scheduler_config.json.

  Attributes:
    signal: ᾱ of each training step, the share of the clean latent's variance,
      float64 [num_train_steps].
    prediction: what the network predicts, 'epsilon' (the noise) or
      'v_prediction'.
    final_signal: ᾱ after DDIM's last step.
    steps_offset: added to the timesteps of the spacing 'leading'.
  """

  signal: np.ndarray
  prediction: str
  final_signal: float
  steps_offset: int


class Steps(NamedTuple):
  """The table, float32; leaves are [num_steps]. See the top of the module."""

  timestep: np.ndarray
  input_scale: np.ndarray
  clean_x: np.ndarray
  clean_out: np.ndarray
  next_x: np.ndarray
  next_clean: np.ndarray
  next_last: np.ndarray


# Schedulers of diffusers whose models were trained with the noise read here.
_SAME_NOISE = (
  'DDIMScheduler',
  'DDPMScheduler',
  'DPMSolverMultistepScheduler',
  'DPMSolverSinglestepScheduler',
  'DEISMultistepScheduler',
  'EulerAncestralDiscreteScheduler',
  'EulerDiscreteScheduler',
  'HeunDiscreteScheduler',
  'KDPM2AncestralDiscreteScheduler',
  'KDPM2DiscreteScheduler',
  'LCMScheduler',
  'LMSDiscreteScheduler',
  'PNDMScheduler',
  'TCDScheduler',
  'UniPCMultistepScheduler',
)


class Schedule(NamedTuple):
  """A scheduler at a number of steps.

  Attributes:
    steps: the table.
    first_scale: what unit normal noise is multiplied with to start.
  """

  steps: Steps
  first_scale: float


def read_noise(config: Mapping[str, Any], path: str) -> Noise:
  """Reads a scheduler_config.json of any of diffusers' schedulers.

  Args:
    config: the file's content; fields that it lacks have diffusers' values.
    path: of the file, for errors.

  Raises:
    PastaError: the scheduler samples in another way, or a field has a value
      that these do not offer.
  """
  kind_of = config.get('_class_name', 'EulerDiscreteScheduler')
  if kind_of not in _SAME_NOISE:
    raise errors.PastaError(
      f'{path}: _class_name is {kind_of!r}, which samples in another way; '
      f'expected one of {", ".join(_SAME_NOISE)}'
    )
  if config.get('trained_betas') is not None:
    raise errors.PastaError(
      f'{path}: trained_betas are set, expected beta_start, beta_end and '
      'beta_schedule alone'
    )

  def field(name, default, kind, known=None):
    value = config.get(name, default)
    is_number = isinstance(value, (int, float)) and kind is float
    if not (is_number or type(value) is kind):
      raise errors.PastaError(
        f'{path}: {name} is {value!r}, expected {kind.__name__}'
      )
    if known is not None and value not in known:
      expected = ' or '.join(repr(x) for x in known)
      raise errors.PastaError(
        f'{path}: {name} is {value!r}, expected {expected}'
      )
    return value

  num_steps = field('num_train_timesteps', 1000, int)
  start, end = field('beta_start', 1e-4, float), field('beta_end', 0.02, float)
  if num_steps < 2 or not 0 < start <= end < 1:
    raise errors.PastaError(
      f'{path}: num_train_timesteps {num_steps}, beta_start {start} and '
      f'beta_end {end} are no schedule of noise'
    )
  schedule = field('beta_schedule', 'linear', str, ('linear', 'scaled_linear'))
  field('rescale_betas_zero_snr', False, bool, (False,))
  field('thresholding', False, bool, (False,))
  field('clip_sample', False, bool, (False,))
  if schedule == 'linear':
    betas = np.linspace(start, end, num_steps)
  else:
    betas = np.linspace(start**0.5, end**0.5, num_steps) ** 2
  signal = np.cumprod(1 - betas)
  to_one = field('set_alpha_to_one', True, bool)
  return Noise(
    signal=signal,
    prediction=field(
      'prediction_type', 'epsilon', str, ('epsilon', 'v_prediction')
    ),
    final_signal=1.0 if to_one else float(signal[0]),
    steps_offset=field('steps_offset', 0, int),
  )


def build(
  scheduler: str, spacing: str, num_steps: int, noise: Noise
) -> Schedule:
  """Makes the table of a scheduler.

  Numbers equal those of diffusers' DDIMScheduler, EulerDiscreteScheduler and
  DPMSolverMultistepScheduler (second order, midpoint, last step of first order
  to zero noise) but in one point: each DDIM step goes to where the next one
  starts, also where diffusers misses it ('linspace', and 'trailing' with a
  number of steps that does not divide the training steps).

  Args:
    scheduler: one of SCHEDULERS.
    spacing: one of SPACINGS.
    num_steps: how many times the network is used.
    noise: of the model.

  Raises:
    PastaError: an argument is unknown or out of range.
  """
  if scheduler not in SCHEDULERS:
    raise errors.PastaError(
      f'scheduler: expected one of {", ".join(SCHEDULERS)}, got {scheduler!r}'
    )
  if spacing not in SPACINGS:
    raise errors.PastaError(
      f'spacing: expected one of {", ".join(SPACINGS)}, got {spacing!r}'
    )
  if num_steps < 1:
    raise errors.PastaError(f'steps: expected 1 or more, got {num_steps}')
  t = _timesteps(scheduler, spacing, num_steps, noise)
  last = len(noise.signal) - 1
  if not (0 <= t[-1] and t[0] <= last and np.all(np.diff(t) < 0)):
    raise errors.PastaError(
      f'steps: {num_steps} {spacing} steps do not fit {last + 1} training steps'
    )
  if scheduler == 'ddim':
    return _ddim(t, noise)
  sigmas = np.sqrt((1 - noise.signal) / noise.signal)
  sigmas = np.interp(t, np.arange(last + 1), sigmas)
  if scheduler == 'euler':
    return _euler(t, sigmas, noise.prediction, spacing)
  return _dpm(t, sigmas, noise.prediction)


def denoise(
  schedule: Schedule,
  latents: jax.Array,
  predict: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:
  """Runs all steps, in float32.

  Args:
    schedule: from `build`.
    latents: unit normal noise, float32 [B, ...].
    predict: network's output of (scaled latents [B, ...], timestep []).

  Returns:
    Clean latents, float32 [B, ...].
  """
  chex.assert_type(latents, jnp.float32)

  def step(carry, row: Steps):
    x, last_clean = carry
    out = predict(row.input_scale * x, row.timestep).astype(jnp.float32)
    clean = row.clean_x * x + row.clean_out * out
    x = row.next_x * x + row.next_clean * clean + row.next_last * last_clean
    return (x, clean), None

  x = latents * schedule.first_scale
  steps = jax.tree.map(jnp.asarray, schedule.steps)
  (x, _), _ = jax.lax.scan(step, (x, jnp.zeros_like(x)), steps)
  return x


def _timesteps(
  scheduler: str, spacing: str, num_steps: int, noise: Noise
) -> np.ndarray:
  """Descending timesteps, float64 [num_steps]; Euler's may be fractional."""
  num_train = len(noise.signal)
  # DPM-Solver++ cuts the range once more and drops the noiseless end.
  num = num_steps + (scheduler == 'dpm++')
  if spacing == 'trailing':
    t = np.arange(num_train, 0, -num_train / num_steps)[:num_steps]
    return np.round(t) - 1
  if spacing == 'leading':
    t = np.arange(num) * (num_train // num)
    return t[::-1][:num_steps].astype(np.float64) + noise.steps_offset
  t = np.linspace(0, num_train - 1, num)[::-1][:num_steps]
  return t if scheduler == 'euler' else np.round(t)


def _ddim(t: np.ndarray, noise: Noise) -> Schedule:
  """Song et al. 2021, equation 12 with σ = 0."""
  now = noise.signal[t.astype(int)]
  after = np.append(now[1:], noise.final_signal)
  shrink = np.sqrt((1 - after) / (1 - now))
  clean_x, clean_out = _clean(np.sqrt(now), np.sqrt(1 - now), noise.prediction)
  steps = Steps(
    timestep=t,
    input_scale=np.ones_like(t),
    clean_x=clean_x,
    clean_out=clean_out,
    next_x=shrink,
    next_clean=np.sqrt(after) - shrink * np.sqrt(now),
    next_last=np.zeros_like(t),
  )
  return Schedule(_float32(steps), 1.0)


def _euler(
  t: np.ndarray, sigmas: np.ndarray, prediction: str, spacing: str
) -> Schedule:
  """Karras et al. 2022, algorithm 1 without its second-order correction."""
  ratio = np.append(sigmas[1:], 0.0) / sigmas
  scale = 1 / np.sqrt(sigmas**2 + 1)
  # Of the network's own input, scale · x.
  clean_x, clean_out = _clean(scale, sigmas * scale, prediction)
  steps = Steps(
    timestep=t,
    input_scale=scale,
    clean_x=clean_x * scale,
    clean_out=clean_out,
    next_x=ratio,
    next_clean=1 - ratio,
    next_last=np.zeros_like(t),
  )
  # 'leading' starts below the last training step: noise and a latent's own
  # unit variance.
  first = np.hypot(sigmas[0], 1) if spacing == 'leading' else sigmas[0]
  return Schedule(_float32(steps), float(first))


def _dpm(t: np.ndarray, sigmas: np.ndarray, prediction: str) -> Schedule:
  """Lu et al. 2022, DPM-Solver++(2M), algorithm 2."""
  signal = 1 / np.sqrt(sigmas**2 + 1)
  noise = sigmas * signal
  next_signal, next_noise = np.append(signal[1:], 1), np.append(noise[1:], 0)
  log_ratio = -np.log(sigmas)  # λ
  h = np.diff(log_ratio)  # λ after the last step is infinite.
  gain = next_signal * -np.expm1(-np.append(h, np.inf))
  # The slope between this x0 and the one before; the first step has none
  # before, the last goes to zero noise and must not extrapolate.
  slope = np.zeros_like(t)
  slope[1:-1] = 0.5 * h[1:] / h[:-1]
  clean_x, clean_out = _clean(signal, noise, prediction)
  steps = Steps(
    timestep=t,
    input_scale=np.ones_like(t),
    clean_x=clean_x,
    clean_out=clean_out,
    next_x=next_noise / noise,
    next_clean=gain * (1 + slope),
    next_last=-gain * slope,
  )
  return Schedule(_float32(steps), 1.0)


def _clean(
  signal: np.ndarray, noise: np.ndarray, prediction: str
) -> tuple[np.ndarray, np.ndarray]:
  """x0 from x = signal · x0 + noise · n: factors of x and of the output."""
  if prediction == 'epsilon':
    return 1 / signal, -noise / signal
  return signal, -noise  # v = signal · n - noise · x0


def _float32(steps: Steps) -> Steps:
  return Steps(*(np.asarray(x, np.float32) for x in steps))
