"""Tables that somebody brings: what is taken, skipped and refused."""

import csv
import io
import json
import math
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import prepare_data as data_config
from data import base, fake_images, prepare_data, read
from data.own import cells, propose, table
from pasta import errors

_PICTURE = fake_images.Picture((0.5, 0.2, 0.1), 7)
_OTHER = fake_images.Picture((0.1, 0.2, 0.9), 8)
A, B = fake_images.png(_PICTURE, 8), fake_images.png(_OTHER, 8)


def rows(num=12, **changes):
  return [
    {
      'person': f'p{i % 4}',
      'prompt': 'a fox',
      'image_a': A,
      'image_b': B,
      'chosen': 'a',
      **{k: v(i) for k, v in changes.items()},
    }
    for i in range(num)
  ]


def parquet(path, found):
  pq.write_table(pa.Table.from_pylist(found), path)
  return str(path)


def lines(path, found):
  path.write_text(''.join(json.dumps(r) + '\n' for r in found))
  return str(path)


def prepare(raw, root, kind='pairs', fields=None, share=0.0, **options):
  """Prepares a table; returns all examples by split, and the counts."""
  config = data_config.get_config(kind)
  config.num_workers, config.max_skipped_share = 1, share
  config.fields.update(fields or {})
  config.options.update(options)
  prepare_data.run(config, str(root), raw)
  directory = prepare_data.prepared_directory(kind, '', str(root))
  prepared = read.Prepared(directory)
  with open(f'{directory}/prepare_data.done.json', encoding='utf-8') as f:
    info = json.load(f)['info']
  return {
    split: [e for i in range(len(s)) for e in prepared.examples(split, i)]
    for split, s in prepared.shards.items()
  }, info


def refusal(raw, root, kind='pairs', **options):
  with pytest.raises(errors.PastaError) as found:
    prepare(raw, root, kind, **options)
  assert '\n' not in str(found.value)
  assert not os.path.exists(f'{root}/data/{kind}/1.0.0/dataset_info.json')
  return str(found.value)


def test_people_are_split_and_nobody_is_on_both_sides(tmp_path):
  raw = parquet(tmp_path / 't.parquet', rows(40))
  found, info = prepare(raw, tmp_path / 'w', test_share=0.25)
  people = {s: {e['person'] for e in x} for s, x in found.items()}
  assert len(people['test']) == 1 and len(people['train']) == 3
  assert not people['test'] & people['train']
  assert info['num_examples'] == {'test': 10, 'train': 30}
  example = found['train'][0]
  assert list(example['images']) == [A, B] and example['feedback'] == 1


def test_formats_and_ways_to_give_an_image_agree(tmp_path):
  for name, image in (('a.png', A), ('b.png', B)):
    (tmp_path / 'pics').mkdir(exist_ok=True)
    (tmp_path / 'pics' / name).write_bytes(image)
  by_path = rows(image_a=lambda i: 'pics/a.png', image_b=lambda i: 'pics/b.png')
  absolute = rows(
    image_a=lambda i: str(tmp_path / 'pics' / 'a.png'),
    image_b=lambda i: 'pics/b.png',
  )
  wrapped = rows(
    image_a=lambda i: {'bytes': A, 'path': 'x.png'},
    image_b=lambda i: {'bytes': None, 'path': 'pics/b.png'},
  )
  file = io.StringIO()
  writer = csv.DictWriter(file, by_path[0])
  writer.writeheader()
  writer.writerows(by_path)
  (tmp_path / 't.csv').write_text('\ufeff' + file.getvalue(), encoding='utf-8')
  nested = [{'user': {'id': r.pop('person')}, **r} for r in rows(0) + absolute]
  raws = {
    parquet(tmp_path / 'bytes.parquet', rows()): {},
    parquet(tmp_path / 'wrapped.parquet', wrapped): {},
    str(tmp_path / 't.csv'): {},
    lines(tmp_path / 'nested.jsonl', nested): {'person': 'user.id'},
  }
  found = []
  for i, (raw, fields) in enumerate(raws.items()):
    examples, _ = prepare(raw, tmp_path / f'w{i}', fields=fields)
    found.append(
      [
        (e['person'], e['prompt'], float(e['feedback']), list(e['images']))
        for split in ('train', 'test')
        for e in examples[split]
      ]
    )
  assert found[0] == found[1] == found[2] == found[3]


