"""The stage `evaluate_preferences`: tables as in the field."""

import os
from collections.abc import Mapping
from typing import Any

import ml_collections
from absl import logging

from pasta import errors, files
from pasta import workdir as workdir_lib
from pasta.evaluate.preferences import tables
from pasta.storage import preferences


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """user_model/ and preferences/ -> evaluation tables.

  Args:
    config: `configs/evaluate_preferences.py`.
    workdir: holds both; gets `config.output`.

  Raises:
    PastaError: no table, an unknown protocol, data that do not suit it, or
      people to be judged whom the model was trained on.
  """
  tables.check(config)
  directory = os.path.join(workdir, config.output)
  upstream = [
    workdir_lib.upstream(workdir, config.user_model, 'train_user_model')
  ]
  _check_reserves(config, workdir)
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
        name: tables.evaluate(table, config, workdir)
        for name, table in config.tables.items()
      }
      files.write_json(os.path.join(directory, 'results.json'), found)
      files.atomic_write(
        os.path.join(directory, 'tables.md'), tables.markdown(found)
      )
  with open(os.path.join(directory, 'tables.md'), encoding='utf-8') as f:
    print(f.read())


def _check_reserves(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Compares what is judged with what training left alone.

  Raises:
    PastaError: training saw answers that a table judges.
  """
  training = files.read_json(
    os.path.join(workdir, config.user_model, 'config.json')
  )

  def where(path):
    return os.path.normpath(os.path.join(workdir, path))

  for name, table in config.tables.items():
    for source_name, source in training['sources'].items():
      if where(source['path']) != where(table.path):
        continue
      is_same = table.reserve == source['reserve']
      if is_same and table.reserve == 'none':
        logging.warning(
          'table %s judges people whom the user model was trained on', name
        )
        continue
      # The people of a smaller share are among those of a larger one.
      if is_same and table.reserve_share <= source['reserve_share']:
        continue
      if table.reserve == 'none':
        hint = f'judge with {_flags(f"tables.{name}", source)}'
      else:
        hint = f'train with {_flags(f"sources.{source_name}", table)}'
      raise errors.PastaError(
        f"config field 'tables.{name}.reserve' is {_words(table)}, but the "
        f'user model was trained on that data set with {_words(source)}: '
        f'people to be judged were in training; {hint}'
      )


def _words(reserve: Mapping[str, Any]) -> str:
  """'none', or 'users' (share 0.1)."""
  kind = reserve['reserve']
  share = f' (share {reserve["reserve_share"]:g})'
  return f'{kind!r}' + share * (kind != 'none')


def _flags(field: str, reserve: Mapping[str, Any]) -> str:
  return (
    f'--config.{field}.reserve={reserve["reserve"]} '
    f'--config.{field}.reserve_share={reserve["reserve_share"]:g}'
  )
