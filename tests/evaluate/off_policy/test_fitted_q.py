import functools

import jax
import numpy as np
import pytest
import slate_mdp

from configs import off_policy as off_policy_config
from pasta import errors
from pasta.agent import critics
from pasta.evaluate.off_policy import fitted_q

NUM = 1500


@pytest.fixture(scope='module')
def config():
  c = off_policy_config.get_config('smoke').fitted_q
  c.num_categories = slate_mdp.ITEMS
  c.base, c.backbone = 'none', 'mlp'
  c.width, c.head_dims = 32, (32,)
  c.num_steps, c.steps_per_call, c.warmup_steps = 400, 100, 0
  c.batch_sessions = 64
  c.learning_rate, c.target_rate, c.weight_decay = 5e-3, 0.05, 0.0
  return c


class Case:
  """Logs of random slates, and a target that shows what people like."""

  def __init__(self):
    self.mdp = slate_mdp.make(sharpness=8.0)
    self.behaviour = slate_mdp.slate_probs(np.zeros((5, 4)))
    self.target = slate_mdp.slate_probs(2.0 * self.mdp.utility)
    self.log = self.mdp.log(self.behaviour, NUM, seed=2)
    self.episodes = slate_mdp.episodes(
      self.mdp, self.log, np.zeros(self.log['item'].shape)
    )
    self.f, v = self.mdp.values(self.target)
    self.value = v[0]

  def shown(self):
    """Probability that an item is in the target's slate, over 2: [5, 4]."""
    return self.target @ slate_mdp.MEMBERS / 2

  def weights(self, credit):
    of_item = self.mdp.item_probs(self.target)
    weights = of_item if credit == 'choice' else self.shown()
    return weights[self.log['state']].astype(np.float32)

  def limit_of_means(self):
    """What slate-mean FQE tends to: least squares over the six slates."""

    def regress(reward):  # [n, 4] in the states [n]
      at = np.arange(5)[-len(reward) :]
      q = (self.mdp.choice[at] * reward[:, slate_mdp.SLATE_ITEMS]).sum(-1)
      f = np.linalg.lstsq(slate_mdp.MEMBERS / 2, q.T, rcond=None)[0].T
      return (self.shown()[at] * f).sum(1)

    later = regress(self.mdp.reward[1:])
    q = (
      self.mdp.choice[0] * (self.mdp.reward[0] + later)[slate_mdp.SLATE_ITEMS]
    ).sum(-1)
    f = np.linalg.lstsq(slate_mdp.MEMBERS / 2, q, rcond=None)[0]
    return float(self.shown()[0] @ f)

  def fit(self, config, credit):
    return fitted_q.fit(
      self.episodes,
      self.weights(credit),
      np.arange(NUM),
      config,
      credit=credit,
      discount=1.0,
      seed=0,
    )


@pytest.fixture(scope='module')
def case():
  return Case()


@pytest.fixture(scope='module')
def fits(case, config):
  return {c: case.fit(config, c) for c in ('choice', 'mean')}


def test_items_give_the_true_value_and_slate_means_too_much(case, fits):
  found = {
    c: fitted_q.estimate(fit, case.weights(c)).value for c, fit in fits.items()
  }
  logged = case.log['reward'].sum(1).mean()
  assert case.value - logged > 0.2
  assert found['choice'] == pytest.approx(case.value, abs=0.03)
  # The mean credits an item with its neighbour's sale, at both turns.
  limit = case.limit_of_means()
  assert limit > case.value + 0.08
  assert found['mean'] == pytest.approx(limit, abs=0.03)


def test_the_fitted_values_of_items_are_the_true_ones(case, fits):
  at = case.log['state']
  is_sold = case.mdp.item_probs(case.behaviour)[at] > 0.1  # else no data
  error = np.abs(fits['choice'].unseen - case.f[at])[is_sold]
  assert error.max() < 0.2 and error.mean() < 0.02


