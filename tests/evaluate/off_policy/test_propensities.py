import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import slate_mdp

from pasta import errors
from pasta.agent import policies, slates
from pasta.agent import policy as policy_lib
from pasta.evaluate.off_policy import propensities
from pasta.storage import sessions
from pasta.types import Candidate

NUM, SLATES = 30, 512
BEHAVIOUR = np.random.default_rng(1).normal(size=(5, 4))
KEY = jax.random.key(0)


@pytest.fixture(scope='module')
def mdp():
  return slate_mdp.make()


@pytest.fixture(scope='module')
def log(mdp):
  return mdp.log(slate_mdp.slate_probs(BEHAVIOUR), NUM, seed=2)


@pytest.fixture(scope='module')
def episodes(mdp, log):
  probs = slate_mdp.slate_probs(BEHAVIOUR)
  return slate_mdp.episodes(mdp, log, np.log(probs[log['state'], log['slate']]))


def test_sampled_propensities_against_enumeration(mdp, log, episodes):
  logits = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)
  found = propensities.of_logits(
    logits[log['state']], episodes, key=KEY, num_slates=SLATES
  )
  probs = slate_mdp.slate_probs(logits)
  at = log['state']
  # The slate's is exact.
  np.testing.assert_allclose(
    found.log_slate, np.log(probs[at, log['slate']]), atol=1e-5
  )
  # A mean over 512 slates has a standard error of at most ½ / √512 = 0.022.
  item = mdp.item_probs(probs)
  np.testing.assert_allclose(found.chosen, item[at], atol=4 * 0.022)
  np.testing.assert_allclose(found.chosen.sum(-1), 1.0, atol=1e-5)
  shown = probs @ slate_mdp.MEMBERS / 2
  np.testing.assert_allclose(found.shown, shown[at], atol=2 * 0.022)
  # The chosen item's is closer, even where it is rare: slates are drawn with
  # it. Without that its relative error would be 1 / √(512 p), 0.2 at p = 0.05.
  truth = item[at, log['item']]
  assert truth.min() < 0.06
  np.testing.assert_allclose(found.log_item, np.log(truth), atol=0.12)
  np.testing.assert_allclose(
    found.log_item.mean(), np.log(truth).mean(), atol=0.02
  )


def test_equal_logits_cancel_to_the_last_bit(log, episodes):
  logits = BEHAVIOUR[log['state']].astype(np.float32)

  class Behaviour(policy_lib.Scored):
    def __init__(self):
      # Standardised scores over the temperature, as logs hold them.
      super().__init__(
        name='behaviour',
        score=lambda history, candidates: self.scores[
          : len(candidates.category)
        ],
        selector=policy_lib.Selector('mean', slates.select_mean, False),
        num_columns=2,
        temperature=1.0,
      )

  policy = Behaviour()
  valid = np.ones(logits.shape, bool)
  flat = logits.reshape(-1, 4)
  policy.scores = jnp.concatenate([flat, jnp.tile(flat[-1:], (64, 1))])[:64]
  target = propensities.of_policy(
    policy, episodes, jnp.zeros(1), key=KEY, num_slates=8
  )
  behaviour = propensities.of_logits(
    np.asarray(policy_lib.standardise(jnp.asarray(logits), valid)),
    episodes,
    key=KEY,
    num_slates=8,
  )
  np.testing.assert_array_equal(target.log_item, behaviour.log_item)
  np.testing.assert_array_equal(target.log_slate, behaviour.log_slate)


def test_a_deterministic_policy(mdp, log, episodes):
  # The generator's own order: candidates 0 and 1 always.
  found = propensities.of_policy(
    policies.lmm(2), episodes, jnp.zeros(1), key=KEY, num_slates=8
  )
  is_same = log['slate'] == slate_mdp.SLATES.index((0, 1))
  np.testing.assert_array_equal(found.log_slate, np.where(is_same, 0, -np.inf))
  choice = np.zeros((5, 4))
  choice[:, :2] = mdp.choice[:, 0]
  np.testing.assert_allclose(found.chosen, choice[log['state']], atol=1e-6)
  np.testing.assert_allclose(
    np.exp(found.log_item), choice[log['state'], log['item']], atol=1e-6
  )
  np.testing.assert_array_equal(found.shown[0, 0], [0.5, 0.5, 0, 0])


def test_a_policy_that_inserts_whole_slates(mdp, log, episodes):
  """As pasta with credit 'slate' does: no temperature, its slate is certain."""
  shown = np.array([2, 3])

  def insert(history, candidates):
    batch, pool = candidates.category.shape
    slate = jnp.broadcast_to(shown, (batch, 2))
    return slate, jnp.zeros((batch, pool)), jnp.zeros(batch)

  policy = policy_lib.Inserting(
    name='whole', insert=insert, num_columns=2, predicts=True
  )
  found = propensities.of_policy(
    policy, episodes, jnp.zeros(1), key=KEY, num_slates=8
  )
  index = slate_mdp.SLATES.index((2, 3))
  is_same = log['slate'] == index
  assert is_same.any() and not is_same.all()
  np.testing.assert_array_equal(found.log_slate, np.where(is_same, 0, -np.inf))
  choice = np.zeros((5, 4))
  choice[:, shown] = mdp.choice[:, index]
  np.testing.assert_allclose(found.chosen, choice[log['state']], atol=1e-6)
  np.testing.assert_allclose(
    np.exp(found.log_item), choice[log['state'], log['item']], atol=1e-6
  )
  np.testing.assert_array_equal(found.shown[0, 0], [0, 0, 0.5, 0.5])


