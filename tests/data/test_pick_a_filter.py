"""Pick-a-Filter, and the reader of pickles that it stands on."""

import json
import os
import pickle
import struct
import time
import uuid
import zipfile
import zlib

import data_fuzzing
import numpy as np
import pytest
from torch_goldens import golden

from configs import prepare_data as data_config
from data import base, prepare_data, read
from data.formats import torch_pickle
from data.pick_a_filter import fake_files
from pasta import errors

BUILDER = base.builder_class('pick_a_filter')
MAX_BYTES = 1 << 20
ZIP = 'paf_1.0_mix_ratio.zip'
P, LEFT, RIGHT = (
  np.array(x, np.float32)
  for x in ([0, 0.5, 1, 1.5], [-1, 0, 1, 2], [0, 2, 4, 6])
)


def sample(user='7', p=P, left=LEFT, right=RIGHT, y=1):
  return fake_files.joblib_bytes((((user, p, (left, right)), y), 5))


def zipped(raw, members, name=ZIP):
  os.makedirs(raw, exist_ok=True)
  with zipfile.ZipFile(os.path.join(raw, name), 'w', 8) as f:
    for member, content in members.items():
      f.writestr(member, content)


def everything(raw, **options):
  """Examples and skips by split."""
  options = BUILDER.check_options(options)
  return {
    split: [x for u in units for x in BUILDER.read(str(raw), u, options)]
    for split, units in BUILDER.units(str(raw), options).items()
  }


def only(raw, content):
  """What becomes of one member, in the company of a good one."""
  zipped(raw, {'0.joblib': sample(), '1.joblib': content})
  _, found = everything(raw)['train']
  return found


@pytest.mark.parametrize(
  'name',
  ['float32', 'float16', 'bfloat16', 'float64', 'protocol_2', 'zlib', 'gzip'],
)
def test_joblib_files_of_tensors_are_read(name):
  value = torch_pickle.load_joblib(golden(name), MAX_BYTES)
  ((user, p, (left, right)), y), ranking_id = value
  assert (user, y, ranking_id) == ('7', 1, 5)
  for found, expected in ((p, P), (left, LEFT), (right, RIGHT)):
    assert found.dtype.name == (name if 'float' in name else 'float32')
    np.testing.assert_array_equal(found.astype(np.float32), expected)
    assert not found.flags.writeable or not found.size


def test_views_share_storages_and_arrays_stand_inline():
  # Of arange(24).reshape(4, 6): column 1, column 2, every other of row 2.
  value = torch_pickle.load_joblib(golden('strided'), MAX_BYTES)
  ((_, p, (left, right)), y), _ = value
  assert [x.tolist() for x in (p, left, right)] == [
    [1, 7, 13, 19],
    [2, 8, 14, 20],
    [12, 14, 16],
  ]
  assert y == -1
  # Of arange(10): 0 to 3, 2 to 5, 6 to 9; y is a tensor without dimensions.
  value = torch_pickle.load_joblib(golden('shared'), MAX_BYTES)
  ((_, p, (left, right)), y), _ = value
  assert np.concatenate([p, left, right]).tolist() == [
    *(0, 1, 2, 3),
    *(2, 3, 4, 5),
    *(6, 7, 8, 9),
  ]
  assert y.shape == () and y == 1
  value = torch_pickle.load_joblib(golden('numpy'), MAX_BYTES)
  ((_, p, (left, right)), y), ranking_id = value
  assert [x.dtype.name for x in (p, left, right)] == [
    *('float32', 'float64', 'float16')
  ]
  assert p.tolist() == left.tolist() == [0, 1, 2, 3]
  assert right.tolist() == [0, 2, 4, 6] and (y, ranking_id) == (1, 'ab')


def test_what_stands_in_a_pickle_once_can_be_referred_to_again():
  array, user = np.arange(6.0).reshape(2, 3).T, uuid.UUID(int=7)
  value = pickled([array, array, array + 1, user, user])
  *arrays, first, second = torch_pickle.load_joblib(value, MAX_BYTES)
  assert first == second == str(user)
  for found, expected in zip(arrays, (array, array, array + 1)):
    np.testing.assert_array_equal(found, expected)
    assert not found.flags.writeable


