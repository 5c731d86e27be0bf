"""Every data set: raw files -> TFDS -> features -> user model -> table."""

import glob
import importlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import data_fuzzing
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

from configs import evaluate_preferences, extract_features, train_user_model
from configs import prepare_data as data_config
from data import base, prepare_data, read
from data import extract_features as extract
from data.formats import json_stream, raw_directory
from data.pasta_release import fake_files as pasta_release_files
from pasta import errors
from pasta.evaluate.preferences import tables as preference_tables
from pasta.stages import evaluate_preferences as evaluate_preferences_stage
from pasta.stages import train_user_model as train_user_model_stage

RAW_FILES = {
  'pairs': 'pairs.parquet',
  'ratings': 'ratings.csv',
  'slates': 'slates.jsonl',
  'sessions': 'sessions.parquet',
  'pick_a_pic': 'train-*.parquet',
  'hpd_v2': 'test.json',
  'simulacra_aesthetic_captions': '*.sqlite',
  'pamela': 'PAMELA/annotations/pamela_train.json',
  'pasta_sessions': '00000.jsonl',
  'pick_a_filter': '*.zip',
  'pasta_release': 'release/sessions-0.jsonl',
}
OPTIONS = {'pasta_release': pasta_release_files.OPTIONS['session']}


def fake(name, raw):
  module = importlib.import_module(f'data.{name}.fake_files')
  if name == 'pick_a_pic':
    module.write(raw, 120, num_users=12)
  elif name == 'pasta_release':
    module.write(raw, 4, size=16)
  else:
    module.write(raw)
  return glob.glob(os.path.join(raw, RAW_FILES[name]))[0]


def survey(name, raw, **options):
  options = {**OPTIONS.get(name, {}), **options}
  return dict(data_fuzzing.survey(base.builder_class(name), raw, options))


def refusal(name, raw, **options):
  """The error that reading everything ends in."""
  cls = base.builder_class(name)
  options = cls.check_options({**OPTIONS.get(name, {}), **options})
  with pytest.raises(errors.PastaError) as found:
    for units in cls.units(str(raw), options).values():
      for unit in units:
        list(cls.read(str(raw), unit, options))
  return str(found.value)


@pytest.mark.parametrize(
  'name', [n for n in data_config.NAMES if n not in data_config.SESSIONS]
)
def test_whole_run(name, tmp_path, capsys):
  raw, root = str(tmp_path / 'raw'), str(tmp_path / 'run')
  fake(name, raw)
  config = data_config.get_config(name)
  config.num_workers = 1
  prepare_data.run(config, root, raw)
  extraction = extract_features.get_config(name)
  extraction.update({'batch_size': 64, 'num_workers': 1})
  if name not in data_config.EMBEDDED:
    extraction.encoder = 'sketch-clip'
  extract.run(extraction, root)
  training = train_user_model.get_config('preferences_smoke')
  source = training.sources.preferences
  source.path = f'preferences/{name}/train'
  source.batch_users, source.batch_observations = 64, 512
  if name == 'hpd_v2':
    source.membership = 'example'
  tables = evaluate_preferences.get_config(name)
  tables.baselines = ('other=preferences',)
  if name in ('simulacra_aesthetic_captions', 'pick_a_filter'):
    source.reserve, source.reserve_share = 'users', 0.4
    next(iter(tables.tables.values())).reserve_share = 0.4
  train_user_model_stage.run(training, root)
  evaluate_preferences_stage.run(tables, root)
  printed = capsys.readouterr().out
  encoder = base.builder_class(name).ENCODER_ID or 'sketch-clip@'
  assert '| one type |' in printed and f'| cosine, {encoder}' in printed
  with open(f'{root}/preference_tables/results.json', encoding='utf-8') as f:
    found = json.load(f)
  for table in found.values():
    same = [r for k, r in table['rows'].items() if k.startswith('cosine')]
    assert table['rows']['other'] == same[0]
    for row in table['rows'].values():
      assert row
      for value in row.values():
        assert value['low'] <= value['mean'] <= value['high']
        assert value['num'] >= 1
    if name in ('pick_a_pic', 'pamela', 'hpd_v2') and table['quoted']:
      assert '*quoted:*' in printed
  again = prepare_data.prepared_directory(name, config.variant, root)
  loaded = tfds.builder_from_directory(again)
  for split, info in loaded.info.splits.items():
    source = loaded.as_data_source(split)
    assert len(source) == info.num_examples > 0 and source[0]


