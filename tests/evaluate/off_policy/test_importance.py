import numpy as np
import pytest
import slate_mdp

from pasta.evaluate.off_policy import importance

NUM = 10_000
OPTIONS = {'min_effective_sessions': 20.0, 'seed': 0}


def cumulative(target, behaviour):
  return importance.cumulative_weights(
    target, behaviour, np.ones(target.shape, bool)
  )


class Case:
  """Logs of a behaviour policy, and a target with its exact value."""

  def __init__(self, num=NUM, target_logits=None):
    rng = np.random.default_rng(1)
    self.mdp = slate_mdp.make()
    shape = (1 + slate_mdp.ITEMS, slate_mdp.ITEMS)
    self.behaviour = slate_mdp.slate_probs(rng.normal(size=shape))
    if target_logits is None:
      target_logits = 3.0 * self.mdp.utility
    self.target = slate_mdp.slate_probs(target_logits)
    self.log = self.mdp.log(self.behaviour, num, seed=2)
    self.f, v = self.mdp.values(self.target)
    self.value, self.v = v[0], v[self.log['state']]

  def weights(self, level):
    probs = [self.target, self.behaviour]
    at = (self.log['state'], self.log['slate'])
    if level == 'item':
      probs = [self.mdp.item_probs(p) for p in probs]
      at = (self.log['state'], self.log['item'])
    return cumulative(*(np.log(p[at]) for p in probs))

  def estimate(self, terms, weights):
    return importance.estimate(
      terms, weights, np.arange(len(weights)), **OPTIONS
    )


@pytest.fixture(scope='module')
def case():
  return Case()


# Ratios 2, 1/2 and 1/2, 2 at the two turns: cumulative 2, 1 and 1/2, 1.
WEIGHTS = np.array([[2.0, 1.0], [0.5, 1.0]])
REWARD = np.array([[1.0, 2.0], [3.0, 4.0]])


def test_cumulative_weights():
  target, behaviour = (
    np.log([[0.5, 0.1], [0.1, 0.4]]),
    np.log([[0.25, 0.2], [0.2, 0.2]]),
  )
  np.testing.assert_allclose(cumulative(target, behaviour), WEIGHTS)
  # A turn that is not valid leaves the weight as it is, whatever stands there.
  target[1, 1], behaviour[1, 1] = np.nan, np.nan
  valid = np.array([[True, True], [True, False]])
  np.testing.assert_allclose(
    importance.cumulative_weights(target, behaviour, valid),
    [[2.0, 1.0], [0.5, 0.5]],
  )


@pytest.mark.parametrize(
  'target,behaviour', [(0.0, np.nan), (0.0, -np.inf), (np.nan, 0.0)]
)
def test_weights_of_unknown_propensities_raise(target, behaviour):
  with pytest.raises(ValueError, match='at a valid turn'):
    cumulative(np.full((1, 1), target), np.full((1, 1), behaviour))


def test_weights_do_not_underflow_on_the_way():
  # Forty turns of 1e-20 under both: the product is below any float.
  tiny = np.full((2, 40), np.log(1e-20))
  np.testing.assert_allclose(cumulative(tiny, tiny), 1.0)


def test_effective_sessions():
  # First turn 2.5² / 4.25, second 2² / 2; the least counts.
  assert importance.effective_sessions(WEIGHTS) == pytest.approx(6.25 / 4.25)
  assert importance.effective_sessions(np.ones((7, 3))) == 7.0
  assert importance.effective_sessions(np.zeros((7, 3))) == 0.0
  assert importance.effective_sessions(np.full((7, 3), 1e200)) == 7.0


def value(terms):
  return (terms.numerator.sum(0) / terms.denominator.sum(0)).sum()


def test_per_decision_by_hand():
  # (2·1 + ½·3) / 2 + ½ (1·2 + 1·4) / 2 = 1.75 + 1.5
  terms = importance.per_decision(WEIGHTS, REWARD, discount=0.5)
  assert value(terms) == pytest.approx(3.25)
  # 3.5 / 2.5 + ½ · 6 / 2 = 1.4 + 1.5
  terms = importance.per_decision(
    WEIGHTS, REWARD, discount=0.5, self_normalised=True
  )
  assert value(terms) == pytest.approx(2.9)


def test_doubly_robust_by_hand():
  q = np.array([[1.0, 1.0], [2.0, 2.0]])
  v = np.array([[4.0, 2.0], [6.0, 8.0]])
  # r − q: 0, 1 and 1, 2. Corrections (2·0 + ½·1) / 2 + ½ (1·1 + 1·2) / 2 = 1;
  # values (4 + 6) / 2 + ½ (2·2 + ½·8) / 2 = 7.
  terms = importance.doubly_robust(WEIGHTS, REWARD, q, v, discount=0.5)
  assert value(terms) == pytest.approx(8.0)
  # Weighted: 0.5 / 2.5 + ½ · 3 / 2 and 5 + ½ (4 + 4) / 2.5.
  terms = importance.doubly_robust(
    WEIGHTS, REWARD, q, v, discount=0.5, self_normalised=True
  )
  assert value(terms) == pytest.approx(0.2 + 0.75 + 5 + 1.6)


