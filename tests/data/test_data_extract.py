"""Features of prepared data: right, shared, restartable, whole or refused."""

import glob
import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from configs import extract_features
from data import extract_features as extract
from data import prepare_data, read
from data.pick_a_pic import fake_files, pick_a_pic_dataset_builder
from pasta import errors
from pasta.encoders import clip, image_encoder
from pasta.storage import preferences

BUILDER = pick_a_pic_dataset_builder.Builder


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  root = tmp_path_factory.mktemp('prepared')
  raw, directory = str(root / 'raw'), str(root / 'tfds')
  fake_files.write(raw, 90, num_users=7, rows_per_group=20)
  os.makedirs(directory)
  prepare_data.prepare(
    BUILDER,
    raw,
    directory,
    options={},
    num_workers=1,
    max_skipped_share=0.01,
    duplicates='refuse',
  )
  return read.Prepared(directory)


@pytest.fixture(scope='module')
def encoder():
  return clip.ClipEncoder.load()


def config(**changes):
  found = extract_features.get_config('pick_a_pic')
  found.update(
    {'batch_size': 16, 'block_images': 48, 'num_workers': 1, 'num_threads': 2}
  )
  found.update(changes)
  return found


def run(prepared, encoder, directory, process=(0, 1), devices=1, **changes):
  settings = config(**changes)
  tower = image_encoder.ImageEncoder(encoder, settings.batch_size, devices)
  return extract.extract_split(
    settings,
    prepared,
    BUILDER,
    'train',
    str(directory),
    (encoder, tower),
    process,
  )


def content(directory):
  """Bytes of all that extraction leaves, less what holds times."""
  names = [*glob.glob(f'{directory}/*.npy'), f'{directory}/observations.npz']
  names.append(f'{directory}/manifest.json')
  found = {}
  for name in names:
    with open(name, 'rb') as f:
      found[os.path.basename(name)] = f.read()
  return found


@pytest.fixture(scope='module')
def whole(prepared, encoder, tmp_path_factory):
  directory = tmp_path_factory.mktemp('whole')
  info = run(prepared, encoder, directory)
  return str(directory), info


def test_features_and_observations_are_those_of_the_examples(
  prepared, encoder, whole
):
  directory, info = whole
  store = preferences.load(directory)
  examples = [
    e
    for shard in range(len(prepared.split('train')))
    for e in prepared.examples('train', shard)
    if e['has_label']
  ]
  records = store.records
  assert len(records) == len(examples) == info['num_observations']
  assert store.encoder_id == encoder.encoder_id and records.kind == 'pair'
  distinct = {e[f'image_{s}'] for e in examples for s in '01'}
  assert len(distinct) <= store.image.shape[0] < 2 * 90
  assert store.image.shape[0] == info['num_images']
  for i, example in enumerate(examples):
    assert records.feedback[i] == example['label_0']
    assert records.user_id[i] == str(example['user_id'])
    assert records.weight[i] == np.float32(
      1 / example['num_example_per_prompt']
    )
  for side in (0, 1):
    images = np.stack(
      [
        np.asarray(Image.open(io.BytesIO(e[f'image_{side}'])).convert('RGB'))
        for e in examples
      ]
    )
    np.testing.assert_allclose(
      store.image[records.image[:, side, 0]],
      encoder.encode_images(images),
      atol=1e-3,
    )
  np.testing.assert_allclose(
    store.text[records.text],
    encoder.encode_text([e['caption'].decode() for e in examples]),
    atol=1e-3,
  )


def test_restart_does_what_is_missing_and_gives_the_same_bytes(
  prepared, encoder, whole, tmp_path
):
  shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
  # As if killed while the second block was written.
  os.remove(tmp_path / 'index' / 'image-00001.json')
  os.remove(tmp_path / 'image-00001.npy')
  os.remove(tmp_path / 'manifest.json')
  (tmp_path / 'image-00001.npy.1.tmp').write_bytes(b'half')
  info = run(prepared, encoder, tmp_path)
  assert info['num_images'] == whole[1]['num_images']
  assert info['num_encoded'] == 48  # that one block
  assert content(tmp_path) == content(whole[0])
  before = os.stat(tmp_path / 'image-00000.npy').st_mtime_ns
  run(prepared, encoder, tmp_path)
  assert os.stat(tmp_path / 'image-00000.npy').st_mtime_ns == before