def test_a_step_regresses_on_the_targets_next_items(case, config):
  """The gradient's target is r + γ Σ_c w f_target(h', c), by hand."""
  config = fitted_q.complete(config, 'choice', 0.5, NUM)
  batch = jax.tree.map(lambda x: x[:4], case.episodes)
  weights = case.weights('choice')[:4]
  state = jax.jit(lambda b: fitted_q.init(jax.random.key(0), config, b))(batch)
  of_pool = jax.jit(
    lambda s, b: critics.pool_values(s.params, b, s.constants, s.settings)
  )(state, batch)
  of_pool = np.asarray(of_pool)[0]
  v = (weights * of_pool).sum(-1)
  f = np.take_along_axis(of_pool, case.log['item'][:4, :, None], 2)[..., 0]
  reward = case.log['reward'][:4]
  error = np.stack(
    [reward[:, 0] + 0.5 * v[:, 1] - f[:, 0], reward[:, 1] - f[:, 1]], 1
  )
  after, loss = jax.jit(functools.partial(fitted_q.update, config=config))(
    state, batch, weights
  )
  scale = float(state.constants.return_scale)
  assert float(loss) == pytest.approx(np.mean((error / scale) ** 2), rel=1e-4)
  assert int(after.step) == 1
  # The target moves by its rate towards the new parameters, and only so.
  for old, new, target in zip(
    *map(
      jax.tree.leaves,
      jax.device_get((state.params, after.params, after.target_params)),
    )
  ):
    np.testing.assert_allclose(target, old + 0.05 * (new - old), atol=1e-6)


def test_everybody_is_drawn_alike_and_unknown_to_a_member():
  users = np.repeat(np.arange(400), 3)
  rows = fitted_q.resample(users, 4, seed=0)
  counts = np.stack([np.bincount(r, minlength=1200) for r in rows])
  # All sessions of a person or none.
  by_person = counts.reshape(4, 400, 3)
  assert (by_person == by_person[..., :1]).all()
  assert (counts.sum(0) == 3).all() and (counts == 0).any(0).all()
  # Three draws among three members: 0, 1, 2, 3 times with probability 8, 12,
  # 6, 1 in 27; the fourth member never. Standard errors are below 0.013.
  share = np.bincount(by_person[..., 0].ravel(), minlength=4) / 1600
  expected = 0.75 * np.array([8, 12, 6, 1]) / 27 + [0.25, 0, 0, 0]
  np.testing.assert_allclose(share, expected, atol=0.05)


def test_values_of_members_who_did_not_see_a_session():
  values = np.arange(6.0).reshape(3, 2, 1, 1)  # members 3, sessions 2
  counts = np.array([[0, 1], [2, 0], [0, 0]])
  # Session 0: members 0 and 2, values 0 and 4; session 1: 1 and 2, 3 and 5.
  found = fitted_q.Fit(values, counts).unseen
  np.testing.assert_allclose(found[:, 0, 0], [2.0, 4.0])


def test_estimate_by_hand():
  # First-turn values of members on sessions: 1, 3 and 2, 6.
  values = np.array([[1.0, 3.0], [2.0, 6.0]]).reshape(2, 2, 1, 1)
  counts = np.array([[2, 0], [1, 1]])
  found = fitted_q.estimate(fitted_q.Fit(values, counts), np.ones((2, 1, 1)))
  # Own people: 1 and 4, deviation 3 / √2.
  assert found.value == pytest.approx(3.0)
  half = 1.959964 * 3 / np.sqrt(2)
  assert found.low == pytest.approx(3 - half)
  assert found.high == pytest.approx(3 + half)
  assert found.effective_sessions is None


def test_too_few_people_are_named():
  with pytest.raises(errors.PastaError, match='3 people .* with 4 members'):
    fitted_q.resample(np.array([0, 1, 1, 2]), 4, seed=0)
  with pytest.raises(errors.PastaError, match="'num_members' is 1"):
    fitted_q.resample(np.arange(9), 1, seed=0)


def test_the_same_seed_gives_the_same_fit(case, config, fits):
  again = case.fit(config, 'choice')
  np.testing.assert_array_equal(again.values, fits['choice'].values)