def test_several_files_by_pattern_and_folder_of_images(tmp_path):
  (tmp_path / 'pics').mkdir()
  (tmp_path / 'pics' / 'a.png').write_bytes(A)
  found = rows(image_a=lambda i: 'a.png', image_b=lambda i: 'a.png')
  for i in range(2):
    lines(tmp_path / f't{i}.jsonl', found)
  lines(tmp_path / 'else.jsonl', [{'x': 1}])
  examples, _ = prepare(
    str(tmp_path / 't*.jsonl'),
    tmp_path / 'w',
    image_folder=str(tmp_path / 'pics'),
  )
  assert sum(map(len, examples.values())) == 24
  assert "has no column 'person'" in refusal(str(tmp_path), tmp_path / 'w2')
  both = refusal(str(tmp_path / 't*'), tmp_path / 'w3', files='t0.jsonl')
  assert 'both name files' in both


def test_without_ids_every_row_is_somebody(tmp_path, caplog):
  raw = parquet(tmp_path / 't.parquet', rows(20))
  found, _ = prepare(raw, tmp_path / 'w', fields={'person': ''})
  assert len(found['test']) == 4 and len(found['train']) == 16
  cls = base.builder_class('pairs')
  (said,) = cls.observations(found['train'][0], 'train')
  assert said.user_id is None
  assert 'every row is a person of its own' in caplog.text
  message = refusal(raw, tmp_path / 'r', 'ratings', fields={'person': ''})
  assert "'fields.person' is empty" in message


@pytest.mark.parametrize(
  'value, expected',
  [
    (None, 'row 5: .* is None, expected an id'),
    ('', "row 5: .* is '', expected an id"),
    (math.nan, 'row 5: .*expected an id'),
    ('NaN', "row 5: .* is 'NaN', expected an id"),
    ('null', "row 5: .* is 'null', expected an id"),
    (7, 'row 5: .* holds 7, a whole number, the rows before each a text'),
    (1.5, 'row 5: .* is 1.5, expected a text or a whole number'),
    (True, 'row 5: .* is True, expected a text or a whole number'),
    ([1], 'row 5: .*is a list, expected a text'),
  ],
)
def test_what_is_no_id_is_refused_by_its_row(tmp_path, value, expected):
  found = rows(
    person=lambda i: value if i == 5 else f'p{i % 4}',
    image_a=lambda i: 'a.png',
    image_b=lambda i: 'a.png',
  )
  message = refusal(lines(tmp_path / 't.jsonl', found), tmp_path / 'w')
  assert re.search(expected, message), message
  assert 't.jsonl' in message


def test_whole_numbers_with_a_missing_one_are_refused_too(tmp_path):
  ids = pa.array([1.0, 2.0, None, 1.0] * 3)
  found = pa.Table.from_pylist(rows()).drop_columns(['person'])
  pq.write_table(found.append_column('person', ids), tmp_path / 't.parquet')
  message = refusal(str(tmp_path / 't.parquet'), tmp_path / 'w')
  assert 't.parquet, row 2' in message
  ids = pa.array([1.0, 2.0, 3.0, 1.0] * 3)
  pq.write_table(found.append_column('person', ids), tmp_path / 't.parquet')
  examples, _ = prepare(str(tmp_path / 't.parquet'), tmp_path / 'w')
  people = {e['person'] for x in examples.values() for e in x}
  assert people == {b'1', b'2', b'3'}


