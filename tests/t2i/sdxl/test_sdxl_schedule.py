"""Schedulers against diffusers' own, and on networks that know the truth."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_sdxl
from absl.testing import parameterized

from pasta import errors
from pasta.t2i.sdxl import schedule as sdxl_schedule

# What diffusers' PyTorch schedulers (0.38) make of _START · init_noise_sigma
# with SDXL's scheduler_config.json, where the network's output is
# 0.6 · (its input) + 0.3 · sin(timestep / 200).
_START = (-1.3, -0.2, 1.7)
_PEER = (
  ('ddim', 'leading', 20, 'epsilon', (-2.12501, -0.11308, 3.36207)),
  ('ddim', 'leading', 20, 'v_prediction', (-0.62099, -0.20129, 0.52365)),
  ('ddim', 'trailing', 4, 'epsilon', (-2.50603, 0.32255, 5.20828)),
  ('ddim', 'trailing', 4, 'v_prediction', (-0.46466, -0.20728, 0.23727)),
  ('ddim', 'trailing', 1, 'epsilon', (-3.46325, 3.02127, 14.22182)),
  ('ddim', 'trailing', 1, 'v_prediction', (0.93651, 0.38670, -0.56298)),
  ('ddim', 'trailing', 20, 'epsilon', (-2.26008, 0.01020, 3.93158)),
  ('ddim', 'trailing', 20, 'v_prediction', (-0.61098, -0.19795, 0.51546)),
  ('euler', 'leading', 20, 'epsilon', (-2.08851, -0.11118, 3.30421)),
  ('euler', 'leading', 20, 'v_prediction', (-0.60961, -0.19763, 0.51397)),
  ('euler', 'trailing', 4, 'epsilon', (-2.45817, 0.30464, 5.07676)),
  ('euler', 'trailing', 4, 'v_prediction', (-0.45221, -0.21091, 0.20588)),
  ('euler', 'trailing', 1, 'epsilon', (-3.41574, 3.03721, 14.18320)),
  ('euler', 'trailing', 1, 'v_prediction', (0.97526, 0.39325, -0.61204)),
  ('euler', 'trailing', 20, 'epsilon', (-2.21373, 0.00856, 3.84704)),
  ('euler', 'trailing', 20, 'v_prediction', (-0.59609, -0.19497, 0.49788)),
  ('euler', 'linspace', 20, 'epsilon', (-2.21756, 0.01443, 3.86969)),
  ('euler', 'linspace', 20, 'v_prediction', (-0.59683, -0.19438, 0.50076)),
  ('dpm++', 'leading', 7, 'epsilon', (-1.95420, -0.34645, 2.43057)),
  ('dpm++', 'leading', 7, 'v_prediction', (-0.65619, -0.24145, 0.47492)),
  ('dpm++', 'leading', 20, 'epsilon', (-2.04774, -0.19697, 2.99982)),
  ('dpm++', 'leading', 20, 'v_prediction', (-0.64624, -0.20425, 0.55918)),
  ('dpm++', 'trailing', 4, 'epsilon', (-2.35985, -0.06737, 3.89237)),
  ('dpm++', 'trailing', 4, 'v_prediction', (-0.54204, -0.25520, 0.24025)),
  ('dpm++', 'trailing', 1, 'epsilon', (-3.43357, 3.03446, 14.20652)),
  ('dpm++', 'trailing', 1, 'v_prediction', (0.97686, 0.39349, -0.61414)),
  ('dpm++', 'trailing', 20, 'epsilon', (-2.18290, -0.06607, 3.59027)),
  ('dpm++', 'trailing', 20, 'v_prediction', (-0.63491, -0.20005, 0.55108)),
  ('dpm++', 'linspace', 20, 'epsilon', (-2.18300, -0.06646, 3.58937)),
  ('dpm++', 'linspace', 20, 'v_prediction', (-0.63469, -0.20028, 0.55007)),
)


def _noise(**fields):
  config = tiny_sdxl.SCHEDULER | fields
  return sdxl_schedule.read_noise(config, 'scheduler_config.json')


@functools.partial(jax.jit, static_argnames='predict')
def _run(schedule, start, predict):
  return sdxl_schedule.denoise(schedule, start, predict)


def _denoise(schedule, predict):
  start = jnp.array([_START], jnp.float32)
  return np.asarray(_run(schedule, start, predict))[0]


def _linear(x, t):
  return 0.6 * x + 0.3 * jnp.sin(t / 200)


@pytest.mark.parametrize(
  ('name', 'spacing', 'num_steps', 'prediction', 'expected'),
  _PEER,
  ids=['-'.join(map(str, row[:4])) for row in _PEER],
)
def test_a_run_ends_where_diffusers_ends(
  name, spacing, num_steps, prediction, expected
):
  noise = _noise(prediction_type=prediction)
  schedule = sdxl_schedule.build(name, spacing, num_steps, noise)
  got = _denoise(schedule, _linear)
  np.testing.assert_allclose(got, expected, rtol=3e-5, atol=2e-5)


class WithoutJitTest(chex.TestCase):
  """A run that nothing has compiled ends at the same place."""

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    *(row for row in _PEER if row[1:4] == ('trailing', 4, 'epsilon'))
  )
  def test_a_run(self, name, spacing, num_steps, prediction, expected):
    noise = _noise(prediction_type=prediction)
    schedule = sdxl_schedule.build(name, spacing, num_steps, noise)

    @self.variant
    def run(start):
      return sdxl_schedule.denoise(schedule, start, _linear)

    got = run(jnp.array([_START], jnp.float32))[0]
    np.testing.assert_allclose(got, expected, rtol=3e-5, atol=2e-5)


@pytest.mark.parametrize('prediction', ['epsilon', 'v_prediction'])
@pytest.mark.parametrize('name', sdxl_schedule.SCHEDULERS)
def test_a_network_that_knows_the_image_leads_to_it(name, prediction):
  # The network always answers with what its input is, given this x0.
  clean = np.array([0.5, -2.0, 1.25], np.float32)
  noise = _noise(prediction_type=prediction, set_alpha_to_one=True)
  signals = jnp.asarray(noise.signal, jnp.float32)

  def predict(x, t):
    signal = jnp.interp(t, jnp.arange(1000.0), signals)
    if name == 'euler':  # Interpolates σ, not ᾱ, between training steps.
      sigmas = jnp.sqrt((1 - signals) / signals)
      signal = 1 / (1 + jnp.interp(t, jnp.arange(1000.0), sigmas) ** 2)
    a, s = jnp.sqrt(signal), jnp.sqrt(1 - signal)
    n = (x - a * clean) / s
    return n if prediction == 'epsilon' else a * n - s * clean

  for num_steps in (1, 2, 7):
    for spacing in sdxl_schedule.SPACINGS:
      schedule = sdxl_schedule.build(name, spacing, num_steps, noise)
      got = _denoise(schedule, predict)
      np.testing.assert_allclose(got, clean, atol=1e-3, err_msg=spacing)


def test_more_steps_of_higher_order_are_nearer_to_the_exact_path():
  # Where latents are normal with variance 4, the network's best answer is
  # known: noise · x / (4 · signal² + noise²), and the exact path ends at
  # x times the ratio of standard deviations.
  noise = _noise(set_alpha_to_one=True)
  signals = jnp.asarray(noise.signal, jnp.float32)

  def predict(x, t):
    signal = signals[t.astype(int)]
    return jnp.sqrt(1 - signal) * x / (4 * signal + 1 - signal)

  def error(name, num_steps):
    schedule = sdxl_schedule.build(name, 'trailing', num_steps, noise)
    end = noise.signal[-1]
    exact = np.array(_START) * 2 / np.sqrt(4 * end + 1 - end)
    return np.abs(_denoise(schedule, predict) - exact).max()

  assert error('ddim', 40) < 0.6 * error('ddim', 20)
  assert error('dpm++', 20) < 0.3 * error('ddim', 20)
  assert error('dpm++', 40) < 0.02


def test_few_steps_begin_at_the_last_training_step_with_trailing_spacing():
  first = {
    spacing: [
      int(t)
      for t in sdxl_schedule.build(
        'euler', spacing, 4, tiny_sdxl.noise()
      ).steps.timestep
    ]
    for spacing in sdxl_schedule.SPACINGS
  }
  assert first == {
    'leading': [751, 501, 251, 1],
    'linspace': [999, 666, 333, 0],
    'trailing': [999, 749, 499, 249],
  }


def test_a_step_does_not_lose_float32():
  schedule = sdxl_schedule.build('euler', 'trailing', 4, tiny_sdxl.noise())
  half = _denoise(schedule, lambda x, t: _linear(x, t).astype(jnp.bfloat16))
  full = _denoise(schedule, _linear)
  np.testing.assert_allclose(half, full, rtol=0.02)
  with pytest.raises(AssertionError, match='float32'):
    sdxl_schedule.denoise(
      schedule, jnp.zeros((1, 2), jnp.bfloat16), lambda x, t: x
    )


def test_the_noise_of_sdxl():
  noise = tiny_sdxl.noise()
  # (1 - 0.00085) after the first step; the last as diffusers prints it.
  np.testing.assert_allclose(noise.signal[0], 0.99915)
  np.testing.assert_allclose(noise.signal[-1], 0.0046600, rtol=1e-4)
  assert noise.final_signal == noise.signal[0]
  assert noise.steps_offset == 1
  linear = _noise(beta_schedule='linear', beta_start=0.1, beta_end=0.3)
  np.testing.assert_allclose(linear.signal[0], 0.9)
  assert _noise(set_alpha_to_one=True).final_signal == 1


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'beta_schedule': 'squaredcos_cap_v2'}, 'beta_schedule is .squaredcos'),
    ({'prediction_type': 'sample'}, "'epsilon' or 'v_prediction'"),
    ({'rescale_betas_zero_snr': True}, 'rescale_betas_zero_snr is True'),
    ({'num_train_timesteps': '1000'}, "is '1000', expected int"),
    ({'beta_end': 1.5}, 'no schedule of noise'),
    ({'beta_start': float('nan')}, 'no schedule of noise'),
    ({'clip_sample': True}, 'clip_sample is True, expected False'),
    ({'trained_betas': [0.1, 0.2]}, 'trained_betas are set'),
    ({'_class_name': 'FlowMatchEulerDiscreteScheduler'}, 'in another way'),
    ({'_class_name': 'EDMEulerScheduler'}, 'in another way; expected one of'),
    ({'_class_name': None}, 'in another way'),
  ],
)
def test_a_config_that_is_not_offered(fields, message):
  with pytest.raises(errors.PastaError, match=message) as e:
    _noise(**fields)
  assert str(e.value).startswith('scheduler_config.json: ')


@pytest.mark.parametrize(
  ('name', 'spacing', 'num_steps', 'message'),
  [
    ('lms', 'leading', 20, "ddim, dpm.., euler, got 'lms'"),
    ('ddim', 'karras', 20, "spacing: .* got 'karras'"),
    ('ddim', 'leading', 0, 'steps: expected 1 or more, got 0'),
    ('dpm++', 'leading', 1000, 'steps: 1000 leading steps do not fit'),
    ('ddim', 'leading', 1000, 'do not fit 1000 training steps'),
    ('euler', 'trailing', 1001, 'do not fit'),
  ],
)
def test_a_schedule_that_cannot_be_made(name, spacing, num_steps, message):
  with pytest.raises(errors.PastaError, match=message):
    sdxl_schedule.build(name, spacing, num_steps, tiny_sdxl.noise())
