"""The error for bad input, which a user is shown as one line."""


class PastaError(ValueError):
  """Input that cannot be used: a flag, a config field, a file or its content.

  The message is one line that names the flag, field or file, says what it
  holds and what was expected. `launch.cli` prints it without a traceback.
  """
