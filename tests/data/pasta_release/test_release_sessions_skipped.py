"""Sessions of the release that are broken, each with its reason."""

import copy
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from release_files import (
  Builder,
  checked,
  edited,
  examples,
  items,
  refusal,
  same,
)

from data import base, prepare_data
from pasta import errors


def turn_of(row, t=1):
  return row['turns'][t]


def drop_image(row):
  del turn_of(row)['columns'][2]['images'][3]


# What is wrong with a session -> how it came to be so.
BREAKS = {
  '0 turns': lambda r: r.update(turns=[]),
  '6 turns': lambda r: r['turns'].append(r['turns'][0]),
  "turns is 'x', expected a list": lambda r: r.update(turns='x'),
  'prompts has 3 entries, expected 4': lambda r: turn_of(r)['columns'].pop(),
  'images of a column has 3 entries': drop_image,
  'choice is 4, expected 0 to 3': lambda r: turn_of(r).update(
    selected_column=4
  ),
  'choice is -1, expected 0 to 3': lambda r: turn_of(r).update(
    selected_column=-1
  ),
  'choice is missing': lambda r: turn_of(r).pop('selected_column'),
  'choice is a bool': lambda r: turn_of(r).update(selected_column=True),
  'choice is a float': lambda r: turn_of(r).update(selected_column=1.5),
  "choice is '2a'": lambda r: turn_of(r).update(selected_column='2a'),
  'prompts is empty': lambda r: turn_of(r)['columns'][0].update(prompt=' '),
  'prompts is a int': lambda r: turn_of(r)['columns'][0].update(prompt=3),
  'prompts is missing': lambda r: turn_of(r)['columns'][0].pop('prompt'),
  'prompts is not valid Unicode': lambda r: turn_of(r)['columns'][0].update(
    prompt='\ud800'
  ),
  'initial_prompt is empty': lambda r: r.update(initial_prompt=''),
  'initial_prompt is missing': lambda r: r.update(initial_prompt=None),
  'user_id is a dict': lambda r: r['rater'].update(id={}),
  'id is missing': lambda r: r.pop('id'),
  'id is empty': lambda r: r.update(id=''),
  'satisfaction is 6, expected 1 to 5': lambda r: turn_of(r).update(rating=6),
  'satisfaction is nan, expected 1': lambda r: turn_of(r).update(rating='nan'),
  "satisfaction is 'good'": lambda r: turn_of(r).update(rating='good'),
  "comparison is 'x', expected one of": lambda r: turn_of(r).update(
    versus_last_turn='x'
  ),
  'critique is a int': lambda r: turn_of(r).update(feedback=7),
  "category is 'x', expected one of": lambda r: turn_of(r)['columns'][1].update(
    category='x'
  ),
  'none.jpg': lambda r: turn_of(r)['columns'][1]['images'][1].update(
    file='none.jpg'
  ),
  'is no path of an image': lambda r: turn_of(r)['columns'][1]['images'][
    1
  ].update(file=None),
}


@pytest.mark.parametrize('reason', BREAKS)
def test_a_broken_session_is_skipped_with_its_reason(reason, copied):
  raw = copied()

  def change(rows):
    BREAKS[reason](rows[1])

  edited(raw, change)
  found = items(raw, checked('session'))
  skipped = [x for x in found if isinstance(x, base.Skipped)]
  assert len(found) == 5 and len(skipped) == 1
  assert reason in skipped[0].reason
  assert 'sessions-0.jsonl, record 1' in skipped[0].key


