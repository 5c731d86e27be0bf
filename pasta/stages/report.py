"""The stage `report`: one page on everything."""

import os

import ml_collections
from absl import logging

from pasta import errors, runs
from pasta import workdir as workdir_lib
from pasta.report import build as report_lib
from pasta.stages import stage

_READ = {  # directories that the page stands on, and who finishes them
  'evaluation': 'evaluate',
  'preference_tables': 'evaluate_preferences',
  'user_model': 'train_user_model',
}


@stage.with_worlds
def run(
  config: ml_collections.ConfigDict, workdir: str, worlds: stage.Worlds
) -> None:
  """Everything above -> report/index.html; what is missing is named there.

  Args:
    config: `configs/report.py`.
    workdir: holds an evaluation, preference tables or a user model.
    worlds: what draws the pictures.

  Raises:
    PastaError: there is nothing to report, or it is not finished.
  """
  directory = os.path.join(workdir, runs.output('report', config.name))
  upstream = _upstream(workdir, config.name)
  with stage.open_stage('report', directory, config, upstream) as info:
    if info is None:
      return
    path = report_lib.build(workdir, config, worlds(config.world))
    logging.info('report: %s', path)


def _upstream(workdir: str, name: str) -> list[str]:
  """Fingerprints of what there is; an evaluation stands for its user model."""
  where = {d: runs.source(workdir, d, name) for d in _READ}
  there = [d for d in _READ if os.path.isdir(os.path.join(workdir, where[d]))]
  if not there:
    raise errors.PastaError(
      f'{workdir}: holds none of {", ".join(f"{d}/" for d in _READ)}: there is '
      'nothing to report yet'
    )
  if 'evaluation' in there and 'user_model' in there:
    there.remove('user_model')
  return [workdir_lib.upstream(workdir, where[d], _READ[d]) for d in there]