@pytest.mark.parametrize('name', data_config.NAMES)
def test_broken_files_end_in_skips_or_one_clear_error(name, tmp_path):
  raw = str(tmp_path)
  path = fake(name, raw)
  intact = survey(name, raw)
  assert set(intact) == {'read'}
  found = data_fuzzing.fuzz(
    base.builder_class(name), raw, path, 60, options=OPTIONS.get(name)
  )
  assert found['refused'] > 10
  assert survey(name, raw) == intact


@pytest.mark.parametrize('name', data_config.NAMES)
def test_missing_directories_and_files_are_named(name, tmp_path):
  assert 'does not exist' in refusal(name, tmp_path / 'nowhere')
  assert str(tmp_path) in refusal(name, tmp_path)
  path = fake(name, str(tmp_path))
  with open(path, 'rb') as f:
    data = f.read()
  for broken in (b'', data[: len(data) // 2]):
    with open(path, 'wb') as f:
      f.write(broken)
    assert os.path.basename(path) in refusal(name, tmp_path)


def test_parquet_columns_are_checked(tmp_path):
  path = fake('pick_a_pic', str(tmp_path))
  table = pq.read_table(path)
  pq.write_table(table.drop_columns(['label_1']), path)
  assert "lacks the column 'label_1'; it has" in refusal('pick_a_pic', tmp_path)
  column = table.column_names.index('user_id')
  text = pa.array(['x'] * len(table))
  pq.write_table(table.set_column(column, 'user_id', text), path)
  assert "'user_id' is string, expected int64" in refusal(
    'pick_a_pic', tmp_path
  )
  labels = pa.array([0.7] * len(table))
  column = table.column_names.index('label_0')
  pq.write_table(table.set_column(column, 'label_0', labels), path)
  assert survey('pick_a_pic', str(tmp_path))['skipped'] >= 0.9 * len(table)


@pytest.mark.parametrize(
  'file', ['../out.jpg', '/etc/passwd', 'none.jpg', '', 7, 'a\0b']
)
def test_images_outside_the_folder_are_skipped(file, tmp_path):
  path = fake('hpd_v2', str(tmp_path / 'raw'))
  with open(path, encoding='utf-8') as f:
    items = json.load(f)
  shutil.copy(
    tmp_path / 'raw' / 'test' / items[0]['image_path'][0], tmp_path / 'out.jpg'
  )
  shutil.copy(tmp_path / 'out.jpg', tmp_path / 'raw' / 'out.jpg')
  before = survey('hpd_v2', str(tmp_path / 'raw'))
  items[0]['image_path'][0] = file
  with open(path, 'w', encoding='utf-8') as f:
    json.dump(items, f)
  found = survey('hpd_v2', str(tmp_path / 'raw'))
  assert found == {'read': before['read'] - 1, 'skipped': 1}


@pytest.mark.parametrize(
  'value', [b'NaN', b'-Infinity', b'"\xe9"', b'[{"deep": NaN}]', b'"\\ud800"']
)
@pytest.mark.parametrize(
  'field, num_skipped', [(b'nobody_reads_it', 0), (b'original_score', 1)]
)
def test_one_bad_value_costs_one_record(field, num_skipped, value, tmp_path):
  raw = tmp_path / 'raw'
  fake('pamela', str(raw))
  before = survey('pamela', str(raw))
  path = raw / 'PAMELA' / 'annotations' / 'pamela_train.json'
  rows = json.loads(path.read_text())
  rows[3][field.decode()] = 'HERE'
  path.write_bytes(json.dumps(rows).encode().replace(b'"HERE"', value))
  found = survey('pamela', str(raw))
  assert found['read'] == before['read'] - num_skipped
  assert found.get('skipped', 0) == num_skipped


def as_in_the_hubs_cache(raw, snapshot):
  """Links SNAPSHOT/FILE -> blobs/NUMBER, below linked folders."""
  blobs = snapshot.parent / 'blobs'
  blobs.mkdir()
  for i, path in enumerate(sorted(p for p in raw.rglob('*') if p.is_file())):
    shutil.copy(path, blobs / str(i))
    link = snapshot / path.relative_to(raw)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blobs / str(i), link.parent))


@pytest.mark.parametrize(
  'name', ['pamela', 'hpd_v2', 'simulacra_aesthetic_captions', 'pick_a_pic']
)
def test_linked_files_and_folders_are_read(name, tmp_path):
  fake(name, str(tmp_path / 'raw'))
  expected = survey(name, str(tmp_path / 'raw'))
  (tmp_path / 'hub').mkdir()
  as_in_the_hubs_cache(tmp_path / 'raw', tmp_path / 'hub' / 'snapshot')
  folders = tmp_path / 'folders'
  folders.mkdir()
  for path in (tmp_path / 'raw').iterdir():
    (folders / path.name).symlink_to(path)
  (folders / 'again').symlink_to(folders)  # A folder within itself.
  assert survey(name, str(tmp_path / 'hub' / 'snapshot')) == expected
  assert survey(name, str(folders)) == expected


