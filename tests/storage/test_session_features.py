"""Feature shards: round trip, selection, and what is refused."""

import dataclasses

import numpy as np
import pytest

from pasta import errors
from pasta.storage import session_features as features_lib


def make_features(num: int = 3, dim: int = 4) -> features_lib.SessionFeatures:
  rng = np.random.default_rng(0)

  def array(*shape):
    return rng.standard_normal((num, *shape)).astype(np.float16)

  return features_lib.SessionFeatures(
    session_id=tuple(f's{i}' for i in range(num)),
    user_id=tuple(f'u{i}' for i in range(num)),
    initial_text=array(dim),
    slate_text=array(5, 4, dim),
    slate_image=array(5, 4, 2, dim),
    slate_category=np.zeros((num, 5, 4), np.int8),
    choice=np.zeros((num, 5), np.int8),
    satisfaction=np.full((num, 5), 0.5, np.float32),
    comparison=np.zeros((num, 5), np.int8),
    encoder_id='e',
    t2i_id='t',
  )


def assert_equal(a, b):
  for field in dataclasses.fields(a):
    np.testing.assert_array_equal(
      getattr(a, field.name), getattr(b, field.name)
    )


def test_round_trip_and_join(tmp_path):
  one, two = make_features(3), make_features(2)
  features_lib.save(str(tmp_path / '00000.npz'), one)
  features_lib.save(str(tmp_path / '00001.npz'), two)
  joined = features_lib.load_dir(str(tmp_path))
  assert len(joined) == 5
  assert_equal(joined.select(np.arange(3)), one)
  assert_equal(joined.select(np.array([3, 4])), two)


def with_order(num: int = 3, seed: int = 3) -> features_lib.SessionFeatures:
  rng = np.random.default_rng(seed)
  order = np.argsort(rng.random((num, 5, 4)), -1).astype(np.int8)
  order[:, 4] = -1
  return dataclasses.replace(make_features(num), columns=order)


def test_on_screen_orders_round_trip_and_join(tmp_path):
  one = with_order(3)
  features_lib.save(str(tmp_path / '00000.npz'), one)
  # An older file: it has no orders.
  features_lib.save(str(tmp_path / '00001.npz'), make_features(2))
  assert features_lib.load(str(tmp_path / '00001.npz')).columns is None
  joined = features_lib.load_dir(str(tmp_path))
  assert_equal(joined.select(np.arange(3)), one)
  assert (joined.columns[3:] == -1).all()


@pytest.mark.parametrize('order', [[0, 1, 1, 2], [-1, 0, 1, 2], [1, 2, 3, 4]])
def test_broken_on_screen_order_names_the_session(order):
  bad = with_order()
  bad.columns[1, 2] = order
  with pytest.raises(errors.PastaError, match='columns of session s1 are'):
    features_lib.check(bad)


def test_not_finite_names_the_session():
  bad = make_features()
  bad.slate_image[1, 2, 0, 0, 0] = np.nan
  with pytest.raises(errors.PastaError, match='slate_image of session s1'):
    features_lib.check(bad)


def test_choice_outside_the_slate_names_the_session():
  bad = make_features()
  bad.choice[2, 0] = 4
  with pytest.raises(errors.PastaError, match='session s2 chose outside'):
    features_lib.check(bad)


@pytest.mark.parametrize(
  'field,value',
  [
    ('satisfaction', 7.0),
    ('satisfaction', np.inf),
    ('satisfaction', -0.1),
    ('comparison', 2),
    ('comparison', -3),
  ],
)
def test_answers_out_of_range_name_the_session(field, value):
  features = make_features()
  getattr(features, field)[1, 0] = value
  with pytest.raises(errors.PastaError, match=f'{field} of session s1 is'):
    features_lib.check(features)


def test_wrong_shape_is_named():
  bad = dataclasses.replace(make_features(), choice=np.zeros((3, 4), np.int8))
  with pytest.raises(errors.PastaError, match='choice has T = 4, others 5'):
    features_lib.check(bad)


def test_two_encoders_do_not_mix():
  other = dataclasses.replace(make_features(), encoder_id='other')
  with pytest.raises(errors.PastaError, match='two encoders: e and other'):
    features_lib.concatenate([make_features(), other])


@pytest.mark.parametrize('size', [0, 10, 2000])
def test_truncated_file_is_named(tmp_path, size):
  path = tmp_path / '00000.npz'
  features_lib.save(str(path), make_features())
  path.write_bytes(path.read_bytes()[:size])
  with pytest.raises(errors.PastaError, match='00000.npz: not a complete'):
    features_lib.load(str(path))


def test_missing_and_empty_directories(tmp_path):
  with pytest.raises(errors.PastaError, match='no such feature directory'):
    features_lib.load_dir(str(tmp_path / 'none'))
  with pytest.raises(errors.PastaError, match='holds no features'):
    features_lib.load_dir(str(tmp_path))


def with_pool(num: int = 3, size: int = 6) -> features_lib.SessionFeatures:
  rng = np.random.default_rng(1)
  one = make_features(num)
  return dataclasses.replace(
    one,
    generator_id='grammar',
    pool=features_lib.Pool(
      text=rng.standard_normal((num, 5, size, 4)).astype(np.float16),
      category=rng.integers(0, 5, (num, 5, size)).astype(np.int8),
      slate=np.tile(np.arange(4, dtype=np.int16), (num, 5, 1)),
      log_propensity=np.zeros((num, 5), np.float32),
    ),
  )


def test_pools_round_trip_and_join(tmp_path):
  one = with_pool(3)
  two = dataclasses.replace(with_pool(2), generator_id='terse')
  features_lib.save(str(tmp_path / '00000.npz'), one)
  features_lib.save(str(tmp_path / '00001.npz'), two)
  joined = features_lib.load_dir(str(tmp_path))
  assert joined.generator_id == 'grammar + terse'
  for index, part in ((np.arange(3), one), (np.array([3, 4]), two)):
    picked = joined.select(index)
    for field in dataclasses.fields(features_lib.Pool):
      np.testing.assert_array_equal(
        getattr(picked.pool, field.name), getattr(part.pool, field.name)
      )
  # Kept only where all have one.
  assert features_lib.concatenate([one, make_features(2)]).pool is None
  with pytest.raises(errors.PastaError, match=r'different sizes C: \[6, 7\]'):
    features_lib.concatenate([one, with_pool(2, size=7)])


def test_bad_pools_name_the_session(tmp_path):
  bad = with_pool()
  bad.pool.slate[1, 2, 3] = 6
  with pytest.raises(errors.PastaError, match='s1 shows .* its pool of 6'):
    features_lib.check(bad)
  bad = with_pool()
  bad.pool.text[2, 0, 0, 0] = np.inf
  with pytest.raises(errors.PastaError, match='pool_text of session s2'):
    features_lib.check(bad)
  path = str(tmp_path / 'torn.npz')
  features_lib.save(path, with_pool())
  with np.load(path) as shard:
    content = {k: shard[k] for k in shard.files if k != 'pool_slate'}
  features_lib.save_arrays(path, content)
  with pytest.raises(errors.PastaError, match="lacks \\['pool_slate'\\]"):
    features_lib.load(path)
