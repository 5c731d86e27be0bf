"""Samples of Pick-a-Filter become examples, or are skipped."""

import json
import os
import zipfile
import zlib

import data_fuzzing
import numpy as np
import pytest
from filter_files import (
  BUILDER,
  LEFT,
  RIGHT,
  ZIP,
  P,
  everything,
  only,
  pickled,
  sample,
  zipped,
)
from torch_goldens import golden

from configs import prepare_data as data_config
from data import base, prepare_data, read
from data.pick_a_filter import fake_files
from pasta import errors


def test_samples_of_all_makes_become_examples(tmp_path):
  names = ['float32', 'bfloat16', 'shared', 'tensor_y', 'int_user', 'uuid']
  names += ['numpy', 'gzip', 'strided']
  zipped(tmp_path, {f'a/b/{i}.joblib': golden(n) for i, n in enumerate(names)})
  # The last one's right image is shorter than its left one.
  *good, bad = everything(tmp_path)['train']
  assert [k for k, _ in good] == [str(i) for i in range(8)]
  found = dict(zip(names, (e for _, e in good)))
  for example in found.values():
    for name in ('prompt', 'image_left', 'image_right'):
      assert example[name].dtype == np.float16 and example[name].shape == (4,)
  for name in ('float32', 'bfloat16', 'gzip', 'uuid'):
    np.testing.assert_array_equal(found[name]['prompt'], P)
    np.testing.assert_array_equal(found[name]['image_left'], LEFT)
    np.testing.assert_array_equal(found[name]['image_right'], RIGHT)
  # y = 1: the right image is preferred.
  assert {n: e['preferred_left'] for n, e in found.items()} == {
    **dict.fromkeys(found, 0.0),
    'tensor_y': 1.0,
  }
  assert found['int_user']['user_id'] == '12345678901'
  assert found['shared']['user_id'] == 'u'
  assert isinstance(bad, base.Skipped)
  assert bad.key == f'{ZIP}, a/b/8.joblib'
  assert bad.reason == (
    'prompt, left and right image have features of [4, 4, 3] numbers'
  )


@pytest.mark.parametrize(
  'change, reason',
  [
    (
      {'p': np.array([0, np.nan, 0, 0], np.float32)},
      'prompt holds what is not',
    ),
    (
      {'left': np.array([0, 7e4, 0, 0], np.float32)},
      'left image holds what is',
    ),
    ({'right': RIGHT[:3]}, r'features of \[4, 4, 3\] numbers'),
    ({'right': RIGHT[:0]}, r'right image has shape \(0,\), expected a vector'),
    ({'p': 'a prompt'}, 'prompt is a str, expected a tensor'),
    ({'y': 0}, r'y is 0, expected -1 \(left\) or 1 \(right\)'),
    ({'y': 3}, 'y is 3, expected -1 to 1'),
    ({'y': 'left'}, 'y is a str, expected a number'),
    ({'y': P}, 'y is a ndarray, expected a number'),
    ({'user': ''}, 'user is empty'),
    ({'user': ('a',)}, 'user is a tuple, expected a text'),
  ],
)
def test_samples_that_cannot_be_used_are_skipped(change, reason, tmp_path):
  key, example = only(tmp_path, sample(y=-1, user=12))
  assert (key, example['preferred_left'], example['user_id']) == (
    '1',
    1.0,
    '12',
  )
  found = only(tmp_path, sample(**change))
  assert isinstance(found, base.Skipped)
  assert found.key == f'{ZIP}, 1.joblib'
  with pytest.raises(ValueError, match=reason):
    raise ValueError(found.reason)


def test_other_structures_and_types_are_skipped(tmp_path):
  for value in (
    5,
    (((('7', P, (LEFT, RIGHT)), 1),)),
    ((('7', P, (LEFT, RIGHT, P)), 1), 5),
    ((('7', P, LEFT), 1), 5),
  ):
    found = only(tmp_path, fake_files.joblib_bytes(value))
    assert found.reason == 'is no (((user, prompt, (left, right)), y), id)'
  found = only(tmp_path, pickled([[]]))
  assert found.reason.startswith('is no (((user')
  whole = golden('float32').replace(b'FloatStorage', b'IntStorage', 1)
  assert isinstance(only(tmp_path, whole), base.Skipped)


def refusal(raw, **options):
  with pytest.raises(errors.PastaError) as found:
    everything(raw, **options)
  return str(found.value)


