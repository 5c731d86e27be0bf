"""Our own sessions as a data set: nothing lost, images drawn again."""

import dataclasses
import glob
import io
import json
import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data import base, prepare_data, read
from data.pasta_sessions import fake_files, shard_parts
from data.pasta_sessions import pasta_sessions_dataset_builder as builder
from pasta import errors
from pasta.storage import sessions
from pasta.t2i.sketch import sketch
from pasta.types import CATEGORIES, Candidate

CLS = base.builder_class('pasta_sessions')
UNICODE = 'größer\0\n\u2028"\\ 日本 \U0001f98a\u0301\x00'


def turn(**changes):
  pool = [
    Candidate(f'{UNICODE} {i}', c) for i, c in enumerate((*CATEGORIES, ''))
  ]
  values = {
    'candidates': tuple(pool),
    'scores': (1 / 3, -0.0, 1e308, 5e-324, -2.5, 0.1),
    'slate': (5, 0),
    'columns': (1, 0),
    'seeds': (2**64 - 1, 2**63),
    'log_propensity': -1 / 3,
    'choice': 1,
    'satisfaction': 1 / 3,
    'comparison': 0,
    'critique': UNICODE,
    'answered_at': 1.7e9 + 1 / 3,
  }
  return sessions.Turn(**{**values, **changes})


def session(name, *turns, **changes):
  values = {
    'session_id': name,
    'user_id': UNICODE,
    'source': 'human',
    'initial_prompt': f'a fox {UNICODE}',
    'policy_id': 'p',
    'generator_id': 'g',
    't2i_id': 'sketch@32/v1',
    'images_per_prompt': 2,
    'started_at': 1.7e9 + 0.1,
    'turns': turns,
  }
  return sessions.Session(**{**values, **changes})


def every_kind():
  nothing = turn(
    scores=None,
    log_propensity=None,
    satisfaction=None,
    comparison=None,
    critique='',
  )
  short = turn(
    candidates=turn().candidates[:3],
    scores=(0.0, 1.0, 2.0),
    slate=(2, 1),
    seeds=(0, 7),
  )
  return [
    session('ended at once'),
    session('one', nothing),
    session('three', short, nothing, turn(satisfaction=0.0, comparison=-1)),
    session(
      'changing',
      turn(scores=None, log_propensity=0.0, comparison=None),
      turn(satisfaction=None, comparison=1),
      turn(log_propensity=None, satisfaction=1.0, comparison=None),
      turn(scores=(None, 0.5, None, -1.0, 0.0, None)),
      nothing,
      short,
      t2i_id='sketch:ink@48/v1',
      source='simulated',
    ),
    session('', turn(), user_id='', initial_prompt='', policy_id=''),
  ]


def write(raw, *shards):
  os.makedirs(raw, exist_ok=True)
  for i, batch in enumerate(shards):
    sessions.write_shard(sessions.shard_path(str(raw), i), batch)
  return str(raw)


def prepared(raw, directory, **options):
  os.makedirs(directory, exist_ok=True)
  options = CLS.check_options(options)
  prepare_data.prepare(
    CLS,
    raw,
    str(directory),
    options=options,
    num_workers=1,
    max_skipped_share=0.01,
    duplicates='refuse',
  )
  found = read.Prepared(str(directory))
  return [
    e
    for shard in range(len(found.shards['train']))
    for e in found.examples('train', shard)
  ]


def refusal(raw, **options):
  options = CLS.check_options(options)
  with pytest.raises(errors.PastaError) as found:
    for unit in CLS.units(str(raw), options)['train']:
      list(CLS.read(str(raw), unit, options))
  return str(found.value)


@pytest.mark.parametrize('images', ['none', 'render'])
@pytest.mark.parametrize('per_unit', [1, 2, 200])
def test_sessions_come_back_as_they_were(
  images, per_unit, tmp_path, monkeypatch
):
  monkeypatch.setitem(builder._SESSIONS_PER_UNIT, images, per_unit)
  records = every_kind()
  raw = write(tmp_path / 'raw', records[:1], [], records[1:4], records[4:])
  examples = prepared(raw, tmp_path / 'a', images=images)
  found = [CLS.session(e) for e in examples]
  assert found == records
  # Equal as text, too: 1.0 is not 1, and -0.0 not 0.0.
  assert [*map(sessions.to_json, found)] == [*map(sessions.to_json, records)]
  num_files = len(glob.glob(f'{tmp_path}/a/*array_record*'))
  assert num_files == {1: 5, 2: 3, 200: 1}[per_unit]
  loaded = tfds.builder_from_directory(str(tmp_path / 'a'))
  source = loaded.as_data_source('train')
  assert [CLS.session(e) for e in source] == records
  assert CLS.kind('train') == 'session'


