"""What choices do not tell gets no standard error; shifts and units no say."""

import numpy as np
import pytest

from pasta import errors, latent_class

RNG = np.random.default_rng(0)
USER = np.repeat(np.arange(120), 8)
X = RNG.standard_normal((960, 4, 1))
TASTE = np.where(USER % 2, 3.0, -2.0)[:, None]
NOISE = RNG.gumbel(size=(960, 4))
# The last alternative is never chosen.
CHOICE = (TASTE * X[..., 0] + NOISE)[:, :3].argmax(1)
CONSTANTS = np.broadcast_to(np.eye(4), (960, 4, 4))


def inferred(features, choice=CHOICE, available=None, **options):
  options = {'num_types': 1, 'num_restarts': 4, **options}
  fit = latent_class.fit(features, choice, USER, available, **options)
  errors_of = latent_class.infer(fit, features, choice, USER, available)
  return fit, errors_of


@pytest.mark.parametrize('num_types', [1, 2])
def test_what_nobody_chose_has_no_error(num_types):
  fit, found = inferred(np.dstack([X, CONSTANTS[..., 3:]]), num_types=num_types)
  assert fit.unidentified_features == (1,)
  assert np.isnan(found.sandwich_errors[:, 1]).all()
  assert np.isnan(found.hessian_errors[:, 1]).all()
  assert (found.sandwich_errors[:, 0] < 0.5).all()
  text = latent_class.table(fit, found, ['price', 'fourth'])
  assert 'not identified by the choices alone' in text
  assert text.splitlines()[-1].endswith(': fourth')
  assert ('penalised (MAP)' in text) == (num_types > 1)


def test_what_everybody_chose_has_no_error():
  first = CONSTANTS[..., :1]
  fit, found = inferred(np.dstack([X, first]), np.zeros(960, int))
  assert fit.is_separable
  assert np.isnan(found.sandwich_errors[0, 1])


@pytest.mark.parametrize(
  'features, unclear',
  [
    (np.dstack([X, 2 * X]), (0, 1)),
    (np.dstack([X, CONSTANTS[:, :, :3]]), (1, 2, 3)),
  ],
  ids=['twice', 'a constant for each alternative'],
)
def test_collinear_features_have_no_errors(features, unclear):
  # The fourth is not there, so that three constants are one too many.
  available = np.broadcast_to(np.arange(4) < 3, (960, 4))
  fit, found = inferred(features, available=available)
  assert fit.unidentified_features == unclear
  assert np.isnan(found.sandwich_errors[0, list(unclear)]).all()
  assert np.isfinite(np.delete(found.sandwich_errors[0], unclear)).all()


def test_well_identified_ones_are_let_alone():
  fit, found = inferred(np.dstack([X, CONSTANTS[:, :, 1:3]]), num_types=2)
  assert fit.unidentified_features == ()
  assert np.isfinite(found.sandwich_errors).all()


def test_a_type_that_never_chose_one_has_no_error_of_it_alone():
  # Odd people never take the second alternative, though it is there.
  choice = np.where((USER % 2 == 1) & (CHOICE == 1), 0, CHOICE)
  fit, found = inferred(
    np.dstack([X, CONSTANTS[..., 1:2]]), choice, num_types=2
  )
  odd = int(np.argmin(fit.model.coefficients[:, 1]))
  assert fit.unidentified_features == ()
  assert np.isnan(found.sandwich_errors[odd, 1])
  assert np.isfinite(found.sandwich_errors[1 - odd]).all()


@pytest.mark.parametrize('num_types', [1, 2])
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_a_shift_of_a_feature_changes_nothing(num_types, dtype):
  # Whole numbers, so that the shift itself costs no digit.
  features = np.round(100 * np.dstack([X, X**2]))
  shift = 1e9 * np.arange(1, 961)[:, None, None]
  options = {'num_types': num_types, 'dtype': dtype}
  one, of_one = inferred(features, **options)
  other, of_other = inferred(features + shift, **options)
  assert one.is_converged and other.is_converged
  np.testing.assert_array_equal(
    one.model.coefficients, other.model.coefficients
  )
  np.testing.assert_array_equal(
    of_one.sandwich_errors, of_other.sandwich_errors
  )
  np.testing.assert_allclose(
    latent_class.predict(one.model, features),
    latent_class.predict(one.model, features + shift),
    rtol=1e-12,
  )


@pytest.mark.parametrize('unit', [2.0**-60, 2.0**50])
def test_so_does_its_unit(unit):
  features = np.dstack([X, X**2])
  options = {'num_types': 2, 'num_restarts': 2, 'dtype': 'float32'}
  one = latent_class.fit(features, CHOICE, USER, **options)
  other = latent_class.fit(features * unit, CHOICE, USER, **options)
  assert other.log_likelihood == one.log_likelihood
  np.testing.assert_array_equal(
    one.model.coefficients, other.model.coefficients * unit
  )


@pytest.mark.parametrize('size', [1e25, 1e300])
def test_what_overflows_is_named(size):
  features = np.where(np.arange(960)[:, None, None] == 3, size, X)
  features[3, 1] = 0
  with pytest.raises(
    errors.PastaError, match='choice 3, .*too large for float'
  ):
    latent_class.fit(features, CHOICE, USER, num_types=2, dtype='float32')


def test_prediction_checks_what_the_fit_checks():
  model = latent_class.LatentClass(np.eye(2), np.log([0.5, 0.5]))
  features = np.random.default_rng(0).standard_normal((3, 4, 2))
  broken = features.copy()
  broken[1, 2, 0] = np.nan
  none = np.ones((3, 4), bool)
  none[1] = False
  for arguments, message in (
    ((features, None, none), 'choice 1 has no alternative available'),
    ((broken,), 'choice 1, alternative 2, are not finite'),
    ((features, np.full((3, 2), np.nan)), 'sum to 1'),
    ((features, None, np.ones((3, 5))), r'available has shape \(3, 5\)'),
    ((features, np.full((2, 2), 0.5)), r'belief has shape \(2, 2\)'),
    ((features.astype(str),), 'expected numbers'),
  ):
    with pytest.raises(errors.PastaError, match=message):
      latent_class.predict(model, *arguments)