def test_zip_files_that_cannot_be_used_are_refused(tmp_path):
  zipped(tmp_path, {'0.joblib': sample(), '1.joblib': sample(P[:2], P[:2])})
  wide = sample(p=P[:2], left=P[:2], right=P[:2])
  zipped(tmp_path, {'0.joblib': sample(), '1.joblib': wide})
  message = refusal(tmp_path)
  assert (
    f'{ZIP}: 1.joblib has features of 2 numbers, the first sample of 4'
    in (message)
  )
  zipped(tmp_path, {'a/1.joblib': sample(), 'b/1.joblib': sample()})
  assert 'a/1.joblib and b/1.joblib have the same ranking id' in refusal(
    tmp_path
  )
  zipped(tmp_path, {'train_ranking_ids.pt': b'', '.joblib': b''})
  assert 'holds no RANKING_ID.joblib, but' in refusal(tmp_path)
  zipped(tmp_path, {f'{i}.joblib': b'x' for i in range(30)})
  message = refusal(tmp_path)
  assert 'none of its first 20 samples can be used; 0.joblib: ' in message
  zipped(tmp_path, {'0.joblib': sample()})
  path = tmp_path / ZIP
  data = bytearray(path.read_bytes())
  data[data.index(b'PK\1\2') + 8] |= 1
  path.write_bytes(data)
  assert "'0.joblib' is encrypted" in refusal(tmp_path)
  path.write_bytes(b'PK')
  assert f'{ZIP}: not a complete zip file (2 bytes)' in refusal(tmp_path)
  os.rename(path, tmp_path / 'paf_0.2_mix_ratio.zip')
  assert (
    'neither paf_1.0_mix_ratio.zip nor a folder paf_1.0_mix_ratio, found '
    "paf_0.2_mix_ratio.zip; config field 'options.mix_ratio'"
  ) in refusal(tmp_path)
  for ratio in ('0', '1.5', '../0.4', 0.4):
    assert "'options.mix_ratio' is" in refusal(tmp_path, mix_ratio=ratio)


def test_large_and_damaged_members_are_skipped(tmp_path):
  assert (
    'more than the 33554432 bytes' in only(tmp_path, bytes(40 << 20)).reason
  )
  bomb = zlib.compress(bytes(40 << 20))
  assert 'at most 33554432 are read' in only(tmp_path, bomb).reason
  zipped(tmp_path, {'0.joblib': sample(), '1.joblib': sample()})
  data = bytearray((tmp_path / ZIP).read_bytes())
  start = data.rindex(b'PK\3\4')
  data[start + 80 : start + 90] = bytes(10)
  (tmp_path / ZIP).write_bytes(data)
  _, found = everything(tmp_path)['train']
  assert "'1.joblib' cannot be read" in found.reason


def test_lists_of_ranking_ids_make_splits(tmp_path):
  raw = str(tmp_path)
  fake_files.write(raw, 12)
  (tmp_path / 'train.pt').write_bytes(golden('zip_list'))
  (tmp_path / 'val.json').write_text(json.dumps(['10', 9, '2']))
  (tmp_path / 'test.txt').write_text('0\n11\n')
  lists = {
    'train_ids': 'train.pt',
    'validation_ids': 'val.json',
    'test_ids': 'test.txt',
  }
  found = everything(raw, **lists)
  keys = {split: [k for k, _ in items] for split, items in found.items()}
  assert keys == {
    'train': ['1', '3', '4'],
    'validation': ['2', '9', '10'],
    'test': ['0', '11'],
  }
  every = everything(raw)
  assert list(every) == ['train']
  assert [k for k, _ in every['train']] == [str(i) for i in range(12)]
  for name in ('legacy_i32', 'legacy_tensors', 'legacy_str', 'zip_np'):
    (tmp_path / 'train.pt').write_bytes(golden(name))
    only_train = everything(raw, train_ids='train.pt')
    assert [k for k, _ in only_train['train']] == keys['train']

  def message(text, file='x.json'):
    (tmp_path / file).write_text(text)
    return refusal(raw, **{**lists, 'test_ids': file})

  assert '2 of 3 ranking ids have no sample in' in message('[1, 12, "x"]')
  assert "e.g. ['12', 'x']" in message('[1, 12, "x"]')
  assert "ranking id '3' stands in train.pt already" in message('[3]')
  assert "ranking id '0' stands in x.json already" in message('[0, 0]')
  assert 'is no list of ranking ids, or is empty' in message('[]')
  assert 'is no list of ranking ids, or is empty' in message('{"a": 1}')
  assert 'x.json: is no JSON' in message('[1')
  assert 'x.json: entry 1 is a float' in message('[0, 1.5]')
  assert 'ends in .pt, .json or .txt' in message('0', 'x.csv')
  assert 'x.pt: ' in message('0', 'x.pt')
  for outside in ('../x.pt', '/etc/passwd'):
    found = refusal(raw, train_ids=outside)
    assert (
      "'options.train_ids' is" in found and 'expected a path within' in found
    )
  assert 'none.pt: cannot be read: No such file' in refusal(
    raw, train_ids='none.pt'
  )


