r"""How fast the parts are, mostly as ratios measured in one run.

  python -m launch.benchmark --part=agent
  python -m launch.benchmark --part=user_model --config.user_model.large
  python -m launch.benchmark --part=t2i --workdir=DIR \
      --config=configs/benchmark.py:smoke

Parts are the sub-configs below; each module's docstring says what it measures:
pasta/benchmarks/PART.py, and data/benchmark.py for extraction. library reads a
trained agent from DIR; extraction, streaming and t2i write files into it.
"""

import ml_collections

from configs import (
  common,
  extract_features,
  prepare_data,
  train_user_model,
  train_value,
)


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Variants: '' and 'smoke', whose numbers mean nothing."""
  common.check_variant(arg, ('smoke',))
  is_smoke = arg == 'smoke'
  config = ml_collections.ConfigDict()
  config.agent = _agent(is_smoke)
  config.extraction = _extraction(is_smoke)
  config.library = _library(is_smoke)
  config.streaming = _streaming(is_smoke)
  config.t2i = _t2i(is_smoke)
  config.user_model = _user_model(is_smoke)
  return config


def _agent(is_smoke: bool) -> ml_collections.ConfigDict:
  """Value learning and slate selection."""
  c = ml_collections.ConfigDict()
  c.rounds = 1 if is_smoke else 15  # how often each is timed
  c.dim = 8 if is_smoke else 384  # D of features
  c.num_updates = 2 if is_smoke else 10  # in a timed call
  c.value = _value(16, (16, 16), 4) if is_smoke else _value(256, (256, 256), 64)
  c.tiny_dim = 8  # D of the tiny update
  c.tiny_num_updates = 2 if is_smoke else 100  # in a timed call
  c.tiny_value = _value(32, (64,), 16)
  return c


def _value(
  width: int, head_dims: tuple[int, ...], batch_sessions: int
) -> ml_collections.ConfigDict:
  """The networks whose update is timed."""
  c = train_value.get_config()
  c.credit, c.base, c.backbone = 'choice', 'none', 'mlp'
  c.width, c.head_dims = width, head_dims
  c.batch_sessions, c.num_twins = batch_sessions, 2
  c.weight_decay, c.history = 0.0, 'full'
  return c


def _extraction(is_smoke: bool) -> ml_collections.ConfigDict:
  """Extraction of features of a data set."""
  c = ml_collections.ConfigDict()
  c.num_rows = 100 if is_smoke else 20_000  # of the larger stand-in
  c.prepare = prepare_data.get_config('pick_a_pic')
  c.extract = extract_features.get_config('pick_a_pic')
  c.extract.encoder = 'sketch-clip'
  c.extract.batch_size = 8 if is_smoke else 64
  c.extract.splits = ('train',)
  return c


def _library(is_smoke: bool) -> ml_collections.ConfigDict:
  """Calls of the agent as a library."""
  c = ml_collections.ConfigDict()
  c.rounds = 2 if is_smoke else 15  # how often each is timed
  c.num_people = (1, 3) if is_smoke else (1, 1000)  # at once
  c.num_candidates = 8 if is_smoke else 25
  c.policy = ''  # 'pasta' or 'greedy_slate'; '': as `Agent.load` has it
  return c


def _streaming(is_smoke: bool) -> ml_collections.ConfigDict:
  """Mini-batch EM from memory maps."""
  c = ml_collections.ConfigDict()
  c.num_pairs = 1000 if is_smoke else 1_000_000  # 4.5 kB on disk each
  c.fit = train_user_model.get_config('preferences')
  c.fit.num_types, c.fit.rank = 16, 4
  c.fit.resident_megabytes = 0  # all are read as needed
  public = c.fit.sources.preferences
  public.batch_observations = 100 if is_smoke else 4096  # pairs in a step
  public.batch_users = public.batch_observations // 10  # people of 10 pairs
  return c


def _t2i(is_smoke: bool) -> ml_collections.ConfigDict:
  """Text-to-image models."""
  c = ml_collections.ConfigDict()
  c.models = ('sdxl', 'torch', 'clip')  # each in a process of its own
  c.tiny = is_smoke  # tiny networks, for a test on a CPU
  c.batch_sizes = (1,) if is_smoke else (1, 4, 8)  # images at once on a device
  c.seconds = 0.0 if is_smoke else 20.0  # each is measured; at least one call
  return c


def _user_model(is_smoke: bool) -> ml_collections.ConfigDict:
  """The latent-class library."""
  c = ml_collections.ConfigDict()
  c.repeats = 1 if is_smoke else 10  # times that each is measured
  c.large = False  # also 100,000 people: 3 GiB, minutes
  return c
