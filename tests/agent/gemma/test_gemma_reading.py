"""What a Gemma reads: the same in training and of a policy; the belief."""

import dataclasses
import functools

import chex
import jax
import learner
import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.agent import critics, expected_selection, policies, value_model
from pasta.storage import sessions as sessions_lib


def _raises(match):
  return pytest.raises(errors.PastaError, match=match)


def test_policies_read_what_training_read(
  directory, base, world, user_model, logged, episodes
):
  config = learner.make_config(directory)
  model = learner.random_model(config, base, episodes)
  policy = policies.build(
    common.policy('pasta'),
    num_columns=learner.SIZES.num_columns,
    value_model=model,
    response=expected_selection.learned(user_model),
  )
  seen = []
  choose = policy.choose

  def spy(history, candidates, key):
    decision = choose(history, candidates, key)
    seen.append((candidates, decision))
    return decision

  policy.choose = spy
  result = learner.interact(world, user_model, policy, learner.NUM_SESSIONS)
  for session in result.sessions:
    sessions_lib.check(session, 'here')
  again = learner.read_episodes(
    base, (result.sessions, result.features), user_model
  )

  @jax.jit
  def of_sessions(model, episodes):
    params = jax.tree.map(lambda x: x[0], model.params)
    context = episodes, model.constants, model.settings, model.frozen
    return critics.shown_values(params['q'], *context).mean(0)

  shown = jax.device_get(of_sessions(model, again))
  assert len(seen) == learner.SIZES.num_turns
  rows = np.arange(learner.NUM_SESSIONS)[:, None]
  for t, (candidates, decision) in enumerate(seen):
    of_slate = jax.tree.map(
      lambda x, d=decision: np.asarray(x)[rows, d.slate], candidates.texts
    )
    chex.assert_trees_all_equal(
      of_slate, jax.tree.map(lambda x, t=t: x[:, t], again.texts.shown)
    )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
    picked = np.take_along_axis(
      np.asarray(decision.scores), np.asarray(decision.slate), 1
    )
    close(picked, shown[:, t])
    # The residual tells candidates apart.
    assert np.asarray(decision.scores).std(1).min() > 1e-4


def test_texts_beyond_a_session_are_empty(base, episodes, logged):
  records, _ = logged
  np.testing.assert_array_equal(episodes.texts.state.length > 0, episodes.valid)
  assert not episodes.texts.shown.ids[0, 1:].any()
  shown = episodes.texts.shown
  # A longer prompt might be cut.
  shortest = min(
    range(len(records)), key=lambda i: len(records[i].turns[0].prompts[1])
  )
  length = shown.length[shortest, 0, 1]
  tokens = base.settings.tokeniser.tokenizer.convert_ids_to_tokens(
    shown.ids[shortest, 0, 1, 1 : length - 1]
  )
  prompt = ' '.join(records[shortest].turns[0].prompts[1].split())
  assert ''.join(tokens).replace('▁', ' ').endswith(f'): {prompt}')


def test_chunks_and_the_belief(directory, base, episodes, decision_at):
  """Chunks change no value; the belief does, unless it is off."""
  config = learner.make_config(directory, base='none')
  model = learner.random_model(config, base, episodes)
  history, shown = decision_at(episodes, np.arange(4), np.zeros(4, np.int32))

  def scores(history, **fields):
    settings = dataclasses.replace(model.settings, **fields)
    return value_model.scores(model.replace(settings=settings), history, shown)

  expected = np.asarray(scores(history))
  small = dataclasses.replace(model.settings.gemma, chunk_texts=3)
  np.testing.assert_allclose(scores(history, gemma=small), expected, atol=1e-5)
  moved = history.replace(
    log_belief=np.log(np.float32(4 * [[0.98, 0.01, 0.01]]))
  )
  assert np.abs(scores(moved) - expected).max() > 1e-4
  np.testing.assert_array_equal(
    scores(moved, belief='off'), scores(history, belief='off')
  )


def test_features_alone_are_refused(directory, base, episodes, decision_at):
  model = learner.random_model(learner.make_config(directory), base, episodes)
  history, shown = decision_at(episodes, np.arange(4), np.zeros(4, np.int32))
  with _raises("backbone 'gemma' reads texts, and was given features alone"):
    value_model.scores(model, history, shown.replace(texts=None))


def test_features_and_sessions_must_agree(base, logged, user_model, tmp_path):
  records, features = logged
  shorter = [dataclasses.replace(r, turns=r.turns[:1]) for r in records]
  with _raises('features hold turns that their sessions do not'):
    learner.read_episodes(base, (shorter, features), user_model)
  sessions_lib.write_shard(
    sessions_lib.shard_path(str(tmp_path), 0), records[:3]
  )
  ids = [records[2].session_id, records[0].session_id]
  found = sessions_lib.read_by_id(str(tmp_path), ids)
  assert [r.session_id for r in found] == ids
  with _raises('holds no session nobody'):
    sessions_lib.read_by_id(str(tmp_path), [*ids, 'nobody'])
