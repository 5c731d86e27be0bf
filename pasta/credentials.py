"""Keeps keys out of files: configs name where a key is, and never hold one."""

import re
from collections.abc import Mapping
from typing import Any

from pasta import errors


def check_address(address: str, field: str) -> None:
  """Raises PastaError for an address that holds something that may be a key.

  Args:
    address: of an endpoint.
    field: the config field that it comes from.
  """
  if re.search('[@?#]', address):  # Not shown: it may hold a key.
    raise errors.PastaError(
      f"config field '{field}' holds more than an address; expected an address "
      "such as 'http://localhost:8000/v1', and a key only in the environment "
      "variable that 'key_env' names"
    )


def check_variable(name: str, field: str) -> None:
  """Raises PastaError for what is no name of an environment variable.

  Args:
    name: of the variable with the key; '' where none is needed.
    field: the config field that it comes from.
  """
  if name and not re.fullmatch('[A-Z_][A-Z0-9_]*', name):
    # Not shown: somebody may have put the key itself there.
    raise errors.PastaError(
      f"config field '{field}' is not the name of an environment variable in "
      "capitals, such as 'PASTA_CHAT_KEY'"
    )


_CHECKS = {'base_url': check_address, 'key_env': check_variable}


def check_config(config: Mapping[str, Any], prefix: str = '') -> None:
  """Raises PastaError if a config holds a key where it should name its place.

  Args:
    config: nested dicts.
    prefix: of its fields' names in messages.
  """
  for name, value in config.items():
    if isinstance(value, Mapping):
      check_config(value, f'{prefix}{name}.')
    elif name in _CHECKS and isinstance(value, str):
      _CHECKS[name](value, prefix + name)
