"""The latent-class library: against enumeration, other solvers and truth."""

import jax
import numpy as np
import pytest

from pasta import errors, latent_class
from pasta.latent_class import choices as choices_lib
from pasta.latent_class import conditional_logit, full_batch, pooled, search


def draw(num_users, num_choices, num_types, dim, *, scale, seed, columns=4):
  """Choices of planted types, and the truth."""
  rng = np.random.default_rng(seed)
  coefficients = scale * rng.standard_normal((num_types, dim))
  types = rng.integers(num_types, size=num_users)
  user = np.repeat(np.arange(num_users), num_choices)
  features = rng.standard_normal((len(user), columns, dim))
  utility = np.einsum('nld,nd->nl', features, coefficients[types[user]])
  choice = np.argmax(utility + rng.gumbel(size=utility.shape), 1)
  return features, choice, user, types, coefficients


def draw_usual(*, scale, seed, dim=3):
  """Of the size of most examples here."""
  return draw(300, 8, 2, dim, scale=scale, seed=seed)


def log_probs(coefficients, features, choice):
  """Plain numpy: log-probability of each choice under each type [N, K]."""
  logits = np.einsum('nld,kd->nlk', features, coefficients)
  logits -= logits.max(1, keepdims=True)
  logits -= np.log(np.exp(logits).sum(1, keepdims=True))
  return logits[np.arange(len(choice)), choice]


def test_posterior_equals_enumeration():
  features, choice, user, _, coefficients = draw(6, 3, 3, 2, scale=1.5, seed=0)
  share = np.array([0.5, 0.3, 0.2])
  model = latent_class.LatentClass(coefficients, np.log(share))
  _, found = latent_class.posterior(model, features, choice, user)
  probs = np.exp(log_probs(coefficients, features, choice))
  for u in range(6):
    joint = share * np.prod(probs[user == u], axis=0)
    np.testing.assert_allclose(found[u], joint / joint.sum(), rtol=1e-10)
  # And the likelihood: a sum over all assignments of types to people.
  total = sum(
    np.log(share @ np.prod(probs[user == u], axis=0)) for u in range(6)
  )
  np.testing.assert_allclose(
    latent_class.log_likelihood(model, features, choice, user),
    total,
    rtol=1e-10,
  )


def test_one_type_is_the_conditional_logit():
  features, choice, user, _, _ = draw_usual(scale=1.0, seed=1)
  beta = np.zeros(3)
  for _ in range(30):  # Newton in plain numpy.
    probs = np.exp(np.einsum('nld,d->nl', features, beta))
    probs /= probs.sum(1, keepdims=True)
    mean = np.einsum('nl,nld->nd', probs, features)
    gradient = (features[np.arange(len(choice)), choice] - mean).sum(0)
    hessian = np.einsum('nl,nld,nle->de', probs, features, features)
    hessian -= mean.T @ mean
    beta += np.linalg.solve(hessian, gradient)
  found = latent_class.fit(features, choice, user, num_types=1)
  np.testing.assert_allclose(found.model.coefficients[0], beta, rtol=1e-6)
  expected = log_probs(beta[None], features, choice).sum()
  np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-10)


def test_derivatives_equal_automatic_ones_in_blocks_of_any_size(monkeypatch):
  with jax.enable_x64(True):
    features, choice, user, _, coefficients = draw(7, 3, 2, 3, scale=1, seed=2)
    data, _ = choices_lib.make(features, choice, user)
    weights = np.random.default_rng(0).random((7, 2))

    def total(coefficients):
      found = conditional_logit.user_log_likelihoods(coefficients, data)
      return (weights * found).sum()

    # [C, D] and [C, D, C, D]
    slope, full = jax.jit(
      lambda c: (jax.grad(total)(c), jax.hessian(total)(c))
    )(coefficients)
    for block in (2**20, 1):
      monkeypatch.setattr(conditional_logit, '_BLOCK_SIZE', block)
      derivatives = jax.jit(lambda *args: conditional_logit.derivatives(*args))
      gradient, hessian = derivatives(coefficients, weights, data)
      np.testing.assert_allclose(gradient, slope)
      for k in range(2):
        np.testing.assert_allclose(hessian[k], -full[k, :, k], atol=1e-10)


