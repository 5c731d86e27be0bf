"""Sittings in batches, one shard of files a batch; finished shards are kept."""

import collections
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pasta import progress
from pasta.storage import candidate_sources
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib


class Shard(NamedTuple):
  """What one batch leaves: sessions, and arrays in the same order."""

  sessions: list[sessions_lib.Session]
  features: features_lib.SessionFeatures | None = None
  arrays: dict[str, np.ndarray] | None = None


def run_batches(
  run: Callable[[int, np.ndarray], Shard],
  num: int,
  batch_size: int,
  directory: str,
  desc: str,
) -> collections.Counter:
  """Runs sittings 0..num in batches; one shard each; skips finished shards.

  Every batch has the same size, so that nothing is compiled twice: the last
  one is filled up with sittings from the start, which are then dropped. Where
  it was the last of fewer sittings, those that it lacked are added to it.

  Returns:
    Who wrote the candidates, as `candidate_sources.count` has it.
  """
  counts = collections.Counter()
  batch_size = min(batch_size, num)
  starts = range(0, num, batch_size)
  with progress.progress(total=num, unit='session', desc=desc) as bar:
    for batch, start in enumerate(starts):
      size = min(batch_size, num - start)
      path = sessions_lib.shard_path(directory, batch)
      there = sessions_lib.read_shard(path) if os.path.exists(path) else []
      if len(there) < size:
        shard = run(batch, (start + np.arange(batch_size)) % num)
        new = np.arange(len(there), size)
        where = features_path(directory, path)
        # The session shard comes last: its presence says all is there.
        if shard.features is not None:
          features = shard.features.select(new)
          if there:
            kept = features_lib.load(where).select(np.arange(len(there)))
            features = features_lib.concatenate([kept, features])
          features_lib.save(where, features)
        if shard.arrays is not None:
          features_lib.save_arrays(
            where, {k: v[:size] for k, v in shard.arrays.items()}
          )
        there = there + [shard.sessions[i] for i in new]
        sessions_lib.write_shard(path, there, grows=len(new) < size)
      counts += candidate_sources.count(there)
      bar.update(size)
  return counts


def features_path(directory: str, shard_path: str) -> str:
  """Where the arrays that belong to a session shard lie, in `directory`."""
  name = os.path.splitext(os.path.basename(shard_path))[0]
  return os.path.join(directory, f'{name}.npz')


def read_arrays(directory: str) -> dict[str, np.ndarray]:
  """The `arrays` of all shards, concatenated over sessions."""
  parts = []
  for path in sessions_lib.shards(directory):
    with np.load(features_path(directory, path)) as shard:
      parts.append({k: shard[k] for k in shard.files})
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
