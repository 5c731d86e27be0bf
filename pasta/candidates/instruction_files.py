"""What language models are told, in text files that a person can edit.

`$name` marks what is filled in, `$$` a dollar sign. A directory of one's own
replaces the one that is shipped.
"""

import dataclasses
import hashlib
import os
import string
from collections.abc import Mapping, Sequence

from pasta import errors
from pasta.types import CATEGORIES

SHIPPED = os.path.join(os.path.dirname(__file__), 'instructions')
CATEGORIES_FILE = 'categories.txt'


@dataclasses.dataclass(frozen=True)
class Files:
  """The instruction files of one generator, read.

  Attributes:
    directory: where they lie.
    texts: their contents by name.
  """

  directory: str
  texts: Mapping[str, str]

  @property
  def digest(self) -> str:
    """Stands for all texts, eight hexadecimal digits."""
    joined = '\0'.join(self.texts.values())
    return hashlib.sha256(joined.encode()).hexdigest()[:8]

  def check_placeholders(
    self, known: Mapping[str, set[str]], required: Sequence[str]
  ) -> None:
    """Checks what templates refer to.

    Args:
      known: per file that is a template, the names that it may refer to.
      required: names that one of these files must refer to.

    Raises:
      PastaError: a placeholder is unknown or missing.
    """
    used = set()
    for name, names in known.items():
      used |= _placeholders(self._path(name), self.texts[name], names)
    missing = [f'${name}' for name in required if name not in used]
    if missing:
      who = ' nor '.join(known)
      verb = 'refers' if len(known) > 1 else 'does not refer'
      raise errors.PastaError(
        f'{self.directory}: {"neither " * (len(known) > 1)}{who} {verb} to '
        + ', '.join(missing)
      )

  def categories(self) -> dict[str, str]:
    """Per category, in the file's order, what it is.

    Raises:
      PastaError: the file does not describe each of types.CATEGORIES once, as
        `name: description` lines.
    """
    path = self._path(CATEGORIES_FILE)
    described = {}
    for line in self.texts[CATEGORIES_FILE].splitlines():
      if not line.strip():
        continue
      name, colon, description = (part.strip() for part in line.partition(':'))
      if name not in CATEGORIES or not colon or not description:
        raise errors.PastaError(
          f'{path}: the line {line!r} is not "category: description" with one '
          f'of {", ".join(CATEGORIES)}'
        )
      if name in described:
        raise errors.PastaError(f'{path}: describes {name} twice')
      described[name] = description
    for name in CATEGORIES:
      if name not in described:
        raise errors.PastaError(f'{path}: does not describe {name}')
    return described

  def _path(self, name: str) -> str:
    return os.path.join(self.directory, name)


def read(directory: str, names: Sequence[str], field: str) -> Files:
  """Reads instruction files.

  Args:
    directory: holds them; '' for the shipped ones.
    names: of the files.
    field: the config field that names the directory, for errors.

  Raises:
    PastaError: a file is missing, empty or not text.
  """
  directory = directory or SHIPPED
  texts = {}
  for name in names:
    path = os.path.join(directory, name)
    try:
      with open(path, encoding='utf-8') as f:
        texts[name] = f.read()
    except OSError as e:
      raise errors.PastaError(
        f'{path}: cannot be read: {e.strerror}; {field!r} names a directory '
        f'with {", ".join(names)}'
      ) from e
    except UnicodeDecodeError as e:
      raise errors.PastaError(f'{path}: is not UTF-8: {e}') from e
    if not texts[name].strip():
      raise errors.PastaError(f'{path}: is empty')
  return Files(directory, texts)


def _placeholders(path: str, text: str, known: set[str]) -> set[str]:
  """The names that a template refers to."""
  template = string.Template(text)
  if not template.is_valid():
    raise errors.PastaError(
      f'{path}: a $ begins no placeholder; write $$ for a dollar sign'
    )
  names = set(template.get_identifiers())
  for name in sorted(names - known):
    raise errors.PastaError(
      f'{path}: refers to ${name}, expected one of '
      + ', '.join(f'${n}' for n in sorted(known))
    )
  return names