def test_objective_never_falls():
  with jax.enable_x64(True):
    features, choice, user, _, _ = draw(60, 4, 4, 3, scale=2.0, seed=3)
    data, _ = choices_lib.make(features, choice, user)
    prior = full_batch.Prior(np.zeros(3), np.full(3, 0.3), np.asarray(1.0))
    gamma = np.random.default_rng(0).dirichlet(np.ones(4), (5, 60))
    state = full_batch.init(gamma, np.zeros((5, 4, 3)))
    step = jax.jit(lambda s: full_batch.iterate(s, data, prior, tolerance=1e-9))
    for _ in range(full_batch.START_STEPS + 1):
      state = step(state)
    before = np.asarray(state.objective)
    for _ in range(60):
      state = step(state)
      after = np.asarray(state.objective)
      assert (after >= before - 1e-10 * np.abs(before)).all()
      before = after
    assert np.isfinite(before).all()


def test_planted_types_are_found():
  features, choice, user, types, coefficients = draw(
    400, 8, 3, 4, scale=1.5, seed=4
  )
  found = latent_class.fit(
    features, choice, user, num_types=3, num_restarts=6, ridge=0.1
  )
  assert found.is_converged
  # Each true type has exactly one like it.
  like = np.corrcoef(coefficients, found.model.coefficients)[:3, 3:]
  match = like.argmax(1)
  assert sorted(match) == [0, 1, 2]
  assert like.max(1).min() > 0.99
  # People are told apart as well as by the truth, within a per cent.
  truth = latent_class.LatentClass(coefficients, np.log(np.full(3, 1 / 3)))
  _, limit = latent_class.posterior(truth, features, choice, user)
  limit = (limit.argmax(1) == types).mean()
  share = (found.responsibilities.argmax(1) == match[types]).mean()
  assert share > limit - 0.01
  shares = np.exp(found.model.log_prior)
  assert (np.diff(shares) <= 0).all()
  np.testing.assert_allclose(shares.sum(), 1.0)


def test_moves_find_a_type_that_every_start_lost():
  # 6 types from one bad start: two share one group of people.
  features, choice, user, types, coefficients = draw(
    400, 8, 6, 4, scale=1.5, seed=5
  )
  with jax.enable_x64(True):
    data, _ = choices_lib.make(features, choice, user)
    options = latent_class.Options(num_types=6)
    prior = pooled.fit_pooled(data, options).prior
    wrong = np.where(types == 5, 4, types)  # 4 and 5 as one ...
    half = np.random.default_rng(0).random(400) < 0.5
    wrong = np.where((types == 0) & half, 5, wrong)  # ... and 0 twice
    bad = search.climb(data, prior, options, np.eye(6)[wrong])
    good = search.climb(data, prior, options, np.eye(6)[types]).objective[0]
    moved, taken = search.Runner(data, prior, options, 12).move(bad)
  assert bad.objective[0] < good - 5.0
  assert moved.objective[0] > good - 0.01
  assert taken >= 1


def test_starts_are_clusters_of_near_points():
  rng = np.random.default_rng(0)
  group = np.repeat([0, 1, 2], 20)
  points = 10.0 * np.eye(3)[group] + rng.standard_normal((60, 3))
  gamma = search.clusters(rng, points, 3)
  np.testing.assert_array_equal(gamma.sum(1), 1)
  # One cluster for each group, in whatever order.
  np.testing.assert_array_equal(
    np.sort(gamma.T @ np.eye(3)[group], axis=1), [[0, 0, 20]] * 3
  )


