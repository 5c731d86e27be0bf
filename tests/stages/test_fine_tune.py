"""Fine-tuning the encoder with the user model, on a small loop's own files."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import (
  collect,
  extract_features,
  train_user_model,
)
from configs import (
  fine_tune as fine_tune_config,
)
from pasta import errors
from pasta.encoders import clip
from pasta.stages import collect as collect_stage
from pasta.stages import extract_features as extract_features_stage
from pasta.stages import fine_tune
from pasta.stages import train_user_model as train_user_model_stage
from pasta.user_model import clip_heads, saved
from pasta.user_model import model as model_lib
from pasta.world import world as world_lib


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('run'))
  settings = collect.get_config('smoke')
  settings.num_people, settings.sessions_per_person = 8, 1
  collect_stage.run(settings, path)
  extract_features_stage.run(extract_features.get_config('smoke'), path)
  settings = train_user_model.get_config('smoke')
  settings.baseline_steps = 0
  train_user_model_stage.run(settings, path)
  return path


def test_scores_from_pixels_equal_scores_from_features(workdir):
  config = fine_tune_config.get_config('smoke')
  world = world_lib.World(config.world)
  model = saved.load(f'{workdir}/user_model')
  # Types that differ, so that features matter.
  model = model.replace(
    heads={**model.heads, 'taste': model.heads['taste'] + 0.3}
  )
  source = fine_tune.read_source(config, workdir, world)
  batch = source.read(np.arange(3))
  assert batch.image.dtype == np.uint8 and batch.text.dtype == np.int32
  encoder = world.encoder
  whole = model.replace(
    scorer=clip_heads.ClipHeads(
      model.scorer.settings,
      init_clip=lambda: encoder.params,
      apply_text=encoder.apply_text,
      apply_image=encoder.apply_image,
    ),
    heads={**model.heads, 'clip': encoder.params},
  )
  column_utility = jax.jit(model_lib.column_utility)
  found = column_utility(whole, batch.text, batch.image)
  image = encoder.encode_images(batch.image.reshape(-1, 64, 64, 3))
  text = np.load(f'{workdir}/features/00000.npz')['slate_text']
  expected = column_utility(
    model,
    jnp.asarray(text[0, :3]),
    jnp.asarray(image.reshape(*batch.image.shape[:3], -1)),
  )
  np.testing.assert_allclose(found, expected, atol=2e-3)
  world.close()


def test_stage_moves_the_encoder_and_leaves_one_that_loads(workdir, capsys):
  config = fine_tune_config.get_config('smoke')
  config.fit.encoder_learning_rate = 1e-3
  fine_tune.run(config, workdir)
  with open(f'{workdir}/fine_tune/fine_tune.done.json') as f:
    info = json.load(f)['info']
  assert info['after'] >= info['before']
  tuned = clip.ClipEncoder.load(f'{workdir}/fine_tune/encoder')
  shipped = clip.ClipEncoder.load()
  moved = jax.tree.map(
    lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(),
    tuned.params,
    shipped.params,
  )
  assert (max(jax.tree.leaves(moved)) > 0) == (info['best_step'] > 0)
  text = tuned.encode_text(['a fox at night'])
  assert text.shape == (1, shipped.embedding_dim) and np.isfinite(text).all()
  first = capsys.readouterr().out
  fine_tune.run(config, workdir)  # Done: nothing is made again.
  assert capsys.readouterr().out == first and '->' in first
  config.fit.sources.sessions.held_out_share = 0.0
  world = world_lib.World(config.world)
  with pytest.raises(errors.PastaError, match='nobody is held out'):
    fine_tune.tune(config, workdir, f'{workdir}/none', world)
  world.close()
  with pytest.raises(errors.PastaError, match='train_user_model'):
    fine_tune.run(config, f'{workdir}/elsewhere')
