"""The error for bad input, which a user is shown as one line."""

from collections.abc import Collection
from typing import Any


class PastaError(ValueError):
  """Input that cannot be used: a flag, a config field, a file or its content.

  The message is one line that names the flag, field or file, says what it
  holds and what was expected. `launch.cli` prints it without a traceback.
  """


def check_known(what: str, value: Any, known: Collection) -> None:
  """Raises PastaError unless a value is one of those that are known."""
  if value not in known:
    raise PastaError(f'{what} is {value!r}, expected one of {known}')


def check_least(values: Any, what: str = '{}', **least: float) -> None:
  """Raises PastaError for the first field that is too small, or NaN.

  Args:
    values: a config or settings, with the fields.
    what: how the message names a field, such as "config field '{}'".
    **least: what each field has to be at least.
  """
  for field, low in least.items():
    value = getattr(values, field)
    if not value >= low:
      raise PastaError(
        f'{what.format(field)} is {value}, expected at least {low}'
      )
