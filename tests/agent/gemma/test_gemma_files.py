"""Files name the Gemma they belong to, and configs what it can do."""

import chex
import learner
import numpy as np
import pytest
import tiny_gemma

from pasta import errors
from pasta.agent import saved as saved_values
from pasta.agent import value_model
from pasta.agent.gemma import base as gemma_base
from pasta.gemma import model as gemma_model

_IDS = {'encoder_id': 'clip', 'generator_id': 'grammar'}


def _raises(match):
  return pytest.raises(errors.PastaError, match=match)


def test_save_and_load(directory, base, episodes, decision_at, tmp_path):
  config = learner.make_config(directory)
  model = learner.random_model(config, base, episodes, num_members=2)
  saved_values.save(str(tmp_path), model, _IDS)
  loaded = saved_values.load(str(tmp_path))
  assert loaded.settings == model.settings
  chex.assert_trees_all_equal(loaded, model)
  decision = decision_at(episodes, np.arange(4), np.array([0, 1, 2, 0]))
  np.testing.assert_array_equal(
    value_model.scores(loaded, *decision),
    value_model.scores(model, *decision),
  )


def test_load_refuses_another_base(episodes, logged, user_model, tmp_path):
  directory = tiny_gemma.write(tmp_path / 'gemma')
  config = learner.make_config(directory)
  base = gemma_base.load(config)
  model = learner.random_model(config, base, episodes)
  saved_values.save(str(tmp_path / 'value'), model, _IDS)
  tiny_gemma.write(directory, seed=1)
  with _raises(f'was trained on the Gemma {base.settings.fingerprint}, but'):
    saved_values.load(str(tmp_path / 'value'))


@pytest.mark.parametrize(
  ('fields', 'match'),
  [
    ({'gemma.path': None}, "'gemma.path' is not set"),
    ({'gemma.path': '/no/where'}, '/no/where: no such model directory'),
    ({'gemma.tuning': 'some'}, "'gemma.tuning' is 'some'.*'lora', 'full'"),
    ({'gemma.dtype': 'float16'}, "'gemma.dtype' is 'float16'"),
    ({'gemma.max_tokens': 2}, "'gemma.max_tokens' is 2: expected at least 8"),
    ({'gemma.max_tokens': 200}, '200, but the Gemma at .* has 128 positions'),
    ({'gemma.chunk_texts': 0}, "'gemma.chunk_texts' is 0"),
    ({'credit': 'slate'}, "'credit' is 'slate'.*'gemma' does not have"),
    ({'backup': 'q_learning'}, "'backup' is 'q_learning'.*the shown ones only"),
  ],
)
def test_refuses(directory, fields, match):
  config = learner.make_config(directory)
  for name, value in fields.items():
    part, _, field = name.rpartition('.')
    (config[part] if part else config)[field] = value
  with _raises(match):
    gemma_base.load(config)


def test_fingerprints_tell_models_apart(directory, tmp_path):
  fingerprint = gemma_model.fingerprint(str(directory))
  same = tiny_gemma.write(tmp_path / 'same', num_shards=1, num_layers=1)
  assert gemma_model.fingerprint(str(same)) == fingerprint
  other = tiny_gemma.write(tmp_path / 'other', seed=1, num_layers=1)
  assert gemma_model.fingerprint(str(other)) != fingerprint
  path = same / 'tokenizer.json'
  path.write_text(path.read_text() + '\n')
  assert gemma_model.fingerprint(str(same)) != fingerprint
