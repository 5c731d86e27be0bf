"""The stage `extract_features`, of sessions that were collected here."""

import os

import ml_collections

from pasta import progress
from pasta import workdir as workdir_lib
from pasta.interaction import extraction
from pasta.stages import stage
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.storage import shards


@stage.with_worlds
def run(
  config: ml_collections.ConfigDict, workdir: str, worlds: stage.Worlds
) -> None:
  """sessions/ -> features/: renders and encodes what was shown."""
  source = os.path.join(workdir, 'sessions')
  directory = os.path.join(workdir, 'features')
  upstream = workdir_lib.upstream(workdir, 'sessions', 'collect')
  with stage.open_stage(
    'extract_features', directory, config, (upstream,)
  ) as info:
    if info is None:
      return
    world = worlds(config.world)
    paths = sessions_lib.shards(source)
    for path in progress.progress(paths, unit='shard', desc='extract'):
      target = shards.features_path(directory, path)
      if not os.path.exists(target):
        features_lib.save(
          target,
          extraction.extract(
            world,
            sessions_lib.read_shard(path),
            with_pool=config.with_pool,
          ),
        )
    info |= {
      'num_shards': len(paths),
      'encoder_id': world.encoder.encoder_id,
      'num_images_made': world.num_images_made,
    }
