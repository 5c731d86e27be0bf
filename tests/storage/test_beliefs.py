"""What is kept of people, and what is refused to be gone on with."""

import json

import numpy as np
import pytest

from pasta import errors
from pasta.storage import beliefs


def kept(*ids: str, seed: int = 0) -> beliefs.Kept:
  joint = np.random.default_rng(seed).random((3, 2))
  return beliefs.Kept(np.log(joint / joint.sum()), ids)


def test_round_trip_and_nobody_of_that_name(tmp_path):
  directory = str(tmp_path / 'people')
  assert beliefs.load(directory, 'ada', 'f' * 16, (3, 2)) is None
  first, second = kept('s1'), kept('s1', 's2', seed=1)
  beliefs.save(directory, 'ada', 'f' * 16, first, None)
  beliefs.save(directory, 'ada', 'f' * 16, second, first)
  found = beliefs.load(directory, 'ada', 'f' * 16, (3, 2))
  np.testing.assert_allclose(found.log_joint, second.log_joint, rtol=1e-6)
  assert found.session_ids == ('s1', 's2')
  assert beliefs.load(directory, 'bob', 'f' * 16, (3, 2)) is None


def test_a_name_that_two_people_share(tmp_path):
  beliefs.save(str(tmp_path), 'ada', 'f', kept('s1'), None)
  with pytest.raises(errors.PastaError, match='that of two people'):
    beliefs.save(str(tmp_path), 'ada', 'f', kept('s9'), None)
  assert beliefs.load(str(tmp_path), 'ada', 'f', (3, 2)).session_ids == ('s1',)


@pytest.mark.parametrize('name', ['', '../x', '.hidden', 'a b', 'x' * 65, 'é'])
def test_names_that_are_no_files(tmp_path, name):
  with pytest.raises(errors.PastaError, match='no name of a person'):
    beliefs.load(str(tmp_path), name, 'f', (3, 2))


@pytest.mark.parametrize('model,shape', [('g', (3, 2)), ('f', (4, 2))])
def test_another_user_model_is_named(tmp_path, model, shape):
  beliefs.save(str(tmp_path), 'ada', 'f', kept('s1'), None)
  with pytest.raises(errors.PastaError, match='over 3 types of the user model'):
    beliefs.load(str(tmp_path), 'ada', model, shape)


@pytest.mark.parametrize(
  'change,message',
  [
    ({'log_joint': [[0.0, 0.0], [0.0, 0.0]]}, 'sum to 1'),
    ({'log_joint': [[0.0], [0.0, 0.0]]}, 'sum to 1'),
    ({'log_joint': [['a', 'b']]}, 'sum to 1'),
    ({'log_joint': [[None, 0.0]]}, 'sum to 1'),
    ({'person': 'bob'}, "belief about 'bob'"),
    ({'version': 2}, 'expected pasta-belief version 1'),
    ({'format': 'pasta-sessions'}, 'not the belief about a person'),
    ({'session_ids': None}, 'not the belief about a person'),
  ],
)
def test_a_damaged_file_is_named(tmp_path, change, message):
  beliefs.save(str(tmp_path), 'ada', 'f', kept('s1'), None)
  where = tmp_path / 'ada.json'
  where.write_text(json.dumps(json.loads(where.read_text()) | change))
  with pytest.raises(errors.PastaError, match=message) as caught:
    beliefs.load(str(tmp_path), 'ada', 'f', (3, 2))
  assert 'ada.json' in str(caught.value)


@pytest.mark.parametrize('text', ['', '{"format": "pasta-be', '[]', '3'])
def test_a_truncated_or_foreign_file_is_named(tmp_path, text):
  (tmp_path / 'ada.json').write_text(text)
  with pytest.raises(errors.PastaError, match=r'ada\.json'):
    beliefs.load(str(tmp_path), 'ada', 'f', (3, 2))
