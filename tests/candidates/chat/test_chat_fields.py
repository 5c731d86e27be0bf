"""Fields of the config, ids of generators, and wrong input."""

import ml_collections
import numpy as np
import pytest
from chat_checks import FOX, ask
from chat_server import chat_of

from configs import common
from pasta import errors
from pasta.candidates import build as candidates_build
from pasta.candidates import counters as chat_counters
from pasta.types import PromptHistory


def test_ids():
  config = common.world().candidates
  config.name = 'chat'
  config.chat.model = 'google/gemma 2 + more'
  generator = candidates_build.build(config)
  assert generator.generator_id.startswith('chat-1-google/gemma_2_+_more-t0.9')
  assert generator.generator_id.endswith('-c25-w36')
  assert ' + ' not in generator.generator_id
  ids = {generator.generator_id}
  for field, value in (
    ('num_candidates', 50),
    ('max_words', 30),
    ('chat.model', 'other'),
    ('chat.temperature', 0.1),
    ('chat.send_images', True),
  ):
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict({field: value})
    ids.add(candidates_build.build(changed).generator_id)
  assert len(ids) == 6
  # Where the model is, and how patient we are, changes nothing.
  config.chat.base_url = 'http://elsewhere:1/v1'
  config.chat.turn_seconds = 1.0
  assert candidates_build.build(config).generator_id == generator.generator_id


@pytest.mark.parametrize(
  'field, value, match',
  [
    ('model', ' ', "chat.model' is empty"),
    ('base_url', 'localhost:8000', "chat.base_url' is 'localhost:8000'"),
    ('base_url', 'ftp://x/v1', "chat.base_url' is 'ftp://x/v1'"),
    ('base_url', '', "chat.base_url' is ''"),
    ('response_format', 'xml', "response_format' is 'xml', expected one of"),
    ('cache', 'on', "chat.cache' is 'on', expected one of"),
    ('timeout_seconds', 0.0, "timeout_seconds' is 0.0, expected more than 0"),
    ('max_concurrency', 0, "max_concurrency' is 0, expected more than 0"),
    ('max_retries', -1, "max_retries' is -1, expected at least 0"),
    ('temperature', float('nan'), "temperature' is nan"),
  ],
)
def test_fields_that_cannot_be_used(server, tmp_path, field, value, match):
  with pytest.raises(errors.PastaError, match=match):
    chat_of(server, tmp_path, **{field: value})


def test_other_bad_input(server, tmp_path):
  generator = chat_of(server, tmp_path)
  with pytest.raises(ValueError, match='initial_prompt is empty'):
    ask(generator, [PromptHistory(' ')])
  with pytest.raises(ValueError, match='2 seeds'):
    generator.propose([FOX], np.array([0, 1]))
  with pytest.raises(ValueError, match='num_candidates is 7'):
    chat_of(server, tmp_path, num_candidates=7)
  assert not server.requests


def test_counters():
  counters = chat_counters.Counters()
  counters.add('requests')
  assert counters.summary() == ''
  counters.add('retries', 2)
  assert counters.summary() == 'requests 1, retries 2'
  with pytest.raises(KeyError):
    counters.add('retrys')
  counters.as_dict()['retries'] = 9
  total = chat_counters.Counters()
  total.add_all(counters)
  total.add_all(counters)
  assert total.as_dict()['retries'] == 4


def test_build():
  config = ml_collections.ConfigDict(common.world().candidates)
  config.name = 'chat'
  with pytest.raises(errors.PastaError, match='candidates.chat.model'):
    candidates_build.build(config)
