"""Sessions on disk: round trip, atomicity, and what is refused."""

import dataclasses
import json

import pytest

from pasta import errors
from pasta.storage import candidate_sources, sessions
from pasta.types import CATEGORIES, Candidate


def make_session(index: int = 0, num_turns: int = 2) -> sessions.Session:
  pool = tuple(Candidate(f'prompt {i}', CATEGORIES[i % 5]) for i in range(10))
  turns = tuple(
    sessions.Turn(
      candidates=pool,
      scores=tuple(float(i) for i in range(10)),
      slate=(9, 3, 6, 2),
      columns=(2, 0, 3, 1),
      seeds=(7, 7, 7, 7),
      log_propensity=-3.25,
      choice=1,
      satisfaction=0.5,
      comparison=None if t == 0 else 1,
      critique='wärmer, no "people"',
      answered_at=1.5,
    )
    for t in range(num_turns)
  )
  return sessions.Session(
    session_id=f's{index}',
    user_id='u',
    source='population',
    initial_prompt='a fox',
    policy_id='lmm',
    generator_id='grammar',
    t2i_id='sketch',
    images_per_prompt=4,
    started_at=1.0,
    turns=turns,
  )


def write(tmp_path, num=3) -> str:
  path = sessions.shard_path(str(tmp_path), 0)
  sessions.write_shard(path, [make_session(i) for i in range(num)])
  return path


def test_round_trip(tmp_path):
  write(tmp_path)
  assert list(sessions.read_dir(str(tmp_path))) == [
    make_session(i) for i in range(3)
  ]


def test_who_wrote_a_candidate_is_kept(tmp_path):
  session = make_session(num_turns=1)
  (turn,) = session.turns
  pool = (Candidate('x', 'style', 'grammar:b'), *turn.candidates[1:])
  mixed = dataclasses.replace(
    session, turns=(dataclasses.replace(turn, candidates=pool),)
  )
  path = sessions.shard_path(str(tmp_path), 0)
  sessions.write_shard(path, [mixed])
  (found,) = sessions.read_shard(path)
  assert found == mixed
  # As sessions were written before there were sources.
  assert '["prompt 1","detail"]' in open(path, encoding='utf-8').read()
  shares = candidate_sources.shares(candidate_sources.count([found, session]))
  assert shares == {'grammar': 0.95, 'grammar:b': 0.05}
  assert candidate_sources.line(shares) == (
    'Candidates by: 95 % grammar, 5 % grammar:b'
  )
  assert candidate_sources.shares(candidate_sources.count([session])) == {
    'grammar': 1.0
  }
  assert candidate_sources.line({'grammar': 1.0}) == ''
  with pytest.raises(errors.PastaError, match='candidates is 3, expected a'):
    sessions.from_json(sessions.to_json(mixed).replace('"grammar:b"', '3'), 'x')


def test_a_session_goes_on_in_its_shard(tmp_path):
  path = sessions.shard_path(str(tmp_path), 0)
  sessions.write_shard(path, [make_session(num_turns=1)])
  sessions.write_shard(path, [make_session()], grows=True)
  assert sessions.read_shard(path) == [make_session()]
  with pytest.raises(errors.PastaError, match='exists already'):
    sessions.write_shard(path, [make_session()])


def test_history_holds_what_was_chosen_and_rejected():
  session = make_session()
  history = sessions.history(session.initial_prompt, session.turns[:1])
  assert history.chosen == ('prompt 3',)
  assert history.rejected == (('prompt 9', 'prompt 6', 'prompt 2'),)
  assert history.current == 'prompt 3'


@pytest.mark.parametrize('cut', [1, 40, 300])
def test_truncated_shard_is_named(tmp_path, cut):
  path = write(tmp_path)
  content = open(path, encoding='utf-8').read()
  with open(path, 'w', encoding='utf-8') as f:
    f.write(content[:-cut])
  with pytest.raises(errors.PastaError, match='00000.jsonl.*truncated'):
    sessions.read_shard(path)


def test_empty_file_is_refused(tmp_path):
  path = tmp_path / '00000.jsonl'
  path.write_text('')
  with pytest.raises(errors.PastaError, match='00000.jsonl: not a session'):
    sessions.read_shard(str(path))


def test_other_version_is_refused(tmp_path):
  path = write(tmp_path)
  content = open(path, encoding='utf-8').read()
  with open(path, 'w', encoding='utf-8') as f:
    f.write(content.replace('"version": 1', '"version": 7', 1))
  with pytest.raises(errors.PastaError, match='version 7, expected'):
    sessions.read_shard(path)


