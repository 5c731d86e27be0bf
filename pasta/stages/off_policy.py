"""Off-policy evaluation as a stage: logged sessions in, a table out."""

import os

import ml_collections

from pasta import errors, files, runs
from pasta import workdir as workdir_lib
from pasta.agent import expected_selection, policies
from pasta.agent import saved as saved_values
from pasta.evaluate.off_policy import estimates
from pasta.evaluate.off_policy import truth as truth_lib
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.user_model import saved

STAGE = 'off_policy'
# Where logged sessions lie, where their features, and who made both.
_DATA = {
  'human': ('sessions', 'features', 'extract_features'),
  'simulated': ('simulated', 'simulated', 'simulate'),
}


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """user_model/, value/ and logged sessions -> off_policy/results.json.

  Args:
    config: configs/off_policy.py.
    workdir: the working directory.

  Raises:
    PastaError: an input is missing, was made without pools, or no truth can
      be had of the people in the logs.
  """
  errors.check_known("config field 'data'", config.data, tuple(_DATA))
  directory = os.path.join(workdir, runs.output(STAGE, config.name))
  source, made, stage = _DATA[config.data]
  if config.data == 'simulated':
    source = made = runs.source(workdir, made, config.name)
  user_model = runs.source(workdir, 'user_model', config.name)
  upstream = [workdir_lib.upstream(workdir, user_model, 'train_user_model')]
  upstream.append(workdir_lib.upstream(workdir, made, stage))
  values = {
    name: value
    for name, value in runs.value_sources(workdir, config).items()
    if config.policies[name].name == 'pasta'
  }
  for value in dict.fromkeys(values.values()):
    upstream.append(workdir_lib.upstream(workdir, value, 'train_value'))
  with workdir_lib.open_stage(STAGE, directory, config, upstream) as info:
    if info is not None:
      features = features_lib.load_dir(os.path.join(workdir, made))
      model = saved.load(os.path.join(workdir, user_model), features.encoder_id)
      loaded = {
        value: saved_values.load(
          os.path.join(workdir, value), features.encoder_id
        )
        for value in set(values.values())
      }
      logged = os.path.join(workdir, source)
      records = {s.session_id: s for s in sessions_lib.read_dir(logged)}
      logs = estimates.read_logs(config, features, model, records)
      targets = {
        name: policies.build(
          p,
          num_columns=logs.episodes.slate.shape[-1],
          value_model=loaded.get(values.get(name)),
          response=expected_selection.learned(model),
        )
        for name, p in config.policies.items()
      }
      truth = {}
      if config.num_truth_sessions:
        truth = truth_lib.run_targets(
          config, logged, directory, targets, model, records
        )
      results = estimates.evaluate(config, logs, targets, model, truth)
      files.write_json(os.path.join(directory, 'results.json'), results)
      info['num_sessions'] = results['num_sessions']
  path = os.path.join(directory, 'results.json')
  for line in estimates.table(files.read_json(path)):
    print(line)
