"""Captions say what is true, and the tokenizer keeps the lexicon whole."""

import random
import re

import numpy as np
import pytest
import transformers

from pasta.encoders.training import captions, tokenizer
from pasta.t2i.sketch import lexicon, scene


def _named(text):
  return [found for found, _ in scene.parse(text)]


def test_captions_are_true_and_name_what_they_claim():
  scenes = captions.sample_scenes(400, np.random.default_rng(0))
  rng = random.Random(0)
  groups = 0
  for values in scenes:
    text, named = captions.caption(values, rng)
    for slot, found in enumerate(_named(text)):
      assert (found == (values[slot],)) == named[slot], text
      if len(found) > 1:
        assert slot == 0 and values[slot] in found, text
        groups += 1
      else:
        assert found == () or named[slot], text
    excluded = [e for _, e in scene.parse(text)]
    assert all(v not in e for v, e in zip(values, excluded, strict=True)), text
  assert 0 < groups < 40


def test_number_of_named_values():
  rng = random.Random(1)
  for count in (1, 2, 5, 8):
    named = captions.caption([3, 1, 4, 1, 5, 2, 0, 6], rng, num_named=count)[1]
    assert sum(named) == count


def test_fillers_and_negations_occur_as_often_as_asked():
  rng = random.Random(2)
  scenes = captions.sample_scenes(300, np.random.default_rng(1))
  options = {'filler_prob': 0.0, 'negation_prob': 1.0}
  texts = [captions.caption(s, rng, **options)[0] for s in scenes]
  assert all(re.search(r'\b(no|not|without)\b', t) for t in texts)
  options = {'filler_prob': 1.0, 'negation_prob': 0.0}
  words = {*captions.FILLERS, *captions.FILLER_TAILS}
  texts = [captions.caption(s, rng, **options)[0] for s in scenes]
  assert np.mean([any(w in t for w in words) for t in texts]) > 0.95


def test_fillers_mean_nothing():
  for text in (*captions.FILLERS, *captions.FILLER_TAILS):
    assert scene.parse(text) == scene.parse(''), text


def test_one_value_captions_name_one_value():
  for slot, size in enumerate(lexicon.SLOT_SIZES):
    for value in range(size):
      texts = captions.value_captions(slot, value)
      assert len(texts) >= 3
      for text in texts:
        found = _named(text)
        assert found[slot] == (value,), text
        assert sum(map(bool, found)) == 1, text


def test_split_by_combination():
  scenes = captions.sample_scenes(20_000, np.random.default_rng(0))
  held_out = captions.is_held_out(scenes)
  assert 0.04 < held_out.mean() < 0.06
  # Only subject, setting and style decide.
  other = scenes.copy()
  other[:, 3:] = 0
  np.testing.assert_array_equal(captions.is_held_out(other), held_out)
  for slot, size in enumerate(lexicon.SLOT_SIZES):
    assert len(np.unique(scenes[held_out][:, slot])) == size
    counts = np.bincount(scenes[:, slot], minlength=size)
    assert counts.min() > 0.7 * 20_000 / size


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('tokenizer'))
  tokenizer.train(path, 2000, seed=0)
  return path


def test_lexicon_words_are_one_token(directory):
  tokens = transformers.CLIPTokenizerFast.from_pretrained(directory)
  assert len(tokens) == 2000
  words = set()
  for values in lexicon.SLOTS.values():
    for value in values:
      for text in (value.phrase, *value.synonyms):
        words.update(re.findall('[a-z]+', text))
  pieces = np.array([len(tokens.tokenize(w)) for w in sorted(words)])
  assert (pieces == 1).mean() > 0.95


def test_any_text_becomes_tokens_and_comes_back(directory):
  fast = transformers.CLIPTokenizerFast.from_pretrained(directory)
  slow = transformers.CLIPTokenizer.from_pretrained(directory)
  text = 'a dragon, 25 km from zürich: "why?" 🎨 don\'t'
  ids = fast(text)['input_ids']
  assert ids == slow(text)['input_ids']
  assert ids[0] == fast.bos_token_id == 1998
  assert ids[-1] == fast.eos_token_id == 1999
  assert 1999 not in ids[:-1]
  decoded = fast.decode(ids, skip_special_tokens=True)
  assert decoded.replace(' ', '') == text.replace(' ', '')


def test_vocabulary_must_hold_the_bytes(tmp_path):
  with pytest.raises(ValueError, match='514'):
    tokenizer.train(str(tmp_path), 500, seed=0)
