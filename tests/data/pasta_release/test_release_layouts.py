"""Each layout of the release becomes the sessions that it was made of."""

import copy
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from release_files import Builder, checked, examples, same

from data import prepare_data, read
from data.pasta_release import fake_files
from data.pasta_release import pasta_release_dataset_builder as builder_lib
from pasta.storage import sessions
from pasta.types import CATEGORIES


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
  assert made['num_examples'] == {'train': 5}
  assert made['num_skipped'] == 0
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
