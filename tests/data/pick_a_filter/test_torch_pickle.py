"""The reader of pickles, which calls nothing that stands in them."""

import os
import pickle
import struct
import time
import uuid
import zipfile
import zlib

import numpy as np
import pytest
from filter_files import LEFT, MAX_BYTES, RIGHT, P, only, pickled
from torch_goldens import golden

from data import base
from data.formats import torch_pickle
from data.pick_a_filter import fake_files
from pasta import errors


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
