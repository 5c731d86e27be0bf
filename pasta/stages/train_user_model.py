"""The stage `train_user_model`: user types by EM."""

import os
import re
from collections.abc import Mapping

import jax
import ml_collections

from pasta import errors, runs
from pasta import workdir as workdir_lib
from pasta.stages import stage
from pasta.storage import preferences as preferences_lib
from pasta.storage import reserve
from pasta.storage import session_features as features_lib
from pasta.user_model import em, saved, sources
from pasta.user_model import train as user_model_train

# Of each kind of feedback; not with another person's belief.
_PRINTED = re.compile(
  r'(?!baseline_|.*mismatched)(.+)_(log_likelihood|accuracy)'
)
_CHOICES = ('choice', 'sequential')  # what the metrics for chance are of


def run(
  config: ml_collections.ConfigDict,
  workdir: str,
  worlds: stage.Worlds | None = None,
) -> None:
  """features/ and preference data -> user_model/: types, utilities (EM)."""
  del worlds  # Trains on features alone.
  directory = os.path.join(workdir, runs.output('user_model', config.name))
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
    for line in lines(metrics):
      print(line)


def lines(metrics: Mapping[str, float]) -> list[str]:
  """What a fit predicts of held-out people, as lines for a terminal.

  Log-likelihoods are in nats an observation. Beside each figure stand its 95 %
  interval over people, what a model with one type reaches, and chance.
  """
  people = metrics['num_held_out_users']
  whom = f'{people} held-out people' if people else 'the training people'
  found = [f'User model, on {whom} (nats an observation):']
  for name, value in metrics.items():
    quantity = _PRINTED.fullmatch(name)
    if not quantity or f'{name}_low' not in metrics:
      continue
    show = _percent if quantity[2] == 'accuracy' else _nats
    low, high = metrics[f'{name}_low'], metrics[f'{name}_high']
    line = (
      f'  {name.replace("_", " ")}: {show(value)} [{show(low)}, {show(high)}]'
    )
    if f'baseline_{name}' in metrics:
      line += f', one type {show(metrics[f"baseline_{name}"])}'
    chance = f'uniform_{quantity[2]}'
    if quantity[1] in _CHOICES and chance in metrics:
      line += f', chance {show(metrics[chance])}'
    found.append(line)
  return found


def _percent(value: float) -> str:
  return f'{100 * value:.1f} %'


def _nats(value: float) -> str:
  return f'{value:.4g}'


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