@pytest.mark.parametrize('self_normalised', [False, True])
def test_a_target_that_is_the_behaviour_gives_the_logged_mean(
  case, self_normalised
):
  weights = np.ones_like(case.log['reward'])
  terms = importance.per_decision(
    weights, case.log['reward'], discount=1.0, self_normalised=self_normalised
  )
  found = case.estimate(terms, weights)
  mean = case.log['reward'].sum(1).mean()
  assert found.value == pytest.approx(mean, rel=1e-12)
  assert found.low < mean < found.high
  assert found.effective_sessions == NUM


def standard_error(terms):
  """Of an estimate in plain means over sessions."""
  total = terms.numerator.sum(1)
  return total.std(ddof=1) / np.sqrt(len(total))


@pytest.mark.parametrize('level', ['slate', 'item'])
def test_importance_sampling_finds_the_true_value(case, level):
  weights = case.weights(level)
  reward = case.log['reward']
  plain = importance.per_decision(weights, reward, discount=1.0)
  found = case.estimate(plain, weights)
  bound = 4 * standard_error(plain)  # passes 99.99 % of seeds
  assert abs(reward.sum(1).mean() - case.value) > 2 * bound
  assert found.value == pytest.approx(case.value, abs=bound)
  weighted = importance.per_decision(
    weights, reward, discount=1.0, self_normalised=True
  )
  found = case.estimate(weighted, weights)
  assert found.value == pytest.approx(case.value, abs=bound)
  assert found.low < case.value < found.high


def test_items_leave_more_effective_sessions_than_slates(case):
  slate, item = (
    importance.effective_sessions(case.weights(x)) for x in ('slate', 'item')
  )
  assert slate < 0.8 * item


@pytest.mark.parametrize('self_normalised', [False, True])
@pytest.mark.parametrize('level', ['slate', 'item'])
def test_doubly_robust_with_right_weights_and_wrong_values(
  case, level, self_normalised
):
  weights, at = case.weights(level), case.log['state']
  # Any f will do, if v is what it comes to under the target.
  f = np.random.default_rng(3).normal(size=case.f.shape)
  v = (case.mdp.item_probs(case.target) * f).sum(1)[at]
  q = f[at, case.log['item']]
  if level == 'slate':
    shown = f[at[..., None], slate_mdp.SLATE_ITEMS[case.log['slate']]]
    q = (case.mdp.choice[at, case.log['slate']] * shown).sum(-1)
  terms = importance.doubly_robust(
    weights,
    case.log['reward'],
    q,
    v,
    discount=1.0,
    self_normalised=self_normalised,
  )
  plain = importance.doubly_robust(
    weights, case.log['reward'], q, v, discount=1.0
  )
  found = case.estimate(terms, weights)
  bound = 4 * standard_error(plain)
  assert abs(v[:, 0].mean() - case.value) > 2 * bound
  assert found.value == pytest.approx(case.value, abs=bound)


def test_doubly_robust_with_right_values_and_wrong_weights(case):
  weights = np.ones_like(case.log['reward'])
  q = case.f[case.log['state'], case.log['item']]
  terms = importance.doubly_robust(
    weights, case.log['reward'], q, case.v, discount=1.0
  )
  found = case.estimate(terms, weights)
  # Rewards and transitions are certain here, so nothing is left to chance:
  # r_0 + v(h_1) − f(h_0, c_0) is 0, and so is r_1 − f(h_1, c_1).
  assert found.value == pytest.approx(case.value, abs=1e-9)


def test_a_deterministic_target_is_refused_at_slate_level():
  # One slate of six at both turns: about one session of 36 shows both.
  best = np.where(np.arange(4) < 2, 0.0, -1e3)
  case = Case(num=200, target_logits=np.tile(best, (5, 1)))
  with np.errstate(divide='ignore'):
    weights = case.weights('slate')
  terms = importance.per_decision(weights, case.log['reward'], discount=1.0)
  found = case.estimate(terms, weights)
  assert found.value is None and found.low is None and found.high is None
  size = found.effective_sessions
  assert 0 < size < 20
  assert found.refusal == (
    f'effective sample size {size:.1f} of 200, expected at least 20'
  )


def test_no_overlap_is_refused():
  terms = importance.per_decision(
    np.zeros((50, 2)), np.ones((50, 2)), discount=1
  )
  found = importance.estimate(
    terms, np.zeros((50, 2)), np.arange(50), **OPTIONS
  )
  assert found.value is None
  assert 'size 0.0 of 50' in found.refusal


def test_the_interval_is_over_people():
  # Ten people of a hundred equal sessions each are worth ten sessions.
  reward = np.repeat(np.random.default_rng(0).normal(size=10), 100)[:, None]
  weights = np.ones_like(reward)
  terms = importance.per_decision(weights, reward, discount=1.0)
  widths = []
  for users in (np.arange(1000), np.repeat(np.arange(10), 100)):
    found = importance.estimate(terms, weights, users, **OPTIONS)
    widths.append(found.high - found.low)
  assert widths[1] == pytest.approx(10 * widths[0], rel=0.15)
