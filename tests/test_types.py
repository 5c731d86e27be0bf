"""What the parts say to each other."""

import numpy as np

from pasta import types


def test_screen_position_by_hand():
  # The screen shows entries 2, 0, 3, 1: entry 2 first, entry 1 last.
  columns = np.array([[2, 0, 3, 1], [0, 1, 2, 3], [-1, -1, -1, -1]])
  expected = [[2 / 3, 0, 1, 1 / 3], [1, 2 / 3, 1 / 3, 0], [0, 0, 0, 0]]
  found = types.screen_position(columns)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  assert found.dtype == np.float32
  np.testing.assert_array_equal(types.screen_position(np.array([0])), [1.0])