def test_columns_are_looked_up_and_named_once(tmp_path):
  raw = parquet(tmp_path / 't.parquet', rows())

  def message(**fields):
    return refusal(raw, tmp_path / 'w', fields=fields)

  found = message(person='persons')
  assert "no column 'persons' (config field 'fields.person')" in found
  assert "did you mean 'person'?" in found
  found = message(image_b='image_a')
  assert "'fields.image_a' and 'fields.image_b' both name" in found
  assert "'fields.chosen' is empty" in message(chosen='')
  assert 'one of them is empty' in message(image_a_id='prompt')


def test_bad_rows_are_counted_by_reason(tmp_path):
  def chosen(i):
    return {1: 'c', 2: 'd', 3: None, 4: 7}.get(i, 'b')

  raw = lines(
    tmp_path / 't.jsonl',
    rows(
      40, chosen=chosen, image_a=lambda i: 'a.png', image_b=lambda i: 'a.png'
    ),
  )
  assert 'holds no record' in refusal(raw, tmp_path / 'w', share=1.0)
  assert not os.path.exists(tmp_path / 'w' / 'data' / 'pairs' / '1.0.0')
  none = refusal(raw, tmp_path / 'w', share=0.5)
  assert re.search(r'none of \d+ records can be used; t.jsonl, row', none)
  (tmp_path / 'a.png').write_bytes(A)
  many = refusal(raw, tmp_path / 'w', share=0.01)
  assert '4 of 40 records are broken' in many and "chosen is 'd'" in many
  _, info = prepare(raw, tmp_path / 'w', share=0.2)
  assert info['num_skipped'] == 4
  assert sorted(info['skipped_by_reason'].values()) == [1, 1, 2]


@pytest.mark.parametrize(
  'name, content, expected',
  [
    ('t.csv', b'', 'is empty'),
    ('t.csv', b'person,prompt\n', 'holds no row'),
    ('t.csv', b'person,prompt\nann\n', 'has 1 cells, expected 2'),
    ('t.csv', 'person\né'.encode('latin-1'), "can't decode"),
    ('t.csv', b'person,person\na,b\n', "two columns have the name 'person'"),
    ('t.jsonl', b'', 'expected JSON objects'),
    ('t.jsonl', b'{"person": "a"}\n{"pers', 'found at byte 16 no object'),
    ('t.parquet', b'', 'not a complete parquet file'),
    ('t.parquet', b'PAR1 cut', 'not a complete parquet file'),
    ('t.txt', b'person', 'expected a file that ends in .json'),
  ],
)
def test_damaged_files_are_one_line(tmp_path, name, content, expected):
  (tmp_path / name).write_bytes(content)
  message = refusal(str(tmp_path / name), tmp_path / 'w')
  assert name in message and expected in message
  assert 'does not exist' in refusal(str(tmp_path / 'no'), tmp_path / 'w')
  assert 'no file there fits' in refusal(str(tmp_path / '*.x'), tmp_path / 'w')


def test_a_changed_file_is_refused_in_the_same_workdir(tmp_path):
  raw = parquet(tmp_path / 't.parquet', rows())
  prepare(raw, tmp_path / 'w')
  prepare(raw, tmp_path / 'w')
  parquet(tmp_path / 't.parquet', rows(13))
  with pytest.raises(errors.PastaError, match='other inputs than there are'):
    prepare(raw, tmp_path / 'w')


def test_an_image_id_stands_for_one_image(tmp_path):
  ids = {'image_a_id': lambda i: 'x', 'image_b_id': lambda i: f'y{i}'}
  fields = {f: f for f in ids}
  raw = parquet(tmp_path / 't.parquet', rows(**ids))
  found, _ = prepare(raw, tmp_path / 'w', fields=fields)
  (said,) = base.builder_class('pairs').observations(found['train'][0], 'train')
  assert said.extra['image_uid_0'] == 'x'
  ids['image_a'] = lambda i: B if i == 9 else A
  raw = parquet(tmp_path / 'u.parquet', rows(**ids))
  message = refusal(raw, tmp_path / 'v', fields=fields)
  assert "u.parquet, row 9: the image id 'x' stands for another" in message
  assert 'u.parquet, row 0' in message


