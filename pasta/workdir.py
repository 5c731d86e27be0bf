"""What a stage leaves in its directory besides its results.

A working directory holds one sub-directory a stage (`sessions/`, `features/`,
`user_model/`, ...). The quickstart runs all stages in one working directory,
and each stage's own launch script can run it, or run it again, in the same
place. So everything here belongs to a stage's sub-directory:

  config.json   the stage's part of the configuration
  launch.json   stage, fingerprint, git revision, command line, versions
  .lock         who is at work there; gone afterwards
  STAGE.done.json   written last, when the stage has finished

A stage therefore begins and ends like this:

  features = workdir.upstream(root, 'features', 'extract_features')
  with workdir.open_stage(
    'user_model', os.path.join(root, 'user_model'), config, (features,)
  ) as info:
    if info is not None:  # Else it is done already.
      ...  # continues from the directory's checkpoint where there is one
      info['num_types'] = 24

The fingerprint stands for the stage's configuration and those of all stages
before it. A directory with results of another one is refused and nothing in it
overwritten, so a half-trained checkpoint never meets another configuration, and
results never outlive the inputs that they were made from unnoticed. Where there
is no result yet, a configuration binds nobody.

This module does not import jax.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from absl import logging

from pasta import (
  config_record,
  credentials,
  errors,
  files,
  launch_record,
  lock,
)

# No result: what this module writes, temporary files, TensorBoard's header.
_NO_RESULT = re.compile(
  r'config\.json|launch\.json|\..*|events\.out\.tfevents\..*'
)


class _Found(NamedTuple):
  """Results that are there and may be gone on with.

  Attributes:
    fingerprint: theirs.
    grown_from: of what they went on with.
    is_smaller: whether the configuration asks for more of the same.
  """

  fingerprint: str
  grown_from: list[str]
  is_smaller: bool


def prepare(
  directory: str,
  config: Mapping[str, Any],
  *,
  stage: str,
  upstream: Sequence[str] = (),
  ignore: Sequence[str] = (),
  grows: Mapping[str, int] | None = None,
) -> str:
  """Makes a stage's directory, or checks that it is this run's own.

  Args:
    directory: the stage's directory, e.g. WORKDIR/user_model.
    config: the stage's own configuration (a ConfigDict or nested dicts).
    stage: its name, e.g. 'user_model'.
    upstream: fingerprints of the stages whose results it reads.
    ignore: dotted names of fields that do not change results and may differ
      at a restart, e.g. ('num_workers', 'log_every_steps').
    grows: dotted names of numbers of which a larger one adds to what is there,
      each with the least value that can be added to.

  Returns:
    The stage's fingerprint, for `is_done`, `mark_done` and later stages.

  Raises:
    PastaError: the directory is a file or cannot be written; it has results of
      another stage, configuration or input; or the config holds a key. Nothing
      has been written.
  """
  plain = files.to_plain(config)
  credentials.check_config(plain)
  found = _recorded(directory, plain, stage, upstream, ignore, grows or {})
  _make(directory)
  if found is not None and not found.is_smaller:
    return found.fingerprint
  fingerprint = compute_fingerprint(plain, *upstream, ignore=ignore)
  grown_from = []
  if found is not None:
    grown_from = [*found.grown_from, found.fingerprint]
    with contextlib.suppress(FileNotFoundError):
      os.remove(_done_path(directory, stage))
  launch = launch_record.make(stage, fingerprint, upstream, grown_from)
  try:
    files.write_json(os.path.join(directory, 'launch.json'), launch)
    # Last: its presence says that both files are complete.
    files.write_json(os.path.join(directory, 'config.json'), plain)
  except OSError as e:
    raise errors.PastaError(
      f'{directory}: cannot be written: {e.strerror}'
    ) from e
  return fingerprint


def _recorded(
  directory: str,
  config: Mapping[str, Any],
  stage: str,
  upstream: Sequence[str],
  ignore: Sequence[str],
  grows: Mapping[str, int],
) -> _Found | None:
  """The results there; None where there are none.

  Raises:
    PastaError: they are those of another stage, configuration or input.
  """
  config_path = os.path.join(directory, 'config.json')
  launch_path = os.path.join(directory, 'launch.json')
  if not os.path.exists(config_path):
    return None
  launch = files.read_json(launch_path)
  _check_stage(launch, stage, launch_path)
  if not _has_results(directory):
    return None
  old = files.read_json(config_path)
  if not isinstance(old, dict):
    raise errors.PastaError(f'{config_path}: is not a JSON object')
  differing = config_record.differences(old, config, ignore)
  if not all(
    d.name in grows and d.is_growth() and d.before >= grows[d.name]
    for d in differing
  ):
    raise errors.PastaError(
      f'stage {stage}: {config_record.describe(differing, config_path)} (use '
      f'another --workdir, or delete {directory} and what was made from it)'
    )
  if launch['upstream'] != list(upstream):
    raise errors.PastaError(
      f'{directory}: stage {stage} was run on other inputs than there are now '
      f'({_what_changed(directory, launch["upstream"], upstream)}): delete '
      f'{directory} and what was made from it to run it again'
    )
  return _Found(
    launch['fingerprint'], launch.get('grown_from', []), bool(differing)
  )


def _what_changed(
  directory: str, before: Sequence[str], now: Sequence[str]
) -> str:
  """Why a stage's inputs are not what they were."""
  root = os.path.dirname(os.path.abspath(directory))
  for name in sorted(os.listdir(root)):
    path = os.path.join(root, name, 'launch.json')
    if os.path.exists(path):
      launch = files.read_json(path)
      if launch['fingerprint'] in now and set(before) & set(
        launch.get('grown_from', [])
      ):
        return f'{os.path.join(root, name)} has grown since'
  return 'a stage before it has been redone with another configuration'


