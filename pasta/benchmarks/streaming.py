"""Speed of mini-batch EM from memory maps, against its bare matrix products.

python -m launch.benchmark --part=streaming --workdir=DIR

Writes pairs with random features into DIR (4.5 GB for a million, kept for the
next run) and trains K = 16 types with rank-4 adapters on them for an epoch;
beside it the matrix products alone that one epoch takes, on arrays in memory.
Smaller numbers of pairs show whether the time per pair stays the same.
"""

import os
import resource
import time

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from pasta.storage import preferences
from pasta.user_model import em, feeding, heads, sources

_DIM, _EACH = 768, 10  # features, pairs of a person
_BLOCK = 50_000
_SMALLEST = 10_000
_TURNS, _REPEATS = 20, 5


def store(directory: str, num: int) -> preferences.Store:
  """Pairs of random features, two images and one prompt each."""
  if not os.path.exists(os.path.join(directory, 'manifest.json')):

    def blocks(rows, seed):
      rng = np.random.default_rng(seed)
      for start in range(0, rows, _BLOCK):
        size = (min(_BLOCK, rows - start), _DIM)
        block = rng.standard_normal(size, dtype=np.float32)
        yield block / np.sqrt(_DIM)

    records = preferences.Records(
      kind='pair',
      feedback=np.random.default_rng(0).integers(2, size=num).astype(float),
      text=np.arange(num),
      image=np.arange(2 * num).reshape(num, 2, 1),
      user_id=np.char.mod('%07d', np.arange(num) // _EACH),
      weight=np.ones(num, np.float32),
    )
    preferences.save(directory, records, blocks(num, 1), blocks(2 * num, 2), '')
  return preferences.load(directory)


def epoch_and_product_seconds(
  data: preferences.Store, config: ml_collections.ConfigDict
) -> tuple[float, float]:
  """One epoch of mini-batch EM, once compiled, and its bare products.

  The two take turns, so that other work on the machine slows both alike.
  """
  batch = config.sources.preferences.batch_observations
  source = sources.from_store(data, 'user', 'preferences')
  model = heads.init_model(
    jax.random.key(0),
    heads.HeadSettings(config.num_types, _DIM, config.rank, 0),
    [sources.columns(source, 4096)],
  )
  train = {'preferences': source}
  feeder = feeding.Feeder(train, config, jax.random.key(1), em.update)
  people = {'preferences': source.num_users}
  run = em.init(jax.random.key(2), model, people, 6.0, config)
  run, _ = feeder.run(run, 2)
  steps = feeder.packers['preferences'].steps_per_epoch()
  products = Products(config.num_types, config.rank, batch)
  epoch = bare = 0.0
  parts = np.array_split(np.arange(steps), min(steps, _TURNS))
  for part in map(len, parts):
    started = time.perf_counter()
    run, _ = feeder.run(run, part)
    epoch += time.perf_counter() - started
    bare += part * products.seconds()
  pairs = data.records.text.size / (steps * batch)  # the last batch is short
  return epoch * pairs, bare * pairs


class Products:
  """The heads' matrix products of a step, forward and backward, compiled."""

  def __init__(self, num_types: int, rank: int, batch: int):
    rng = np.random.default_rng(0)

    def draw(*shape):
      return jnp.asarray(rng.standard_normal(shape, dtype=np.float32))

    on_image, on_text = num_types * (3 * rank + 1), num_types * 3 * rank
    self._arrays = (
      draw(2 * batch, _DIM),
      draw(batch, _DIM),
      draw(_DIM, on_image),
      draw(_DIM, on_text),
      draw(2 * batch, on_image),
      draw(batch, on_text),
    )
    self._products = jax.jit(
      lambda image, text, on_image, on_text, back_image, back_text: (
        image @ on_image,
        text @ on_text,
        image.T @ back_image,
        text.T @ back_text,
      )
    )
    jax.block_until_ready(self._products(*self._arrays))

  def seconds(self) -> float:
    """Of one step, mean of several."""
    started = time.perf_counter()
    for _ in range(_REPEATS):
      jax.block_until_ready(self._products(*self._arrays))
    return (time.perf_counter() - started) / _REPEATS


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Prints the table.

  Args:
    config: `streaming` of configs/benchmark.py.
    workdir: where pairs lie.
  """
  print(
    f'{"pairs":>10} {"epoch s":>10} {"us a pair":>10} {"products s":>11}'
    f' {"ratio":>7}'
  )
  num = config.num_pairs
  for size in sorted({min(num, _SMALLEST), max(num // 10, 1), num}):
    data = store(os.path.join(workdir, f'pairs-{size}'), size)
    epoch, products = epoch_and_product_seconds(data, config.fit)
    print(
      f'{size:>10} {epoch:>10.3g} {1e6 * epoch / size:>10.3g} '
      f'{products:>11.3g} {epoch / products:>7.2f}',
      flush=True,
    )
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  print(f'peak memory {peak:.2f} GiB')
