"""The flag --config: executes the file once, says in one line what is wrong.

ml_collections reports a missing file only when the config is used, a bad
variant with its whole traceback, and an unknown field without its path. So the
file is loaded by a parser of our own; overrides stay with ml_collections.
"""

import difflib
import importlib.util
import math
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_dict, config_flags

from launch import config_help
from pasta import config_record, errors

_GIVEN = re.compile(r'^--?config(=|$)')
_OVERRIDE = re.compile(r'^--?(?:no)?config\.([^=]+)')


def define() -> None:
  """Defines --config."""
  config_flags.DEFINE_config_file('config', None, 'Config file.')
  flags.FLAGS['config'].parser = _Parser()


def with_default(argv: Sequence[str], default: str | None) -> list[str]:
  """The command line with a value for --config, before all that changes it.

  Raises:
    flags.Error: a field is changed before there is one.
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

  Attributes:
    fields: dotted names of what the file's config holds.
  """

  fields: tuple[str, ...] = ()

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
    _check_stage(path)
    try:
      module = _execute(path)
      config = module.get_config(*variant)
    except Exception as e:  # Whatever the file's code raises.
      raise flags.Error(f'flag --config={argument}: {_describe(e)}') from e
    for arg in flags.FLAGS.read_flags_from_files(sys.argv, force_gnu=False):
      if match := _OVERRIDE.match(arg):
        _check_field(config, match[1], path, module)
    self.fields = tuple(config_record.flatten(config.to_dict()))
    return config.lock()

  def flag_type(self) -> str:
    return 'config object'


def check_values(config: config_dict.ConfigDict) -> None:
  """Checks a config after what the command line has changed in it.

  Raises:
    PastaError: a part is replaced as a whole; a number is NaN; a seed is
      negative.
  """
  found = config_record.flatten(config.to_dict())
  for name in flags.FLAGS['config'].parser.fields:
    if name not in found:
      part = name.rpartition('.')[0]
      raise errors.PastaError(
        f'flag --config.{part}: lacks {name!r}, expected all of its fields; '
        f'set them one by one, as in --config.{name}=...'
      )
  for name, value in found.items():
    if isinstance(value, float) and math.isnan(value):
      raise errors.PastaError(
        f"config field '{name}' is nan, expected a number"
      )
    is_seed = name.rpartition('.')[2] == 'seed' and isinstance(value, int)
    if is_seed and value < 0:
      raise errors.PastaError(
        f"config field '{name}' is {value}, expected at least 0"
      )


def _execute(path: str) -> Any:
  """The module that a file holds."""
  spec = importlib.util.spec_from_file_location('config_file', path)
  module = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = module  # dataclasses look their module up
  spec.loader.exec_module(module)
  return module


def _check_stage(path: str) -> None:
  """Raises flags.Error for a config of another stage than the script's."""
  stage, _ = os.path.splitext(os.path.basename(sys.argv[0]))
  owner, _ = os.path.splitext(os.path.basename(path))
  launch = os.path.dirname(os.path.abspath(sys.argv[0]))
  directory = os.path.dirname(os.path.abspath(path))
  if owner == stage or directory != config_help.directory(sys.argv[0]):
    return
  if not os.path.isfile(os.path.join(launch, f'{owner}.py')):
    # A config with no script of its own says in a command whose it is.
    command = config_help.command(path)
    if command is None or command == stage:
      return
    owner = command
  raise flags.Error(
    f'flag --config: {path} is the config of {owner}, not of {stage}'
  )


def _check_field(
  config: config_dict.ConfigDict, override: str, path: str, module: Any
) -> None:
  """Raises flags.Error for a dotted field that the config does not have."""
  node, known = config, []
  for name in override.split('.'):
    name = name.split('[')[0]  # of a tuple's element
    fields = list(node.keys()) if hasattr(node, 'keys') else []
    if name not in fields:
      near = difflib.get_close_matches(name, fields, n=1)
      hint = f'it has {fields}'
      if variant := _variant_with(module, override):
        hint = f'{path}:{variant} has it'
      elif near:
        hint = f'did you mean {".".join([*known, *near])!r}?'
      raise flags.Error(
        f'flag --config.{override}: {path} has no field {override!r}; {hint}'
      )
    node = node[name]
    known.append(name)


def _variant_with(module: Any, override: str) -> str | None:
  """A variant of the config that has a dotted field; None where none has."""
  try:
    module.get_config('?')
  except ValueError as e:
    for variant in getattr(e, 'known', ()):
      node = module.get_config(variant)
      for name in override.split('.'):
        node = node.get(name) if hasattr(node, 'keys') else None
      if node is not None:
        return variant
  return None


def _describe(error: Exception) -> str:
  """The message of a ValueError; for what is a bug, its type as well."""
  is_message = isinstance(error, ValueError)
  return str(error) if is_message else f'{type(error).__name__}: {error}'
