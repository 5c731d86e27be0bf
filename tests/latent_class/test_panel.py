"""Tables of choices in long and wide format become the same arrays."""

import csv

import numpy as np
import pytest

from pasta import errors, latent_class

# Two people; bo's second set lacks the bus, and sets are numbered by person.
LONG = {
  'who': ['bo', 'bo', 'bo', 'bo', 'bo', 'al', 'al', 'al'],
  'set': [1, 1, 1, 2, 2, 1, 1, 1],
  'mode': ['car', 'bus', 'rail', 'rail', 'car', 'car', 'bus', 'rail'],
  'chosen': [0, 1, 0, 1, 0, 0, 0, 1],
  'price': [3.0, 1.0, 2.0, 2.5, 3.5, 3.0, 1.5, 2.0],
}
WIDE = {
  'who': ['bo', 'bo', 'al'],
  'chosen': ['bus', 'rail', 'rail'],
  'price_bus': [1.0, 0.0, 1.5],
  'price_car': [3.0, 3.5, 3.0],
  'price_rail': [2.0, 2.5, 2.0],
  'has_bus': [1, 0, 1],
  'one': [1, 1, 1],
}
NAMES = {
  'user': 'who',
  'choice_set': 'set',
  'alternative': 'mode',
  'chosen': 'chosen',
  'features': ['price'],
}


def changed(**columns):
  return {**{k: list(v) for k, v in LONG.items()}, **columns}


def put(name, row, value):
  table = changed()
  table[name][row] = value
  return table


def test_long_by_hand():
  panel = latent_class.from_long(LONG, **NAMES)
  assert panel.alternatives == ('bus', 'car', 'rail')
  assert panel.names == ('price',)
  np.testing.assert_array_equal(panel.user, ['bo', 'bo', 'al'])
  np.testing.assert_array_equal(panel.choice, [0, 2, 2])
  np.testing.assert_array_equal(
    panel.features[..., 0], [[1, 3, 2], [0, 3.5, 2.5], [1.5, 3, 2]]
  )
  np.testing.assert_array_equal(
    panel.available, [[True] * 3, [False, True, True], [True] * 3]
  )


def test_wide_and_a_csv_file_give_the_same(tmp_path):
  path = tmp_path / 'long.csv'
  with open(path, 'w', newline='', encoding='utf-8') as f:
    writer = csv.writer(f)
    writer.writerow(LONG)
    writer.writerows(zip(*LONG.values()))
  expected = latent_class.from_long(LONG, constants=True, **NAMES)
  assert expected.names == ('price', 'constant car', 'constant rail')
  np.testing.assert_array_equal(
    expected.features[1, :, 1:], [[0, 0], [1, 0], [0, 1]]
  )
  read = latent_class.from_long(path, constants=True, **NAMES)
  wide = latent_class.from_wide(
    WIDE,
    user='who',
    chosen='chosen',
    alternatives=['bus', 'car', 'rail'],
    features={'price': ['price_bus', 'price_car', 'price_rail']},
    available=['has_bus', 'one', 'one'],
    constants=True,
  )
  for found in (read, wide):
    assert found.names == expected.names
    for one, other in zip(found.data, expected.data):
      np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
  'table, message',
  [
    ({k: v for k, v in LONG.items() if k != 'who'}, "'who', expected one of"),
    (put('who', 3, None), "'who' of row 3 is missing"),
    (put('set', 3, float('nan')), "'set' of row 3 is missing"),
    (put('mode', 1, 'car'), "'mode' of row 0, car, stands twice"),
    (put('chosen', 0, 1), 'set 1 of bo .row 0. 2 alternatives were chosen'),
    (put('chosen', 7, 0), 'set 1 of al .row 5. 0 alternatives were chosen'),
    (put('chosen', 2, 0.5), "'chosen' of row 2 is 0.5"),
    (put('price', 4, 'dear'), "'price' of row 4 is 'dear'"),
    (put('price', 4, float('inf')), "'price' of row 4 is inf"),
    (changed(price=[1.0]), r"'price' has shape \(1,\), expected \(8,\)"),
    ({k: [] for k in LONG}, 'has no rows'),
  ],
)
def test_bad_tables_are_named(table, message):
  with pytest.raises(errors.PastaError, match=message):
    latent_class.from_long(table, **NAMES)


@pytest.mark.parametrize(
  'content, message',
  [
    (b'', 'has no rows'),
    (b'who,set\n', 'has no rows'),
    (b'who,who\na,b\n', "names 'who' twice"),
    (b'who,set\na\n', 'row 0 has 1 fields, the header 2'),
    (b'who,set\n\xff,1\n', 'cannot be read as CSV'),
    (None, 'cannot be read as CSV'),
  ],
)
def test_bad_files_are_named(tmp_path, content, message):
  path = tmp_path / 'a.csv'
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(errors.PastaError, match=f'a.csv: .*{message}'):
    latent_class.from_long(path, **NAMES)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'alternatives': ['bus', 'car']}, "row 1 is 'rail', expected one of"),
    ({'features': {'price': ['price_bus']}}, 'expected 3 columns'),
    ({'available': ['price_bus', 'one', 'one']}, "'price_bus' of row 2 is 1.5"),
  ],
)
def test_bad_wide_tables_are_named(changes, message):
  names = {
    'user': 'who',
    'chosen': 'chosen',
    'alternatives': ['bus', 'car', 'rail'],
    'features': {'price': ['price_bus', 'price_car', 'price_rail']},
  }
  with pytest.raises(errors.PastaError, match=message):
    latent_class.from_wide(WIDE, **{**names, **changes})
