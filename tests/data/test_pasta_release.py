"""PASTA's release by a map of fields; raw files that are packed; inspection."""

import copy
import json
import os
import shutil
import subprocess
import sys
import zipfile

import data_fuzzing
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import base, inspect_data, prepare_data, read
from data.formats import (
  field_paths,
  json_stream,
  raw_directory,
  raw_files,
  records,
)
from data.pasta_release import fake_files
from data.pasta_release import pasta_release_dataset_builder as builder_lib
from pasta import errors
from pasta.storage import sessions
from pasta.types import CATEGORIES

Builder = builder_lib.Builder
RECORDS = {
  'session': 'release/sessions-0.jsonl',
  'turn': 'turns.parquet',
  'csv': 'ratings.csv',
}


@pytest.fixture(scope='module')
def layouts(tmp_path_factory):
  """Raw directories of each layout, as (layout, packed): to read only."""
  found = {}
  for layout in fake_files.LAYOUTS:
    for packed in (False, True):
      raw = str(tmp_path_factory.mktemp(f'{layout}-{packed}'))
      fake_files.write(raw, 5, layout=layout, packed=packed, size=8)
      found[layout, packed] = raw
  return found


@pytest.fixture
def copied(layouts, tmp_path):
  """A copy of a layout's directory: to break."""

  def make(layout='session', packed=False):
    raw = str(tmp_path / 'raw')
    shutil.copytree(layouts[layout, packed], raw, copy_function=copy_or_link)
    return raw

  return make


def copy_or_link(source, target):
  """Images are many, and replaced rather than changed: a link will do."""
  is_image = source.endswith(('.jpg', '.png'))
  (os.link if is_image else shutil.copy)(source, target)


def checked(layout, **changes):
  return Builder.check_options({**fake_files.OPTIONS[layout], **changes})


def items(raw, options):
  units = Builder.units(raw, options)['train']
  return [x for unit in units for x in Builder.read(raw, unit, options)]


def examples(raw, options):
  found = items(raw, options)
  assert not any(isinstance(x, base.Skipped) for x in found), found
  return found


def refusal(raw, options):
  with pytest.raises(errors.PastaError) as found:
    items(raw, options)
  return str(found.value)


def edited(raw, change, name=RECORDS['session']):
  """Applies a change to the list of records of a JSON lines file."""
  path = os.path.join(raw, name)
  with open(path, encoding='utf-8') as f:
    rows = [json.loads(line) for line in f]
  rows = change(rows) or rows
  with open(path, 'w', encoding='utf-8') as f:
    f.writelines(json.dumps(r) + '\n' for r in rows)


def same(one, other):
  """Whether two lists of (key, example) are equal, NaNs as well."""
  return repr(one) == repr(other)