def test_folders_within_each_other_end(tmp_path):
  for name, other in (('a', 'b'), ('b', 'a')):
    (tmp_path / name).mkdir()
    (tmp_path / name / name).write_text('')
    (tmp_path / name / 'on').symlink_to(tmp_path / other)
  assert raw_directory.list_files(str(tmp_path)) == [
    'a/a',
    'a/on/b',
    'b/b',
    'b/on/a',
  ]


def test_json_arrays_are_found_in_parts(tmp_path, monkeypatch):
  monkeypatch.setattr(json_stream, '_WINDOW_BYTES', 7)
  items = [{'a': i, 'b': 'é}],{"\\' * (i % 4), 'c': [{}]} for i in range(23)]
  path = str(tmp_path / 'x.json')
  for indent in (None, 1):
    with open(path, 'w', encoding='utf-8') as f:
      json.dump(items, f, ensure_ascii=False, indent=indent)
    parts = list(json_stream.chunks(path, 5))
    assert [n for _, _, n in parts] == [5, 5, 5, 5, 3]
    found = [x for a, b, _ in parts for x in json_stream.items(path, a, b)]
    assert found == items
  for text in (
    '',
    '{}',
    '[1]',
    '[{}',
    '[{},]',
    '[{}] x',
    '[,{}]',
  ):
    with open(path, 'w', encoding='utf-8') as f:
      f.write(text)
    with pytest.raises(
      errors.PastaError, match='x.json: expected a JSON array'
    ):
      list(json_stream.chunks(path, 5))
  with open(path, 'w', encoding='utf-8') as f:
    f.write(' [ ] ')
  assert list(json_stream.chunks(path, 5)) == []
  monkeypatch.setattr(json_stream, 'MAX_ITEM_BYTES', 100)
  with open(path, 'w', encoding='utf-8') as f:
    json.dump([{'a': 'x' * 1000}], f)
  with pytest.raises(errors.PastaError, match='no object'):
    list(json_stream.chunks(path, 5))


def test_sqlite_is_checked(tmp_path):
  name, raw = 'simulacra_aesthetic_captions', str(tmp_path)
  path = fake(name, raw)
  intact = survey(name, raw)
  writer = sqlite3.connect(path)
  writer.execute('UPDATE ratings SET rating = 11 WHERE rowid = 1')
  writer.commit()
  assert survey(name, raw) == {**intact, 'skipped': 1}
  writer.execute('BEGIN EXCLUSIVE')
  assert 'is locked by another program' in refusal(name, raw)
  writer.rollback()
  writer.executescript(
    'DROP TABLE ratings; CREATE TABLE ratings(gid INTEGER, rating INTEGER)'
  )
  assert 'an older export' in refusal(name, raw)
  writer.execute('DROP TABLE ratings')
  assert "has no table 'ratings', only ['generations'" in refusal(name, raw)
  writer.close()
  assert 'missing; config field' in refusal(name, raw, database='other.sqlite')


def test_ratings_out_of_range_and_wrong_options(tmp_path):
  path = fake('pamela', str(tmp_path))
  with open(path, encoding='utf-8') as f:
    items = json.load(f)
  for i, score in enumerate((0, 6, '3', None, True, 1e999)):
    items[i]['original_score'] = score
  items[6]['participant_id'] = ''
  with open(path, 'w', encoding='utf-8') as f:
    f.write(json.dumps(items).replace('Infinity', '1e999'))
  assert survey('pamela', str(tmp_path))['skipped'] == 7
  for bad in ('images', '{id}.jpg', '{'):
    with pytest.raises(errors.PastaError, match="'options.image_path' is"):
      base.builder_class('pamela').check_options({'image_path': bad})
  with pytest.raises(errors.PastaError, match="unknown option 'x', expected"):
    base.builder_class('pamela').check_options({'x': 1})
  with pytest.raises(errors.PastaError, match="no data set 'mnist', expected"):
    base.builder_class('mnist')


def prepared(
  name, raw, directory, *, max_skipped_share=0.01, duplicates='refuse'
):
  os.makedirs(directory, exist_ok=True)
  cls = base.builder_class(name)
  return prepare_data.prepare(
    cls,
    raw,
    directory,
    options=cls.check_options({}),
    num_workers=1,
    max_skipped_share=max_skipped_share,
    duplicates=duplicates,
  )


