"""What types like: words and pictures follow planted tastes."""

import numpy as np
import pytest
import report_fabricated

from pasta.report import taste
from pasta.t2i.sketch import lexicon

_OFFSETS = dict(
  zip(lexicon.SLOT_NAMES, np.cumsum([0, *lexicon.SLOT_SIZES[:-1]]))
)


def _position(slot, name):
  names = [v.name for v in lexicon.SLOTS[slot]]
  return _OFFSETS[slot] + names.index(name)


@pytest.fixture(scope='module')
def planted():
  """Type 0 likes neon and hates fog, type 1 the reverse; both like snow."""
  model = report_fabricated.user_model(num_types=2)
  weights = np.zeros_like(model.heads['types']['taste'])
  for k, sign in enumerate((1.0, -1.0)):
    weights[k, _position('style', 'neon')] = 3 * sign
    weights[k, _position('weather', 'fog')] = -2 * sign
    weights[k, _position('weather', 'snow')] = 4
  skip = np.concatenate([np.zeros_like(weights[:1]), weights]).T
  return model.replace(
    heads={**model.heads, 'types': {**model.heads['types'], 'taste': weights}},
    text={**model.text, 'skip': skip},
    log_prior=np.log(np.array([0.3, 0.7], np.float32)),
  )


def test_words_tell_the_types_apart(planted):
  world = report_fabricated.World()
  words = taste.type_words(planted, world.text_features, 1)
  assert words == [
    (['neon glow art'], ['thick fog']),
    (['thick fog'], ['neon glow art']),
  ]


def test_common_taste_is_what_types_share(planted):
  profile = taste.profile(planted, report_fabricated.World().text_features)
  assert profile.words[int(np.argmax(profile.common))] == 'falling snow'
  assert profile.deviation.shape == (2, len(profile.words))
  np.testing.assert_allclose(profile.deviation.sum(0), 0, atol=1e-5)


def test_a_type_in_words(planted):
  world = report_fabricated.World()
  words = taste.type_words(planted, world.text_features, num_words=1)
  assert taste.in_words(*words[0]) == 'neon glow art; dislikes thick fog'


def test_single_type_is_described_by_its_taste():
  model = report_fabricated.user_model(num_types=1)
  ((liked, disliked),) = taste.type_words(
    model, report_fabricated.World().text_features, 3
  )
  assert len(liked) == len(disliked) == 3
  cards = taste.types(model, report_fabricated.World(), 12, 32)
  assert [c['index'] for c in cards] == [None]


def test_cards_are_ordered_and_pictures_follow_taste(planted):
  world = report_fabricated.World()
  cards = taste.types(planted, world, 80, 32)
  assert [c['index'] for c in cards] == [None, 1, 0]
  np.testing.assert_allclose([c['share'] for c in cards[1:]], [0.7, 0.3])
  assert all(len(c['best']) == len(c['worst']) == 4 for c in cards)
  # One draw is not always faithful to its prompt: most, not all.
  neon = [p for p in cards[2]['best'] if 'neon' in p['prompt']]
  assert len(neon) >= 2


def test_tiny_pool_shows_what_it_has(planted):
  cards = taste.types(planted, report_fabricated.World(), 2, 32)
  assert all(len(c['best']) == 2 for c in cards)


def test_pool_is_the_same_every_time():
  assert taste.random_prompts(5, 0) == taste.random_prompts(5, 0)
  assert len(set(taste.random_prompts(50, 0))) > 45
