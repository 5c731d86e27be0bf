"""Data sets of sessions: prepared, extracted, trained on, judged."""

import json
import os

import ml_collections
import numpy as np
import pytest

from configs import (
  common,
  evaluate_preferences,
  extract_features,
  train_user_model,
  train_value,
)
from configs import prepare_data as data_config
from data import extract_features as extract
from data import prepare_data
from data.pasta_release import fake_files as release_files
from data.pasta_sessions import fake_files, pasta_sessions_dataset_builder
from pasta import errors, workdir
from pasta.interaction import extraction
from pasta.stages import evaluate_preferences as evaluate_preferences_stage
from pasta.stages import train_user_model as train_user_model_stage
from pasta.stages import train_value as train_value_stage
from pasta.storage import session_features as features_lib
from pasta.storage import sessions
from pasta.types import category_index
from pasta.world import world as world_lib

BUILDER = pasta_sessions_dataset_builder.Builder


def extraction_config(**changes):
  config = extract_features.get_config('pasta_sessions')
  config.update({'encoder': 'sketch-clip', 'batch_size': 64, 'num_workers': 1})
  config.update(changes)
  return config


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  path = tmp_path_factory.mktemp('sessions')
  fake_files.write(
    str(path / 'raw'),
    12,
    num_users=6,
    num_turns=3,
    images_per_prompt=2,
    num_candidates=10,
    sessions_per_shard=5,
  )
  config = data_config.get_config('pasta_sessions')
  config.options.images, config.num_workers = 'render', 1
  prepare_data.run(config, str(path), str(path / 'raw'))
  extract.run(extraction_config(with_pool=True), str(path))
  return path


@pytest.fixture(scope='module')
def world():
  config = common.world()
  config.t2i.num_workers = 0
  with_close = world_lib.World(config)
  yield with_close
  with_close.close()


def test_features_are_those_of_rendering_the_sessions(root, world):
  records = list(sessions.read_dir(str(root / 'raw')))
  assert list(sessions.read_dir(str(root / 'sessions'))) == records
  found = features_lib.load_dir(str(root / 'features'))
  expected = extraction.extract(world, records, with_pool=True)
  for name in ('session_id', 'user_id', 'encoder_id', 't2i_id', 'generator_id'):
    assert getattr(found, name) == getattr(expected, name)
  for a, b in ((found, expected), (found.pool, expected.pool)):
    for name, array in vars(b).items():
      if isinstance(array, np.ndarray) and array.dtype != np.float16:
        np.testing.assert_array_equal(getattr(a, name), array)
      elif isinstance(array, np.ndarray):
        np.testing.assert_allclose(
          getattr(a, name).astype(float), array.astype(float), atol=2e-3
        )


def test_a_restart_changes_nothing_and_foreign_sessions_are_refused(root):
  before = {p: p.stat().st_mtime_ns for p in root.glob('features/*')}
  extract.run(extraction_config(with_pool=True), str(root))
  assert before == {p: p.stat().st_mtime_ns for p in root.glob('features/*')}
  other = root / 'other'
  os.makedirs(other / 'sessions')
  records = list(sessions.read_dir(str(root / 'raw')))
  sessions.write_shard(str(other / 'sessions' / '00000.jsonl'), records[:2])
  with pytest.raises(errors.PastaError, match='other sessions are there alr'):
    extract.run(extraction_config(output='other'), str(root))
  # What was killed after its sessions were written goes on.
  (other / 'sessions' / '00000.jsonl').unlink()
  sessions.write_shard(str(other / 'sessions' / '00000.jsonl'), records)
  extract.run(extraction_config(output='other'), str(root))
  found = features_lib.load_dir(str(other / 'features'))
  assert found.pool is None and len(found) == len(records)
  whole = features_lib.load_dir(str(root / 'features'))
  np.testing.assert_array_equal(found.slate_text, whole.slate_text)


