"""The stage `train_user_model`: user types by EM."""

import os

import jax
import ml_collections

from pasta import errors
from pasta import workdir as workdir_lib
from pasta.stages import stage
from pasta.storage import preferences as preferences_lib
from pasta.storage import reserve
from pasta.storage import session_features as features_lib
from pasta.user_model import em, saved, sources
from pasta.user_model import train as user_model_train


def run(
  config: ml_collections.ConfigDict,
  workdir: str,
  worlds: stage.Worlds | None = None,
) -> None:
  """features/ and preference data -> user_model/: types, utilities (EM)."""
  del worlds  # Trains on features alone.
  directory = os.path.join(workdir, 'user_model')
  paths = {
    name: (source.format, os.path.join(workdir, source.path))
    for name, source in config.sources.items()
  }
  upstream = [_source_fingerprint(workdir, *where) for where in paths.values()]
  with stage.open_stage(
    'train_user_model', directory, config, upstream
  ) as info:
    if info is None:
      return
    data = {
      name: _read_source(config.sources[name], path)
      for name, (_, path) in paths.items()
    }
    encoder_id = sources.encoder_id(data)
    model, metrics = user_model_train.fit(
      data,
      config,
      key=jax.random.key(config.seed),
      directory=directory,
      update=em.update,
    )
    saved.save(directory, model, {'encoder_id': encoder_id, **metrics})
    info |= metrics


def _read_source(source: ml_collections.ConfigDict, path: str):
  """A data set, less what is kept for evaluation."""
  how = source.reserve, source.reserve_share
  if source.format == 'sessions':
    return reserve.sessions(features_lib.load_dir(path), *how, reserved=False)
  return reserve.part(preferences_lib.load(path), *how, reserved=False)


def _source_fingerprint(workdir: str, file_format: str, path: str) -> str:
  """What stands for a data set's content."""
  if file_format == 'sessions':
    return workdir_lib.read_done(path, 'extract_features')['fingerprint']
  if file_format == 'preferences':
    return preferences_lib.fingerprint(path)
  raise errors.PastaError(
    f"config field 'sources' has the format {file_format!r}, expected "
    "'sessions' or 'preferences'"
  )
