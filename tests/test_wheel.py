"""What `pip install` of this project brings, away from the clone."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_SOURCES = ('pasta', 'launch', 'configs', 'data')
_FILES = ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE')

_USE = """
import numpy as np

import pasta
from pasta import latent_class
from pasta.encoders import clip

print(pasta.__file__)
rng = np.random.default_rng(0)
features = rng.normal(size=(40, 3, 2))
user = np.repeat(np.arange(10), 4)
taste = np.where(user < 5, 4.0, -4.0)
choice = (taste[:, None] * features[..., 0]).argmax(1)
fit = latent_class.fit(features, choice, user, num_types=2)
print(fit.responsibilities.argmax(1).tolist())
encoder = clip.ClipEncoder.load('sketch-clip')
pictures = rng.integers(256, size=(1, 64, 64, 3), dtype=np.uint8)
print(np.asarray(encoder.encode_images(pictures)).shape[0])
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  # Of a copy: a build leaves build/ behind, whose files the next one takes up.
  source = tmp_path_factory.mktemp('clone')
  for name in _SOURCES:
    shutil.copytree(
      _ROOT / name,
      source / name,
      ignore=shutil.ignore_patterns('__pycache__'),
    )
  for name in _FILES:
    shutil.copy(_ROOT / name, source)
  result = subprocess.run(
    [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-index']
    + ['--no-build-isolation', '--quiet', '--wheel-dir=dist', '.'],
    cwd=source,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  (path,) = (source / 'dist').glob('*.whl')
  return path


def test_it_holds_all_of_pasta_and_nothing_else(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  top = {name.split('/')[0] for name in names}
  (info,) = (name for name in top if name.endswith('.dist-info'))
  assert top == {'pasta', info}
  files = {
    str(path.relative_to(_ROOT))
    for path in (_ROOT / 'pasta').rglob('*')
    if path.is_file()
    and '__pycache__' not in path.parts
    and (
      path.suffix not in ('.md', '.png') or path.parent.name == 'sketch_clip'
    )
  }
  assert {name for name in names if name.startswith('pasta/')} == files
  assert 'pasta/py.typed' in files


def test_it_works_away_from_the_clone(wheel, tmp_path):
  # As `pip install --target` does it for a wheel without scripts. Before all
  # other places, so before the clone where that is installed, too.
  target = tmp_path / 'site'
  zipfile.ZipFile(wheel).extractall(target)
  (tmp_path / 'use.py').write_text(
    f'import sys\nsys.path.insert(0, {str(target)!r})\n{_USE}'
  )
  # -I: neither the working directory nor PYTHONPATH counts.
  result = subprocess.run(
    [sys.executable, '-I', 'use.py'],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  file, types, num = result.stdout.splitlines()
  assert file == str(target / 'pasta' / '__init__.py')
  # Planted: the first five people like what the others do not.
  assert types in (f'{[0] * 5 + [1] * 5}', f'{[1] * 5 + [0] * 5}')
  assert num == '1'