def test_sessions_with_broken_images_are_left_out(root, monkeypatch):
  plain = BUILDER.images
  second = list(sessions.read_dir(str(root / 'raw')))[1].session_id.encode()

  def images(example):
    found = plain(example)
    return (
      [b'\x89PNG\r\n\x1a\n', *found[1:]]
      if (example['session_id'] == second)
      else found
    )

  monkeypatch.setattr(BUILDER, 'images', images)
  extract.run(extraction_config(output='broken', max_bad_share=0.5), str(root))
  found = features_lib.load_dir(str(root / 'broken' / 'features'))
  assert len(found) == 11 and second.decode() not in found.session_id
  kept = [
    s.session_id for s in sessions.read_dir(str(root / 'broken/sessions'))
  ]
  assert tuple(kept) == found.session_id


def test_sets_without_images_and_wrong_encoders_are_refused(root, tmp_path):
  config = data_config.get_config('pasta_sessions')
  config.num_workers = 1
  prepare_data.run(config, str(tmp_path), str(root / 'raw'))
  with pytest.raises(errors.PastaError, match="'options.images' = 'render'"):
    extract.run(extraction_config(), str(tmp_path))
  with pytest.raises(errors.PastaError, match="field 'encoder' is '', but"):
    extract.run(extraction_config(encoder=''), str(root))


def test_the_release_becomes_sessions_of_ours(tmp_path):
  release_files.write(str(tmp_path / 'raw'), 6)
  config = data_config.get_config('pasta_release')
  config.options.update(release_files.OPTIONS['session'])
  config.num_workers = 1
  prepare_data.run(config, str(tmp_path), str(tmp_path / 'raw'))
  extraction = extract_features.get_config('pasta_release')
  extraction.update({'encoder': 'sketch-clip', 'num_workers': 1})
  extract.run(extraction, str(tmp_path))
  records = list(sessions.read_dir(str(tmp_path / 'sessions')))
  found = features_lib.load_dir(str(tmp_path / 'features'))
  assert len(records) == len(found) == 6 and found.t2i_id == 'sdxl'
  assert found.slate_image.shape[:4] == (6, 5, 4, 4)
  categories = [
    [
      [category_index(c.category) for c in turn.candidates]
      for turn in session.turns
    ]
    for session in records
  ]
  np.testing.assert_array_equal(found.slate_category, categories)
  np.testing.assert_array_equal(
    found.choice, [[t.choice for t in s.turns] for s in records]
  )


def test_sessions_train_both_models_and_get_a_table(root, capsys):
  training = train_user_model.get_config('smoke')
  source = training.sources.sessions
  source.reserve, source.reserve_share = 'users', 0.5
  train_user_model_stage.run(training, str(root))
  config = train_value.get_config('smoke')
  config.data, config.backbone = 'human', 'mlp'
  train_value_stage.run(config, str(root))
  workdir.read_done(str(root / 'value'), 'train_value')
  tables = evaluate_preferences.get_config('sessions')
  tables.tables.sessions.reserve_share = 0.5
  evaluate_preferences_stage.run(tables, str(root))
  assert '| choice_accuracy | comparison_accuracy |' in capsys.readouterr().out
  path = root / 'preference_tables' / 'results.json'
  (table,) = json.loads(path.read_text()).values()
  whole = features_lib.load_dir(str(root / 'features'))
  assert 0 < table['num_people'] < 6
  assert table['num_observations'] == 3 * 2 * table['num_people']
  assert len(table['rows']) == 5
  for row in table['rows'].values():
    for value in row.values():
      assert 0 <= value['low'] <= value['mean'] <= value['high'] <= 1
    assert row['choice_accuracy']['num'] == table['num_observations']
  config = ml_collections.ConfigDict(tables.to_dict())
  config.tables.sessions.path, config.output = 'nowhere', 'again'
  with pytest.raises(errors.PastaError, match='extract_features has not fini'):
    evaluate_preferences_stage.run(config, str(root))
  assert len(whole) == 12
