"""The weight decay of a value's fit, which suits its base and its sessions.

AdamW's decay is decoupled and Adam's steps are bounded, so that no weight grows
far beyond one over the decay. On top of the user model that is wanted: a small
residual does no harm where no policy has shown anything, however many sessions
there are. A value that is learned from scratch cannot even hold the utility
under such a bound.
"""

import ml_collections


def complete(
  config: ml_collections.ConfigDict, num_sessions: int
) -> ml_collections.ConfigDict:
  """The config of one fit: what follows from the number of sessions.

  Where `weight_decay` is not set it is, by the base,

    max(decay.BASE.at_thousand · 1000 / N, decay.BASE.floor).

  Args:
    config: with the fields base, weight_decay, decay and learning_rate.
    num_sessions: N, that the fit learns from.
  """
  config = config.copy_and_resolve_references()
  if config.weight_decay is None:
    rule = config.decay[config.base]
    decay = max(rule.at_thousand * 1000 / num_sessions, rule.floor)
    # More than a tenth of a weight per update would not be a decay any more.
    config.weight_decay = min(decay, 0.1 / config.learning_rate)
  return config
