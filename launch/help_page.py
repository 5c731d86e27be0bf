"""What --help prints of a launch script: its flags, its config's fields.

Everything is read from source, so that it is quick and no config is executed.
"""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable

from absl import flags

from launch import config_help


def text(takes_config: bool, names: Iterable[str]) -> str:
  """The page.

  Args:
    takes_config: whether the script takes --config.
    names: its other flags, those that all scripts have aside.
  """
  docstring = sys.modules['__main__'].__doc__ or ''
  parts = [docstring.strip(), '', 'Flags:']
  config = _config(sys.argv) if takes_config else None
  if takes_config:
    default = f' (default: {config})' if config else ''
    parts.append(
      _flag('config=FILE.py[:VARIANT]', f'What is done, and how.{default}')
    )
  for name in names:
    flag = flags.FLAGS[name]
    shown = '' if flag.default in (None, '') else f' (default: {flag.default})'
    parts.append(_flag(name, f'{flag.help}{shown}'))
  parts.append(
    _flag('verbosity=1', 'Show tracebacks and notes of other libraries.')
  )
  if config:
    parts += ['', config_help.text(config)]
  return '\n'.join(parts)


def _config(argv: list[str]) -> str | None:
  """The config file that is named, or the script's own; None without one."""
  given = re.search(r' --?config[= ]([^: ]+)', ' '.join(argv))
  if given:
    return given[1] if os.path.isfile(given[1]) else None
  return config_help.own_file(argv[0])


def _flag(name: str, what: str) -> str:
  return textwrap.fill(
    f'--{name}: {what}',
    min(shutil.get_terminal_size().columns, 100),
    initial_indent='  ',
    subsequent_indent=' ' * 6,
  )
