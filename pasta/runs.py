"""Runs that share a working directory: `value/` beside `value-NAME/`.

A stage that is run with `config.name = 'NAME'` leaves DIRECTORY-NAME. What it
reads is the run of that name where there is one, and else the unnamed one: so a
second value function shares sessions and user model with the first.
"""

import os
import re

import ml_collections
from absl import logging

from pasta import errors, workdir

_NAME = re.compile(r'\w+([.-]\w+)*')


def output(directory: str, name: str) -> str:
  """The directory that a run leaves, e.g. 'value' or 'value-NAME'.

  Args:
    directory: of the unnamed run, relative to the working directory.
    name: of the run; '': it has none.

  Raises:
    PastaError: the name cannot be a part of a directory's.
  """
  if not name:
    return directory
  if not _NAME.fullmatch(name):
    raise errors.PastaError(
      f'the name of a run is {name!r}, expected letters, digits and _, joined '
      'by single - or .'
    )
  return f'{directory}-{name}'


def source(root: str, directory: str, name: str) -> str:
  """The directory that a run reads, and its log says which.

  Args:
    root: the working directory.
    directory: of the unnamed run.
    name: of the run that reads.
  """
  named = output(directory, name)
  if name:
    is_there = os.path.isdir(os.path.join(root, named))
    named = named if is_there else directory
    logging.info('run %s reads %s', name, named)
  return named


def value_sources(
  root: str, config: ml_collections.ConfigDict
) -> dict[str, str]:
  """The directory of each policy's value function, by the policy's name.

  It is that of the run that `policies.X.value` names, or of the config's own.
  """
  own = source(root, 'value', config.name)
  return {
    name: output('value', policy.value) if policy.value else own
    for name, policy in config.policies.items()
  }


def check_made_with(
  root: str, directory: str, stage: str, fingerprint: str, what: str
) -> None:
  """Checks that a stage's results were made from certain others.

  Args:
    root: the working directory.
    directory: of the results, relative to it.
    stage: that made them.
    fingerprint: of the others.
    what: their directory, for the message.

  Raises:
    PastaError: they were made from something else.
  """
  if fingerprint not in workdir.inputs(os.path.join(root, directory), stage):
    raise errors.PastaError(
      f'{os.path.join(root, directory)} was not made from what is in '
      f'{os.path.join(root, what)}: run {stage} again, or name another run'
    )
