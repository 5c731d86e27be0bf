import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pasta.agent import expected_selection
from pasta.agent.history import CandidateSet

_of_prefixes = jax.jit(expected_selection.of_prefixes)
_insert = jax.jit(expected_selection.insert, static_argnums=(0, 4))


def _response(log_scale=0.0, residual_std=(0.0, 0.0)):
  return expected_selection.Response(
    jnp.array(log_scale), jnp.array(residual_std)
  )


def _candidates(utility, category):
  valid = np.ones(category.shape, bool)
  return CandidateSet(
    category=category, valid=valid, text=None, utility=utility
  )


def _log_softmax(x):
  return (x - np.log(np.exp(x).sum(-1, keepdims=True))).astype(np.float32)


class ByHandTest(chex.TestCase):
  """Slates of one and two columns, compiled and not."""

  @chex.variants(with_jit=True, without_jit=True)
  def test_columns_are_added_by_hand(self):
    # Nothing, then utilities 0 and log 3 with τ = 1 and no scatter.
    response = _response(residual_std=(0.0,))
    sample = self.variant(expected_selection.sample)
    add = self.variant(expected_selection.add)
    sampled = sample(jnp.array([[0.0], [np.log(3.0)]]), response)  # [L, K, S]
    partial = expected_selection.empty((1,))
    for column in range(2):
      partial = add(partial, sampled[column], response)
    np.testing.assert_allclose(partial.log_weight, np.log(4.0), rtol=1e-5)
    value = self.variant(expected_selection.value)
    found = value(partial, jnp.zeros(1), response)
    np.testing.assert_allclose(found, 0.75 * np.log(3.0), rtol=1e-5)
    # Every fifth pick is at random: 0.8 · 3/4 + 0.2 · 1/2 of the better one.
    found = value(partial, jnp.zeros(1), response.replace(lapse=0.2))
    np.testing.assert_allclose(found, 0.7 * np.log(3.0), rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_scatter_has_mean_zero_and_the_given_variance(self):
    sampled = self.variant(expected_selection.sample)(
      jnp.array([[1.0, 2.0]]), _response(residual_std=(0.5, 3.0))
    )
    np.testing.assert_allclose(sampled.mean(-1), [[1.0, 2.0]], rtol=1e-5)
    np.testing.assert_allclose(sampled.std(-1), [[0.5, 3.0]], rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_a_slate_is_worth_what_is_picked(self):
    # One type, no scatter, τ = 1, utilities 0 and log 3: picked with
    # probabilities 1/4 and 3/4, worth 3/4 log 3; alone worth 0.
    utility = jnp.array([[0.0], [np.log(3.0)]])
    found = self.variant(expected_selection.of_prefixes)(
      jnp.zeros(1), utility, _response(residual_std=(0.0,))
    )
    np.testing.assert_allclose(found, [0.0, 0.75 * np.log(3.0)], rtol=1e-5)


def test_hedging_between_types_pays():
  """Columns: good for type 0, nearly as good for it, good for type 1."""
  utility = jnp.array([[[4.0, 0.0], [3.9, 0.0], [0.0, 3.0]]])
  log_belief = jnp.log(jnp.array([[0.55, 0.45]]))
  slate, first, value = _insert(
    lambda sets, expected: expected,
    log_belief,
    _candidates(utility, jnp.array([[0, 1, 2]])),
    _response(2.0),
    2,
  )
  assert slate.tolist() == [[0, 2]]
  np.testing.assert_allclose(first, [[2.2, 2.145, 1.35]], rtol=1e-5)
  assert float(value[0]) == pytest.approx(0.55 * 4 + 0.45 * 3, abs=1e-3)


def test_scatter_is_an_option():
  """With strong choice, two columns of N(0, 1) are worth E[max] = 1/√π."""
  response = _response(3.0, (1.0,))
  found = _of_prefixes(jnp.zeros(1), jnp.zeros((2, 1)), response)
  assert float(found[0]) == pytest.approx(0.0, abs=1e-5)
  assert float(found[1]) == pytest.approx(np.pi**-0.5, abs=0.15)


def test_a_prefix_is_a_slate_of_its_own():
  rng = np.random.default_rng(0)
  utility = rng.normal(size=(3, 4, 2)).astype(np.float32)
  log_belief = _log_softmax(rng.normal(size=(3, 2)))
  response = _response(0.3, (0.5, 1.0))
  whole = _of_prefixes(log_belief, utility, response)
  part = _of_prefixes(log_belief, utility[:, :2], response)
  np.testing.assert_allclose(part, whole[:, :2], rtol=1e-6)


def test_insertion_is_close_to_brute_force():
  rng = np.random.default_rng(1)
  batch, pool, size = 20, 8, 3
  utility = 2 * rng.normal(size=(batch, pool, 2)).astype(np.float32)
  log_belief = _log_softmax(rng.normal(size=(batch, 2)))
  category = rng.integers(0, 5, (batch, pool))
  response = _response(0.5)
  slate, _, value = jax.device_get(
    _insert(
      lambda sets, expected: expected,
      log_belief,
      _candidates(utility, category),
      response,
      size,
    )
  )
  sets = np.array(list(itertools.combinations(range(pool), size)))
  worth = np.asarray(
    _of_prefixes(
      np.repeat(log_belief[:, None], len(sets), 1), utility[:, sets], response
    )
  )[..., -1]
  share = []
  for b in range(batch):
    most = min(size, len(set(category[b])))
    legal = np.array([len(set(category[b][s])) == most for s in sets])
    assert sorted(slate[b].tolist()) in sets[legal].tolist()
    values = worth[b, legal]
    assert float(value[b]) <= float(values.max()) + 1e-5
    share.append(
      float(value[b] - values.mean()) / float(values.max() - values.mean())
    )
  assert np.mean(share) > 0.95
