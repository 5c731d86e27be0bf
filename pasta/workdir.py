"""What a stage leaves in its directory besides its results.

A working directory holds one sub-directory a stage (`sessions/`, `features/`,
`user_model/`, ...). The quickstart runs all stages in one working directory,
and each stage's own launch script can run it, or run it again, in the same
place. So everything here belongs to a stage's sub-directory:

  config.json   the stage's part of the configuration, written once
  launch.json   stage, fingerprint, git revision, command line, versions
  STAGE.done.json   written last, when the stage has finished

A stage therefore begins and ends like this:

  directory = os.path.join(root, 'user_model')
  features = workdir.read_done(os.path.join(root, 'features'), 'features')
  fingerprint = workdir.prepare(
    directory, config, stage='user_model', upstream=(features['fingerprint'],))
  if workdir.is_done(directory, 'user_model', fingerprint):
    return
  ...  # continues from the directory's checkpoint where there is one
  workdir.mark_done(directory, 'user_model', fingerprint, {'seconds': 12.0})

The fingerprint stands for the stage's configuration and those of all stages
before it. `prepare` refuses a directory made with another one and overwrites
nothing, so a half-trained checkpoint never meets another configuration, and
results never outlive the inputs that they were made from unnoticed.

This module does not import jax.
"""

import contextlib
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import logging

import pasta
from pasta import credentials, errors, files

_MAX_SHOWN_FIELDS = 3  # of those that differ
_ABSENT = object()


def prepare(
  directory: str,
  config: Mapping[str, Any],
  *,
  stage: str,
  upstream: Sequence[str] = (),
  ignore: Sequence[str] = (),
) -> str:
  """Makes a stage's directory, or checks that it is this run's own.

  Args:
    directory: the stage's directory, e.g. WORKDIR/user_model.
    config: the stage's own configuration (a ConfigDict or nested dicts).
    stage: its name, e.g. 'user_model'.
    upstream: fingerprints of the stages whose results it reads.
    ignore: dotted names of fields that do not change results and may differ
      at a restart, e.g. ('num_workers', 'log_every_steps').

  Returns:
    The stage's fingerprint, for `is_done`, `mark_done` and later stages.

  Raises:
    PastaError: the directory is a file or cannot be written; it belongs to
      another stage, configuration or input; or the config holds a key. Nothing
      has been written.
  """
  plain = files.to_plain(config)
  credentials.check_config(plain)
  fingerprint = compute_fingerprint(plain, *upstream, ignore=ignore)
  _make(directory)
  config_path = os.path.join(directory, 'config.json')
  launch_path = os.path.join(directory, 'launch.json')
  if os.path.exists(config_path):
    launch = files.read_json(launch_path)
    _check_stage(launch, stage, launch_path)
    _check_config(
      files.read_json(config_path), plain, stage, config_path, ignore
    )
    if launch['fingerprint'] != fingerprint:
      raise errors.PastaError(
        f'{directory}: stage {stage} was run on other inputs than there are '
        'now (a stage before it has been redone with another configuration): '
        'delete this directory to run it again'
      )
    return fingerprint
  try:
    files.write_json(launch_path, _launch(stage, fingerprint, upstream))
    # Last: its presence says that both files are complete.
    files.write_json(config_path, plain)
  except OSError as e:
    raise errors.PastaError(
      f'{directory}: cannot be written: {e.strerror}'
    ) from e
  return fingerprint


