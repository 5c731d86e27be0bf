"""The drawing: every value shows, nothing depends on hidden state."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from pasta.t2i.sketch import (
  accents,
  backgrounds,
  draw,
  lexicon,
  palettes,
  shapes,
  styles,
  subjects,
)

_PLAIN = {
  'subject': 'cottage',
  'setting': 'meadow',
  'style': 'flat',
  'palette': 'vivid',
  'light': 'day',
  'composition': 'framed',
  'weather': 'clear',
  'accent': 'alone',
}


def _names(slot: str) -> list[str]:
  return [v.name for v in lexicon.SLOTS[slot]]


def _scene(**names: str) -> np.ndarray:
  names = {**_PLAIN, **names}
  return np.array([_names(s).index(names[s]) for s in lexicon.SLOTS], np.int8)


def _draw(seed=1, size=64, look='sketch', **names) -> np.ndarray:
  return draw.draw_scene(_scene(**names), seed, size, look)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
  """Mean absolute difference, grey levels of 255."""
  return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize('slot', list(lexicon.SLOTS))
def test_any_two_values_of_a_slot_differ_visibly(slot):
  images = {n: _draw(**{slot: n}) for n in _names(slot)}
  for a, b in itertools.combinations(images, 2):
    assert _distance(images[a], images[b]) > 1.5, (a, b)


@pytest.mark.parametrize('look', draw.LOOKS)
@pytest.mark.parametrize('style', _names('style'))
def test_styles_hold_up_at_every_light_and_weather(style, look):
  for light, weather in zip(
    _names('light'), itertools.cycle(_names('weather'))
  ):
    image = _draw(style=style, light=light, weather=weather, look=look)
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    assert image.std() > 8, (light, weather)


def test_looks_differ():
  for style in _names('style'):
    a, b = (_draw(style=style, look=look) for look in draw.LOOKS)
    assert _distance(a, b) > 8, style


def test_black_and_white_has_no_colour():
  image = _draw(palette='mono', style='oil').astype(int)
  # A trace of the hour's tint stays.
  assert (image.max(-1) - image.min(-1)).mean() < 8
  vivid = _draw(palette='vivid', style='oil').astype(int)
  assert (vivid.max(-1) - vivid.min(-1)).mean() > 60


def test_cool_is_blue_and_warm_is_red():
  cool, warm = (_draw(palette=p).mean((0, 1)) for p in ('cool', 'warm'))
  assert cool[2] > cool[0] + 20
  assert warm[0] > warm[2] + 20


def test_night_is_darker_than_day():
  for palette in _names('palette'):
    day, night = (
      _draw(palette=palette, light=light).mean() for light in ('day', 'night')
    )
    assert night < day - 20, palette


def test_pixel_art_is_made_of_blocks():
  image = _draw(style='pixel_art')
  blocks = image.reshape(32, 2, 32, 2, 3)
  assert (blocks == blocks[:, :1, :, :1]).all()


def test_a_drawing_depends_on_its_arguments_only():
  first = _draw(seed=9, style='watercolor', accent='birds')
  _draw(seed=3, style='oil', accent='birds', composition='wide')
  again = _draw(seed=9, style='watercolor', accent='birds')
  np.testing.assert_array_equal(first, again)
  assert _distance(first, _draw(seed=10, style='watercolor')) > 1.0


def test_every_seed_and_size_works():
  for size in (32, 33, 100):
    assert _draw(size=size, seed=2**64 - 1).shape == (size, size, 3)


def test_large_and_small_drawings_show_the_same():
  small = _draw(seed=4, composition='close_up')
  large = _draw(seed=4, composition='close_up', size=128)
  halved = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
  assert _distance(small, halved) < 5


def test_all_values_have_a_drawing():
  assert set(backgrounds.DRAW) == set(_names('setting'))
  assert set(styles.DRAW) == set(_names('style'))
  assert set(accents.DRAW) | {'alone'} == set(_names('accent'))
  for i in range(len(lexicon.SUBJECTS)):
    figure = subjects.figure(i)
    assert np.abs(figure.points).max() < 1.7
    low, high = palettes.SUBJECT_RANGE
    lit = range(palettes.MATERIAL['sun'], low)
    assert all(low <= m < high or m in lit for m, _, _ in figure.spans)


def test_line_is_as_wide_as_asked():
  s = shapes.Shapes()
  s.line('sun', 0.2, (0.0, 0.5), (1.0, 0.5))
  # A horizontal stroke of width 0.2 around y = 0.5.
  np.testing.assert_allclose(
    np.sort(s.figure().points[:, 1]), [0.4, 0.4, 0.6, 0.6], atol=1e-6
  )


def test_smooth_passes_through_its_points():
  corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
  curve = shapes.smooth(corners, closed=True, steps=4)
  np.testing.assert_allclose(curve[::4], corners, atol=1e-12)


def test_workers_need_no_jax():
  code = (
    'import sys; import pasta.t2i.sketch.sketch; '
    'print("jax" in sys.modules, "scipy" in sys.modules)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert done.stdout.split() == ['False', 'False']
