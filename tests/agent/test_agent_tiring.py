"""What is said of people who tire: by hand, and the same in play as learned."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import train_value
from pasta import errors
from pasta.agent import critics, tiring, value_model
from pasta.agent import episodes as episodes_lib
from pasta.agent.history import CandidateSet

NAN = np.nan
# Three turns, two columns, D = 2; the choices are 1, 0 and not yet known.
TEXT = np.zeros((3, 2, 2), np.float32)
TEXT[0, 1], TEXT[1, 0] = (1.0, 2.0), (3.0, 4.0)
IMAGE = np.zeros((3, 2, 2), np.float32)
IMAGE[0, 1], IMAGE[1, 0] = (1.0, 0.0), (0.0, 2.0)


class ByHandTest(chex.TestCase):
  """One session of three turns, compiled and not."""

  def _lately(self, satisfaction):
    return self.variant(tiring.lately)(
      jnp.array([0.5, 0.5]),
      TEXT,
      IMAGE,
      jnp.array([1, 0, -1]),
      jnp.array(satisfaction),
    )

  @chex.variants(with_jit=True, without_jit=True)
  def test_what_was_shown_fades(self):
    found = self._lately([0.5, 0.5, NAN])
    # 0, x_0, 0.7 x_0 + x_1.
    np.testing.assert_allclose(found.shown, [[0, 0], [1, 0], [0.7, 2]])
    np.testing.assert_allclose(found.prompt, [[0.5, 0.5], [1, 2], [3, 4]])

  @chex.variants(with_jit=True, without_jit=True)
  def test_mood_is_the_mean_and_the_change(self):
    found = self._lately([0.75, 0.25, NAN])
    # Four times (mean − 1/2, last − first): of nothing, of 0.75, of both.
    np.testing.assert_allclose(found.mood, [[0, 0], [1, 0], [0, -2]])

  @chex.variants(with_jit=True, without_jit=True)
  def test_what_is_not_said_changes_nothing(self):
    np.testing.assert_allclose(self._lately([NAN, NAN, NAN]).mood, 0)
    found = self._lately([NAN, 0.25, NAN]).mood
    # Without a first one there is no change to it.
    np.testing.assert_allclose(found, [[0, 0], [0, 0], [-1, 0]])

  @chex.variants(with_jit=True, without_jit=True)
  def test_items_are_held_against_prompt_and_past(self):
    lately = tiring.Lately(
      shown=jnp.array([0.7, 2.0]),
      mood=jnp.zeros(2),
      prompt=jnp.array([3.0, 4.0]),
    )
    text = jnp.array([[3.0, 4.0], [1.0, 5.0]])
    found = self.variant(functools.partial(tiring.of_items, with_text=True))(
      lately, text
    )
    # (0.7 · 3 + 2 · 4) / 2 and (0.7 + 10) / 2; squares of the step.
    np.testing.assert_allclose(found, [[5.05, 0, 0], [5.35, 4, 1]], rtol=1e-6)
    alone = tiring.of_items(lately, text, with_text=False)
    np.testing.assert_allclose(alone, found[:, :1], rtol=1e-6)
    state = tiring.of_states(lately, with_shown=True)
    np.testing.assert_allclose(state, [0, 0, 0.7, 2])
    assert tiring.of_states(lately, with_shown=False).shape == (2,)


def _tiring(credit):
  config = train_value.get_config('smoke')
  config.credit, config.tiring = credit, True
  config.weight_decay = 1.0
  return config


@pytest.mark.parametrize('history', ['full', 'none'])
def test_policies_are_told_what_was_learned_from(
  make_episodes, random_model, history
):
  """Values of candidates are those of the same columns in training."""
  episodes = make_episodes(6)
  reports = np.random.default_rng(0).random((6, 4)).astype(np.float32)
  episodes = episodes.replace(satisfaction=reports)
  config = _tiring('choice')
  config.history, config.item_text = history, history == 'full'
  model = random_model(config, episodes)
  params = jax.tree.map(
    lambda x: x + 0.25 * jax.random.normal(jax.random.key(1), x.shape),
    model.params,
  )
  model = model.replace(params=params)
  trained = jax.jit(critics.shown_values, static_argnums=3)(
    jax.tree.map(lambda x: x[0], params['q']),
    episodes,
    model.constants,
    model.settings,
  ).mean(0)
  for turn in (0, 2):
    history = episodes_lib.history_at(episodes, np.arange(6), np.full(6, turn))
    assert np.isnan(history.satisfaction[:, turn:]).all()
    pool = CandidateSet(
      category=episodes.slate_category[:, turn],
      valid=np.ones((6, 3), bool),
      text=episodes.slate_text[:, turn],
      utility=episodes.slate_utility[:, turn],
    )
    found = value_model.scores(model, history, pool)
    np.testing.assert_allclose(found, trained[:, turn], rtol=1e-3, atol=1e-4)
    happier = history.replace(satisfaction=history.satisfaction + 0.2)
    moved = value_model.scores(model, happier, pool)
    assert bool((moved != found).any()) == (turn > 0)
  with pytest.raises(errors.PastaError, match="'tiring' is True"):
    value_model.scores(model, history.replace(satisfaction=None), pool)


def test_a_critic_of_slates_reads_it(make_episodes, random_model):
  episodes = make_episodes(6)
  reports = np.random.default_rng(0).random((6, 4)).astype(np.float32)
  model = random_model(_tiring('slate'), episodes.replace(satisfaction=reports))

  @jax.jit
  @jax.grad
  def by_report(reports):
    params = jax.tree.map(lambda x: x[0] + 0.1, model.params['q'])
    seen = episodes.replace(satisfaction=reports)
    return critics.shown_values(
      params, seen, model.constants, model.settings
    ).sum()

  found = by_report(jnp.asarray(reports))
  assert found[:, 0].all() and not found[:, -1].any()


def test_gemma_reads_texts(make_episodes):
  config = train_value.get_config('smoke')
  settings = critics.settings_of(config, make_episodes(2))
  with pytest.raises(errors.PastaError, match="'tiring' is True"):
    dataclasses.replace(settings, backbone='gemma', tiring=True, gemma=object())
