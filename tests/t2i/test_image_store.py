"""Images on disk: nothing is lost, nothing half-written or damaged is used."""

import errno
import glob
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pasta import errors
from pasta.storage import packs
from pasta.t2i import store as store_lib
from pasta.t2i.sketch import sketch

_ROOT = str(pathlib.Path(__file__).resolve().parent.parent.parent)


class Model(sketch.Sketch):
  """Sketch, which remembers what it was asked for."""

  def __init__(self):
    super().__init__(size=32)
    self.asked = []

  def generate(self, prompts, seeds, images_per_prompt):
    self.asked += zip(prompts, seeds.tolist())
    return super().generate(prompts, seeds, images_per_prompt)


def make(num, num_images=2):
  """Columns of noise: prompts, seeds and uint8 [num, M, 8, 8, 3]."""
  images = np.random.default_rng(0).integers(
    0, 256, (num, num_images, 8, 8, 3), np.uint8
  )
  return [f'prompt {i}' for i in range(num)], list(range(num)), images


def get(store, prompt, seed, num=2):
  return store.get(store_lib.column_key('model', prompt, seed), num)


def paths(directory, end):
  return sorted(glob.glob(f'{directory}/images/*.{end}'))


def test_images_are_rendered_once(tmp_path):
  model, plain = Model(), sketch.Sketch(size=32)
  t2i = store_lib.StoredTextToImage(
    model, store_lib.ImageStore(str(tmp_path / 'a'))
  )
  prompts = [
    'a fox',
    'ein Bär, 水彩',
    '  spaces ',
    'x\n\t"\\' * 2500,
    'a fox',
  ]
  seeds = np.array([1, 2**64 - 1, 0, 3, 1], np.uint64)
  expected = plain.generate(prompts, seeds, 3)
  np.testing.assert_array_equal(t2i.generate(prompts, seeds, 3), expected)
  assert model.asked == list(zip(prompts[:4], seeds.tolist()))
  model.asked.clear()
  again = store_lib.StoredTextToImage(
    model, store_lib.ImageStore(str(tmp_path / 'a'))
  )
  for stored in (t2i, again):
    # Fewer images are the first ones.
    for num in (3, 1):
      found, num_made = stored.generate_counted(prompts[::-1], seeds[::-1], num)
      np.testing.assert_array_equal(found, expected[::-1, :num])
      assert num_made == 0
  assert not model.asked
  # Another seed, another number of images, another model.
  t2i.generate(['a fox'], np.array([2]), 1)
  np.testing.assert_array_equal(
    t2i.generate(prompts[:2], seeds[:2], 4),
    plain.generate(prompts[:2], seeds[:2], 4),
  )
  assert len(model.asked) == 3
  last = store_lib.ImageStore(str(tmp_path / 'a'))
  key = store_lib.column_key(model.model_id, 'a fox', 1)
  assert last.num_images(key) == 4 and last.get(key, 5) is None
  other = store_lib.column_key('sketch@64/v1', 'a fox', 1)
  assert last.num_images(other) == 0


def test_a_person_can_read_the_manifest(tmp_path):
  store = store_lib.ImageStore(str(tmp_path))
  _, seeds, images = make(3)
  prompts = ['水彩', 'half of a pair: \ud83d', 'prompt 2']
  store.put('model', prompts, seeds, images)
  store.packs.close()
  (path,) = paths(tmp_path, 'jsonl')
  with open(path, encoding='utf-8') as f:
    text = f.read()
  lines = [json.loads(line) for line in text.splitlines()]
  assert [x['prompt'] for x in lines] == prompts and '水彩' in text
  found = get(store_lib.ImageStore(str(tmp_path)), prompts[1], 1)
  np.testing.assert_array_equal(found, images[1])
  assert lines[2]['key'] == store_lib.column_key('model', 'prompt 2', 2)
  assert {'model_id', 'seed', 'images', 'size', 'time'} <= set(lines[0])
  with open(tmp_path / 'images' / lines[1]['file'], 'rb') as f:
    f.seek(lines[1]['offset'])
    assert f.read(8) == b'\x89PNG\r\n\x1a\n'


