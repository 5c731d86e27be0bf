"""Fine-tunes the encoder on people's choices, together with the user model.

The stage reads what people were shown (rendered again from prompts and seeds)
and the fitted user model, moves encoder and heads by the same EM step
(`user_model.clip_heads`), and leaves the encoder in the Hugging Face layout.
"""

import dataclasses
import os

import jax
import ml_collections
import numpy as np
from absl import logging

from pasta import errors
from pasta import workdir as workdir_lib
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.user_model import clip_heads, em, saved, sources
from pasta.user_model import phase as phase_lib
from pasta.world import world as world_lib

STAGE = 'fine_tune'


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """sessions/, features/, user_model/ -> fine_tune/encoder/.

  Args:
    config: `configs/fine_tune.py`.
    workdir: the working directory.
  """
  directory = os.path.join(workdir, STAGE)
  upstream = workdir_lib.upstream(workdir, 'user_model', 'train_user_model')
  with workdir_lib.open_stage(STAGE, directory, config, (upstream,)) as info:
    if info is not None:
      world = world_lib.World(config.world)
      try:
        info |= tune(config, workdir, directory, world)
      finally:
        world.close()
  found = workdir_lib.read_done(directory, STAGE)['info']
  print(
    f'log-likelihood of a held-out choice {found["before"]:.4f} -> '
    f'{found["after"]:.4f}; encoder: {os.path.join(directory, "encoder")}'
  )


def tune(
  config: ml_collections.ConfigDict,
  workdir: str,
  directory: str,
  world: world_lib.World,
) -> dict[str, float]:
  """Trains and saves; returns the held-out log-likelihoods of a choice."""
  encoder = world.encoder
  start = saved.load(os.path.join(workdir, 'user_model'), encoder.encoder_id)
  source = read_source(config, workdir, world)
  split_key, run_key = jax.random.split(jax.random.key(config.seed))
  settings = config.fit.sources.sessions
  parts = sources.hold_out(
    source, settings.held_out_share, settings.max_held_out_users, split_key
  )
  if not parts.held_out.num_users:
    raise errors.PastaError(
      f'{workdir}: nobody is held out to judge the encoder by; fine-tuning '
      'needs more people, or a larger fit.sources.sessions.held_out_share'
    )
  scorer = clip_heads.ClipHeads(
    start.scorer.settings,
    init_clip=lambda: encoder.params,
    apply_text=encoder.apply_text,
    apply_image=encoder.apply_image,
  )
  model = start.replace(
    scorer=scorer, heads={**start.heads, 'clip': encoder.params}
  )
  phase = phase_lib.Phase(
    {'sessions': parts},
    phase_lib.continued(config.fit),
    run_key,
    directory,
    em.update,
  )
  before = phase.judge(model)
  state = phase(model)
  after = float(state.best_score)
  logging.info(
    'fine-tuning: held-out log-likelihood %.4g nats an observation before, '
    '%.4g after',
    before,
    after,
  )
  best = state.best if after > before else model
  encoder.save(
    os.path.join(directory, 'encoder'), jax.device_get(best.heads['clip'])
  )
  return {
    'before': before,
    'after': max(before, after),
    'best_step': int(state.best_step) if after > before else 0,
  }


def read_source(
  config: ml_collections.ConfigDict, workdir: str, world: world_lib.World
) -> sources.Source:
  """Choices as token ids and pixels; images are rendered when they are read."""
  records = sessions_lib.read_dir(os.path.join(workdir, 'sessions'))
  records = {record.session_id: record for record in records}
  features = features_lib.load_dir(os.path.join(workdir, 'features'))
  settings = config.fit.sources.sessions
  source = sources.from_sessions(
    features, settings.max_observations, settings.membership
  )
  _, num_turns, num_columns, num_images = features.slate_image.shape[:4]
  size = world.encoder.image_size

  def gather(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    turns = [
      records[features.session_id[session]].turns[turn]
      for session, turn in zip(*np.divmod(rows, num_turns), strict=True)
    ]
    prompts = [prompt for t in turns for prompt in t.prompts]
    image_seeds = np.array([s for t in turns for s in t.seeds], np.uint64)
    images = world.t2i.generate(prompts, image_seeds, num_images)
    flat = images.reshape(-1, *images.shape[2:])
    pixels = world.encoder.resize(flat)
    columns = len(turns[0].prompts)
    return (
      world.encoder.token_ids(prompts).reshape(len(rows), columns, -1),
      pixels.reshape(len(rows), columns, num_images, size, size, 3),
    )

  num = source.num_observations
  return dataclasses.replace(
    source,
    gather=gather,
    num_bytes=num * num_columns * num_images * size * size * 3,
    num_places=None,  # Images are large: read a few at a time.
  )