def features(num=12, **changes):
  found = rows(
    num,
    prompt=lambda i: [0.0, 1.0],
    image_a=lambda i: [1.0, 0.5],
    image_b=lambda i: [0.25, -1],
    **changes,
  )
  return found


def test_ready_features_are_taken_as_they_are(tmp_path):
  raw = lines(tmp_path / 't.jsonl', features())
  given = {'fields': {'prompt_features': 'prompt'}, 'encoder_id': 'mine'}
  found, _ = prepare(raw, tmp_path / 'w', **given)
  cls = base.builder_class('pairs')
  images = cls.images(found['train'][0])
  assert [np.frombuffer(x, '<f2').tolist() for x in images] == [
    [1, 0.5],
    [0.25, -1],
  ]
  (said,) = cls.observations(found['train'][0], 'train')
  assert np.frombuffer(said.prompt, '<f2').tolist() == [0, 1]
  message = refusal(raw, tmp_path / 'v', fields={'prompt': ''})
  assert "name who made them in config field 'options.encoder_id'" in message
  for bad, reason in (
    ([1.0, 2.0, 3.0], 'image_b has … numbers, the first row has …'),
    ([1.0, 1e9], 'image_b holds what is not finite in float16'),
    ([1.0, 'x'], 'image_b holds what is no number'),
    ('a.png', 'image_b is a str, expected a list of numbers, as … is set'),
    (None, 'image_b is missing, expected a list of numbers, as … is set'),
  ):
    broken = features()
    broken[3]['image_b'] = bad
    raw = lines(tmp_path / 'u.jsonl', broken)
    where = tmp_path / f'u{len(os.listdir(tmp_path))}'
    _, info = prepare(raw, where, share=0.2, **given)
    assert info['skipped_by_reason'] == {reason: 1}
  message = refusal(raw, tmp_path / 'x', encoder_id='mine')
  assert "'fields.prompt_features' is empty" in message


@pytest.mark.parametrize(
  'value, first_index, expected',
  [
    *(('a', 0, 1.0), ('Right', 0, 0.0), ('tie', 0, 0.5)),
    *((0, 0, 1.0), (1, 0, 0.0), ('1', 0, 0.0), (1, 1, 1.0), (2, 1, 0.0)),
    *(('y.png', 0, 0.0), (1.0, 0, 0.0)),
    *(
      (2, 0, 'numbers count from'),
      (0, 1, 'counts?t? from'),
      (0.5, 0, 'is 0.5'),
    ),
    *((True, 0, 'is a flag'), (None, 0, 'missing'), ('z', 0, "is 'z'")),
  ],
)
def test_which_of_two_was_chosen(value, first_index, expected):
  def side():
    names = ['x.png', 'y.png']
    return cells.preferred_side(value, 'chosen', first_index, names)

  if isinstance(expected, float):
    assert side() == expected
  else:
    with pytest.raises(ValueError, match=expected):
      side()


def test_slates_in_lists_or_columns_of_any_length(tmp_path):
  for name, image in (('a.png', A), ('b.png', B)):
    (tmp_path / name).write_bytes(image)
  found = [
    {'person': f'p{i % 3}', 'prompt': 'x', 'images': images, 'chosen': chosen}
    for i in range(9)
    for images, chosen in (
      [(['a.png', 'b.png'], 'b.png')],
      [(['a.png', 'b.png', 'a.png'], 2)],
    )[i % 2]
  ]
  examples, _ = prepare(
    lines(tmp_path / 't.jsonl', found), tmp_path / 'w', 'slates'
  )
  cls = base.builder_class('slates')
  said = [
    o for e in examples['train'] for o in cls.observations(e, 'train')
  ]  # fmt: skip
  assert {(len(o.columns), o.feedback) for o in said} == {(2, 1), (3, 2)}
  wide = [
    {'person': f'p{i}', 'i1': 'a.png', 'i2': 'b.png', 'pick': 1 + i % 2}
    for i in range(6)
  ]
  fields = {'images': 'i1,i2', 'chosen': 'pick', 'prompt': ''}
  raw = lines(tmp_path / 'u.jsonl', wide)
  examples, _ = prepare(
    raw, tmp_path / 'v', 'slates', fields=fields, first_index=1
  )
  chosen = [float(e['feedback']) for x in examples.values() for e in x]
  assert sorted(chosen) == [0, 0, 0, 1, 1, 1]
  message = refusal(raw, tmp_path / 'u', 'slates', fields=fields, share=0.1)
  assert "numbers count from 'options.first_index'" in message


