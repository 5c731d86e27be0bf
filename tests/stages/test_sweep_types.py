"""The type sweep, at smoke size on a planted world."""

import os

import numpy as np
import pytest

from configs import sweep_types
from pasta import errors, files, workdir
from pasta.evaluate import type_sweep
from pasta.stages import sweep_types as stage
from pasta.storage import session_features as features_lib


def make_features(num_users=20, seed=0) -> features_lib.SessionFeatures:
  """Two kinds of people who choose opposite columns, two sessions each."""
  rng = np.random.default_rng(seed)
  num, shape = 2 * num_users, (2 * num_users, 3, 3)
  kind = np.repeat(rng.integers(2, size=num_users) * 2 - 1, 2)
  image = rng.normal(size=(*shape, 2, 4))
  utility = 4.0 * kind[:, None, None] * image[..., 0].max(-1)
  choice = np.argmax(utility + rng.gumbel(size=shape), -1)
  return features_lib.SessionFeatures(
    session_id=tuple(f's{i}' for i in range(num)),
    user_id=tuple(f'p{i // 2}' for i in range(num)),
    initial_text=rng.normal(size=(num, 4)).astype(np.float16),
    slate_text=rng.normal(size=(*shape, 4)).astype(np.float16),
    slate_image=image.astype(np.float16),
    slate_category=np.zeros(shape, np.int8),
    choice=choice.astype(np.int8),
    satisfaction=np.full(shape[:2], 0.5, np.float32),
    comparison=np.full(shape[:2], -2, np.int8),
    encoder_id='e',
    t2i_id='t',
  )


def test_nobody_is_on_both_sides():
  train, test = type_sweep.split_people(make_features(), 0.25, seed=0)
  assert not set(train.user_id) & set(test.user_id)
  assert len(set(test.user_id)) == 5
  assert len(train) + len(test) == 40
  _, one = type_sweep.split_people(make_features(), 0.0, seed=0)
  assert len(set(one.user_id)) == 1


def test_sweep_leaves_table_and_picture_and_is_done_once(tmp_path, capsys):
  where = str(tmp_path / 'features')
  config = sweep_types.get_config('smoke')
  config.fit.num_restarts = 1
  config.fit.restart_steps = config.fit.num_steps = 20
  config.fit.steps_per_call = 20
  fingerprint = workdir.prepare(where, {'a': 1}, stage='extract_features')
  with pytest.raises(errors.PastaError, match='extract_features'):
    stage.run(config, str(tmp_path))
  features_lib.save(os.path.join(where, '0.npz'), make_features())
  workdir.mark_done(where, 'extract_features', fingerprint, {})
  stage.run(config, str(tmp_path))
  first = capsys.readouterr().out
  rows = files.read_json(str(tmp_path / 'type_sweep' / 'results.json'))
  assert [r['num_types'] for r in rows] == [1, 1, 2, 2]
  # One type: whose choices came before makes no difference.
  assert rows[0]['mismatched_log_likelihood'] == pytest.approx(
    rows[0]['choice_log_likelihood']
  )
  for row in rows:
    low, high = (row[f'sequential_accuracy_{end}'] for end in ('low', 'high'))
    accuracy = row['sequential_accuracy']
    assert low - 1e-6 <= accuracy <= high + 1e-6  # float32 among float64
    assert np.isfinite(row['bic'])
  # One type: everybody is in it, whatever the seed.
  assert rows[0]['stability'] == 1.0
  assert rows[2]['stability'] == rows[3]['stability'] <= 1.0
  assert (tmp_path / 'type_sweep' / 'type_sweep.png').stat().st_size > 5000
  stage.run(config, str(tmp_path))
  assert capsys.readouterr().out == first
  assert 'BIC' in first
