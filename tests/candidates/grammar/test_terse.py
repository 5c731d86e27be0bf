import numpy as np
import pytest
import rough_prompts

from configs import common
from pasta.candidates import build as candidates_build
from pasta.t2i.sketch import scene
from pasta.types import PromptHistory


def _both():
  config = common.world().candidates
  plain = candidates_build.build(config)
  config.name = 'grammar:terse'
  return plain, candidates_build.build(config)


def test_other_words_for_the_same_pictures():
  plain, terse = _both()
  assert terse.generator_id != plain.generator_id
  histories = [
    PromptHistory(p) for p in rough_prompts.initial_prompts(40, seed=3)
  ] + [PromptHistory('x y z'), PromptHistory('animal')]
  seeds = np.arange(len(histories))
  for one, other in zip(
    plain.propose(histories, seeds), terse.propose(histories, seeds)
  ):
    assert len(other) == 25 and len({c.text for c in other}) == 25
    for a, b in zip(one, other):
      assert a.category == b.category
      assert scene.parse(a.text) == scene.parse(b.text)
      assert a.text != b.text


def test_candidates_depend_on_history_and_seed_alone():
  _, terse = _both()
  histories = [PromptHistory('a cat'), PromptHistory('a town')]
  both = terse.propose(histories, np.array([5, 6]))
  assert both[1:] == terse.propose(histories[1:], np.array([6]))


def test_unknown_generators_are_named():
  config = common.world().candidates
  config.name = 'grammar:loud'
  with pytest.raises(ValueError, match="'grammar:loud'.*grammar:terse"):
    candidates_build.build(config)