def test_people_who_cannot_be_told_apart_have_one_taste():
  found = latent_class.fit(
    np.zeros((20, 3, 2)),
    np.zeros(20, int),
    np.repeat(np.arange(5), 4),
    num_types=3,
    num_restarts=2,
  )
  np.testing.assert_allclose(found.model.coefficients, 0, atol=1e-9)
  np.testing.assert_allclose(found.log_likelihood, 20 * np.log(1 / 3))


def test_all_kinds_of_starts_find_the_same_optimum():
  features, choice, user, _, _ = draw_usual(scale=1.5, seed=7)
  found = [
    latent_class.fit(
      features, choice, user, num_types=2, num_restarts=4, starts=starts
    ).objective
    for starts in (('clusters',), ('partition',), ('dirichlet', 'partition'))
  ]
  np.testing.assert_allclose(found, found[0], rtol=1e-6)


@pytest.mark.parametrize('num_restarts', [1, 2, 3, 5])
def test_any_number_of_starts(num_restarts):
  features, choice, user, _, _ = draw_usual(scale=1.5, seed=12)
  found = latent_class.fit(
    features, choice, user, num_types=2, num_restarts=num_restarts
  )
  assert len(found.restart_objectives) == num_restarts
  assert found.objective >= found.restart_objectives.max()


def test_few_people_with_strong_tastes_stay_finite():
  features, choice, user, _, coefficients = draw(60, 4, 3, 5, scale=4, seed=6)
  found = latent_class.fit(features, choice, user, num_types=3)
  assert np.abs(found.model.coefficients).max() < 20
  assert np.isfinite(found.responsibilities).all()


def test_alternatives_that_are_not_available_do_not_matter():
  features, choice, user, _, _ = draw_usual(scale=1.0, seed=7)
  plain = latent_class.fit(features, choice, user, num_types=2, num_restarts=2)
  more = np.concatenate([features, np.full((2400, 1, 3), np.nan)], 1)
  available = np.ones((2400, 5), bool)
  available[:, 4] = False
  found = latent_class.fit(
    more, choice, user, available, num_types=2, num_restarts=2
  )
  np.testing.assert_allclose(
    found.model.coefficients, plain.model.coefficients, rtol=1e-6
  )
  probs = latent_class.predict(found.model, more, None, available)
  np.testing.assert_array_equal(probs[:, 4], 0)
  np.testing.assert_allclose(probs.sum(1), 1)


def test_order_of_rows_and_labels_of_people_do_not_matter():
  features, choice, user, _, _ = draw_usual(scale=1.5, seed=8)
  names = np.array([f'p{u:03d}' for u in range(300)])
  order = np.random.default_rng(0).permutation(len(choice))
  options = {'num_types': 2, 'num_restarts': 4}
  one = latent_class.fit(features, choice, user, **options)
  other = latent_class.fit(
    features[order], choice[order], names[user][order], **options
  )
  np.testing.assert_allclose(
    one.model.coefficients, other.model.coefficients, rtol=1e-4
  )
  assert list(other.users) == list(names)


def test_constant_features_are_named_and_harmless():
  features, choice, user, _, _ = draw_usual(scale=1.0, seed=9)
  options = {'num_types': 2, 'num_restarts': 2}
  plain = latent_class.fit(features, choice, user, **options)
  wide = np.concatenate([features, np.full((*features.shape[:2], 1), 7.0)], -1)
  found = latent_class.fit(wide, choice, user, **options)
  assert found.constant_features == (3,)
  np.testing.assert_array_equal(found.model.coefficients[:, 3], 0)
  assert found.pooled[3] == 0
  np.testing.assert_allclose(
    found.model.coefficients[:, :3], plain.model.coefficients, rtol=1e-6
  )


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_a_feature_with_a_large_mean_is_not_constant(dtype):
  features, choice, user, _, _ = draw_usual(scale=1.0, seed=11, dim=2)
  prices = np.concatenate([features, 1e3 + features[..., :1]], -1)
  found = latent_class.fit(prices, choice, user, num_types=1, dtype=dtype)
  assert found.constant_features == ()


