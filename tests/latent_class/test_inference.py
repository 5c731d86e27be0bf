"""Standard errors, criteria and the choice of K."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pasta import errors, latent_class
from pasta.latent_class import inference


@pytest.fixture(scope='module')
def example():
  """Two planted types, and a fit without a prior to speak of."""
  rng = np.random.default_rng(0)
  coefficients = np.array([[1.5, -0.5], [-1.0, 1.0]])
  types = (rng.random(150) < 0.4).astype(int)
  user = np.repeat(np.arange(150), 6)
  features = rng.standard_normal((900, 3, 2))
  utility = np.einsum('nld,nd->nl', features, coefficients[types[user]])
  choice = np.argmax(utility + rng.gumbel(size=utility.shape), 1)
  data = features, choice, user
  fit = latent_class.fit(
    *data, num_types=2, ridge=0.0, pseudo_count=0.0, tolerance=1e-13
  )
  return data, fit, coefficients


def marginal(parameters, features, choice, user, num_types, dim):
  """Each person's log-likelihood, written down plainly."""
  beta = parameters[: num_types * dim].reshape(num_types, dim)
  odds = jnp.concatenate([parameters[num_types * dim :], jnp.zeros(1)])
  logits = jnp.einsum('nld,kd->nlk', features, beta)
  found = jax.nn.log_softmax(logits, 1)[jnp.arange(len(choice)), choice]
  per_user = jax.ops.segment_sum(found, user, user.max() + 1)
  return jax.nn.logsumexp(jax.nn.log_softmax(odds) + per_user, -1)


def test_errors_equal_those_of_automatic_derivatives(example):
  (features, choice, user), fit, _ = example
  found = latent_class.infer(fit, features, choice, user)
  with jax.enable_x64(True):
    share = np.exp(fit.model.log_prior)
    at = np.append(fit.model.coefficients.ravel(), np.log(share[0] / share[1]))

    def per_user(p):
      return marginal(p, features, choice, user, 2, 2)

    hessian = jax.jit(jax.hessian(lambda p: -per_user(p).sum()))(at)
    scores = np.asarray(jax.jit(jax.jacobian(per_user))(at))  # [U, P]
  # At an optimum scores sum to nothing.
  np.testing.assert_allclose(scores.sum(0), 0, atol=1e-3)
  inverse = np.linalg.inv(hessian)
  np.testing.assert_allclose(
    found.hessian_errors.ravel(), np.sqrt(np.diag(inverse))[:4], rtol=1e-6
  )
  sandwich = 150 / 149 * inverse @ (scores.T @ scores) @ inverse
  np.testing.assert_allclose(
    found.sandwich_errors.ravel(), np.sqrt(np.diag(sandwich))[:4], rtol=1e-6
  )
  # Two types: dη / d log-odds = η (1 − η).
  expected = np.sqrt(sandwich[4, 4]) * share[0] * share[1]
  np.testing.assert_allclose(found.share_errors, [expected] * 2, rtol=1e-6)


def test_truth_lies_within_the_errors(example):
  data, fit, truth = example
  found = latent_class.infer(fit, *data)
  # The largest type comes first: the planted first one.
  z = (fit.model.coefficients - truth) / found.sandwich_errors
  assert np.abs(z).max() < 3.5


def test_criteria_by_hand(example):
  data, fit, _ = example
  found = latent_class.infer(fit, *data)
  # 4 coefficients and one free share.
  assert found.num_parameters == 5
  assert found.aic == pytest.approx(-2 * fit.log_likelihood + 10)
  assert found.bic == pytest.approx(-2 * fit.log_likelihood + 5 * np.log(150))


def test_one_type_has_the_errors_of_the_conditional_logit(example):
  (features, choice, user), _, _ = example
  fit = latent_class.fit(features, choice, user, num_types=1)
  found = latent_class.infer(fit, features, choice, user)
  beta = fit.model.coefficients[0]
  probs = np.exp(features @ beta)
  probs /= probs.sum(1, keepdims=True)
  mean = np.einsum('nl,nld->nd', probs, features)
  information = np.einsum('nl,nld,nle->de', probs, features, features)
  information -= mean.T @ mean
  np.testing.assert_allclose(
    found.hessian_errors[0],
    np.sqrt(np.diag(np.linalg.inv(information))),
    rtol=1e-6,
  )


def test_table_names_types_and_features(example):
  data, fit, _ = example
  text = latent_class.table(
    fit, latent_class.infer(fit, *data), ['price', 'speed']
  )
  assert 'type 1' in text and 'price' in text and '150 people' in text
  assert f'{fit.model.coefficients[0, 1]:.3f}' in text
  with pytest.raises(errors.PastaError, match='1 names for 2'):
    latent_class.table(fit, latent_class.infer(fit, *data), ['price'])


def test_other_data_are_refused(example):
  (features, choice, user), fit, _ = example
  with pytest.raises(errors.PastaError, match='the fit was on 900'):
    latent_class.infer(fit, features[:-6], choice[:-6], user[:-6])


@pytest.mark.parametrize('criterion', inference.CRITERIA)
def test_the_planted_number_of_types_is_chosen(example, criterion):
  data, _, _ = example
  found = latent_class.choose_num_types(
    *data,
    candidates=(1, 2, 3),
    criterion=criterion,
    num_folds=3,
    num_restarts=3,
  )
  assert found.num_types == 2
  assert len(found.scores) == 3


def test_bad_selections_are_refused(example):
  data, _, _ = example
  with pytest.raises(errors.PastaError, match="criterion is 'aicc'"):
    latent_class.choose_num_types(*data, candidates=(1,), criterion='aicc')
  with pytest.raises(errors.PastaError, match='candidates is empty'):
    latent_class.choose_num_types(*data, candidates=())
  with pytest.raises(errors.PastaError, match='num_folds is 1'):
    latent_class.choose_num_types(*data, candidates=(1,), num_folds=1)