def test_turns_that_are_not_valid_hold_zeros(log, episodes):
  valid = episodes.valid.copy()
  valid[3, 1] = False
  cut = episodes.replace(valid=valid)
  logits = BEHAVIOUR[log['state']].astype(np.float32)
  whole = propensities.of_logits(logits, episodes, key=KEY, num_slates=8)
  found = propensities.of_logits(logits, cut, key=KEY, num_slates=8)
  assert not found.chosen[3, 1].any() and found.log_item[3, 1] == 0
  np.testing.assert_array_equal(found.log_slate[4], whole.log_slate[4])


def test_policies_that_logs_cannot_answer_for(episodes):
  policy = policies.optimistic(2, 0.0, renders_pool=True)
  with pytest.raises(errors.PastaError, match='greedy_rendered needs images'):
    propensities.of_policy(
      policy, episodes, jnp.zeros(1), key=KEY, num_slates=8
    )


def test_slates_drawn_by_an_unknown_law_are_refused(episodes):
  policy = dataclasses.replace(policies.random(2), use_categories=False)
  with pytest.raises(errors.PastaError, match='random:no_categories draws'):
    propensities.of_policy(
      policy, episodes, jnp.zeros(1), key=KEY, num_slates=8
    )


def record(name, policy_id, scores):
  turn = sessions.Turn(
    candidates=(Candidate('a fox', 'rephrase'),) * 4,
    scores=scores,
    slate=(0, 1),
    columns=(0, 1),
    seeds=(0, 0),
    log_propensity=0.0,
    choice=0,
    satisfaction=None,
    comparison=None,
    critique='',
    answered_at=0.0,
  )
  return sessions.Session(
    session_id=name,
    user_id='u',
    source='human',
    initial_prompt='a fox',
    policy_id=policy_id,
    generator_id='g',
    t2i_id='t',
    images_per_prompt=1,
    started_at=0.0,
    turns=(turn, turn),
  )


def test_logits_from_logged_scores():
  # Standardised: mean 1, deviation 1.
  scores = (0.0, 2.0, 0.0, 2.0)
  records = {
    'a': record('a', 'greedy:temperature=0.5', scores),
    'b': record('b', 'random', scores),
    'c': record('c', 'greedy', scores),
    'd': record('d', 'greedy:temperature=0.5:belief=prior', None),
  }
  logits = propensities.behaviour_logits(records, tuple('abcde'), (5, 3, 4))
  np.testing.assert_allclose(logits[0, :2], [[-2, 2, -2, 2]] * 2, atol=1e-6)
  np.testing.assert_array_equal(logits[1, :2], 0.0)
  records['b'] = record('b', 'mine:temperature=inf:belief=prior', scores)
  uniform = propensities.behaviour_logits(records, ('b',), (1, 3, 4))
  np.testing.assert_array_equal(uniform[0, :2], 0.0)
  # A candidate that was left out has no logit.
  records['a'] = record('a', 'greedy:temperature=1', (0.0, None, 2.0, None))
  partly = propensities.behaviour_logits(records, ('a',), (1, 3, 4))
  np.testing.assert_allclose(partly[0, 0], [-1, np.nan, 1, np.nan], atol=1e-6)
  # Drawn without a temperature, without scores, not in the log, never shown.
  assert np.isnan(logits[2:]).all() and np.isnan(logits[:, 2]).all()


def test_logged_propensities_are_checked(log, episodes):
  logits = BEHAVIOUR[log['state']].astype(np.float32)
  found = propensities.of_logits(logits, episodes, key=KEY, num_slates=8)
  assert propensities.agrees(found, logits, episodes).all()
  other = episodes.log_propensity.copy()
  other[3, 1] += 0.1
  unknown = logits.copy()
  unknown[5] = np.nan
  agrees = propensities.agrees(
    found, unknown, episodes.replace(log_propensity=other)
  )
  assert np.flatnonzero(~agrees).tolist() == [3, 5]


def test_calibration_finds_how_sure_people_are(mdp):
  log = mdp.log(slate_mdp.slate_probs(BEHAVIOUR), 20_000, seed=3)
  episodes = slate_mdp.episodes(mdp, log, np.zeros(log['item'].shape))
  # A user model that takes them for half as sure again: τ = 1.5, not 1.
  wrong = np.full(len(episodes), np.log(1.5), np.float32)
  found = propensities.calibrated(episodes.replace(choice_log_scale=wrong))
  # The standard error of log τ is about 0.02 here, a step 0.05.
  np.testing.assert_allclose(found.choice_log_scale, 0.0, atol=0.1)
  expected = mdp.choice[log['state'], log['slate']]
  np.testing.assert_allclose(np.exp(found.log_choice), expected, atol=0.03)
