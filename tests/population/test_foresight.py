"""What knowing the truth says of later turns."""

import types

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import common
from pasta.agent import expected_selection
from pasta.agent import history as history_lib
from pasta.candidates.grammar import generator as grammar
from pasta.interaction import hidden_people
from pasta.population import ceilings, foresight
from pasta.population import population as population_lib
from pasta.t2i.sketch import lexicon
from pasta.types import CATEGORIES

STYLE = lexicon.SLOT_NAMES.index('style')
PALETTE = lexicon.SLOT_NAMES.index('palette')


@pytest.fixture(scope='module')
def population():
  config = common.population()
  config.habituation = 0.5
  return population_lib.build(config)


@pytest.fixture(scope='module')
def sitting(population):
  """Two people: the first tires, the second does not."""
  crowd = population_lib.draw_crowd(population, 20, 1, seed=3)
  index = [crowd.habituation.argmax(), crowd.habituation.argmin()]
  crowd = crowd.select(np.array(index))
  assert crowd.habituation.tolist() == [1.0, 0.0]
  return hidden_people.HiddenPeople(population, crowd)


def _history(turn):
  """Of two people before turn `turn` of three."""
  return types.SimpleNamespace(
    turn=jnp.full(2, turn), choice=jnp.full((2, 3), -1)
  )


def test_the_hand_rule_by_hand():
  probs = np.zeros((2, 2, *population_lib.VALID.shape), np.float32)
  probs[:, 0, STYLE, :4] = 0.25  # four styles alike: 4 / 16
  probs[:, 1, STYLE, 3] = 1.0
  probs[:, :, PALETTE, :2] = 0.5  # 1 / 2
  probs[:, :, 0, 0] = 1.0  # nobody tires of a subject
  left = foresight.turns_left(_history(0))
  assert left.tolist() == [2, 2]
  found = foresight.sparing(probs, left, jnp.array([0.1, 0.0]))
  np.testing.assert_allclose(found, [[-0.15, -0.3], [0, 0]], rtol=1e-6)
  last = foresight.sparing(probs, foresight.turns_left(_history(2)), 0.1)
  assert not last.any()


def _pool(num):
  return history_lib.CandidateSet(
    category=jnp.broadcast_to(jnp.arange(num), (2, num)),
    valid=jnp.ones((2, num), bool),
    text=None,
    utility=jnp.broadcast_to(
      jnp.array([1.0, 0.9, 0.0])[:num, None], (2, num, 1)
    ),
  )


def test_rules_leave_looks_open_for_whom_they_are_told(sitting):
  """Slates of one column: the better candidate names its style."""
  texts = 2 * [['a fox, pixel art', 'a fox, at night', 'a cake']]
  response = expected_selection.Response(jnp.zeros(()), jnp.zeros(1))
  expected = {foresight.SPARING[0]: [1, 1], foresight.SPARING[1]: [1, 0]}
  for name, slates in expected.items():
    policy = foresight.SparingSlate(name, response, num_columns=1, weight=0.2)
    policy.begin(sitting)
    policy.see(texts)
    history = _history(1).__dict__ | {'log_belief': jnp.zeros((2, 1))}
    decision = policy.choose(
      types.SimpleNamespace(**history), _pool(3), jax.random.key(0)
    )
    assert decision.slate[:, 0].tolist() == slates, name


def test_later_worth_counts_but_attracts_nobody():
  """τ = 1, utilities 0 and log 3: picked with probabilities 1/4 and 3/4."""
  response = expected_selection.Response(jnp.zeros(()), jnp.zeros(1))
  pool = _pool(2).replace(
    utility=jnp.broadcast_to(jnp.array([0.0, np.log(3.0)])[:, None], (2, 2, 1))
  )
  _, first, value = jax.jit(expected_selection.insert, static_argnums=(0, 4))(
    lambda sets, expected: expected,
    jnp.zeros((2, 1)),
    pool,
    response,
    2,
    jnp.array([[0.4, 0.0], [0.0, 0.0]]),
  )
  np.testing.assert_allclose(first[0], [0.4, np.log(3.0)], rtol=1e-5)
  plain = 0.75 * np.log(3.0)
  np.testing.assert_allclose(value, [plain + 0.25 * 0.4, plain], rtol=1e-5)


def test_one_turn_ahead_is_the_best_slate_of_the_pool_that_follows(
  population, sitting
):
  """Worth of two candidates against slates made of what would follow them."""
  generator = grammar.Grammar(append_only=True)
  config = ml_collections.ConfigDict(
    {'num_particles': 40, 'slate_particles': 48}
  )

  def make(name):
    policy = ceilings.Ceiling(
      name,
      population,
      config,
      images_per_prompt=4,
      num_columns=4,
      generator=generator,
    )
    policy.begin(sitting)
    return policy

  texts = [['a fox, pixel art', 'a fox at night'], ['a cake', 'a cake, red']]
  policy = make('bayes_ahead')
  policy.see(texts)
  probs = foresight.probs_of(texts)
  found = policy._later(probs, _history(0))
  assert found.shape == (2, 2)
  assert policy._later(probs, _history(2)) is None
  following, category = policy._ahead.pools(texts, 0)
  assert category.shape == (4, 25) and len(CATEGORIES) == category.max() + 1
  for text in following[0]:  # Of the first candidate: it stays as it is.
    assert 'pixel' in text
  # The same by a hedging ceiling whose people are as bored as they would be.
  plain = make('bayes_slate')
  boredom = np.zeros((2, *population_lib.VALID.shape))
  tires = [STYLE, PALETTE]
  boredom[:, tires] = np.asarray(probs)[:, 0][:, tires]
  plain._boredom = boredom
  plain._tell()
  plain.see(following[::2])
  pool = history_lib.CandidateSet(
    category=jnp.asarray(category[::2]),
    valid=jnp.ones((2, 25), bool),
    text=None,
    utility=None,
  )
  _, _, value = ceilings._hedging_slates(
    foresight.probs_of(following[::2]),
    plain._posterior.log_weights,
    plain._particles,
    plain._told,
    plain._best_of,
    pool,
    plain._noise,
    None,
    num_columns=4,
    num_particles=48,
  )
  np.testing.assert_allclose(found[:, 0], value, rtol=1e-4)
