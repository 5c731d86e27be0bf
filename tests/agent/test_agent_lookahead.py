import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pasta.agent import expected_selection, lookahead
from pasta.agent.history import CandidateSet, History


def _state(utility, belief, turn, num_turns):
  """One session: utility [C, K], belief [K]; every candidate its category."""
  num = len(utility)
  none = jnp.zeros((1, num_turns, 1))
  history = History(
    turn=jnp.array([turn]),
    initial_text=jnp.zeros((1, 1)),
    slate_text=none,
    slate_image=none,
    slate_category=none,
    choice=jnp.full((1, num_turns), -1),
    log_belief=jnp.log(jnp.asarray(belief, jnp.float32))[None],
    prompt_utility=jnp.zeros((1, len(belief))),
  )
  return history, CandidateSet(
    category=jnp.arange(num)[None],
    valid=jnp.ones((1, num), bool),
    text=None,
    utility=jnp.asarray(utility, jnp.float32)[None],
  )


def _choose(history, candidates, num_columns, num_rollouts=256, log_scale=2.0):
  response = expected_selection.Response(
    jnp.array(log_scale), jnp.zeros(candidates.utility.shape[-1])
  )
  return lookahead.choose(
    history,
    candidates,
    response,
    jax.random.split(jax.random.key(0), 1),
    num_columns=num_columns,
    num_rollouts=num_rollouts,
  )


def test_starts_are_the_best_under_the_belief_and_for_each_type():
  _, candidates = _state(
    [[3.0, 0.0], [2.0, 0.0], [0.0, 2.5], [1.0, 1.0]], [0.5, 0.5], 0, 3
  )
  found = jax.jit(lookahead.slates_to_start_with, static_argnums=3)(
    jnp.log(jnp.array([[0.5, 0.5]])),
    candidates,
    expected_selection.Response(jnp.array(2.0), jnp.zeros(2)),
    2,
  )
  found = [sorted(s) for s in found[0].tolist()]
  assert found[0] == [0, 2]  # One for each type.
  assert 0 in found[1] and 2 in found[2]


def test_a_question_is_asked_while_its_answer_still_pays():
  """One column for both types now, or two that tell types apart.

  Candidates: a compromise (1.6 for both), 2 for type 0 only, 2 for type 1
  only. With one column left and one turn, the compromise is best. With many
  turns the first pick does not tell types apart (one column is no choice),
  so the compromise stays: only wider slates are questions.
  """
  utility = [[1.6, 1.6], [2.0, 0.0], [0.0, 2.0]]
  last = _choose(*_state(utility, [0.5, 0.5], 4, 5), 1)
  assert last.slate.tolist() == [[0]]
  sure = _choose(*_state(utility, [0.99, 0.01], 4, 5), 1)
  assert sure.slate.tolist() == [[1]]


def test_values_count_the_turns_that_remain():
  utility = [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
  for turn in (0, 3, 4):
    decision = _choose(*_state(utility, [0.5, 0.5], turn, 5), 2)
    # Nothing scatters: 1 a turn, whoever it is.
    np.testing.assert_allclose(decision.scores[0, :2], 5 - turn, rtol=1e-5)


def test_the_policy_is_legal_and_says_what_it_needs():
  rng = np.random.default_rng(0)
  history, candidates = _state(rng.normal(size=(6, 2)), [0.4, 0.6], 1, 4)
  response = expected_selection.Response(jnp.zeros(()), jnp.ones(2))
  policy = lookahead.Planning(
    name='lookahead', num_columns=3, response=response, num_rollouts=8
  )
  one = policy.choose(history, candidates, jax.random.key(0))
  again = policy.choose(history, candidates, jax.random.key(0))
  np.testing.assert_array_equal(one.slate, again.slate)
  assert len(set(one.slate[0].tolist())) == 3
  few = candidates.replace(valid=candidates.valid.at[0, 2:].set(False))
  with pytest.raises(ValueError, match='2 candidates for a slate of 3'):
    policy.choose(history, few, jax.random.key(0))
