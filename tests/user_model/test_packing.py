"""Batches of whole people."""

import jax
import numpy as np
import pytest

from pasta import errors
from pasta.user_model import packing

COUNTS = np.array([3, 1, 7, 2, 2, 5, 1, 4, 6, 2])


def make(counts=COUNTS, **changes):
  settings = {
    'max_observations': 5,
    'batch_users': 4,
    'batch_observations': 11,
    **changes,
  }
  first = np.concatenate([[0], np.cumsum(counts)])
  users = np.arange(len(counts), dtype=np.int32) + 100
  return packing.Packer(first, users, jax.random.key(0), **settings), first


def people_of(plan, first):
  """Real people of a plan, after checking that they are whole."""
  rows = plan.row[plan.is_real]
  groups = plan.group[plan.is_real]
  assert (np.diff(plan.group) >= 0).all()
  found = []
  for group in np.unique(groups):
    mine = rows[groups == group]
    person = plan.user[group] - 100
    assert len(mine) == min(first[person + 1] - first[person], 5)
    assert (np.diff(mine) == 1).all()
    assert first[person] <= mine[0] and mine[-1] < first[person + 1]
    found.append(person)
  return found


def test_an_epoch_holds_everybody_once_and_whole():
  packer, first = make()
  steps = packer.steps_per_epoch()
  seen = []
  for step in range(steps):
    plan = packer(step)
    assert plan.row.shape == (11,) and plan.user.shape == (4,)
    seen += people_of(plan, first)
  assert len(seen) == len(set(seen))
  # A last batch that is far from full is left out, nobody else.
  assert set(seen) <= set(range(10)) and len(seen) >= 8
  again, _ = make()
  jax.tree.map(
    np.testing.assert_array_equal, again(steps + 2), packer(steps + 2)
  )


def test_long_people_show_other_stretches():
  packer, first = make(np.array([40]), batch_observations=5, batch_users=1)
  begins = {int(packer(step).row[0]) for step in range(30)}
  assert len(begins) > 5 and max(begins) <= 35


def test_devices_share_a_batch_of_whole_people():
  one, first = make()
  many, _ = make(num_devices=3)
  for step in range(6):
    split = many(step)
    parts = [jax.tree.map(lambda x, i=i: x[i], split) for i in range(3)]
    found = [p for part in parts for p in people_of(part, first)]
    assert found == people_of(one(step), first)


def test_too_small_a_batch_is_refused():
  with pytest.raises(errors.PastaError, match='sources.x.batch_observations'):
    make(batch_observations=3, name='x')
  with pytest.raises(errors.PastaError, match='max_observations is 0'):
    make(max_observations=0)
