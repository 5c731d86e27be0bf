"""What stages share: their directory, their world, a batch of sittings.

A stage is a module of this package with a function `run(config, workdir)`: it
reads files, calls a library, leaves files. It skips what is done, goes on where
it was cut off, and refuses a directory made with another config. The launch
scripts call these; `quickstart` calls them one after another.
"""

import collections
import functools
from collections.abc import Callable
from typing import Any

import jax
import ml_collections

from pasta import workdir as workdir_lib
from pasta.interaction import loop
from pasta.storage import candidate_sources
from pasta.world import world as world_lib

# Fields that change speed or memory but never a result.
IGNORED = (
  'world.t2i.num_workers',
  'world.t2i.store',
  'world.t2i.store_images',
  'world.t2i.sdxl.batch_size',
  'world.t2i.sdxl.num_devices',
  'world.t2i.sdxl.vae_chunk',
  'world.t2i.flux.batch_size',
  'world.t2i.flux.device',
  'world.t2i.flux.offload',
  'world.cache_texts',
  'world.cache_columns',
  'world.candidates.gemma.allow_unusable',
  # The server's address, and how patient we are with it.
  *(
    f'world.candidates.chat.{name}'
    for name in (
      'base_url',
      'key_env',
      'timeout_seconds',
      'turn_seconds',
      'max_retries',
      'backoff_seconds',
      'max_concurrency',
      'max_answer_bytes',
      'allow_unusable',
      'cache',
      'cache_dir',
    )
  ),
)
open_stage = functools.partial(workdir_lib.open_stage, ignore=IGNORED)


class Worlds:
  """Makes the world when a stage needs it and hands the same one on."""

  def __init__(self):
    self._made = None

  def __call__(self, config: ml_collections.ConfigDict) -> world_lib.World:
    plain = config.to_dict()
    if self._made and self._made[0] != plain:
      self.close()
    if not self._made:
      self._made = plain, world_lib.World(config)
    return self._made[1]

  def close(self) -> None:
    if self._made:
      self._made[1].close()
    self._made = None

  def __enter__(self) -> 'Worlds':
    return self

  def __exit__(self, *unused_exception) -> None:
    self.close()


def with_worlds(function: Callable) -> Callable:
  """Gives a stage its own worlds when none are handed to it."""

  @functools.wraps(function)
  def wrapped(config, workdir, worlds=None):
    if worlds is not None:
      return function(config, workdir, worlds)
    with Worlds() as own:
      return function(config, workdir, own)

  return wrapped


def tell_sources(info: dict[str, Any], counts: collections.Counter) -> None:
  """Records, and prints where they are several, who wrote the candidates."""
  info['candidate_sources'] = candidate_sources.shares(counts)
  if line := candidate_sources.line(info['candidate_sources']):
    print(line)


def interact(
  config, world, people, policy, batch, prefix, **options
) -> loop.Result:
  """One batch of sittings, with the stage's sizes and the batch's own key."""
  return loop.run(
    world,
    people,
    policy,
    world_lib.Sizes(**config.sizes.to_dict()),
    jax.random.fold_in(jax.random.key(config.seed), batch),
    session_prefix=prefix,
    **options,
  )
