"""Seeds from labels."""

import numpy as np

from pasta import seeds


def test_batch_does_not_matter():
  roots = np.arange(100, dtype=np.uint64)
  whole = seeds.derive(roots, 'a', 3)
  np.testing.assert_array_equal(whole[37], seeds.derive(37, 'a', 3))


def test_every_label_matters():
  base = seeds.derive(5, 'a', 3)
  others = [
    seeds.derive(6, 'a', 3),
    seeds.derive(5, 'b', 3),
    seeds.derive(5, 'a', 4),
    seeds.derive(5, 3, 'a'),
    seeds.derive(5, 'a'),
  ]
  assert len({int(x) for x in [base, *others]}) == 6


def test_uniform_is_uniform_and_independent_of_order():
  u = seeds.uniform(np.arange(20000), 'x')
  assert abs(u.mean() - 0.5) < 0.01
  assert abs(u.var() - 1 / 12) < 0.003
  assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.03
  assert 0 < u.min() and u.max() < 1


def test_gumbel_and_normal_moments():
  g = seeds.gumbel(np.arange(50000), 'x')
  # Mean: Euler's constant 0.5772; variance: π²/6 = 1.6449.
  assert abs(g.mean() - 0.5772) < 0.03 and abs(g.var() - 1.6449) < 0.08
  n = seeds.normal(np.arange(50000), 'x')
  assert abs(n.mean()) < 0.02 and abs(n.std() - 1) < 0.02