def test_shards_are_never_overwritten(tmp_path):
  path = write(tmp_path)
  with pytest.raises(errors.PastaError, match='exists already'):
    sessions.write_shard(path, [make_session()])


def test_leftover_of_a_killed_write_is_not_a_shard(tmp_path):
  write(tmp_path)
  (tmp_path / '.00001.jsonl.123.tmp').write_text('{"format": "pasta-')
  assert len(sessions.shards(str(tmp_path))) == 1


@pytest.mark.parametrize(
  'field,value,message',
  [
    ('choice', 4, 'choice 4 is not in a slate of 4'),
    ('slate', (1, 1, 2, 3), 'distinct'),
    ('slate', (1, 10, 2, 3), 'distinct indices below 10'),
    ('columns', (0, 1, 2, 2), 'not an order'),
    ('seeds', (1, 2), '2 seeds for 4 columns'),
    ('scores', (1.0,), '1 scores for 10 candidates'),
    ('satisfaction', 1.5, r'not in \[0, 1\]'),
    ('satisfaction', float('nan'), r'not in \[0, 1\]'),
    ('comparison', 2, 'comparison 2'),
  ],
)
def test_contradictions_are_named(field, value, message):
  session = make_session()
  turn = dataclasses.replace(session.turns[1], **{field: value})
  session = dataclasses.replace(session, turns=(session.turns[0], turn))
  with pytest.raises(errors.PastaError, match=f'turn 1: .*{message}'):
    sessions.check(session, 'x')


def test_unknown_category_is_named():
  line = json.loads(sessions.to_json(make_session()))
  line['turns'][0]['candidates'][2][1] = 'novel'
  with pytest.raises(errors.PastaError, match="here: .*'novel'"):
    sessions.from_json(json.dumps(line), 'here')


def test_candidates_that_were_left_out_have_no_score(tmp_path):
  first = make_session()
  turn = dataclasses.replace(first.turns[0], scores=(None, *range(9)))
  made = dataclasses.replace(first, turns=(turn, *first.turns[1:]))
  path = sessions.shard_path(str(tmp_path), 0)
  sessions.write_shard(path, [made])
  assert sessions.read_shard(path) == [made]
  turn = dataclasses.replace(turn, scores=(None,) * 10)
  made = dataclasses.replace(first, turns=(turn,))
  with pytest.raises(errors.PastaError, match='turn 0: scores are all null'):
    sessions.write_shard(sessions.shard_path(str(tmp_path), 1), [made])


def test_missing_field_is_named():
  line = json.loads(sessions.to_json(make_session()))
  del line['turns'][0]['seeds']
  with pytest.raises(errors.PastaError, match='here: not a session.*seeds'):
    sessions.from_json(json.dumps(line), 'here')


@pytest.mark.parametrize(
  'field,value',
  [
    ('choice', '1'),
    ('choice', True),
    ('choice', 1.0),
    ('slate', None),
    ('slate', 3),
    ('slate', [1, None, 2, 3]),
    ('seeds', [7, 7, 7, 'x']),
    ('scores', [float('nan')] * 10),
    ('satisfaction', '0.5'),
    ('log_propensity', -float('inf')),
    ('comparison', '1'),
    ('critique', None),
    ('answered_at', 10**400),
    ('candidates', [[1, 'style']]),
  ],
)
def test_fields_of_another_kind_are_named(field, value):
  line = json.loads(sessions.to_json(make_session()))
  line['turns'][1][field] = value
  message = f'here: not a session .turn 1: {field} is .*, expected a'
  with pytest.raises(errors.PastaError, match=message):
    sessions.from_json(json.dumps(line), 'here')
  line = json.loads(sessions.to_json(make_session()))
  line['user_id'] = 5
  with pytest.raises(errors.PastaError, match='user_id is 5, expected a text'):
    sessions.from_json(json.dumps(line), 'here')


@pytest.mark.parametrize('line', ['[' * 100_000, '9' * 5000, '7', '{"turns"'])
def test_lines_that_are_no_session_are_named(line):
  with pytest.raises(errors.PastaError, match='here: not a session'):
    sessions.from_json(line, 'here')


@pytest.mark.parametrize('num', ['"x"', '1e999', 'null', '9' * 5000])
def test_headers_without_a_number_are_refused(num, tmp_path):
  path = tmp_path / '00000.jsonl'
  header = '{"format": "pasta-sessions", "version": 1, "num_sessions": NUM}\n'
  path.write_text(header.replace('NUM', num))
  with pytest.raises(errors.PastaError, match='00000.jsonl: not a session'):
    sessions.read_shard(str(path))