def test_one_person_alone_cannot_be_split(tmp_path):
  raw = parquet(tmp_path / 't.parquet', rows(person=lambda i: 'ann'))
  assert "'ann' is the only person" in refusal(raw, tmp_path / 'w')
  message = refusal(raw, tmp_path / 'w', test_share=1.0)
  assert "'options.test_share' is 1.0" in message


def proposed(found):
  columns = {c: [r.get(c) for r in found] for c in found[0]}
  return propose.guess(columns)


def test_columns_are_guessed_and_doubts_are_said():
  found = proposed(rows())
  assert found.kind == 'pairs' and not found.options and not found.doubts
  assert found.fields['person'] == 'person'
  foreign = [
    {'Rater ID': i, 'img_1': 'x.PNG', 'img_2': 'y.jpg', 'winner': 1 + i % 2}
    for i in range(4)
  ]
  found = proposed(foreign)
  assert found.fields['image_a'] == 'img_1'
  assert found.fields['person'] == 'Rater ID'
  assert found.options == {'first_index': 1}
  assert any('fields.prompt: no column' in d for d in found.doubts)
  found = proposed(features())
  assert found.options['encoder_id'] == 'NAME_OF_ENCODER'
  assert any('prompt_features' in d for d in found.doubts)
  found = proposed([{'image': 'x.png', 'stars': 3, 'user': 'ann'}])
  assert (found.kind, found.fields['rating']) == ('ratings', 'stars')
  found = proposed([{'options': ['x.png', 'y.png'], 'choice': 1}])
  assert (found.kind, found.fields['images']) == ('slates', 'options')
  assert any('fields.person: no column' in d for d in found.doubts)
  assert proposed([{'a': 1, 'b': 'x'}]) is None


def test_an_ambiguous_label_is_said_to_be_one():
  for values, is_preference, num_doubts in (
    ((0.0, 1.0, 0.5), True, 0),
    ((True, False, True), True, 0),
    ((0, 1, 1), True, 1),
  ):
    found = [{**r, 'label': v} for r, v in zip(rows(3), values)]
    for row in found:
      del row['chosen']
    guess = proposed(found)
    assert (guess.options.get('chosen_is') == 'preference') == is_preference
    assert len(guess.doubts) == num_doubts
  found = proposed(rows(chosen=lambda i: i % 2))
  assert not found.options and 'add --config.options' in found.doubts[0]


def test_locating_what_raw_names(tmp_path):
  (tmp_path / 'a[1].csv').write_text('x\n1\n')
  directory, pattern = table.locate(str(tmp_path / 'a[1].csv'))
  assert table.find_files(directory, pattern) == ['a[1].csv']
  assert table.locate(str(tmp_path)) == (str(tmp_path), '')
  (tmp_path / 'in').mkdir()
  (tmp_path / 'in' / 'b.csv').write_text('x\n1\n')
  directory, pattern = table.locate(str(tmp_path / '*' / '*.csv'))
  assert table.find_files(directory, pattern) == ['in/b.csv']
  with pytest.raises(errors.PastaError, match='no file there fits'):
    table.find_files(str(tmp_path / 'in'), '../a*.csv')