def test_a_folder_is_read_as_the_zip_file_is(tmp_path):
  raw = str(tmp_path)
  fake_files.write(raw, 12)
  expected = everything(raw)['train']
  with zipfile.ZipFile(tmp_path / ZIP) as f:
    f.extractall(raw)
  os.remove(tmp_path / ZIP)
  found = everything(raw)['train']
  assert [k for k, _ in found] == [k for k, _ in expected]
  for (_, a), (_, b) in zip(found, expected):
    np.testing.assert_equal(a, b)
  first = BUILDER.units(raw, BUILDER.default_options())['train'][0].name
  os.remove(tmp_path / 'paf_1.0_mix_ratio' / '11.joblib')
  # A restart has to notice.
  assert first != BUILDER.units(raw, BUILDER.default_options())['train'][0].name


def test_a_prepared_set_has_features_and_one_ratio(tmp_path):
  raw, root = str(tmp_path / 'raw'), str(tmp_path / 'run')
  fake_files.write(raw, 30, width=8)
  fake_files.write(raw, 30, width=8, mix_ratio='0.4')
  config = data_config.get_config('pick_a_filter')
  config.num_workers = 1
  prepare_data.run(config, root, raw)
  directory = prepare_data.prepared_directory('pick_a_filter', '', root)
  stored = list(read.Prepared(directory).examples('train', 0))
  made = everything(raw)['train']
  assert len(stored) == len(made) == 30
  for example, (_, expected) in zip(stored, made):
    left, right = BUILDER.images(example)
    (item,) = BUILDER.observations(example, 'train')
    for found, name in (
      (item.prompt, 'prompt'),
      (left, 'image_left'),
      (right, 'image_right'),
    ):
      assert isinstance(found, bytes)
      np.testing.assert_array_equal(np.frombuffer(found, '<f2'), expected[name])
    assert item.user_id == expected['user_id']
    assert item.feedback == expected['preferred_left']
    assert item.columns == ((0,), (1,))
  assert {x['preferred_left'] for _, x in made} == {0.0, 1.0}
  config.options.mix_ratio = '0.4'
  with pytest.raises(errors.PastaError, match="'options.mix_ratio' is"):
    prepare_data.run(config, root, raw)


def test_fake_people_are_of_two_groups(tmp_path):
  fake_files.write(tmp_path, 500, num_users=10)
  wanted = np.zeros((10, 16))
  for _, example in everything(tmp_path)['train']:
    difference = example['image_left'] - example['image_right'].astype(float)
    sign = 2 * example['preferred_left'] - 1
    wanted[int(example['user_id'])] += sign * difference
  # What people differ in most is their group.
  wanted -= wanted.mean(0)
  side = wanted @ np.linalg.svd(wanted)[2][0] > 0
  assert side[0] != side[1]
  np.testing.assert_array_equal(side, np.tile(side[:2], 5))


def test_damaged_members_end_in_samples_or_skips(tmp_path):
  names = ['float32', 'shared', 'numpy', 'gzip', 'uuid']
  members = {'0.joblib': sample()}
  for name in names:
    for content in data_fuzzing.mutations(golden(name), 20):
      members[f'{len(members)}.joblib'] = content
  # One byte only, which gets further.
  rng = np.random.default_rng(0)
  for name in names:
    for _ in range(60):
      content = bytearray(golden(name))
      content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
      members[f'{len(members)}.joblib'] = bytes(content)
  zipped(tmp_path, members)
  found = everything(tmp_path)['train']
  skipped = [x for x in found if isinstance(x, base.Skipped)]
  assert len(found) == len(members)
  assert 150 < len(skipped) < len(found)
  assert all(x.reason and len(x.reason) < 500 for x in skipped)