def check_whole_or_absent(directory, num):
  """Returns how many of `num` columns a new reader finds, all of them right."""
  prompts, seeds, images = make(num)
  store = store_lib.ImageStore(directory)
  found = [get(store, p, s) for p, s in zip(prompts, seeds)]
  for image, expected in zip(found, images):
    if image is not None:
      np.testing.assert_array_equal(image, expected)
  store.packs.close()
  return sum(f is not None for f in found)


@pytest.mark.parametrize('end', ['jsonl', 'pack'])
def test_files_that_end_anywhere(tmp_path, end):
  store = store_lib.ImageStore(str(tmp_path / 'whole'))
  store.put('model', *make(4))
  store.packs.close()
  (path,) = paths(tmp_path / 'whole', end)
  size = os.path.getsize(path)
  counts = []
  for length in (*range(0, size, size // 23), size - 1, size):
    directory = str(tmp_path / str(length))
    shutil.copytree(tmp_path / 'whole', directory)
    os.truncate(paths(directory, end)[0], length)
    counts.append(check_whole_or_absent(directory, 4))
    store = store_lib.ImageStore(directory)
    prompts, seeds, images = make(4)
    lost = [i for i in range(4) if get(store, prompts[i], seeds[i]) is None]
    assert len(lost) == 4 - counts[-1]
    # What is lost is written again, and others then find all of it.
    store.put(
      'model',
      [prompts[i] for i in lost],
      [seeds[i] for i in lost],
      images[lost],
    )
    store.packs.close()
    after = store_lib.ImageStore(directory)
    assert after.packs.num_damaged == 0
    assert check_whole_or_absent(directory, 4) == 4
  assert counts == sorted(counts) and set(counts) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize('end', ['jsonl', 'pack'])
def test_files_with_damaged_bytes(tmp_path, end, caplog):
  store = store_lib.ImageStore(str(tmp_path / 'whole'))
  store.put('model', *make(4))
  store.packs.close()
  rng = np.random.default_rng(1)
  lost = 0
  for i in range(40):
    directory = str(tmp_path / str(i))
    shutil.copytree(tmp_path / 'whole', directory)
    (path,) = paths(directory, end)
    with open(path, 'r+b') as f:
      f.seek(rng.integers(os.path.getsize(path)))
      old = f.read(1)
      f.seek(-1, os.SEEK_CUR)
      f.write(bytes([old[0] ^ rng.integers(1, 256)]))
    found = check_whole_or_absent(directory, 4)
    assert found >= 2  # A line's end may be gone, and with it two lines.
    lost += 4 - found
    store = store_lib.ImageStore(directory)
    store.put('model', *make(4))
    store.packs.close()
    assert check_whole_or_absent(directory, 4) == 4
  assert lost > 10
  caplog.clear()
  directory = str(tmp_path / 'named')
  shutil.copytree(tmp_path / 'whole', directory)
  (path,) = paths(directory, 'pack')
  with open(path, 'r+b') as f:
    f.write(b'x')
  store = store_lib.ImageStore(directory)
  assert get(store, 'prompt 0', 0) is None
  assert store.packs.num_damaged == 1
  assert f'{path}: entry' in caplog.text and 'another checksum' in caplog.text
  # A pack that is gone takes its entries along, all with one warning.
  os.remove(path)
  store = store_lib.ImageStore(directory)
  assert len(store.packs) == 0 and store.packs.num_damaged == 3
  assert 'and 2 more: its pack ends before it' in caplog.text


def test_another_copy_takes_the_place_of_a_damaged_one(tmp_path):
  prompts, seeds, images = make(1)
  # None of them has read what the others have written.
  for store in [store_lib.ImageStore(str(tmp_path / 'all')) for _ in range(3)]:
    store.put('model', prompts, seeds, images)
    store.packs.close()
  for path in paths(tmp_path / 'all', 'pack')[::2]:
    os.truncate(path, 100)
  # Both that are cut are dropped, whichever was read first.
  for num_damaged in (2, 0):
    store = store_lib.ImageStore(str(tmp_path / 'all'))
    np.testing.assert_array_equal(get(store, prompts[0], 0), images[0])
    assert store.packs.num_damaged == num_damaged
  reader = store_lib.ImageStore(str(tmp_path / 'all'))
  more = np.concatenate([images, images], 1)
  before = set(paths(tmp_path / 'all', 'pack'))
  store.put('model', prompts, seeds, more)
  reader.packs.refresh()
  (path,) = set(paths(tmp_path / 'all', 'pack')) - before
  with open(path, 'r+b') as f:
    f.write(b'x' * 100)
  assert get(reader, prompts[0], 0, 4) is None
  np.testing.assert_array_equal(get(reader, prompts[0], 0), images[0])


def test_lines_that_are_no_entries(tmp_path, caplog):
  store = store_lib.ImageStore(str(tmp_path))
  store.put('model', *make(2))
  store.packs.close()
  (path,) = paths(tmp_path, 'jsonl')
  with open(path, encoding='utf-8') as f:
    good = json.loads(f.readline())
  bad = [
    'null',
    '[]',
    '{}',
    '{"key": 3}',
    '\xff',
    json.dumps({**good, 'key': 'ab'}),
    json.dumps({**good, 'offset': -1}),
    json.dumps({**good, 'offset': 'x'}),
    json.dumps({**good, 'bytes': [1.5, 'a']}),
    json.dumps({**good, 'bytes': [2**40, 1]}),
    json.dumps({**good, 'bytes': []}),
    json.dumps({**good, 'sha256': ['00', '00']}),
    json.dumps({**good, 'sha256': None}),
    json.dumps({**good, 'dropped': 'x', 'file': 7}),
  ]
  with open(path, 'a', encoding='latin-1') as f:
    f.write('\n'.join(bad) + '\n')
  found = store_lib.ImageStore(str(tmp_path))
  assert found.packs.num_damaged == len(bad)
  assert f'{path}: {len(bad)} of {len(bad) + 2} lines are damaged' in (
    caplog.text
  )
  assert check_whole_or_absent(str(tmp_path), 2) == 2


def test_images_that_are_no_images(tmp_path):
  store = store_lib.ImageStore(str(tmp_path))
  key = store_lib.column_key('sketch@32/v3', 'a', 0)
  store.packs.put([packs.Entry(key, [b'no PNG'], {})])
  assert store.get(key, 1) is None and store.packs.num_damaged == 1
  model = Model()
  prompts, seeds, images = make(1)
  store.put(model.model_id, prompts, seeds, images)  # of another size
  t2i = store_lib.StoredTextToImage(model, store)
  assert t2i.generate(prompts, np.array(seeds), 2).shape == (1, 2, 32, 32, 3)
  assert store.packs.num_damaged == 2 and len(model.asked) == 1


def test_writers_see_each_other(tmp_path, monkeypatch):
  prompts, seeds, images = make(30)
  first = store_lib.ImageStore(str(tmp_path))
  second = store_lib.ImageStore(str(tmp_path))
  first.put('model', prompts[:2], seeds[:2], images[:2])
  assert get(second, prompts[0], 0) is None
  second.packs.refresh()
  np.testing.assert_array_equal(get(second, prompts[0], 0), images[0])
  monkeypatch.setattr(packs, '_REFRESH_SECONDS', 0.0)
  first.put('model', prompts[2:4], seeds[2:4], images[2:4])
  np.testing.assert_array_equal(get(second, prompts[3], 3), images[3])
  # Threads share a store.
  threads = [
    threading.Thread(
      target=lambda i=i: [
        first.put('model', [prompts[j]], [seeds[j]], images[j : j + 1])
        or get(second, prompts[j], seeds[j])
        for j in range(4 + i, 30, 4)
      ]
    )
    for i in range(4)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert check_whole_or_absent(str(tmp_path), 30) == 30
  assert len(paths(tmp_path, 'pack')) == 1
  # A full pack is followed by another.
  monkeypatch.setattr(packs, '_MAX_PACK_BYTES', 1)
  for i in range(3):
    second.put('model', prompts[i : i + 1], seeds[i : i + 1], images[i : i + 1])
  assert len(paths(tmp_path, 'pack')) == 4
  assert check_whole_or_absent(str(tmp_path), 30) == 30


_WRITER = """
import sys
import test_image_store
from pasta.t2i import store
prompts, seeds, images = test_image_store.make(300)
images_store = store.ImageStore(sys.argv[1])
print('ready', flush=True)
for i in range(int(sys.argv[2]), 300, 2):
  images_store.put('model', prompts[i : i + 3], seeds[i : i + 3], images[i : i + 3])
"""  # noqa: E501


def test_writers_that_are_killed(tmp_path):
  directory = str(tmp_path / 'store')
  environment = {
    **os.environ,
    'PYTHONPATH': os.pathsep.join([_ROOT, os.path.dirname(__file__)]),
  }

  def start(first):
    return subprocess.Popen(
      [sys.executable, '-c', _WRITER, directory, str(first)],
      env=environment,
      stdout=subprocess.PIPE,
    )

  writers = [start(0), start(1)]
  for writer in writers:
    assert writer.stdout.readline() == b'ready\n'
  reader = store_lib.ImageStore(directory)
  while len(reader.packs) < 100:
    time.sleep(0.01)
    reader.packs.refresh()
  for writer in writers:
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
  reader.packs.refresh()
  num = len(reader.packs)
  assert check_whole_or_absent(directory, 300) == num < 300
  last = start(0)
  assert last.communicate(timeout=100) and last.returncode == 0
  assert check_whole_or_absent(directory, 300) == 300
  assert store_lib.ImageStore(directory).packs.num_damaged == 0


def test_a_full_disk_is_named(tmp_path):
  store = store_lib.ImageStore(str(tmp_path))
  prompts, seeds, images = make(40)
  store.put('model', prompts[:2], seeds[:2], images[:2])
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
  try:
    with pytest.raises(errors.PastaError, match=r'\.pack: cannot be written: '):
      store.put('model', prompts, seeds, images)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  assert check_whole_or_absent(str(tmp_path), 40) == 2
  store.put('model', prompts, seeds, images)
  assert check_whole_or_absent(str(tmp_path), 40) == 40


def test_errors_that_pass_drop_nothing(tmp_path, monkeypatch):
  store = store_lib.ImageStore(str(tmp_path))
  prompts, seeds, images = make(1)
  store.put('model', prompts, seeds, images)
  with monkeypatch.context() as patch:

    def fail(*unused):
      raise OSError(errno.EMFILE, 'Too many open files')

    patch.setattr(os, 'pread', fail)
    with pytest.raises(errors.PastaError, match='cannot be read: Too many'):
      get(store, prompts[0], 0)
  np.testing.assert_array_equal(get(store, prompts[0], 0), images[0])
  assert store.packs.num_damaged == 0


def test_directories_that_are_no_stores(tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(errors.PastaError, match='file: cannot be made: '):
    store_lib.ImageStore(str(tmp_path / 'file'))
  with pytest.raises(errors.PastaError, match='file/a: cannot be made: Not a'):
    store_lib.ImageStore(str(tmp_path / 'file' / 'a'))
  with pytest.raises(errors.PastaError, match='is no store: it has no store.j'):
    store_lib.ImageStore(str(tmp_path))
  os.makedirs(tmp_path / 'new')
  (tmp_path / 'new' / 'store.json').write_text('{"format": "x"}')
  with pytest.raises(errors.PastaError, match='expected format pasta-store'):
    store_lib.ImageStore(str(tmp_path / 'new'))
