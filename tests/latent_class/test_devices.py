"""Full-batch EM on one and on many devices: the same numbers."""

import jax
import numpy as np
import pytest

from pasta import errors, latent_class
from pasta.latent_class import choices as choices_lib
from pasta.latent_class import conditional_logit, devices


def draw(num_users, *, seed, num_types=3, dim=4, columns=4):
  """People with 1 to 19 choices each, among 2 to 4 alternatives."""
  rng = np.random.default_rng(seed)
  coefficients = 1.5 * rng.standard_normal((num_types, dim))
  types = rng.integers(num_types, size=num_users)
  user = np.repeat(np.arange(num_users), rng.integers(1, 20, num_users))
  features = rng.standard_normal((len(user), columns, dim))
  available = rng.random((len(user), columns)) < 0.7
  available[:, :2] = True
  utility = np.einsum('nld,nd->nl', features, coefficients[types[user]])
  utility += rng.gumbel(size=utility.shape)
  choice = np.where(available, utility, -np.inf).argmax(1)
  return features, choice, user, available


def test_people_are_dealt_whole_and_in_equal_shares():
  with jax.enable_x64(True):
    data, _ = choices_lib.make(*draw(107, seed=0))
    parts, seats = devices.deal(data, 8)
    assert sorted(seats[seats >= 0]) == list(range(107))
    np.testing.assert_array_equal(parts.present, seats >= 0)
    count = np.bincount(data.user)
    loads = [count[row[row >= 0]].sum() for row in seats]
    assert max(loads) - min(loads) <= count.max()
    assert parts.choice.shape == (8, max(loads))
    # What fills up adds exactly 0, whatever the coefficients and weights.
    coefficients = np.random.default_rng(1).standard_normal((2, 4))
    log_likelihoods = jax.jit(conditional_logit.user_log_likelihoods)
    derivatives = jax.jit(conditional_logit.derivatives)
    whole = np.asarray(log_likelihoods(coefficients, data))
    total = 0.0
    for m in range(8):
      part = jax.tree.map(lambda x, m=m: x[m], parts)
      assert (np.diff(part.user) >= 0).all()
      found = np.asarray(log_likelihoods(coefficients, part))
      taken = part.present
      np.testing.assert_allclose(found[taken], whole[seats[m][taken]])
      np.testing.assert_array_equal(found[~taken], 0.0)
      ones = np.ones((parts.num_users, 2))
      total += np.asarray(derivatives(coefficients, ones, part)[1])
    expected = derivatives(coefficients, np.ones((107, 2)), data)[1]
    np.testing.assert_allclose(total, expected)


def test_a_person_with_most_choices_has_a_device_alone():
  user = np.array([0] * 9 + [1, 2, 3, 3])
  features = np.zeros((13, 2, 1))
  with jax.enable_x64(True):
    data, _ = choices_lib.make(features, np.zeros(13, int), user)
  # 9 choices; then 2 and 1; then 1 more to whoever has least.
  _, seats = devices.deal(data, 3)
  assert seats.tolist() == [[0, -1], [3, -1], [1, 2]]


@pytest.mark.parametrize(
  'options, tolerance',
  [
    ({'num_types': 3}, 1e-12),
    ({'num_types': 1}, 1e-12),
    ({'num_types': 3, 'anneal_iterations': 4, 'num_restarts': 3}, 1e-12),
    # In float32 it is rounding that says when a run is done: count iterations.
    (
      {
        'num_types': 3,
        'num_restarts': 1,
        'max_iterations': 12,
        'max_rounds': 0,
        'tolerance': 0.0,
        'dtype': 'float32',
      },
      1e-5,
    ),
  ],
)
def test_eight_devices_give_the_numbers_of_one(options, tolerance):
  arrays = draw(107, seed=1)
  one = latent_class.fit(*arrays, **options)
  for num_devices in (8, 0):
    many = latent_class.fit(*arrays, **options, num_devices=num_devices)
    assert many.num_iterations == one.num_iterations
    for name in ('objective', 'restart_objectives', 'log_likelihood'):
      np.testing.assert_allclose(
        getattr(many, name), getattr(one, name), rtol=tolerance
      )
    np.testing.assert_allclose(
      many.model.coefficients, one.model.coefficients, atol=tolerance
    )
    np.testing.assert_allclose(
      many.responsibilities, one.responsibilities, atol=tolerance
    )


@pytest.mark.parametrize(
  'num_users, num_devices, message',
  [
    (7, 8, 'num_devices is 8, expected at most the number of people, 7'),
    (7, 0, 'num_devices is 8, expected at most the number of people, 7'),
    (20, 9, 'num_devices is 9, expected 1 to 8'),
    (20, -1, 'num_devices is -1, expected at least 0'),
  ],
)
def test_a_wrong_number_of_devices_is_named(num_users, num_devices, message):
  with pytest.raises(errors.PastaError, match=message):
    latent_class.fit(
      *draw(num_users, seed=2), num_types=2, num_devices=num_devices
    )
