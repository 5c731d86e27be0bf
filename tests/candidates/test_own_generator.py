"""A candidate generator of one's own: CONTRIBUTING's example, its faults."""

import pathlib
import re
import sys

import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.candidates import build
from pasta.types import CATEGORIES, PromptHistory

_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_HISTORIES = [PromptHistory('a fox'), PromptHistory('an owl', ('an owl, x',))]
_RETURN = 'return [self._pool(h, int(s)) for h, s in zip(histories, seeds)]'


@pytest.fixture
def module(tmp_path, monkeypatch):
  """Writes moods.py, with a replacement, to where it can be imported."""
  monkeypatch.syspath_prepend(tmp_path)

  def write(old='', new=''):
    text = (_ROOT / 'CONTRIBUTING.md').read_text()
    text = re.findall(r'```python\n(.*?)```', text, re.DOTALL)[1]
    assert old in text
    (tmp_path / 'moods.py').write_text(text.replace(old, new))

  yield write
  sys.modules.pop('moods', None)


def generator(**fields):
  config = common.world().candidates
  config.name = 'moods:Moods'
  for name, value in fields.items():
    config[name] = value
  return build.build(config)


def test_the_example_proposes(module):
  module()
  made = generator(
    num_candidates=10, arguments='{"moods": ["m 1", "b", "c", "d"]}'
  )
  first, second = made.propose(_HISTORIES, np.array([1, 2], np.uint64))
  assert len(first) == len(second) == 10
  assert all(c.text.startswith('an owl, x, ') for c in second)
  assert {c.category for c in first} == set(CATEGORIES)
  assert made.propose(_HISTORIES[1:], np.array([2], np.uint64)) == [second]
  assert made.generator_id == (
    'moods:Moods{"moods":["m_1","b","c","d"]}/moods-v1-c10'
  )
  assert not made.understands('warmer')


@pytest.mark.parametrize(
  'old, new, message',
  [
    ('def understands', 'def reads', "no method 'understands'"),
    ("generator_id = 'moods-v1'", 'generator_id = 3', "'generator_id', expec"),
    (_RETURN, 'return []', 'propose returned 0 pools, expected one for each'),
    ('return [Cand', 'return [][:0] and [Cand', 'returned 0 candidates, expec'),
    ('Candidate(t, CATEGORIES[i % 5])', 't', 'expected a pasta.types.Candidat'),
    ('CATEGORIES[i % 5]', "'mood'", "category 'mood', expected one of rephr"),
    ('Candidate(t,', 'Candidate(" ",', "prompt ' ', expected a text of some"),
    ('Candidate(t,', 'Candidate("x",', "returned 'x' twice, expected no two"),
    (_RETURN, 'return histories[9]', 'propose failed: IndexError'),
    ('= num_candidates  #', '= 3  #', 'num_candidates 3, expected the 25'),
  ],
)
def test_what_a_class_does_wrong_is_named(module, old, new, message):
  module(old, new)
  with pytest.raises(errors.PastaError, match=message) as e:
    generator().propose(_HISTORIES, np.array([1, 2]))
  assert 'moods:Moods' in str(e.value)


def test_append_only_is_for_grammars(module):
  module()
  with pytest.raises(ValueError, match='append_only is True'):
    generator(append_only=True)