def test_separable_data_are_said_to_be_so():
  rng = np.random.default_rng(10)
  features = rng.standard_normal((2400, 4, 3))
  choice = features[..., 0].argmax(1)
  found = latent_class.fit(
    features, choice, np.repeat(np.arange(300), 8), num_types=2
  )
  assert found.is_separable
  assert np.isfinite(found.model.coefficients).all()
  assert np.abs(found.model.coefficients).max() < 100


def test_saved_models_come_back(tmp_path):
  model = latent_class.LatentClass(
    np.array([[0.1, -1.0], [2.0, 1 / 3]]), np.log([0.25, 0.75])
  )
  latent_class.save(str(tmp_path / 'm'), model)
  back = latent_class.load(str(tmp_path / 'm'))
  np.testing.assert_array_equal(back.coefficients, model.coefficients)
  np.testing.assert_array_equal(back.log_prior, model.log_prior)
  (tmp_path / 'm' / 'latent_class.json').write_text('{"coefficients": [[1]]}')
  with pytest.raises(errors.PastaError, match='latent_class.json'):
    latent_class.load(str(tmp_path / 'm'))


def broken(**changes):
  arrays = {
    'features': np.random.default_rng(0).standard_normal((6, 3, 2)),
    'choice': np.array([0, 1, 2, 0, 1, 2]),
    'user': np.array([0, 0, 1, 1, 2, 2]),
    'available': np.ones((6, 3), bool),
    'num_types': 2,
  }
  for name, change in changes.items():
    if callable(change):
      change(arrays[name])
    else:
      arrays[name] = change
  return arrays


def set_at(index, value):
  def change(array):
    array[index] = value

  return change


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'choice': set_at(4, 3)}, 'choice 4 is 3, expected 0 to 2'),
    ({'choice': set_at(1, -1)}, 'choice 1 is -1'),
    ({'choice': np.zeros(6)}, 'whole'),
    ({'available': set_at((3, 0), False)}, 'choice 3 is alternative 0, which'),
    ({'features': set_at((2, 1, 0), np.nan)}, 'choice 2, alternative 1'),
    ({'features': np.zeros((6, 3))}, r'expected \[N, L, D\]'),
    ({'features': np.zeros((0, 3, 2))}, r'expected \(0, 3\)'),
    ({'choice': np.zeros(0, int)}, 'choice is empty'),
    ({'user': np.arange(5)}, 'user has shape'),
    ({'user': np.array([0, 0, 1, 1, 2, np.nan])}, 'user of row 5 is missing'),
    ({'num_types': 4}, 'number of people, 3'),
    ({'num_types': 0}, 'num_types is 0'),
    ({'ridge': -1.0}, 'ridge is -1'),
    ({'starts': ('noise',)}, "starts is .'noise'.*expected some of"),
    ({'dtype': 'float16'}, 'dtype'),
  ],
)
def test_bad_input_is_named(changes, message):
  with pytest.raises(errors.PastaError, match=message):
    latent_class.fit(**broken(**changes))


def test_beliefs_that_are_not_probabilities_are_refused():
  model = latent_class.LatentClass(np.zeros((2, 3)), np.log([0.5, 0.5]))
  features = np.zeros((4, 2, 3))
  with pytest.raises(errors.PastaError, match='sum to 1'):
    latent_class.predict(model, features, np.full((4, 2), 0.4))
  with pytest.raises(errors.PastaError, match=r'expected \(4, 2\)'):
    latent_class.predict(model, features, np.full((4, 3), 1 / 3))
  with pytest.raises(errors.PastaError, match='5 columns'):
    latent_class.predict(model, np.zeros((4, 2, 5)))
