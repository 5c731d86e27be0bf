"""A text-to-image model of one's own: CONTRIBUTING's example, its faults."""

import pathlib
import re
import sys

import numpy as np
import pytest

from configs import common
from pasta import errors
from pasta.t2i import own
from pasta.world import world as world_lib

_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_PROMPTS = [f'a fox {i}' for i in range(20)]
_SEEDS = np.arange(20, dtype=np.uint64)


def example(number: int) -> str:
  """A block of Python in CONTRIBUTING.md."""
  text = (_ROOT / 'CONTRIBUTING.md').read_text()
  return re.findall(r'```python\n(.*?)```', text, re.DOTALL)[number]


@pytest.fixture
def module(tmp_path, monkeypatch):
  """Writes stripes.py, with replacements, to where it can be imported."""
  monkeypatch.syspath_prepend(tmp_path)
  yield lambda *pairs: _write(tmp_path, pairs)
  sys.modules.pop('stripes', None)


def _write(directory, pairs):
  text = example(0)
  for old, new in pairs:
    assert old in text
    text = text.replace(old, new)
  (directory / 'stripes.py').write_text(text)
  sys.modules.pop('stripes', None)


def world(**fields):
  config = common.world()
  config.t2i.name = 'stripes:Stripes'
  config.t2i.size, config.t2i.num_workers = 32, 0
  for name, value in fields.items():
    config.t2i[name] = value
  return world_lib.World(config)


def test_the_example_draws_in_this_process_and_in_workers(module, tmp_path):
  module()
  made = world(arguments='{"num_stripes": 2}')
  images = made.t2i.generate(_PROMPTS, _SEEDS, 2)
  assert images.shape == (20, 2, 32, 32, 3) and images.dtype == np.uint8
  assert len(np.unique(images[0, 0].reshape(-1, 3), axis=0)) == 2
  pooled = world(arguments='{"num_stripes": 2}', num_workers=2)
  np.testing.assert_array_equal(
    pooled.t2i.generate(_PROMPTS, _SEEDS, 2), images
  )
  pooled.close()
  assert made.t2i_at(64).generate(['x'], _SEEDS[:1], 1).shape[2] == 64
  with pytest.raises(errors.PastaError, match='scene attributes.*Stripes'):
    made.scenes(_PROMPTS, _SEEDS, 1)
  made.close()


def test_fewer_than_no_workers_are_refused(module):
  module()
  with pytest.raises(errors.PastaError, match='num_workers is -1, expected'):
    own.Own('stripes:Stripes', 32, '', -1, ())


def test_a_store_knows_class_and_arguments(module, tmp_path):
  module()
  for arguments, num_made in (
    ('', 2),
    ('', 0),
    ('{"num_stripes": 6}', 2),
    ('{ "num_stripes":6 }', 0),
  ):
    made = world(arguments=arguments, store=str(tmp_path / 'store'))
    features = made.image_features(['a fox'], _SEEDS[:1], 2)
    assert np.isfinite(features).all()
    assert made.num_images_made == num_made
    made.close()
  expected = 'stripes:Stripes{"num_stripes":6}/stripes-v1@32'
  assert made.t2i.model_id == expected


@pytest.mark.parametrize(
  'old, new, message',
  [
    ('def generate(', 'def draw(', "no method 'generate', expected generate"),
    ('self.model_id = ', 'self.name = ', "None as its attribute 'model_id'"),
    ('= size  #', '= 32.0  #', "32.0 as its attribute 'image_size'"),
    ('return images', 'return images[0]', r'returned uint8 \[1, 32, 32, 3\]'),
    (
      'return images',
      'return images * np.nan',
      r'generate returned float64 \[2, 1, 32, 32, 3\] with NaN, expected uint8',
    ),
    ('return images', 'return None', 'generate returned object'),
    ('return images', 'return 1 / 0', 'generate failed: ZeroDivisionError'),
    ('import zlib', 'import nosuch', "needs 'nosuch', which is not installed"),
    ('import zlib', 'x = (', 'import of stripes fails: SyntaxError'),
    ('class Stripes', 'class Other', "has no class 'Stripes'"),
    ('size, num_', 'pixels, num_', "made with the arguments size: .*'pixels'"),
    ('self._num = ', 'raise OSError("x") #', '__init__ failed: OSError: x'),
  ],
)
def test_what_a_class_does_wrong_is_named(module, old, new, message):
  module((old, new))
  with pytest.raises(errors.PastaError, match=message) as e:
    made = world()
    made.t2i.generate(_PROMPTS[:2], _SEEDS[:2], 1)
  assert 'stripes' in str(e.value) and len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'name': 'nosuch:Model'}, "there is no module 'nosuch' in the working"),
    ({'name': 'sketch:inc'}, "is 'sketch:inc'; expected one of sketch, sk"),
    ({'name': 'a.b:'}, "'t2i.name' is 'a.b:'; expected one of sketch"),
    ({'arguments': '{"steps": 4}'}, "unexpected keyword argument 'steps'"),
    ({'arguments': 'steps=4'}, "'t2i.arguments' is 'steps=4', expected a JSON"),
    ({'arguments': '[4]'}, 'expected a JSON object'),
    ({'arguments': '{"size": 4}'}, "sets 'size', which has a field of its own"),
  ],
)
def test_what_a_config_does_wrong_is_named(module, fields, message):
  module()
  with pytest.raises(errors.PastaError, match=message):
    world(**fields)


def test_scenes_of_ones_own_are_checked(module):
  method = '  def scenes(self, prompts, seeds, images_per_prompt):\n'
  module(('  def close', method + '    return np.zeros(3)\n\n  def close'))
  with pytest.raises(errors.PastaError, match=r'scenes returned float64 \[3\]'):
    world().scenes(_PROMPTS[:2], _SEEDS[:2], 1)
