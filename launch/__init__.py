"""Launch scripts, one a stage: `python -m launch.STAGE --config=... `.

Importing this package checks that `pasta` is this project's package: the
distribution google-pasta installs a module of the same name, which would
otherwise fail much later and much less clearly.
"""

import importlib.util
import os


def _check_pasta():
  """Exits with one line where `import pasta` would find something else."""
  root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
  expected = os.path.join(root, 'pasta')
  spec = importlib.util.find_spec('pasta')
  locations = list(spec.submodule_search_locations or ()) if spec else []
  found = os.path.realpath(locations[0]) if locations else None
  if found == expected and os.path.isfile(os.path.join(found, 'errors.py')):
    return
  if spec is None:
    raise SystemExit(
      f'error: no module pasta; expected {expected}: run '
      f"`pip install -e '.[all]'` in {root}"
    )
  raise SystemExit(
    f'error: found another module called pasta at {found or spec.origin} '
    f'(google-pasta installs one), expected {expected}: run '
    '`pip uninstall google-pasta`, or start from a clean environment'
  )


_check_pasta()
