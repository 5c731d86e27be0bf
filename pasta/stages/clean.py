"""What old results take, and deleting them."""

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pasta import errors, files, lock

_UNITS = {'h': 3600, 'd': 86_400, 'w': 7 * 86_400}
_LAUNCH = 'launch.json'
_GOING = '.deleted'  # on the end of a directory that is being deleted


class Results(NamedTuple):
  """A stage's directory.

  Attributes:
    directory: its path.
    stage: that left it.
    size: bytes of its files.
    changed: when the last of them was written, in seconds.
  """

  directory: str
  stage: str
  size: int
  changed: float


def run(workdir: str, older: str, stages: Sequence[str], yes: bool) -> None:
  """Lists results of a certain age; deletes them if told to.

  Args:
    workdir: all directories of stages below it count.
    older: least age, e.g. '30d'.
    stages: only theirs; (): all.
    yes: whether to delete.

  Raises:
    PastaError: no such directory; an age that is none; stages that have left
      nothing; or a run is at work in what would be deleted.
  """
  if not os.path.isdir(workdir):
    raise errors.PastaError(f'flag --workdir: there is no directory {workdir}')
  match = re.fullmatch(r'(\d+(?:\.\d+)?)([hdw])', older)
  if not match:
    raise errors.PastaError(
      f'flag --older is {older!r}, expected a number and h, d or w, as in 30d'
    )
  now = time.time()
  everything = list(_find(workdir))
  for stage in stages:
    errors.check_known(
      'flag --stages', stage, sorted({r.stage for r in everything})
    )
  found = [
    r
    for r in everything
    if now - r.changed >= float(match[1]) * _UNITS[match[2]]
    and (not stages or r.stage in stages)
  ]
  for r in found:
    days = (now - r.changed) / _UNITS['d']
    print(f'{_size(r.size)}  {days:7.1f} days  {r.stage:<20} {r.directory}')
  total = _size(sum(r.size for r in found)).strip()
  if not yes:
    print(f'{len(found)} results, {total}. Nothing was deleted: --yes does.')
    return
  for r in found:
    _delete(r.directory)
  print(f'{len(found)} results deleted, {total}.')


def _find(workdir: str) -> Iterator[Results]:
  """All directories of stages, links not followed."""
  for where, folders, names in os.walk(workdir):
    folders.sort()
    if _LAUNCH not in names:
      continue
    folders.clear()
    launch = files.read_json(os.path.join(where, _LAUNCH))
    stage = launch.get('stage', '') if isinstance(launch, dict) else ''
    if not stage:
      raise errors.PastaError(
        f'{os.path.join(where, _LAUNCH)}: is not the record of a stage'
      )
    status = [
      os.stat(os.path.join(inner, name), follow_symlinks=False)
      for inner, _, inner_names in os.walk(where)
      for name in inner_names
    ]
    yield Results(
      where,
      stage,
      sum(s.st_size for s in status),
      max(s.st_mtime for s in status),
    )


def _delete(directory: str) -> None:
  """Deletes a directory; a kill leaves it whole, or called what it is."""
  going = directory
  if not directory.endswith(_GOING):
    with lock.hold(directory):
      going = directory + _GOING
      if os.path.exists(going):
        shutil.rmtree(going)
      os.rename(directory, going)
  shutil.rmtree(going)


def _size(size: float) -> str:
  """'  12.3 MiB'."""
  for unit in ('B', 'KiB', 'MiB', 'GiB'):
    if size < 1024 or unit == 'GiB':
      return f'{size:6.1f} {unit:<3}'
    size /= 1024
  raise AssertionError
