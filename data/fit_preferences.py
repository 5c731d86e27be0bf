"""A prepared data set -> features -> user model -> table -> page."""

import os

import ml_collections

from data import extract_features
from pasta.stages import evaluate_preferences, report, train_user_model


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Every stage with its part of the config; what is done is skipped.

  Args:
    config: `configs/fit_preferences.py`.
    workdir: holds data/, and gets what the stages leave.

  Raises:
    PastaError: as the stages.
  """
  extract_features.run(config.extract_features, workdir)
  train_user_model.run(config.train_user_model, workdir)
  evaluate_preferences.run(config.evaluate_preferences, workdir)
  report.run(config.report, workdir)
  print(f'report: {os.path.join(workdir, "report", "index.html")}')
