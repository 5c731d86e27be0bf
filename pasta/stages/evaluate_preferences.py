"""The stage `evaluate_preferences`: tables as in the field."""

import os

import ml_collections

from pasta import files
from pasta import workdir as workdir_lib
from pasta.evaluate.preferences import tables
from pasta.storage import preferences


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """user_model/ and preferences/ -> evaluation tables.

  Args:
    config: `configs/evaluate_preferences.py`.
    workdir: holds both; gets `config.output`.

  Raises:
    PastaError: no table, an unknown protocol, or data that do not suit it.
  """
  tables.check(config)
  directory = os.path.join(workdir, config.output)
  upstream = [
    workdir_lib.upstream(workdir, config.user_model, 'train_user_model')
  ]
  for table in config.tables.values():
    if table.protocol == 'sessions':
      upstream.append(
        workdir_lib.upstream(workdir, table.path, 'extract_features')
      )
      continue
    upstream += [
      preferences.fingerprint(os.path.join(workdir, path))
      for path in (table.path, table.validation, table.context)
      if path
    ]
  with workdir_lib.open_stage(
    'evaluate_preferences', directory, config, upstream
  ) as info:
    if info is not None:
      found = {
        name: tables.evaluate(table, name, config, workdir)
        for name, table in config.tables.items()
      }
      files.write_json(os.path.join(directory, 'results.json'), found)
      files.atomic_write(
        os.path.join(directory, 'tables.md'), tables.markdown(found)
      )
  with open(os.path.join(directory, 'tables.md'), encoding='utf-8') as f:
    print(f.read())
