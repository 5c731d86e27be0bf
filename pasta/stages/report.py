"""The stage `report`: one page on everything."""

import os

import ml_collections
from absl import logging

from pasta import workdir as workdir_lib
from pasta.report import build as report_lib
from pasta.stages import stage


@stage.with_worlds
def run(
  config: ml_collections.ConfigDict, workdir: str, worlds: stage.Worlds
) -> None:
  """Everything above -> report/index.html."""
  directory = os.path.join(workdir, 'report')
  upstream = workdir_lib.upstream(workdir, 'evaluation', 'evaluate')
  with stage.open_stage('report', directory, config, (upstream,)) as info:
    if info is None:
      return
    path = report_lib.build(workdir, config, worlds(config.world))
    logging.info('report: %s', path)
