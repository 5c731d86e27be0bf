"""Packages beyond the core, and the extra of `pip install` that brings each.

A package of pasta that needs some says so where it begins. setup.py has the
same names, and a test holds the two together.
"""

import importlib.util

from pasta import errors

EXTRAS = {
  'PIL': 't2i',
  'array_record': 'data',
  'diffusers': 't2i',
  'grain': 'data',
  'httpx': 't2i',
  'huggingface_hub': 't2i',
  'importlib_resources': 'data',
  'jinja2': 'report',
  'matplotlib': 'report',
  'pyarrow': 'data',
  'tensorboardX': 'report',
  'tensorflow_datasets': 'data',
  'transformers': 't2i',
}


class MissingPackage(errors.PastaError, ImportError):
  """A package is not installed that an extra of pasta brings."""


def require(*packages: str) -> None:
  """Raises MissingPackage for the first package that is not installed."""
  for package in packages:
    if importlib.util.find_spec(package) is None:
      raise MissingPackage(
        f'{package} is not installed: pip install '
        f"'pasta-t2i[{EXTRAS[package]}]', or [all] for everything"
      )