def test_readers_need_nothing_of_ours(tmp_path):
  raw = write(tmp_path / 'raw', every_kind()[2:3])
  prepared(raw, tmp_path / 'a', images='render')
  loaded = tfds.builder_from_directory(str(tmp_path / 'a'))
  (example,) = loaded.as_data_source('train')
  turns = example['turns']
  assert example['initial_prompt'].decode() == f'a fox {UNICODE}'
  assert float(example['started_at']) == 1.7e9 + 0.1
  assert list(turns['num_candidates']) == [3, 6, 6]
  assert list(turns['comparison']) == [0, -2, -1]
  np.testing.assert_equal(np.array(turns['satisfaction']), [1 / 3, np.nan, 0.0])
  assert example['candidates']['text'][3].decode() == f'{UNICODE} 0'
  assert float(example['candidates']['score'][2]) == 2.0
  assert np.isnan(np.array(example['candidates']['score'][3:9])).all()
  assert list(example['slate']) == [2, 1, 5, 0, 5, 0]
  assert example['seeds'].tolist() == [0, 7, *(2**64 - 1, 2**63) * 2]
  assert len(example['images']) == 3 * 2 * 2
  assert example['images'][0].shape == (32, 32, 3)


def pixels(data):
  return np.array(Image.open(io.BytesIO(data)))


def test_images_are_those_that_people_saw(tmp_path):
  records = every_kind()
  raw = write(tmp_path / 'raw', records)
  for record, example in zip(
    records, prepared(raw, tmp_path / 'a', images='render')
  ):
    is_ink = record.t2i_id.startswith('sketch:ink')
    model = sketch.Sketch(
      size=48 if is_ink else 32, look='sketch:ink' if is_ink else 'sketch'
    )
    assert model.model_id == record.t2i_id
    images = iter(CLS.images(example))
    for t in record.turns:
      expected = model.generate(t.prompts, np.array(t.seeds, np.uint64), 2)
      for entry in range(2):
        for m in range(2):
          np.testing.assert_array_equal(
            pixels(next(images)), expected[entry, m]
          )
    assert next(images, None) is None


def test_without_images_there_are_no_features(tmp_path):
  raw = write(tmp_path / 'raw', every_kind()[1:2])
  (example,) = prepared(raw, tmp_path / 'a')
  with pytest.raises(errors.PastaError, match="'options.images' = 'render'"):
    CLS.images(example)


def test_people_of_the_stand_ins_choose_by_their_best_image(tmp_path):
  raw = str(tmp_path / 'raw')
  fake_files.write(
    raw,
    6,
    num_users=3,
    num_turns=4,
    num_columns=3,
    images_per_prompt=2,
    size=32,
  )
  num_right = 0
  for example in prepared(raw, tmp_path / 'a', images='render'):
    record = CLS.session(example)
    liked = int(record.user_id[1:])
    colour = np.array([pixels(x).mean((0, 1)) for x in CLS.images(example)])
    utility = colour[:, liked] - np.delete(colour, liked, 1).mean(1)
    best = utility.reshape(4, 3, 2).max(2).argmax(1)
    num_right += (best == [t.choice for t in record.turns]).sum()
    assert record.turns[0].comparison is None
    assert all(t.comparison is not None for t in record.turns[1:])
    assert all(len(t.candidates) == 25 for t in record.turns)
  assert num_right >= 20  # of 24, chance 8; noise changes some


@pytest.mark.parametrize('images', ['none', 'render'])
def test_preparations_give_the_same_bytes(images, tmp_path):
  raw = str(tmp_path / 'raw')
  fake_files.write(raw, 3, num_turns=2, images_per_prompt=1, size=32)
  fake_files.write(
    str(tmp_path / 'raw2'), 3, num_turns=2, images_per_prompt=1, size=32
  )
  found = []
  for source, name in ((raw, 'a'), (str(tmp_path / 'raw2'), 'b')):
    prepared(source, tmp_path / name, images=images)
    paths = sorted(glob.glob(f'{tmp_path}/{name}/*.*'))
    found.append({os.path.basename(p): open(p, 'rb').read() for p in paths})
  assert len(found[0]) >= 4 and found[0] == found[1]


