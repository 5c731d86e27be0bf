"""Labels that are missing or of several types are found; the rest stay."""

import numpy as np
import pytest

from pasta import errors, labels


class NAType:
  """Stands for pandas' NA, which is equal to nothing."""

  def __eq__(self, other):
    return self

  def __bool__(self):
    raise TypeError('boolean value of NA is ambiguous')

  __hash__ = None


@pytest.mark.parametrize(
  'values',
  [
    ['a', 'b', 'a'],
    [1, 2, 1],
    [1, np.int64(2), np.int32(1)],
    np.array(['2026-01-01', '2026-01-02'], 'M8[D]'),
    np.array(['x', 'y'], object),
    [('a', 1), ('a', 2)],
  ],
)
def test_good_labels_stay_as_they_are(values):
  found = labels.check(values, 'user')
  assert [*found] == [*values]


@pytest.mark.parametrize(
  'missing',
  [None, float('nan'), np.float32('nan'), NAType(), '', ' ', 'nan', 'None'],
)
@pytest.mark.parametrize('others', [['a', 'b', 'c'], [1, 2, 3]])
def test_a_missing_label_is_named_with_its_row(missing, others):
  with pytest.raises(errors.PastaError, match='user of row 2 is missing'):
    labels.check([*others[:2], missing, others[2]], 'user')


@pytest.mark.parametrize(
  'array',
  [
    np.array([0, 0, np.nan]),
    np.array(['a', 'b', '<NA>']),
    np.array(['2026-01-01', '2026-01-02', 'NaT'], 'M8[D]'),
  ],
)
def test_so_is_one_in_an_array(array):
  with pytest.raises(errors.PastaError, match='user of row 2 is missing'):
    labels.check(array, 'user')


@pytest.mark.parametrize('values', [[1, '1'], ['a', 2], [1, 1.0], [True, 1]])
def test_labels_of_two_types_are_refused(values):
  with pytest.raises(errors.PastaError, match='user of row 1 is a .*row 0'):
    labels.check(values, 'user')
  with pytest.raises(errors.PastaError, match='user of row 1 is a .*row 0'):
    labels.check(np.array(values, object), 'user')
