"""Maps of fields: a wrong one is named."""

import pytest
from release_files import checked, items

from data import base
from data.formats import field_paths
from pasta import errors


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'records': ''}, "'options.records' is empty; the names of this data set"),
    ({'choice': ''}, "'options.choice' is empty"),
    ({'records': '*.xml'}, "'*.xml', but RAW has no such file; of its"),
    ({'records': '*'}, "fits 'release/images/"),
    ({'rows': 'x'}, "'options.rows' is 'x', expected one of"),
    ({'rows': 'turn'}, "'options.turn' is '', expected a path"),
    ({'rows': 'turn', 'turn': 't'}, "'options.turns' is 'turns', expected ''"),
    ({'images': ''}, 'neither of them is given'),
    ({'image_path': 'x'}, 'both of them is given'),
    ({'choice': 'a..b'}, "'options.choice': 'a..b' is no path"),
    ({'choice': 'a]'}, "'options.choice': 'a]' is no path"),
    ({'choice': 'c{column}'}, "'c{column}', expected a path with no braces"),
    ({'prompts': 'p{image}'}, 'expected a path with {column}'),
    ({'prompts': 'p{'}, 'expected a path with {column}'),
    ({'images': 'p{column.x}'}, 'expected a path with {column}'),
    ({'images': 'p{column!r}'}, 'expected a path with {column}'),
    ({'first_index': 2}, "'options.first_index' is 2, expected one of (0, 1)"),
    ({'choice_base': '0'}, "'options.choice_base' is '0', expected a number"),
    ({'prompts': 7}, "'options.prompts' is 7, expected a text"),
    ({'satisfaction_low': 5.0}, 'expected another number than the high one'),
    ({'satisfaction_low': float('nan')}, 'expected a finite number'),
    ({'comparison_same': 'better'}, 'another text than the other two'),
    ({'category_names': 'a=b'}, "'options.category_names' is 'a=b', expected"),
    ({'turns': 'no'}, "'options.turns' is 'no', which the first record of"),
    ({'turns': 'id'}, "'options.turns' is 'id', which the first record of"),
    ({'session_id': 'sid'}, "'options.session_id' is 'sid', which the first"),
    ({'user_id': 'rater.x'}, "'options.user_id' is 'rater.x', which the first"),
    ({'prompts': 'columns[].text'}, "['columns', 'columns[]', 'columns[].pro"),
    ({'images': 'columns[].images[].x'}, "'options.images' is"),
    ({'choice': 'columns[0].choice'}, "'options.choice' is"),
    ({'critique': 'words'}, "'words', which none of the first 5 sessions"),
    ({'choice': 'rating'}, 'turn 1: choice is 4, expected 0 to 3'),
    ({'choice': 'columns'}, 'fits none of the first sessions, e.g. release/'),
    ({'images_folder': ''}, 'fits none of the first sessions'),
    ({'images_cut': 'x/'}, "does not begin with images_cut = 'x/'"),
    ({'flat_images': 'row'}, 'images has 4 entries, expected 16'),
    ({'choice_is': 'flags'}, 'choice is'),
    ({'turns': ''}, "'options.prompts' is"),
  ],
)
def test_a_wrong_map_is_named(changes, message, layouts):
  raw = layouts['session', False]
  with pytest.raises(errors.PastaError) as found:
    items(raw, checked('session', **changes))
  assert message.replace('RAW', raw) in str(found.value)
  assert len(str(found.value)) < 2500


@pytest.mark.parametrize(
  'path',
  [
    'x.png',
    '{session_id}/{turn}/{column}.png',
    '{session_id}/{column}/{image}',
    '{session_id}/{turn}/{column}_{image}_{x}',
    '{session_id.x}/{turn}/{column}_{image}',
    '{session_id:d}/{turn}/{column}_{image}',
    '{session_id}/{turn}/{column}_{image',
  ],
)
def test_wrong_paths_of_images_are_named(path):
  with pytest.raises(errors.PastaError, match="'options.image_path' is"):
    checked('turn', image_path=path)


def test_wrong_bases_are_no_silent_shift(layouts):
  for layout, changes in (
    ('turn', {'turn_base': 1}),
    ('csv', {'turn_base': 0}),
    ('csv', {'first_index': 0}),
    ('turn', {'first_index': 1}),
  ):
    with pytest.raises(errors.PastaError):
      items(layouts[layout, False], checked(layout, **changes))
  found = items(layouts['csv', False], checked('csv', choice_base=0))
  reasons = [x.reason for x in found if isinstance(x, base.Skipped)]
  assert reasons and all('choice is 4, expected 0 to 3' in r for r in reasons)


def test_paths_to_fields():
  record = {
    'a': [{'b': 1}, {}, {'b': [3, 4]}],
    'c.d': 5,
    'c': {'d': 6},
    'e': '{"f": [1, "[2, 3]"]}',
    'g': "['x', None]",
  }
  for text, value, known in (
    ('a[].b', [1, None, [3, 4]], True),
    ('a[2].b[1]', 4, True),
    ('a[9].b', None, False),
    ('a[].x', [None] * 3, False),
    ('a.b', None, False),
    ('c.d', 5, True),
    ('e.f[]', [1, '[2, 3]'], True),
    ('e.f[1][]', [2, 3], True),
    ('g[0]', 'x', True),
    ('z', None, False),
  ):
    assert field_paths.find(record, field_paths.parse(text)) == (value, known)
  for text in ('', '.', 'a.', 'a[', 'a[x]', '[]', 'a[]b', 'a[-1]'):
    with pytest.raises(ValueError, match='is no path to a field'):
      field_paths.parse(text)