def _has_results(directory: str) -> bool:
  """Whether a stage has left anything there that took work to make."""
  return any(
    not _NO_RESULT.fullmatch(name)
    and os.path.getsize(os.path.join(where, name))
    for where, _, names in os.walk(directory)
    for name in names
  )


def compute_fingerprint(
  config: Mapping[str, Any], *upstream: str, ignore: Sequence[str] = ()
) -> str:
  """A short hash of a configuration and of earlier stages' fingerprints.

  The order of fields does not matter, that of `upstream` does.
  """
  fields = {
    name: value
    for name, value in config_record.flatten(files.to_plain(config)).items()
    if not config_record.is_ignored(name, ignore)
  }
  text = json.dumps([fields, list(upstream)], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_done(directory: str, stage: str, fingerprint: str) -> bool:
  """Whether the stage has finished there, with this very fingerprint."""
  path = _done_path(directory, stage)
  return (
    os.path.exists(path) and files.read_json(path)['fingerprint'] == fingerprint
  )


def mark_done(
  directory: str, stage: str, fingerprint: str, info: Mapping[str, Any]
) -> None:
  """Writes, atomically, that the stage has finished.

  Args:
    directory: the stage's directory.
    stage: its name.
    fingerprint: what `prepare` returned.
    info: what later stages or the report want to know (sizes, seconds, ...).
  """
  record = {
    'stage': stage,
    'fingerprint': fingerprint,
    'time': launch_record.now(),
    'info': files.to_plain(info),
  }
  files.write_json(_done_path(directory, stage), record)


def read_done(directory: str, stage: str) -> dict[str, Any]:
  """Returns {'stage', 'fingerprint', 'time', 'info'} of a finished stage.

  Raises:
    PastaError: the stage has not finished there.
  """
  path = _done_path(directory, stage)
  if not os.path.exists(path):
    raise errors.PastaError(
      f'{directory}: stage {stage} has not finished there (no '
      f'{os.path.basename(path)}); run it first'
    )
  return files.read_json(path)


def upstream(root: str, name: str, stage: str) -> str:
  """The fingerprint of a stage that has finished in the directory ROOT/NAME.

  Raises:
    PastaError: it has not.
  """
  return read_done(os.path.join(root, name), stage)['fingerprint']


def inputs(directory: str, stage: str) -> list[str]:
  """The fingerprints of what a finished stage has read."""
  read_done(directory, stage)
  return files.read_json(os.path.join(directory, 'launch.json'))['upstream']


@contextlib.contextmanager
def open_stage(
  stage: str,
  directory: str,
  config: Mapping[str, Any],
  upstream: Sequence[str] = (),
  ignore: Sequence[str] = (),
  mark: bool = True,
  grows: Mapping[str, int] | None = None,
) -> Iterator[dict | None]:
  """Opens a stage's directory; closes it with a mark if all went well.

  Args: as for `prepare`, and:
    mark: whether this process says when all is done; one of a pod does.

  While it works nobody else can open the directory. A stage that fails and has
  left no result in a directory that it made leaves no directory either.

  Yields:
    None where the stage is done already, else a dict: what it holds at the end
    is recorded beside the seconds that the stage took.

  Raises:
    PastaError: as `prepare`, or another run is at work there.
  """
  plain = files.to_plain(config)
  if _is_finished(directory, plain, stage, upstream, ignore, grows or {}):
    logging.info('%s: done already in %s', stage, directory)
    yield None
    return
  is_new = not os.path.exists(directory)
  _make(directory)
  # Other processes of a pod are at work beside the one that marks.
  with lock.hold(directory) if mark else contextlib.nullcontext():
    started, info = time.time(), {}
    try:
      fingerprint = prepare(
        directory,
        plain,
        stage=stage,
        upstream=upstream,
        ignore=ignore,
        grows=grows,
      )
      yield info
    except BaseException:
      if is_new and mark and not _has_results(directory):
        shutil.rmtree(directory)
      raise
    info['seconds'] = time.time() - started
    if mark:
      mark_done(directory, stage, fingerprint, info)


def _is_finished(
  directory: str,
  config: Mapping[str, Any],
  stage: str,
  upstream: Sequence[str],
  ignore: Sequence[str],
  grows: Mapping[str, int],
) -> bool:
  found = _recorded(directory, config, stage, upstream, ignore, grows)
  return (
    found is not None
    and not found.is_smaller
    and is_done(directory, stage, found.fingerprint)
  )


def _make(directory: str) -> None:
  """Makes a directory that can be written."""
  try:
    os.makedirs(directory, exist_ok=True)
  except FileExistsError as e:
    raise errors.PastaError(
      f'workdir {directory} is a file, expected a directory'
    ) from e
  except OSError as e:  # NotADirectoryError: a parent is a file.
    raise errors.PastaError(
      f'workdir {directory} cannot be made: {e.strerror}'
    ) from e
  if not os.access(directory, os.W_OK | os.X_OK):
    raise errors.PastaError(f'workdir {directory} cannot be written')


def _check_stage(launch: Any, stage: str, path: str) -> None:
  if not isinstance(launch, dict) or 'fingerprint' not in launch:
    raise errors.PastaError(f'{path}: is not a launch record')
  if launch['stage'] != stage:
    raise errors.PastaError(
      f'{path}: this directory belongs to stage {launch["stage"]}, not to '
      f'{stage}: use another --workdir'
    )


def _done_path(directory: str, stage: str) -> str:
  return os.path.join(directory, f'{stage}.done.json')
