"""The flag --config: executes the file once, says in one line what is wrong.

ml_collections reports a missing file only when the config is used, a bad
variant with its whole traceback, and an unknown field without its path. So the
file is loaded by a parser of our own; overrides stay with ml_collections.
"""

import ast
import difflib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_dict, config_flags

_GIVEN = re.compile(r'^--?config(=|$)')
_OVERRIDE = re.compile(r'^--?(?:no)?config\.([^=]+)')


def define(default: str | None) -> None:
  """Defines --config.

  Args:
    default: its value where it is not given: FILE.py or FILE.py:VARIANT.
  """
  config_flags.DEFINE_config_file(
    'config',
    None,
    f'Config file, FILE.py or FILE.py:VARIANT. {_variants(sys.argv[0])}',
  )
  flag = flags.FLAGS['config']
  flag.parser = _Parser()
  # For --help. Were it the flag's own, the file would be executed here.
  flag.default_as_str = None if default is None else f"'{default}'"


def _variants(script: str) -> str:
  """What the script's own config file says of its variants; '' without one."""
  root = os.path.dirname(os.path.dirname(os.path.abspath(script)))
  path = os.path.join('configs', os.path.basename(script))
  try:
    with open(os.path.join(root, path), encoding='utf-8') as f:
      tree = ast.parse(f.read())
  except OSError:
    return ''
  for node in tree.body:
    if isinstance(node, ast.FunctionDef) and node.name == 'get_config':
      text = ast.get_docstring(node) or ''
      return f'{path}: {text.split(chr(10))[0]}'
  return ''


def with_default(argv: Sequence[str], default: str | None) -> list[str]:
  """The command line with a value for --config, before all that changes it.

  Raises:
    flags.Error: there is none, or a field is changed before there is.
  """
  argv = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
  if default is not None and not any(_GIVEN.match(arg) for arg in argv):
    argv = [argv[0], f'--config={default}', *argv[1:]]
  for arg in argv:
    if _GIVEN.match(arg):
      break
    if match := _OVERRIDE.match(arg):
      raise flags.Error(
        f'flag --config.{match[1]} needs --config=FILE.py before it'
      )
  return argv


class _Parser(flags.ArgumentParser):
  """Turns FILE.py:VARIANT into the config, and checks its overrides.

  Raises flags.Error, to which absl adds nothing, as it does to a ValueError.
  """

  def parse(self, argument: str) -> config_dict.ConfigDict:
    """Executes the file.

    Raises:
      flags.Error: there is no such file or variant, its code fails, or a field
        that the command line changes is not in it.
    """
    path, *variant = argument.split(':', 1)
    if not os.path.isfile(path):
      raise flags.Error(
        f'flag --config: there is no file {path!r} in {os.getcwd()}'
      )
    try:
      config = _execute(path).get_config(*variant)
    except Exception as e:  # Whatever the file's code raises.
      raise flags.Error(f'flag --config={argument}: {_describe(e)}') from e
    for arg in flags.FLAGS.read_flags_from_files(sys.argv, force_gnu=False):
      if match := _OVERRIDE.match(arg):
        _check_field(config, match[1], path)
    return config.lock()

  def flag_type(self) -> str:
    return 'config object'


def _execute(path: str) -> Any:
  """The module that a file holds."""
  spec = importlib.util.spec_from_file_location('config_file', path)
  module = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = module  # dataclasses look their module up
  spec.loader.exec_module(module)
  return module


def _check_field(
  config: config_dict.ConfigDict, override: str, path: str
) -> None:
  """Raises flags.Error for a dotted field that the config does not have."""
  node, known = config, []
  for name in override.split('.'):
    name = name.split('[')[0]  # of a tuple's element
    fields = list(node.keys()) if hasattr(node, 'keys') else []
    if name not in fields:
      near = difflib.get_close_matches(name, fields, n=1)
      hint = f'it has {fields}'
      if near:
        hint = f'did you mean {".".join([*known, *near])!r}?'
      raise flags.Error(
        f'flag --config.{override}: {path} has no field {override!r}; {hint}'
      )
    node = node[name]
    known.append(name)


def _describe(error: Exception) -> str:
  """The message of a ValueError; for what is a bug, its type as well."""
  is_message = isinstance(error, ValueError)
  return str(error) if is_message else f'{type(error).__name__}: {error}'