@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('layout', fake_files.LAYOUTS)
def test_a_layout_becomes_the_sessions_it_was_made_of(
  layout, packed, layouts, tmp_path
):
  directory = str(tmp_path / 'made')
  os.makedirs(directory)
  made = prepare_data.prepare(
    Builder,
    layouts[layout, packed],
    directory,
    options=checked(layout),
    num_workers=1,
    max_skipped_share=0.01,
    duplicates='refuse',
  )
  assert made == {'num_examples': {'train': 5}, 'num_skipped': 0}
  rng = np.random.default_rng(0)
  truth = [fake_files._session(rng, i, 6) for i in range(5)]
  stored = list(read.Prepared(directory).examples('train', 0))
  assert len(stored) == 5
  for example, true in zip(stored, truth):
    session = Builder.session(example)
    sessions.check(session, 'here')
    assert sessions.from_json(sessions.to_json(session), 'here') == session
    assert session.session_id == true['id']
    users = {
      'session': true['user'],
      'turn': str(int(true['user'][1:])),
      'csv': true['id'],
    }
    assert session.user_id == users[layout]
    assert session.initial_prompt == true['initial']
    assert (session.source, session.policy_id) == ('human', 'unknown')
    assert session.generator_id == 'gemini-1.5-flash'
    assert (session.t2i_id, session.images_per_prompt) == ('sdxl', 4)
    images = Builder.images(example)
    assert len(images) == 80 == len({bytes(i) for i in images})
    for t, (turn, meant) in enumerate(zip(session.turns, true['turns'])):
      assert turn.prompts == tuple(meant['prompts'])
      assert turn.choice == meant['choice']
      assert turn.slate == turn.columns == (0, 1, 2, 3)
      assert turn.scores is turn.log_propensity is None
      kinds = meant['categories'] if layout == 'session' else [''] * 4
      assert [c.category for c in turn.candidates] == kinds
      rating = (meant['rating'] - 1) / 4 if layout == 'session' else None
      assert turn.satisfaction == rating
      compared = t > 0 and layout != 'turn'
      assert turn.comparison == (meant['change'] if compared else None)
      assert turn.critique == ('' if layout == 'turn' else meant['critique'])
      encode = (
        fake_files.fake_images.png
        if layout == 'turn'
        else fake_files.fake_images.jpeg
      )
      pictures = [p for column in meant['pictures'] for p in column]
      assert [bytes(i) for i in images[16 * t : 16 * (t + 1)]] == [
        encode(p, 8) for p in pictures
      ]


def test_people_pick_what_they_like():
  rng = np.random.default_rng(0)
  best = []
  for i in range(30):
    session = fake_files._session(rng, i, 6)
    user = int(session['user'][1:])
    for turn in session['turns']:
      utility = [
        max(fake_files.fake_images.utility(user, p) for p in column)
        for column in turn['pictures']
      ]
      best.append(int(np.argmax(utility)) == turn['choice'])
  assert np.mean(best) > 0.6