def test_two_processes_leave_what_one_does(prepared, encoder, whole, tmp_path):
  work = tmp_path / 'index'
  work.mkdir()
  for path in glob.glob(f'{whole[0]}/index/*.npz'):
    shutil.copy(path, work)  # The first pass waits for all: done before.
  run(prepared, encoder, tmp_path, process=(1, 2))
  assert not (tmp_path / 'manifest.json').exists()
  assert not (tmp_path / 'image-00000.npy').exists()
  run(prepared, encoder, tmp_path, process=(0, 2))
  assert content(tmp_path) == content(whole[0])


def test_what_another_process_has_not_done_is_named(
  prepared, encoder, whole, tmp_path
):
  with pytest.raises(errors.PastaError, match=r'00001.npz: missing; all'):
    run(prepared, encoder, tmp_path, process=(0, 2))
  for path in glob.glob(f'{whole[0]}/index/*.npz'):
    shutil.copy(path, tmp_path / 'index')
  with pytest.raises(errors.PastaError, match=r'image-00001.json'):
    run(prepared, encoder, tmp_path, process=(0, 2))


def test_eight_devices_give_the_same_features(
  prepared, encoder, whole, tmp_path
):
  run(prepared, encoder, tmp_path, devices=8)
  a, b = preferences.load(whole[0]), preferences.load(str(tmp_path))
  rows = np.arange(a.image.shape[0])
  np.testing.assert_allclose(a.image[rows], b.image[rows], atol=1e-3)
  with pytest.raises(errors.PastaError, match="'batch_size' is 16, expected"):
    run(prepared, encoder, tmp_path, devices=3)


def test_bfloat16_is_near(prepared, whole, tmp_path):
  encoder = clip.ClipEncoder.load(dtype='bfloat16')
  run(prepared, encoder, tmp_path)
  a, b = preferences.load(whole[0]), preferences.load(str(tmp_path))
  assert a.encoder_id == b.encoder_id
  rows = np.arange(a.image.shape[0])
  cosine = (a.image[rows].astype(float) * b.image[rows]).sum(-1)
  assert cosine.min() > 0.99 and (a.image[rows] != b.image[rows]).any()
  with pytest.raises(errors.PastaError, match="dtype is 'int8'"):
    clip.ClipEncoder.load(dtype='int8')


def test_broken_images_are_named_and_left_out(
  prepared, encoder, whole, tmp_path, monkeypatch
):
  plain = BUILDER.images
  victim = next(prepared.examples('train', 1, [3]))['image_1']

  def images(example):
    return [x[:200] if x == victim else x for x in plain(example)]

  monkeypatch.setattr(BUILDER, 'images', images)
  with pytest.raises(
    errors.PastaError, match=r"1 of \d+ images are broken.*'max_bad_share'"
  ):
    run(prepared, encoder, tmp_path, max_bad_share=0.0)
  info = run(prepared, encoder, tmp_path, max_bad_share=0.1)
  assert info['num_bad_images'] == 1 and info['num_dropped'] >= 1
  manifest = (tmp_path / 'manifest.json').read_text()
  assert 'shard 1, example 3, image 1: cannot be decoded' in manifest
  store = preferences.load(str(tmp_path))
  left = whole[1]['num_observations'] - info['num_dropped']
  assert len(store.records) == left
  assert (np.abs(store.image[store.records.image]).sum(-1) > 0).all()


def test_what_is_not_prepared_is_refused(tmp_path):
  with pytest.raises(errors.PastaError, match='prepare_data has not finished'):
    extract.run(config(), str(tmp_path))
  with pytest.raises(errors.PastaError, match='no dataset_info.json'):
    read.Prepared(str(tmp_path))


def test_damaged_shards_are_named(prepared, tmp_path):
  shutil.copytree(prepared.directory, tmp_path, dirs_exist_ok=True)
  copy = read.Prepared(str(tmp_path))
  path, length = copy.split('train')[0]
  data = open(path, 'rb').read()
  for broken in (data[: len(data) // 2], b'', data[:100]):
    with open(path, 'wb') as f:
      f.write(broken)
    with pytest.raises(errors.PastaError, match='train.array_record-00000'):
      list(copy.examples('train', 0))
  os.remove(path)
  with pytest.raises(errors.PastaError, match='train.array_record-00000'):
    list(copy.examples('train', 0))
  with pytest.raises(errors.PastaError, match="no split 'dev', expected one"):
    copy.split('dev')