@pytest.mark.parametrize(
  'change,message',
  [
    ({'images_per_prompt': 0}, 'images_per_prompt is 0, expected 1 to 64'),
    ({'images_per_prompt': 65}, 'images_per_prompt is 65, expected 1 to 64'),
    ({'images_per_prompt': None}, 'images_per_prompt is None, expected'),
    ({'user_id': '\ud800'}, 'user_id is not valid Unicode'),
    ({'started_at': 2**53 + 1}, 'started_at is 9007199254740993, more digits'),
    ({'choice': 2}, 'choice 2 is not in a slate of 2'),
    ({'seeds': [1, 2**64]}, 'seeds is 18446744073709551616, expected 0 to'),
    ({'seeds': [1, -1]}, 'seeds is -1, expected 0 to'),
    ({'critique': '\udfff'}, 'critique is not valid Unicode'),
    ({'satisfaction': float('nan')}, 'satisfaction is nan, expected a finite'),
  ],
)
def test_broken_sessions_are_named(change, message, tmp_path):
  good = every_kind()[2:4]
  raw = write(tmp_path / 'raw', every_kind()[:1], good)
  content = json.loads(sessions.to_json(good[1]))
  for name, value in change.items():
    (content if name in content else content['turns'][1])[name] = value
  path = sessions.shard_path(raw, 1)
  with open(path, encoding='utf-8') as f:
    lines = f.read().split('\n')
  lines[2] = json.dumps(content)
  with open(path, 'w', encoding='utf-8') as f:
    f.write('\n'.join(lines))
  found = refusal(raw)
  assert f'{path}:3: ' in found and message in found


def test_mixed_sizes_are_refused(tmp_path):
  records = every_kind()
  ended = session('ended', images_per_prompt=9)
  other = dataclasses.replace(records[3], images_per_prompt=4)
  raw = write(tmp_path / 'a', [ended, records[2]], [other])
  found = refusal(raw)
  assert "00001.jsonl:2: session 'changing': sessions of mixed" in found
  assert 'sizes (M, L): [(2, 2), (4, 2)]; prepare them apart' in found
  narrow = turn(slate=(3,), columns=(0,), seeds=(1,), choice=0)
  raw = write(tmp_path / 'b', [session('a', turn(), narrow)])
  assert 'mixed sizes (M, L): [(2, 1), (2, 2)]' in refusal(raw)


@pytest.mark.parametrize(
  't2i_id,reason',
  [
    ('sdxl', ''),
    ('sketch', ''),
    ('sketch@32/v9', 'sketch@32/v1 can'),
    ('sketch@032/v1', 'sketch@32/v1 can'),
    ('sketch@9999/v1', 'size: expected 32 to 1024 pixels'),
    (
      'sketch:oil@32/v1',
      "look: expected one of sketch, sketch:ink, got 'sketch:oil'",
    ),
  ],
)
def test_models_that_are_not_at_hand_are_named(t2i_id, reason, tmp_path):
  raw = write(tmp_path / 'raw', [session('s', turn(), t2i_id=t2i_id)])
  found = refusal(raw, images='render')
  assert (
    f"00000.jsonl:2: session 's': t2i_id is '{t2i_id}', whose images" in found
  )
  assert reason in found and "'options.images' = 'none'" in found
  assert len(prepared(raw, tmp_path / 'a')) == 1


def test_broken_shards_are_refused_whole(tmp_path, monkeypatch):
  raw = write(tmp_path / 'raw', every_kind()[:3])
  path = sessions.shard_path(raw, 0)
  with open(path, 'rb') as f:
    data = f.read()
  lines = data.split(b'\n')
  for changed, message in (
    (data[:-1], 'truncated: header promises 3 sessions, 2 complete'),
    (b'\n'.join(lines[:-2]) + b'\n', 'promises 3 sessions, 2 complete'),
    (data + lines[1] + b'\n', 'promises 3 sessions, 4 complete'),
    (data.replace(b'"version": 1', b'"version": 2'), 'version 2, expected'),
    (data[5:], 'not a session file'),
    (b'\xff' + data, 'not a session file'),
    (data.replace(b'a fox', b'\xff', 1), '00000.jsonl:2: not a session'),
    (data.replace(b'"choice":1', b'"choice"', 1), '00000.jsonl:3: not a'),
  ):
    with open(path, 'wb') as f:
      f.write(changed)
    found = refusal(raw)
    assert path in found and message in found
  with open(path, 'wb') as f:
    f.write(data)
  monkeypatch.setattr(shard_parts, '_MAX_LINE_BYTES', 500)
  assert f'{path}: a line has 500 bytes or more' in refusal(raw)
  os.remove(path)
  os.mkdir(path)
  assert f'{path}: cannot be read: Is a directory' in refusal(raw)
  empty = write(tmp_path / 'empty', [], [])
  assert 'holds no session' in refusal(empty)


def test_sessions_that_are_there_twice_are_refused(tmp_path):
  records = every_kind()
  raw = write(tmp_path / 'raw', records, records[2:3])
  with pytest.raises(errors.PastaError, match='has 1 examples with the id'):
    prepared(raw, tmp_path / 'a')


def test_unknown_options_are_named():
  with pytest.raises(errors.PastaError, match="images' is 'jpeg', expected"):
    CLS.check_options({'images': 'jpeg'})