@pytest.mark.parametrize(
  'file',
  ['../out.jpg', '/etc/passwd', 'a/../../../x', 'link.jpg', 'a\0b', 'a\\b', ''],
)
@pytest.mark.parametrize('packed', [False, True])
def test_images_outside_the_folder_are_skipped(file, packed, copied, tmp_path):
  raw = copied()
  images = os.path.join(raw, 'release', 'images')
  jpeg = os.path.join(images, os.listdir(images)[0])
  shutil.copy(jpeg, tmp_path / 'out.jpg')
  shutil.copy(jpeg, os.path.join(raw, 'release', 'out.jpg'))

  def change(rows):
    rows[1]['turns'][0]['columns'][0]['images'][0]['file'] = file

  edited(raw, change)
  if packed:
    shutil.make_archive(str(tmp_path / 'x'), 'zip', raw)
    shutil.rmtree(raw)
    os.makedirs(raw)
    shutil.move(tmp_path / 'x.zip', os.path.join(raw, 'x.zip'))
  found = items(raw, checked('session'))
  assert sum(isinstance(x, base.Skipped) for x in found) == 1


def test_images_that_are_none_are_skipped(copied):
  raw = copied('turn')
  for name, data in (
    ('images/s0001/0/1_2.png', b'<html>'),
    ('images/s0002/4/3_3.png', b''),
  ):
    os.remove(os.path.join(raw, name))
    with open(os.path.join(raw, name), 'wb') as f:
      f.write(data)
  found = items(raw, checked('turn'))
  reasons = [x.reason for x in found if isinstance(x, base.Skipped)]
  assert len(found) == 5 and len(reasons) == 2
  assert reasons[0].startswith('turn 0: ') and 'neither JPEG' in reasons[0]
  assert reasons[1].startswith('turn 4: ') and 'has no image' in reasons[1]


def turns_table(raw):
  return pq.read_table(os.path.join(raw, 'turns.parquet')).to_pylist()


def write_turns(raw, rows, name='turns.parquet'):
  pq.write_table(pa.Table.from_pylist(rows), os.path.join(raw, name))


def test_turns_are_put_together(copied):
  raw = copied('turn')
  rows, options = turns_table(raw), checked('turn')
  whole = dict(examples(raw, options))
  rng = np.random.default_rng(0)
  write_turns(raw, [rows[i] for i in rng.permutation(len(rows))])
  assert same(sorted(examples(raw, options)), sorted(whole.items()))
  # One lacks a turn in the middle, one its last, one has one twice; one record
  # has no session; one differs in who it was, one in what was asked for.
  place = {(r['session'], r['turn']): i for i, r in enumerate(rows)}
  changed = copy.deepcopy(rows)
  changed.append(rows[place['s0002', 3]])
  changed.append({**rows[0], 'session': None})
  changed[place['s0003', 2]]['rater'] = 77
  changed[place['s0004', 1]]['query'] = 'else'
  for key in (('s0000', 2), ('s0001', 4)):
    changed[place[key]] = None
  write_turns(raw, [r for r in changed if r])
  found = items(raw, options)
  good = [x for x in found if not isinstance(x, base.Skipped)]
  assert [k for k, _ in good] == ['s0001']
  assert good[0][1]['choice'] == whole['s0001']['choice'][:4]
  reasons = sorted(x.reason for x in found if isinstance(x, base.Skipped))
  initial = whole['s0004']['initial_prompt']
  assert set(reasons) == {
    '6 turns, expected 1 to 5',
    'its turns are [0, 1, 3, 4], expected [0, 1, 2, 3]',
    'session_id is missing, expected a text',
    f'initial_prompt differs between its turns: {sorted([initial, "else"])}',
    f'user_id differs between its turns: {[whole["s0003"]["user_id"], "77"]}',
  }
  # In two files.
  write_turns(raw, rows[:12])
  write_turns(raw, rows[12:], 'turns2.parquet')
  message = refusal(raw, checked('turn', records='turns*.parquet'))
  assert 'turns2.parquet: holds turns of session' in message


def test_ids_that_are_there_twice_are_refused(copied, tmp_path):
  raw = copied()
  edited(raw, lambda rows: [*rows, rows[0]])
  with pytest.raises(errors.PastaError, match='has 1 examples with the id of'):
    prepare_data.prepare(
      Builder,
      raw,
      str(tmp_path),
      options=checked('session'),
      num_workers=1,
      max_skipped_share=0.01,
      duplicates='refuse',
    )
