"""Tables of sessions: a row a turn, whole sessions or none."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import prepare_data as data_config
from data import base, prepare_data, read
from data.own import propose
from data.sessions import fake_files
from pasta import errors


@pytest.fixture(scope='module')
def table(tmp_path_factory):
  raw = tmp_path_factory.mktemp('raw')
  fake_files.write(str(raw), 4, num_people=2, size=8)
  return pq.read_table(raw / 'sessions.parquet').to_pylist()


def sessions(rows, root, share=0.0, fields=None, **options):
  root.mkdir()
  pq.write_table(pa.Table.from_pylist(rows), root / 't.parquet')
  config = data_config.get_config('sessions')
  config.num_workers, config.max_skipped_share = 1, share
  config.fields.update(fields or {})
  config.options.update(options)
  prepare_data.run(config, str(root), str(root / 't.parquet'))
  prepared = read.Prepared(
    prepare_data.prepared_directory('sessions', '', str(root))
  )
  cls = base.builder_class('sessions')
  examples = list(prepared.examples('train', 0))
  return [cls.session(e) for e in examples], [cls.images(e) for e in examples]


def test_rows_become_sessions(table, tmp_path):
  shuffled = [table[i] for i in (2, 0, 1)] + table[3:]
  for row in shuffled:
    row['satisfaction'] = 1 + row['turn']
  found, images = sessions(
    shuffled,
    tmp_path / 'w',
    fields={'satisfaction': 'satisfaction'},
    satisfaction_low=1.0,
    satisfaction_high=5.0,
  )
  assert [s.session_id for s in found] == [f'session {i}' for i in range(4)]
  first = found[0]
  assert first.user_id == 'person 0' and first.images_per_prompt == 2
  assert [t.satisfaction for t in first.turns] == [0.25, 0.5, 0.75]
  assert [t.choice for t in first.turns] == [r['chosen'] for r in table[:3]]
  assert [t.prompts for t in first.turns] == [
    tuple(r['prompts']) for r in table[:3]
  ]
  assert images[0] == [x for r in table[:3] for x in r['images']]


def test_unknown_people_are_sessions(table, tmp_path):
  found, _ = sessions(table, tmp_path / 'w', fields={'person': ''})
  assert [s.user_id for s in found] == [s.session_id for s in found]


@pytest.mark.parametrize(
  'row, change, reason',
  [
    (1, {'turn': 1}, 'two rows have the same number'),
    (4, {'chosen': 3}, 'chosen is 3, expected 0 to 2'),
    (4, {'person': 'else'}, 'person differs from row to row'),
    (4, {'images': [b'x'] * 6}, 'neither JPEG nor PNG'),
    (4, {'images': []}, '0 images for 3 prompts'),
    (4, {'prompts': ['a', 'b', None]}, 'prompts is missing'),
  ],
)
def test_a_bad_turn_costs_its_session(table, tmp_path, row, change, reason):
  rows = [{**r, **change} if i == row else r for i, r in enumerate(table)]
  with pytest.raises(errors.PastaError, match='1 of 4 records') as found:
    sessions(rows, tmp_path / 'w')
  assert reason in str(found.value)
  kept, _ = sessions(rows, tmp_path / 'v', share=0.3)
  assert len(kept) == 3


def test_rows_of_a_session_stand_together(table, tmp_path):
  rows = [*table[:2], *table[3:], table[2]]
  with pytest.raises(errors.PastaError, match="row 11: session 'session 0' h"):
    sessions(rows, tmp_path / 'w')
  rows = [{**r, 'session': None} if i == 5 else r for i, r in enumerate(table)]
  with pytest.raises(errors.PastaError, match='row 5: .*None.*; drop such r'):
    sessions(rows, tmp_path / 'v')


def test_a_table_of_sessions_is_known_as_one(table):
  samples = {c: [r[c] for r in table] for c in table[0]}
  found = propose.guess(samples)
  assert found.kind == 'sessions' and not found.doubts and not found.options
  known = data_config.OPTIONS['sessions']['fields']
  assert found.fields == {**known, 'satisfaction': ''}