def test_duplicates_and_too_many_broken_records_are_refused(tmp_path):
  raw = str(tmp_path / 'raw')
  path = fake('pamela', raw)
  with open(path, encoding='utf-8') as f:
    items = json.load(f)
  with open(path, 'w', encoding='utf-8') as f:
    json.dump([*items, items[3]], f)
  message = 'split train has 1 examples with the id of another'
  with pytest.raises(errors.PastaError, match=message):
    prepared('pamela', raw, str(tmp_path / 'a'))
  found = prepared('pamela', raw, str(tmp_path / 'b'), duplicates='keep')
  assert found['num_examples']['train'] == len(items) + 1
  items[5]['original_score'] = 9
  with open(path, 'w', encoding='utf-8') as f:
    json.dump(items, f)
  message = r'1 of \d+ records are broken.*max_skipped_share.*item 5: original'
  with pytest.raises(errors.PastaError, match=message):
    prepared('pamela', raw, str(tmp_path / 'c'), max_skipped_share=0.001)
  assert not os.path.exists(tmp_path / 'c' / 'dataset_info.json')
  found = prepared('pamela', raw, str(tmp_path / 'c'), max_skipped_share=0.1)
  assert found['num_skipped'] == 1
  # The raw file has changed since: its unit is read again.
  items[5]['original_score'] = 4
  with open(path, 'w', encoding='utf-8') as f:
    json.dump(items, f)
  assert prepared('pamela', raw, str(tmp_path / 'c'))['num_skipped'] == 0
  examples = read.Prepared(str(tmp_path / 'c')).examples('train', 0)
  assert [float(e['score']) for e in examples] == [
    float(x['original_score']) for x in items
  ]


def test_killed_preparation_goes_on_and_leaves_the_same_bytes(tmp_path):
  raw = str(tmp_path / 'raw')
  module = importlib.import_module('data.pick_a_pic.fake_files')
  module.write(raw, 1200, rows_per_group=20, size=128)

  def command(workdir):
    return [
      *(sys.executable, '-m', 'launch.prepare_data', f'--raw={raw}'),
      *('--config=configs/prepare_data.py:pick_a_pic', f'--workdir={workdir}'),
    ]

  def shards(workdir):
    found = {}
    for path in glob.glob(f'{workdir}/data/pick_a_pic/v2/1.0.0/*'):
      name = os.path.basename(path)
      if 'array_record' in name or name in ('features.json', 'checksums.json'):
        with open(path, 'rb') as f:
          found[name] = f.read()
    return found

  subprocess.run(command(tmp_path / 'whole'), check=True, capture_output=True)
  rng = np.random.default_rng(0)
  for _ in range(4):
    process = subprocess.Popen(
      command(tmp_path / 'cut'), stderr=subprocess.DEVNULL
    )
    time.sleep(0.5 + 1.5 * rng.random())
    process.send_signal(signal.SIGKILL)
    process.wait()
  # As a worker leaves it that is killed while it writes.
  shard = (
    'data/pick_a_pic/v2/1.0.0/pick_a_pic-train.array_record-00000-of-00060'
  )
  (tmp_path / 'cut' / f'{shard}.1.tmp').touch()
  subprocess.run(command(tmp_path / 'cut'), check=True, capture_output=True)
  whole = shards(tmp_path / 'whole')
  assert len(whole) > 60 and shards(tmp_path / 'cut') == whole


def test_beam_makes_the_same_examples(tmp_path):
  pytest.importorskip('apache_beam')
  fake('pamela', str(tmp_path / 'raw'))
  found = {}
  for runner in ('local', 'beam'):
    config = data_config.get_config('pamela')
    config.runner, config.num_workers = runner, 1
    root = str(tmp_path / runner)
    prepare_data.run(config, root, str(tmp_path / 'raw'))
    where = read.Prepared(prepare_data.prepared_directory('pamela', '', root))
    found[runner] = {
      split: [
        str(sorted(e.items()))
        for i in range(len(shards))
        for e in where.examples(split, i)
      ]
      for split, shards in where.shards.items()
    }
  assert {k: sorted(v) for k, v in found['local'].items()} == {
    k: sorted(v) for k, v in found['beam'].items()
  }
  assert not glob.glob(
    str(tmp_path / 'beam' / 'data' / 'pamela' / '*' / 'beam')
  )


def test_baselines_without_a_directory_are_refused(tmp_path):
  config = evaluate_preferences.get_config('pamela')
  config.baselines = ('pickscore',)
  with pytest.raises(errors.PastaError, match="'pickscore', expected NAME="):
    preference_tables.check(config)
