"""Classes of one's own, which a config names as 'module:Class'.

Whatever such a class does wrong ends in one line that names it and the method;
`--verbosity=1` shows where. Nothing here imports jax.
"""

import contextlib
import importlib
import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Any

from pasta import credentials, errors


def load(name: str, field: str, known: Sequence[str]) -> type:
  """The class that a config names.

  Args:
    name: 'module:Class'; the module lies in the working directory, in
      PYTHONPATH or is installed.
    field: the config field that holds it, for errors.
    known: names of what is built in, for errors.

  Raises:
    PastaError: there is no such module or class, or its import fails.
  """
  where = f"config field '{field}' is {name!r}"
  expected = (
    f'expected one of {", ".join(known)}, or a class of your own as '
    "'module:Class'"
  )
  module_name, colon, class_name = name.partition(':')
  parts = [*module_name.split('.'), class_name]
  is_name = colon and all(part.isidentifier() for part in parts)
  # 'sketch:inc' is no module sketch: those names are taken.
  if not is_name or module_name in {k.partition(':')[0] for k in known}:
    raise errors.PastaError(f'{where}; {expected}')
  try:
    module = importlib.import_module(module_name)
  except ModuleNotFoundError as e:
    if e.name and f'{module_name}.'.startswith(f'{e.name}.'):
      raise errors.PastaError(
        f'{where}: there is no module {e.name!r} in the working directory or '
        f'in PYTHONPATH; {expected}'
      ) from e
    raise errors.PastaError(
      f'{where}: the module {module_name} needs {e.name!r}, which is not '
      'installed'
    ) from e
  except Exception as e:  # Whatever the file's code raises.
    raise errors.PastaError(
      f'{where}: the import of {module_name} fails: {_said(e)}'
    ) from e
  found = getattr(module, class_name, None)
  if not inspect.isclass(found):
    raise errors.PastaError(
      f'{where}: the module {module_name} has no class {class_name!r}'
    )
  return found


def make(
  own: type,
  name: str,
  field: str,
  arguments: str,
  needed: Sequence[str],
  attributes: dict[str, type],
  **given: Any,
) -> Any:
  """An object of a class of one's own, checked for what it has to have.

  Args:
    own: the class.
    name: of the class, as the config has it.
    field: the config field that holds the arguments, for errors.
    arguments: further keyword arguments, as `parse` takes them.
    needed: methods that it has to have.
    attributes: and attributes, with their types; a text must not be empty.
    **given: keyword arguments that all such classes get.

  Raises:
    PastaError: a method or an attribute is missing or of another kind, the
      arguments do not fit, or the constructor fails.
  """
  for method in needed:
    if not callable(getattr(own, method, None)):
      raise errors.PastaError(
        f'{name} has no method {method!r}, expected {", ".join(needed)}'
      )
  extra = parse(arguments, field)
  for argument in extra:
    if argument in given:
      raise errors.PastaError(
        f"config field '{field}' sets {argument!r}, which has a field of its "
        'own'
      )
  given |= extra
  try:
    inspect.signature(own).bind(**given)
  except TypeError as e:
    raise errors.PastaError(
      f'{name} is made with the arguments {", ".join(given)}: {e} (config '
      f"field '{field}' adds more)"
    ) from None
  with calling(name, '__init__'):
    made = own(**given)
  for attribute, kind in attributes.items():
    value = getattr(made, attribute, None)
    if type(value) is not kind or value == '':
      raise errors.PastaError(
        f'{name} has {value!r:.40} as its attribute {attribute!r}, expected '
        f'{_KINDS[kind]}'
      )
  return made


_KINDS = {str: 'a text', int: 'a whole number', bool: 'True or False'}


def parse(arguments: str, field: str) -> dict[str, Any]:
  """Keyword arguments of a class of one's own, from a config field.

  Args:
    arguments: a JSON object, e.g. '{"steps": 4}'; '' for none.
    field: the config field that holds it, for errors.

  Raises:
    PastaError: it is no JSON object of names, or holds a key.
  """
  try:
    found = json.loads(arguments or '{}')
  except (ValueError, RecursionError):
    found = None
  if not isinstance(found, dict) or not all(k.isidentifier() for k in found):
    raise errors.PastaError(
      f"config field '{field}' is {arguments!r:.80}, expected a JSON object of "
      'keyword arguments such as \'{"steps": 4}\''
    )
  credentials.check_config(found, f'{field}.')
  return found


def identity(name: str, arguments: str, field: str) -> str:
  """What stands for a class and its arguments in ids; holds no space."""
  found = parse(arguments, field)
  text = json.dumps(found, sort_keys=True, separators=(',', ':'))
  return name + '_'.join(text.split()) * bool(found)


@contextlib.contextmanager
def calling(name: str, method: str) -> Iterator[None]:
  """Within it, whatever a method raises becomes a PastaError that names it."""
  try:
    yield
  except errors.PastaError:
    raise
  except Exception as e:  # Whatever somebody's code raises.
    raise errors.PastaError(
      f'{name}.{method} failed: {_said(e)} (--verbosity=1 shows where)'
    ) from e


def wrong(name: str, method: str, found: str, expected: str):
  """The PastaError for what a method returns."""
  return errors.PastaError(
    f'{name}.{method} returned {found}, expected {expected}'
  )


def _said(error: Exception) -> str:
  text = ' '.join(str(error).split())
  return f'{type(error).__name__}: {text:.300}'
