"""Sessions of planted types for the user model's tests."""

import planted_world
import pytest


@pytest.fixture(scope='session')
def small_features():
  """60 people, 3 planted types, D = 16."""
  world = planted_world.make_world(num_types=3, dim=16)
  return planted_world.sample_sessions(world, 60, 1, num_turns=3)