def compute_fingerprint(
  config: Mapping[str, Any], *upstream: str, ignore: Sequence[str] = ()
) -> str:
  """A short hash of a configuration and of earlier stages' fingerprints.

  The order of fields does not matter, that of `upstream` does.
  """
  fields = {
    name: value
    for name, value in _flatten(files.to_plain(config)).items()
    if not _is_ignored(name, ignore)
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
    'time': _now(),
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


@contextlib.contextmanager
def open_stage(
  stage: str,
  directory: str,
  config: Mapping[str, Any],
  upstream: Sequence[str] = (),
  ignore: Sequence[str] = (),
  mark: bool = True,
) -> Iterator[dict | None]:
  """Opens a stage's directory; closes it with a mark if all went well.

  Args: as for `prepare`, and:
    mark: whether this process says when all is done; one of a pod does.

  A stage that ends with a PastaError and has left nothing in a directory that
  it made leaves no directory either: its config may be what was wrong, and the
  corrected one would be refused there.

  Yields:
    None where the stage is done already, else a dict: what it holds at the end
    is recorded beside the seconds that the stage took.
  """
  is_new = not os.path.exists(directory)
  fingerprint = prepare(
    directory, config, stage=stage, upstream=upstream, ignore=ignore
  )
  if is_done(directory, stage, fingerprint):
    logging.info('%s: done already in %s', stage, directory)
    yield None
    return
  started, info = time.time(), {}
  try:
    yield info
  except errors.PastaError:
    if is_new and mark:  # Else the directory is another process's, too.
      _remove_unused(directory)
    raise
  info['seconds'] = time.time() - started
  if mark:
    mark_done(directory, stage, fingerprint, info)


def _remove_unused(directory: str) -> None:
  """Removes a directory that holds what `prepare` writes and nothing else."""
  if sorted(os.listdir(directory)) == ['config.json', 'launch.json']:
    os.remove(os.path.join(directory, 'config.json'))
    os.remove(os.path.join(directory, 'launch.json'))
    os.rmdir(directory)


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


def _check_config(
  old: Any,
  new: Mapping[str, Any],
  stage: str,
  path: str,
  ignore: Sequence[str],
) -> None:
  """Raises where two configurations differ; names the first few fields."""
  if not isinstance(old, dict):
    raise errors.PastaError(f'{path}: is not a JSON object')
  old_fields, new_fields = _flatten(old), _flatten(new)
  differing = []
  for name in new_fields | old_fields:
    if _is_ignored(name, ignore):
      continue
    before = old_fields.get(name, _ABSENT)
    now = new_fields.get(name, _ABSENT)
    # 1 == True in Python, not in a configuration.
    if before is _ABSENT or now is _ABSENT or _text(before) != _text(now):
      differing.append(
        f'config field {name!r} is {_text(before)} in {path} but '
        f'{_text(now)} here'
      )
  if differing:
    more = len(differing) - _MAX_SHOWN_FIELDS
    raise errors.PastaError(
      f'stage {stage}: '
      + '; '.join(differing[:_MAX_SHOWN_FIELDS])
      + (f'; and {more} more' if more > 0 else '')
      + f' (use another --workdir, or delete {os.path.dirname(path)} and what '
      'was made from it)'
    )


def _is_ignored(name: str, ignore: Sequence[str]) -> bool:
  return any(name == x or name.startswith(x + '.') for x in ignore)


def _flatten(config: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Dotted names to values; an empty mapping is a value."""
  fields = {}
  for name, value in config.items():
    if isinstance(value, Mapping) and value:
      fields |= _flatten(value, f'{prefix}{name}.')
    else:
      fields[prefix + name] = value
  return fields


def _text(value: Any) -> str:
  return 'absent' if value is _ABSENT else json.dumps(value)


def _done_path(directory: str, stage: str) -> str:
  return os.path.join(directory, f'{stage}.done.json')


def _now() -> str:
  return time.strftime('%Y-%m-%dT%H:%M:%S%z')


def _launch(
  stage: str, fingerprint: str, upstream: Sequence[str]
) -> dict[str, Any]:
  """What is worth knowing of how a stage was started."""
  return {
    'stage': stage,
    'fingerprint': fingerprint,
    'upstream': list(upstream),
    'command': shlex.join(sys.orig_argv),
    'git_revision': _git_revision(),
    'pasta_version': pasta.__version__,
    'python_version': platform.python_version(),
    'platform': platform.platform(),
    'time': _now(),
  }


def _git_revision() -> str | None:
  """The project's commit, '-dirty' added; None outside of its checkout."""
  root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
  # An installed package may lie within the checkout of another project.
  if not os.path.exists(os.path.join(root, '.git')):
    return None
  command = ('git', 'describe', '--always', '--dirty', '--abbrev=40')
  try:
    result = subprocess.run(
      (*command, '--exclude=*'),
      cwd=root,
      capture_output=True,
      text=True,
      timeout=10,
      check=False,
    )
  except (OSError, subprocess.TimeoutExpired):
    return None
  return result.stdout.strip() or None
