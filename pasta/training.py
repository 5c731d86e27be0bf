"""Programs that are kept, so that fits with one config are compiled once."""

import ml_collections


def key_of(
  config: ml_collections.ConfigDict,
) -> ml_collections.FrozenConfigDict:
  """What a program made from a config is kept by, for functools.lru_cache.

  Args:
    config: of a learner whose programs take keys and do not read `seed`, by
      which its runs differ most.

  Returns:
    The config with a seed of 0; hashable, and equal where configs are.
  """
  config = config.copy_and_resolve_references()
  config.seed = 0
  return ml_collections.FrozenConfigDict(config)
