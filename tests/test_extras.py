"""The core works without the extras, and says which one is missing."""

import ast
import pathlib
import subprocess
import sys

import pytest

from pasta import extras

_ROOT = pathlib.Path(__file__).resolve().parent.parent

# What a process sees in which none of the extras' packages is installed.
_CORE = """
import importlib.abc, sys

from pasta import extras

class Blocked(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in extras.EXTRAS:
      raise ModuleNotFoundError(f'No module named {name!r}', name=name)

for name in extras.EXTRAS:
  assert not [m for m in sys.modules if m.split('.')[0] == name], name
sys.meta_path.insert(0, Blocked())
extras.importlib.util.find_spec = lambda name: None
"""
_USE = """
import jax
import numpy as np

import pasta
from pasta import latent_class
from pasta.agent import expected_selection, policies
from pasta.user_model import belief, heads

rng = np.random.default_rng(0)
features = rng.normal(size=(40, 3, 2))
user = np.repeat(np.arange(10), 4)
taste = np.where(user < 5, 4.0, -4.0)
choice = (taste[:, None] * features[..., 0]).argmax(1)
fit = latent_class.fit(features, choice, user, num_types=2)
print(len(fit.model.log_prior))
columns = rng.standard_normal((50, 6)), rng.standard_normal((50, 2, 6))
model = heads.init_model(
  jax.random.key(0), heads.HeadSettings(num_types=3, embedding_dim=6), [columns]
)
print(belief.initial(model, 2).log_types.shape)
response = expected_selection.learned(model)
agent = pasta.Agent(
  model, policies.greedy_slate(2, response), images_per_prompt=2
)
session = agent.begin('a wood', features=np.ones(6))
agent.propose(session, ['a wood', 'a lake', 'a hill'], rng.normal(size=(3, 6)))
answer = pasta.Feedback(choice=1, image_features=rng.normal(size=(2, 2, 6)))
print(agent.observe(session, answer).shape)
"""


def _core(code):
  return subprocess.run(
    [sys.executable, '-c', _CORE + code],
    capture_output=True,
    text=True,
    check=False,
    cwd=_ROOT,
  )


def test_the_core_needs_no_extra():
  result = _core(_USE)
  assert result.returncode == 0, result.stderr
  assert result.stdout.split('\n')[:3] == ['2', '(2, 3)', '(3,)']


@pytest.mark.parametrize(
  ('module', 'message'),
  [
    ('pasta.encoders.clip', "PIL is not installed: pip install 'pasta-t2i[t2i"),
    ('pasta.gemma.model', 'huggingface_hub is not installed: pip install'),
    ('pasta.report.build', 'PIL is not installed: pip install'),
    ('data.read', 'PIL is not installed: pip install'),
  ],
)
def test_what_needs_one_names_it(module, message):
  result = _core(f'import {module}')
  last = result.stderr.strip().splitlines()[-1]
  assert last.startswith(f'pasta.extras.MissingPackage: {message}')


def test_setup_has_what_the_code_names():
  tree = ast.parse((_ROOT / 'setup.py').read_text())
  (parts,) = (
    ast.literal_eval(node.value)
    for node in tree.body
    if isinstance(node, ast.Assign) and node.targets[0].id == '_PARTS'
  )
  names = {
    need.split('>')[0].replace('-', '_').replace('pillow', 'PIL')
    for part in parts.values()
    for need in part
  }
  assert names == set(extras.EXTRAS)
  for package, extra in extras.EXTRAS.items():
    assert any(
      need.lower()
      .replace('-', '_')
      .replace('pillow', 'pil')
      .startswith(package.lower())
      for need in parts[extra]
    )