@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('layout', fake_files.LAYOUTS)
def test_units_of_any_size_give_the_same_examples(
  layout, packed, layouts, monkeypatch
):
  raw, options = layouts[layout, packed], checked(layout)
  whole = examples(raw, options)
  for size in (1, 2, 3):
    monkeypatch.setattr(builder_lib, '_SESSIONS_PER_UNIT', size)
    units = Builder.units(raw, options)['train']
    assert len(units) == -(-5 // size)
    assert len({u.name for u in units}) == len(units)
    for unit in units:
      assert all(os.path.isfile(os.path.join(raw, f)) for f in unit.files)
      assert len(list(Builder.read(raw, unit, options))) <= size
    assert same(examples(raw, options), whole)


def test_formats_and_shapes_of_records_give_the_same_sessions(copied):
  raw = copied()
  options = checked('session')
  whole = examples(raw, options)
  rows = []
  for name in ('release/sessions-0.jsonl', 'release/sessions-1.jsonl'):
    with open(os.path.join(raw, name), encoding='utf-8') as f:
      rows += [json.loads(line) for line in f]
    os.remove(os.path.join(raw, name))

  def check(name, content, **changes):
    path = os.path.join(raw, name)
    with open(path, 'w', encoding='utf-8') as f:
      f.write(content)
    changed = checked('session', records=name, **changes)
    assert same(examples(raw, changed), whole)
    os.remove(path)

  check('array.json', json.dumps(rows, indent=1))
  check('lines.json', '\n\n'.join(map(json.dumps, rows)))
  for i, row in enumerate(rows):
    with open(os.path.join(raw, f'one-{i}.json'), 'w') as f:
      json.dump(row, f, indent=2)
  assert same(examples(raw, checked('session', records='one-*.json')), whole)
  pq.write_table(
    pa.Table.from_pylist(rows), os.path.join(raw, 'x.parquet'), row_group_size=2
  )
  assert same(examples(raw, checked('session', records='x.parquet')), whole)
  # Turns as Python's own text in a cell, as pandas writes them.
  cells = [
    '\t'.join(
      '"' + str(x).replace('"', '""') + '"'
      for x in (r['id'], r['rater'], r['initial_prompt'], r['turns'])
    )
    for r in rows
  ]
  header = 'id\trater\tinitial_prompt\tturns'
  check('x.tsv', '\ufeff' + '\r\n'.join([header, *cells]) + '\r\n')
  # Each field a list over turns; images and choices in other shapes.
  wide = []
  for row in copy.deepcopy(rows):
    turns = row.pop('turns')
    files = [
      ['/data/' + i['file'] for c in t['columns'] for i in c['images']]
      for t in turns
    ]
    row['p'] = [[c['prompt'] for c in t['columns']] for t in turns]
    row['f'] = [
      [f[4 * c + m] for m in range(4) for c in range(4)] for f in files
    ]
    row['c'] = [['A-' + c['category'] for c in t['columns']] for t in turns]
    row['s'] = [
      row['p'][t][turn['selected_column']] for t, turn in enumerate(turns)
    ]
    for name in ('rating', 'versus_last_turn', 'feedback'):
      row[name] = [t[name] for t in turns]
    wide.append(row)
  check(
    'wide.jsonl',
    '\n'.join(map(json.dumps, wide)),
    turns='',
    prompts='p',
    images='f',
    flat_images='row',
    images_cut='/data/',
    category='c',
    category_names=', '.join(f'A-{k}={k}' for k in CATEGORIES),
    choice='s',
    choice_is='prompt',
  )


def test_images_may_stand_in_the_records(layouts, tmp_path):
  options = checked('session')
  rows = []
  for _, example in examples(layouts['session', False], options):
    it = iter(example['images'])
    turns = [
      {
        'prompts': example['prompts'][4 * t : 4 * t + 4],
        'images': [
          [{'bytes': next(it), 'path': None} for _ in range(4)]
          for _ in range(4)
        ],
        'choice': float(choice),
      }
      for t, choice in enumerate(example['choice'])
    ]
    rows.append({'id': example['session_id'], 'q': 'cat', 'turns': turns})
  pq.write_table(pa.Table.from_pylist(rows), tmp_path / 'x.parquet')
  found = examples(
    str(tmp_path),
    Builder.check_options(
      {
        'records': '*.parquet',
        'session_id': 'id',
        'initial_prompt': 'q',
        'turns': 'turns',
        'prompts': 'prompts',
        'images': 'images[][].bytes',
        'choice': 'choice',
      }
    ),
  )
  for (_, example), (_, old) in zip(
    found, examples(layouts['session', False], options)
  ):
    assert example['images'] == old['images']
    assert example['choice'] == old['choice']
    assert set(example['files']) == {''}
    assert example['user_id'] == example['session_id']


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
  os.symlink(tmp_path / 'out.jpg', os.path.join(images, 'link.jpg'))

  def change(rows):
    rows[1]['turns'][0]['columns'][0]['images'][0]['file'] = file

  edited(raw, change)
  if packed:
    os.remove(os.path.join(images, 'link.jpg'))
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


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'records': ''}, "'options.records' is empty; the names of this data set"),
    ({'choice': ''}, "'options.choice' is empty"),
    ({'records': '*.xml'}, "'*.xml', but RAW has no such file; of its"),
    ({'records': '*'}, "fits 'release/images/"),
    ({'rows': 'x'}, "'options.rows' is 'x', expected one of"),
    ({'rows': 'turn'}, "'options.turn' is '', expected a path"),
    ({'rows': 'turn', 'turn': 't'}, "'options.turns' is 'turns', expected ''"),
    ({'images': ''}, 'neither of them is given'),
    ({'image_path': 'x'}, 'both of them is given'),
    ({'choice': 'a..b'}, "'options.choice': 'a..b' is no path"),
    ({'choice': 'a]'}, "'options.choice': 'a]' is no path"),
    ({'choice': 'c{column}'}, "'c{column}', expected a path with no braces"),
    ({'prompts': 'p{image}'}, 'expected a path with {column}'),
    ({'prompts': 'p{'}, 'expected a path with {column}'),
    ({'images': 'p{column.x}'}, 'expected a path with {column}'),
    ({'images': 'p{column!r}'}, 'expected a path with {column}'),
    ({'first_index': 2}, "'options.first_index' is 2, expected one of (0, 1)"),
    ({'choice_base': '0'}, "'options.choice_base' is '0', expected a number"),
    ({'prompts': 7}, "'options.prompts' is 7, expected a text"),
    ({'satisfaction_low': 5.0}, 'expected another number than the high one'),
    ({'satisfaction_low': float('nan')}, 'expected a finite number'),
    ({'comparison_same': 'better'}, 'another text than the other two'),
    ({'category_names': 'a=b'}, "'options.category_names' is 'a=b', expected"),
    ({'turns': 'no'}, "'options.turns' is 'no', which the first record of"),
    ({'turns': 'id'}, "'options.turns' is 'id', which the first record of"),
    ({'session_id': 'sid'}, "'options.session_id' is 'sid', which the first"),
    ({'user_id': 'rater.x'}, "'options.user_id' is 'rater.x', which the first"),
    ({'prompts': 'columns[].text'}, "['columns', 'columns[]', 'columns[].pro"),
    ({'images': 'columns[].images[].x'}, "'options.images' is"),
    ({'choice': 'columns[0].choice'}, "'options.choice' is"),
    ({'critique': 'words'}, "'words', which none of the first 5 sessions"),
    ({'choice': 'rating'}, 'turn 1: choice is 4, expected 0 to 3'),
    ({'choice': 'columns'}, 'fits none of the first sessions, e.g. release/'),
    ({'images_folder': ''}, 'fits none of the first sessions'),
    ({'images_cut': 'x/'}, "does not begin with images_cut = 'x/'"),
    ({'flat_images': 'row'}, 'images has 4 entries, expected 16'),
    ({'choice_is': 'flags'}, 'choice is'),
    ({'turns': ''}, "'options.prompts' is"),
  ],
)
def test_a_wrong_map_is_named(changes, message, layouts):
  raw = layouts['session', False]
  with pytest.raises(errors.PastaError) as found:
    items(raw, checked('session', **changes))
  assert message.replace('RAW', raw) in str(found.value)
  assert len(str(found.value)) < 2500