@pytest.mark.parametrize(
  'name, expected',
  [
    ('zip_list', [3, 1, 4]),
    ('zip_i32', [3, 1, 4]),
    ('zip_np', [3, 1, 4]),
    ('legacy_str', ['3', '1', '4']),
    ('legacy_i32', [3, 1, 4]),
    ('legacy_tensors', [3, 1, 4]),
    ('legacy_two_np', [[3, 1, 4], [4, 2, 5]]),
  ],
)
def test_files_of_torch_save_are_read(name, expected, tmp_path):
  (tmp_path / 'x.pt').write_bytes(golden(name))
  value = torch_pickle.load_torch(str(tmp_path / 'x.pt'), MAX_BYTES)
  assert [x.tolist() if hasattr(x, 'tolist') else x for x in value] == expected


class Calls:
  """Runs a command when it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.system, (f'touch {self.path}',)


@pytest.mark.parametrize('protocol', [2, 4])
def test_pickles_that_call_something_are_refused_and_not_run(
  protocol, tmp_path
):
  made = tmp_path / 'made'
  content = pickle.dumps(Calls(str(made)), protocol)
  pickle.loads(content)
  assert made.exists()  # It would work.
  made.unlink()
  inner = struct.pack('<cI', b'B', len(content)) + content
  nested = b'\x80\x04ctorch.storage\n_load_from_bytes\n' + inner + b'\x85R.'
  (tmp_path / 'x.pt').write_bytes(content)
  with zipfile.ZipFile(tmp_path / 'y.pt', 'w') as f:
    f.writestr('archive/data.pkl', content)
  for load in (
    lambda: torch_pickle.load_joblib(content, MAX_BYTES),
    lambda: torch_pickle.load_joblib(zlib.compress(content), MAX_BYTES),
    lambda: torch_pickle.load_joblib(nested, MAX_BYTES),
    lambda: torch_pickle.load_torch(str(tmp_path / 'x.pt'), MAX_BYTES),
    lambda: torch_pickle.load_torch(str(tmp_path / 'y.pt'), MAX_BYTES),
  ):
    with pytest.raises(
      ValueError, match=r"wants 'posix\.system', which is not"
    ):
      load()
  found = only(tmp_path, content)
  assert isinstance(found, base.Skipped) and 'posix.system' in found.reason
  assert not made.exists()


def pickled(value):
  return pickle.dumps(value, 4)


@pytest.mark.parametrize(
  'content, reason',
  [
    (b'', 'no pickle of protocol 2 or later'),
    (b'\x80\x04', 'damaged pickle'),
    (golden('float32')[:500], 'damaged pickle'),
    (golden('numpy')[:-40], r'cut short within an array|damaged'),
    (golden('float32') + b'x', '1 bytes after its end'),
    (golden('zlib')[:-9], 'compressed and cut short'),
    (golden('zlib') + b'x', 'something after its compressed content'),
    (golden('bz2'), 'compressed by bzip2; only zlib and gzip'),
    (pickled({1, 2}), 'instruction EMPTY_SET, which is not admitted'),
    (pickled({(1, 2): 3}), 'has a tuple as a key'),
    (b'\x80\x04NN.', 'leaves values behind'),
    (b'\x80\x040.', 'instruction POP'),
    (b'\x80\x04\x85.', 'takes more values than there are'),
    (b'\x80\x04N(a.', 'takes more values than there are'),
    (b'\x80\x04h\x07.', 'damaged pickle: .* not found at index 7'),
    (b'\x80\x04N)R.', 'calls a NoneType'),
    (b'\x80\x04cbuiltins\neval\n.', "wants 'builtins.eval'"),
    (b'\x80\x04cnumpy\ndtype\n)R.', 'calls numpy.dtype in a way'),
    (b'\x80\x04]Nb.', 'gives a list a state'),
    (golden('float32').replace(b'K\x04\x85', b'K\x05\x85', 1), 'goes beyond'),
    # A stride of 0: as many numbers as it likes, of 4.
    (
      golden('float32').replace(
        b'K\x04\x85\x94K\x01', b'J\0\0\0\x7f\x85\x94K\0', 1
      ),
      'goes beyond its storage of 4 numbers',
    ),
    (golden('float32').replace(b'Float', b'Chalk'), 'torch.ChalkStorage'),
    (pickled('x' * (MAX_BYTES + 1)), 'at most 1048576 are read'),
    (zlib.compress(bytes(MAX_BYTES + 1)), 'at most 1048576 are read'),
  ],
)
def test_other_pickles_are_refused(content, reason):
  with pytest.raises(ValueError, match=reason):
    torch_pickle.load_joblib(content, MAX_BYTES)


def test_work_and_memory_are_in_proportion_to_the_file():
  text = struct.pack('<cI', b'X', 500_000) + b'a' * 500_000 + b'q\0'
  encode = b'c_codecs\nencode\nh\0h\1\x86R'
  tensor = fake_files.joblib_bytes(np.zeros(100_000, np.float32))
  start = tensor.index(b'B', tensor.index(b'_load_from_bytes\n'))
  stop = tensor.index(b'\x85R', start + 400_000)
  storage = b'ctorch.storage\n_load_from_bytes\nh\0\x85R'
  scalars = b''.join(
    (
      b'cnumpy\ndtype\nX\4\0\0\0U999\x89\x88\x87R(K\3X\1\0\0\0<NNNtbq\0',
      struct.pack('<cI', b'B', 3996) + 999 * b'a\0\0\0' + b'q\1',
      b'cnumpy.core.multiarray\nscalar\nq\2' + 1000 * b'h\2h\0h\1\x86R',
    )
  )
  nested = b'\x80\4N.'
  for _ in range(1000):
    size = struct.pack('<cI', b'B', len(nested))
    nested = b'\x80\4ctorch.storage\n_load_from_bytes\n' + size + nested
    nested += b'\x85R.'
  more_work = 'more work than its size accounts for'
  for content, reason in (
    (scalars, more_work),
    (nested[2:], 'calls torch.storage._load_from_bytes in a way that is not'),
    (text + b'X\6\0\0\0latin1q\1' + 1000 * encode, more_work),
    (tensor[start:stop] + b'q\0' + 1000 * storage, more_work),
    # Each of these tuples has the one before twice: to hash it takes for ever.
    (b'Nq\0' + 60 * b'h\0h\0\x86q\0' + b'}h\0Ns.', 'has a tuple as a key'),
  ):
    started = time.monotonic()
    with pytest.raises(ValueError, match=reason):
      torch_pickle.load_joblib(b'\x80\4' + content, 4 << 20)
    assert time.monotonic() - started < 5


def test_files_of_torch_save_that_are_something_else_are_refused(tmp_path):
  path = str(tmp_path / 'x.pt')

  def refusal(content):
    with open(path, 'wb') as f:
      f.write(content)
    with pytest.raises(errors.PastaError) as found:
      torch_pickle.load_torch(path, MAX_BYTES)
    assert str(found.value).startswith(path)
    return str(found.value)

  assert "'__builtin__.set'" in refusal(golden('zip_set'))
  assert 'not a complete zip file' in refusal(golden('zip_list')[:-30])
  assert 'does not begin as a file of torch.save' in refusal(pickled([1]))
  legacy = golden('legacy_tensors')
  assert 'bytes after its end' in refusal(legacy + b'x')
  assert 'for an array of' in refusal(legacy[:-1])
  big = legacy.replace(b'little_endianq\2\x88', b'little_endianq\2\x89')
  assert 'not marked as little endian' in refusal(big)
  assert 'at most 1048576 are read' in refusal(bytes(MAX_BYTES + 1))
  with zipfile.ZipFile(path, 'w', 8) as f:
    f.writestr('a/data.pkl', bytes(MAX_BYTES + 1))
  with open(path, 'rb') as f:
    assert 'more than 1048576 bytes' in refusal(f.read())
  os.remove(path)
  with pytest.raises(errors.PastaError, match='x.pt: cannot be read: No such'):
    torch_pickle.load_torch(path, MAX_BYTES)


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
