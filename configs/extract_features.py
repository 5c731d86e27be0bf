"""Renders and encodes what the logged sessions showed.

  python -m launch.extract_features --config=configs/extract_features.py \
    --workdir=DIR

Reads DIR/sessions, leaves DIR/features.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke', which is the same."""
  common.check_variant(arg, ('smoke',))
  config = ml_collections.ConfigDict()
  config.world = common.world()
  # Keep the candidates that slates were picked from: for naive and
  # conservative Q-learning, cloning and off-policy evaluation.
  config.with_pool = False
  return config