@pytest.mark.parametrize(
  'path',
  [
    'x.png',
    '{session_id}/{turn}/{column}.png',
    '{session_id}/{column}/{image}',
    '{session_id}/{turn}/{column}_{image}_{x}',
    '{session_id.x}/{turn}/{column}_{image}',
    '{session_id:d}/{turn}/{column}_{image}',
    '{session_id}/{turn}/{column}_{image',
  ],
)
def test_wrong_paths_of_images_are_named(path):
  with pytest.raises(errors.PastaError, match="'options.image_path' is"):
    checked('turn', image_path=path)


def test_wrong_bases_are_no_silent_shift(layouts):
  for layout, changes in (
    ('turn', {'turn_base': 1}),
    ('csv', {'turn_base': 0}),
    ('csv', {'first_index': 0}),
    ('turn', {'first_index': 1}),
  ):
    with pytest.raises(errors.PastaError):
      items(layouts[layout, False], checked(layout, **changes))
  found = items(layouts['csv', False], checked('csv', choice_base=0))
  reasons = [x.reason for x in found if isinstance(x, base.Skipped)]
  assert reasons and all('choice is 4, expected 0 to 3' in r for r in reasons)


def test_image_paths_by_index(copied):
  raw, options = copied('turn'), checked('turn')
  whole = examples(raw, options)
  for i in range(5):
    for t in range(5):
      for k in range(16):
        old = f'{raw}/images/s{i:04d}/{t}/{k // 4}_{k % 4}.png'
        os.rename(old, f'{raw}/images/s{i:04d}-{t:02d}-{k + 1:02d}.png')
  changed = checked(
    'turn',
    image_path='images/{session_id}-{turn:02d}-{index:02d}.png',
    first_index=1,
  )
  for (_, a), (_, b) in zip(examples(raw, changed), whole):
    assert a['images'] == b['images']


