"""How near extraction of features comes to the encoder alone.

python -m launch.benchmark --part=extraction --workdir=DIR

Writes small stand-ins of Pick-a-Pic (64 px JPEGs), prepares and extracts them,
and prints ratios: speeds on a machine that does other things mean little.
"""

import os
import resource
import time

import jax
import ml_collections
import numpy as np

from data import encode, extract_features, prepare_data, read
from data.pick_a_pic import fake_files, pick_a_pic_dataset_builder
from pasta import workdir as workdir_lib
from pasta.encoders import clip, image_encoder
from pasta.storage import preferences

_DECODED = 500  # rows that one thread decodes


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Prints rates of preparation, decoding, encoding and training's reads.

  Args:
    config: `extraction` of configs/benchmark.py.
    workdir: for the stand-ins and their features.
  """
  extract, num_rows = config.extract, config.num_rows
  batch_size = extract.batch_size
  model = clip.ClipEncoder.load(extract.encoder, dtype=extract.dtype)
  encode_images = image_encoder.ImageEncoder(
    model, batch_size, extract.num_devices
  )
  size = model.image_size
  pixels = np.random.default_rng(0).integers(
    256, size=(batch_size, size, size, 3), dtype=np.uint8
  )
  jax.block_until_ready(encode_images(pixels))
  for num in (num_rows // 10, num_rows):
    root = os.path.join(workdir, str(num))
    raw = os.path.join(root, 'raw')
    if not os.path.exists(raw):
      fake_files.write(raw, num, num_users=300, rows_per_group=500)
    started = time.perf_counter()
    prepare_data.run(config.prepare, root, raw)
    seconds = time.perf_counter() - started
    print(f'{num} rows: prepared {num / seconds:.0f} rows/s')
    bare = _rate(encode_images, pixels)
    extract_features.run(extract, root)
    bare = max(bare, _rate(encode_images, pixels))
    directory = os.path.join(root, 'preferences', 'pick_a_pic', 'train')
    info = workdir_lib.read_done(directory, 'extract_features')['info']
    rate = info['num_encoded'] / info['seconds']
    print(
      f'{num} rows: {info["num_encoded"]} images at {rate:.0f}/s, '
      f'{rate / bare:.2f} of the encoder alone; waiting for decoded images '
      f'{info["decoding_seconds"] / info["seconds"]:.2f} of the time; '
      f'{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB'
    )
  source = prepare_data.prepared_directory(
    config.prepare.name, config.prepare.variant, root
  )
  rows = range(min(_DECODED, num_rows))
  at = np.array([(0, i, side) for i in rows for side in (0, 1)])
  work = encode.Work(
    read.Prepared(source),
    pick_a_pic_dataset_builder.Builder,
    'train',
    encode.chunks(at),
    model.preprocessing,
  )
  started = time.perf_counter()
  for i in range(len(work)):
    work[i]
  seconds = time.perf_counter() - started
  print(f'one thread reads and decodes {len(at) / seconds:.0f} images/s')
  store = preferences.load(directory)
  index = np.random.default_rng(0).integers(
    store.image.shape[0], size=(100, 8192)
  )
  started = time.perf_counter()
  for part in index:
    store.image[part]
  seconds = time.perf_counter() - started
  print(f'training reads {index.size / seconds:.0f} feature rows/s')


def _rate(encode_images, pixels: np.ndarray, num: int = 40) -> float:
  """Images per second of the encoder alone."""
  started = time.perf_counter()
  for _ in range(num):
    jax.block_until_ready(encode_images(pixels))
  return num * len(pixels) / (time.perf_counter() - started)
