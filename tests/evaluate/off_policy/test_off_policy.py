"""The stage on a small loop's own files, and what it refuses."""

import dataclasses
import json
import os
import pathlib

import jax
import numpy as np
import pytest
import slate_mdp

from configs import collect, extract_features
from configs import off_policy as off_policy_config
from pasta import errors
from pasta import workdir as workdir_lib
from pasta.agent import policies
from pasta.evaluate.off_policy import estimates, propensities
from pasta.stages import collect as collect_stage
from pasta.stages import extract_features as extract_features_stage
from pasta.stages import off_policy as off_policy_stage
from pasta.storage import session_features as features_lib
from pasta.user_model import heads, saved
from pasta.user_model import model as model_lib


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """Eight people's sessions and a user model that knows nothing yet."""
  path = str(tmp_path_factory.mktemp('run'))
  settings = collect.get_config('smoke')
  settings.num_people, settings.sessions_per_person = 8, 1
  settings.world.t2i.num_workers = 0
  collect_stage.run(settings, path)
  settings = extract_features.get_config('smoke')
  settings.world.t2i.num_workers = 0
  settings.with_pool = True
  extract_features_stage.run(settings, path)
  features = features_lib.load_dir(f'{path}/features')
  dim = features.initial_text.shape[-1]
  scorer = heads.Heads(heads.HeadSettings(num_types=2, embedding_dim=dim))
  text = features.slate_text[:, 0, 0].astype(np.float32)
  image = features.slate_image[:, 0, 0].astype(np.float32)
  model = model_lib.init(
    jax.random.key(0),
    scorer,
    heads.normalisation([(text, image)]),
    text,
    image,
  )
  directory = f'{path}/user_model'
  with workdir_lib.open_stage('train_user_model', directory, {}):
    saved.save(directory, model, {'encoder_id': features.encoder_id})
  return path


def test_the_stage_leaves_estimates_and_errors(workdir, capsys):
  config = off_policy_config.get_config('smoke')
  config.data, config.num_truth_sessions = 'human', 2
  config.min_effective_sessions = 3
  config.fitted_q.num_steps = config.fitted_q.steps_per_call = 10
  config.fitted_q.batch_sessions = 8
  off_policy_stage.run(config, workdir)
  path = pathlib.Path(workdir) / 'off_policy' / 'results.json'
  results = json.loads(path.read_text())
  assert results['num_sessions'] == results['num_people'] == 8
  assert set(results['policies']) == {'random', 'greedy', 'greedy_noisy'}
  for row in results['policies'].values():
    truth = row['truth']['mean']
    assert list(row['estimates']) == list(estimates.NAMES)
    for found in row['estimates'].values():
      assert (found['value'] is None) == bool(found['refusal'])
      if found['value'] is not None:
        assert found['low'] <= found['value'] <= found['high']
        assert found['error'] == pytest.approx(found['value'] - truth)
  refused = results['policies']['greedy']['estimates']['pdis_slate']
  assert refused['effective_sessions'] == 0.0
  line = 'refused: effective sample size 0.0 of 8, expected at least 3'
  printed = capsys.readouterr().out
  assert line in printed and 'true return' in printed


def config_for(num_steps=2):
  config = off_policy_config.get_config('smoke')
  config.num_slates = 4
  config.fitted_q.num_categories = slate_mdp.ITEMS
  config.fitted_q.num_steps = config.fitted_q.steps_per_call = num_steps
  config.fitted_q.warmup_steps = 0
  config.fitted_q.backbone, config.fitted_q.head_dims = 'mlp', (8,)
  return config


@pytest.fixture(scope='module')
def episodes():
  mdp = slate_mdp.make()
  logits = np.random.default_rng(1).normal(size=(5, 4))
  probs = slate_mdp.slate_probs(logits)
  log = mdp.log(probs, 40, seed=0)
  return slate_mdp.episodes(mdp, log, np.log(probs[log['state'], log['slate']]))


IDS = tuple(map(str, range(40)))


def test_without_propensities_sampling_refuses_and_fitting_goes_on(episodes):
  unknown = episodes.log_propensity.copy()
  unknown[:7, 1] = np.nan
  episodes = episodes.replace(log_propensity=unknown)
  config = config_for()
  behaviour, refusals = estimates.known_behaviour(config, episodes, IDS, {})
  logs = estimates.Logs(episodes, np.arange(40), behaviour, refusals)
  target = propensities.of_policy(
    policies.lmm(2), episodes, np.zeros(1), key=_key(), num_slates=4
  )
  found = estimates.estimates(config, logs, target)
  for name, estimate in found.items():
    if name.startswith('fqe'):
      assert np.isfinite(estimate.value) and not estimate.refusal
    else:
      assert estimate.value is None
      assert estimate.refusal == (
        "field 'log_propensity' is unknown in 7 of 40 sessions"
      )


def _key():
  return estimates._slate_key(config_for())


def test_slates_shown_for_certain_are_refused(episodes):
  certain = episodes.log_propensity.copy()
  certain[3] = 0.0
  _, refusals = estimates.known_behaviour(
    config_for(), episodes.replace(log_propensity=certain), IDS, {}
  )
  assert set(refusals) == {'slate', 'item'}
  assert "'log_propensity' is 0 in 1 of 40" in refusals['slate']


def test_without_scores_only_slates_have_propensities(episodes):
  behaviour, refusals = estimates.known_behaviour(
    config_for(), episodes, IDS, {}
  )
  assert set(behaviour) == {'slate'} and set(refusals) == {'item'}
  assert "'scores' and 'policy_id' of 40 of 40" in refusals['item']


def test_features_without_pools_are_refused(workdir, tmp_path):
  for name in ('sessions', 'user_model'):
    os.symlink(os.path.join(workdir, name), tmp_path / name)
  features = features_lib.load_dir(f'{workdir}/features')
  where = str(tmp_path / 'features')
  with workdir_lib.open_stage('extract_features', where, {}):
    features_lib.save(
      f'{where}/0.npz', dataclasses.replace(features, pool=None)
    )
  config = config_for()
  config.data = 'human'
  with pytest.raises(errors.PastaError, match='with_pool = True'):
    off_policy_stage.run(config, str(tmp_path))


def test_an_unknown_kind_of_data_is_named(tmp_path):
  config = config_for()
  config.data = 'mixed'
  with pytest.raises(errors.PastaError, match="'data' is 'mixed'"):
    off_policy_stage.run(config, str(tmp_path))