def test_truncated_records_are_named(copied):
  for layout, name in RECORDS.items():
    raw = copied(layout)
    path = os.path.join(raw, name)
    with open(path, 'rb') as f:
      data = f.read()
    for broken in (b'', data[: len(data) // 2 + 5], b'\xff\xfe' + data):
      with open(path, 'wb') as f:
        f.write(broken)
      assert name in refusal(raw, checked(layout))
    shutil.rmtree(raw)


def test_csv_is_checked(copied):
  raw = copied('csv')
  path = os.path.join(raw, 'ratings.csv')
  with open(path, encoding='utf-8', newline='') as f:
    text = f.read()
  for change, message in (
    (lambda t: t.replace('critique', 'turn', 1), "have the name 'turn'"),
    (lambda t: t + 'a,b\r\n', 'record 25 has 2 cells, expected 14'),
    (lambda t: t + '"a', 'unexpected end of data'),
    (lambda t: t + '"a"b', "expected after '\"'"),
    (lambda t: t[: t.index('\r\n') + 2], 'holds no record'),
  ):
    with open(path, 'w', encoding='utf-8', newline='') as f:
      f.write(change(text))
    assert message in refusal(raw, checked('csv'))


def test_long_lines_are_refused(copied, monkeypatch):
  monkeypatch.setattr(json_stream, 'MAX_ITEM_BYTES', 300)
  assert 'has more than 300 bytes' in refusal(copied('csv'), checked('csv'))


def zipped(raw, members):
  os.makedirs(raw, exist_ok=True)
  path = os.path.join(raw, 'x.zip')
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as f:
    for name, data in members:
      f.writestr(name, data)
  return path


@pytest.mark.parametrize(
  'name', ['../a.jsonl', '/a.jsonl', 'b/../../a', 'a\\b']
)
def test_members_that_leave_the_folder_are_refused(name, tmp_path):
  zipped(str(tmp_path), [('a.jsonl', b'{}'), (name, b'{}')])
  message = refusal(str(tmp_path), checked('session', records='*.jsonl'))
  assert 'x.zip: the name' in message and 'within its folder' in message


def test_damaged_names_in_zip_files_are_named(tmp_path):
  path = zipped(str(tmp_path), [('a.jsonl', b'{}'), ('Xb.jsonl', b'{}')])
  with open(path, 'rb') as f:
    data = f.read()
  options = checked('session', records='*.jsonl')
  with open(path, 'wb') as f:
    f.write(data.replace(b'Xb', b'\0b'))  # a name ends where its first NUL is
  assert "x.zip: the name '' does not stay" in refusal(str(tmp_path), options)
  # The two places where a member's name stands contradict each other.
  with open(path, 'wb') as f:
    f.write(data.replace(b'a.jsonl', b'c.jsonl', 1))
  message = refusal(str(tmp_path), checked('session', records='a.jsonl'))
  assert 'x.zip/a.jsonl: cannot be read: ' in message and 'differ' in message


def test_names_that_are_there_twice_are_refused(tmp_path):
  zipped(str(tmp_path), [('a.jsonl', b'{}')])
  (tmp_path / 'a.jsonl').write_text('{}')
  message = refusal(str(tmp_path), checked('session', records='a.jsonl'))
  assert "'a.jsonl' is there twice, the second time in x.zip" in message
  os.remove(tmp_path / 'a.jsonl')
  zipped(str(tmp_path), [('a.jsonl', b'{}'), ('./a.jsonl', b'{}')])
  assert 'two of its files have the name' in refusal(
    str(tmp_path), checked('session', records='a.jsonl')
  )


def test_zip_files_lie_where_they_would_be_unpacked(copied):
  raw = copied()
  packed = os.path.join(raw, 'release', 'images')
  whole = examples(raw, checked('session'))
  shutil.make_archive(packed, 'zip', os.path.join(raw, 'release'), 'images')
  shutil.rmtree(packed)
  units = Builder.units(raw, checked('session'))['train']
  assert set(units[0].files) == {
    'release/sessions-0.jsonl',
    'release/sessions-1.jsonl',
    'release/images.zip',
  }
  assert same(examples(raw, checked('session')), whole)


def test_zip_bombs_are_refused(copied, tmp_path):
  path = zipped(
    str(tmp_path / 'bomb'), [('a.jsonl', b' ' * (20 << 20)), ('b.jpg', b'x')]
  )
  message = refusal(
    os.path.dirname(path), checked('session', records='a.jsonl')
  )
  assert "'a.jsonl' is a zip bomb: 20971520 bytes in" in message
  raw = copied('turn', packed=True)
  files = raw_files.RawFiles(raw, ['pasta-data.zip'])
  name = 'images/s0001/0/1_2.png'
  assert files.image(name) and files.holder(name) == 'pasta-data.zip'
  limit = raw_directory.MAX_IMAGE_BYTES
  try:
    raw_directory.MAX_IMAGE_BYTES = 50
    with pytest.raises(ValueError, match='has more than the 50 bytes'):
      files.image(name)
  finally:
    raw_directory.MAX_IMAGE_BYTES = limit


def test_encrypted_and_broken_zip_files_are_named(copied):
  raw = copied('csv', packed=True)
  path = os.path.join(raw, 'pasta-data.zip')
  with open(path, 'rb') as f:
    data = f.read()
  at = data.index(b'PK\x01\x02') + 8  # flags in the list of members
  locked = bytearray(data)
  locked[at] |= 1
  for broken, message in (
    (data[: len(data) // 2], 'not a complete zip file'),
    (b'', 'not a complete zip file'),
    (bytes(locked), 'is encrypted'),
  ):
    with open(path, 'wb') as f:
      f.write(broken)
    assert message in refusal(raw, checked('csv'))
  with open(path, 'wb') as f:
    f.write(data)
  with zipfile.ZipFile(path) as f:
    start = f.getinfo('ratings.csv').header_offset + 100
  hurt = bytearray(data)
  hurt[start : start + 200] = bytes(200)
  with open(path, 'wb') as f:
    f.write(hurt)
  assert 'pasta-data.zip/ratings.csv' in refusal(raw, checked('csv'))


def test_large_packed_parquet_files_are_refused(copied, monkeypatch):
  monkeypatch.setattr(records, '_MAX_PACKED_PARQUET_BYTES', 1000)
  message = refusal(copied('turn', packed=True), checked('turn'))
  assert 'read within a zip file; unpack it' in message


def test_too_many_records_are_refused(layouts, monkeypatch):
  monkeypatch.setattr(records, 'MAX_RECORDS', 3)
  message = refusal(layouts['turn', False], checked('turn'))
  assert 'more than the 3 records' in message


@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('layout', fake_files.LAYOUTS)
def test_broken_files_end_in_skips_or_one_clear_error(layout, packed, copied):
  raw = copied(layout, packed)
  name = 'pasta-data.zip' if packed else RECORDS[layout]
  found = data_fuzzing.fuzz(
    Builder, raw, os.path.join(raw, name), 25, options=checked(layout)
  )
  assert found['refused'] + found['skipped'] > 5
  assert len(examples(raw, checked(layout))) == 5


def inspected(raw):
  lines = list(inspect_data.report(raw))
  assert all('\n' not in line and len(line) < 500 for line in lines)
  return '\n'.join(lines)


@pytest.mark.parametrize('layout', fake_files.LAYOUTS)
def test_inspection_shows_every_field_of_a_map(layout, layouts):
  for packed in (False, True):
    raw = layouts[layout, packed]
    text = inspected(raw)
    shown = {line.split()[0] for line in text.split('\n') if line.strip()}
    options = checked(layout)
    before = f'{options["turns"]}[].' if options['turns'] else ''
    for name in ('session_id', 'initial_prompt'):
      assert options[name] in shown
    for name in ('prompts', 'images', 'choice', 'critique'):
      if options[name]:
        assert before + options[name].format(column=1) in shown
    assert '400 files' in text and 'BROKEN' not in text
  zip_path = os.path.join(raw, 'pasta-data.zip')
  assert inspected(zip_path) == text[text.index(zip_path) :]


def test_inspection_tells_what_fields_hold(layouts):
  text = inspected(layouts['session', False])
  assert 'turns                             list of 5\n' in text
  assert 'turns[].columns[].images          list of 4\n' in text
  assert 'whole number, 0 to 3, e.g. ' in text
  assert 'nothing (' in text and "e.g. 'unknown to us'" in text
  text = inspected(layouts['csv', False])
  assert 'text with a number, 1 to 4' in text
  assert 'text with a list of 4' in text


def test_inspection_survives_broken_files(tmp_path):
  raw = tmp_path / 'raw'
  raw.mkdir()
  (raw / 'cut.jsonl').write_text('{"a": 1}\n{"a": ')
  (raw / 'nan.json').write_text('[{"b": NaN}]')
  (raw / 'empty.csv').write_text('')
  (raw / 'bad.parquet').write_bytes(b'PAR1 no')
  (raw / 'bad.zip').write_bytes(b'PK no')
  (raw / 'colour\x1b[31m.csv').write_text('\x1b[2J,c\n"x\ny",2\n')
  zipped(str(raw), [('../y.json', b'[]'), ('ok.json', b'[{"q": 1}]')])
  deep = '[{"d": ' + '[' * 50 + ']' * 50 + '}]'
  (raw / 'deep.json').write_text(deep)
  wide = json.dumps([{f'k{i}': i for i in range(1000)}])
  (raw / 'wide.json').write_text(wide)
  for i in range(40):
    (raw / f'f{i}').mkdir()
    (raw / f'f{i}' / 'z.json').write_text('[{}]')
  text = inspected(str(raw))
  assert '\x1b' not in text
  for name in ('cut.jsonl', 'nan.json', 'empty.csv', 'bad.parquet', 'bad.zip'):
    assert any(
      'BROKEN' in line and name in line for line in text.split('\n')
    ), name
  assert "the name '../y.json' does not stay" in text.replace('\\', '')
  assert 'cut.jsonl: fields of the first 1 records' in text
  assert 'more than the 150 fields' in text and 'more files that may' in text
  assert len(text) < 60_000
  with pytest.raises(errors.PastaError, match='does not exist'):
    inspected(str(tmp_path / 'nowhere'))


def test_inspection_runs_as_a_command(layouts):
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.inspect_data'),
      f'--raw={layouts["csv", True]}',
    ],
    capture_output=True,
    text=True,
    check=True,
  )
  assert 'prompt_1' in done.stdout and 'pasta-data.zip' in done.stdout


def test_paths_to_fields():
  record = {
    'a': [{'b': 1}, {}, {'b': [3, 4]}],
    'c.d': 5,
    'c': {'d': 6},
    'e': '{"f": [1, "[2, 3]"]}',
    'g': "['x', None]",
    'h': '[NaN]',
  }
  for text, value, known in (
    ('a[].b', [1, None, [3, 4]], True),
    ('a[2].b[1]', 4, True),
    ('a[9].b', None, False),
    ('a[].x', [None] * 3, False),
    ('a.b', None, False),
    ('c.d', 5, True),
    ('e.f[]', [1, '[2, 3]'], True),
    ('e.f[1][]', [2, 3], True),
    ('g[0]', 'x', True),
    ('h[0]', None, False),
    ('z', None, False),
  ):
    assert field_paths.find(record, field_paths.parse(text)) == (value, known)
  for text in ('', '.', 'a.', 'a[', 'a[x]', '[]', 'a[]b', 'a[-1]'):
    with pytest.raises(ValueError, match='is no path to a field'):
      field_paths.parse(text)
