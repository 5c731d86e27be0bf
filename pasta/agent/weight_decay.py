"""The weight decay of a value's fit, which suits its number of sessions."""

import ml_collections


def complete(
  config: ml_collections.ConfigDict, num_sessions: int
) -> ml_collections.ConfigDict:
  """The config of one fit: what follows from the number of sessions."""
  if config.base == 'myopic':
    # More sessions teach nothing of slates that no policy showed, and it is the
    # decay that keeps the residual of those small.
    num_sessions = min(num_sessions, config.decay_sessions)
  return scaled(config, num_sessions)


def scaled(
  config: ml_collections.ConfigDict, num_sessions: int
) -> ml_collections.ConfigDict:
  """The config with the weight decay that suits this many sessions."""
  decay = config.weight_decay * 1000 / num_sessions
  config = config.copy_and_resolve_references()
  # More than a tenth of a weight per update would not be a decay any more.
  config.weight_decay = min(decay, 0.1 / config.learning_rate)
  return config
