"""The stage train_clip, small: it learns, resumes, and is not redone."""

import json
import os

import jax
import ml_collections
import numpy as np
import pytest
import transformers

from configs import train_clip as config_file
from pasta import checkpoint, errors
from pasta.encoders import clip
from pasta.encoders.training import caption_table, contrastive, renders
from pasta.stages import train_clip


def _config(**overrides) -> ml_collections.ConfigDict:
  config = config_file.get_config('smoke')
  config.update(overrides)
  return config


def _lines(workdir):
  with open(os.path.join(workdir, 'metrics.jsonl'), encoding='utf-8') as f:
    return [json.loads(line) for line in f]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  workdir = str(tmp_path_factory.mktemp('train_clip'))
  train_clip.run(_config(), workdir)
  return workdir


def test_smoke_config_overfits_and_exports(trained):
  lines = [line for line in _lines(trained) if 'train/loss' in line]
  assert lines[-1]['train/loss'] < 0.8 * lines[0]['train/loss']
  assert lines[-1]['train/head_loss'] < 0.9 * lines[0]['train/head_loss']
  assert lines[-1]['train/retrieval'] > 0.4
  encoder = clip.ClipEncoder.load(os.path.join(trained, 'sketch_clip'))
  assert encoder.embedding_dim == _config().model.projection_dim
  results = _lines(trained)[-1]
  card = os.path.join(trained, 'sketch_clip', 'README.md')
  with open(card, encoding='utf-8') as f:
    assert f'{results["eval/zero_shot_style"]:.3f}' in f.read()


def test_a_finished_stage_is_not_redone(trained):
  path = os.path.join(trained, 'sketch_clip', 'flax_model.msgpack')
  before = os.stat(path).st_mtime_ns
  train_clip.run(_config(), trained)
  assert os.stat(path).st_mtime_ns == before


def test_another_config_is_refused(trained):
  with pytest.raises(errors.PastaError, match='learning_rate'):
    train_clip.run(_config(learning_rate=0.1), trained)


def test_restart_gives_the_same_parameters(trained, tmp_path, monkeypatch):
  config = _config()
  export = os.path.join(trained, 'sketch_clip')
  tokens = transformers.CLIPTokenizerFast.from_pretrained(export)
  scenes = renders.make_scenes(config.num_images, 0, held_out=False)
  images = np.load(os.path.join(trained, 'renders', 'train.npy'))
  texts = caption_table.CaptionTable(tokens, scenes, config)
  model = contrastive.build_model(config.model, len(tokens))

  def run():
    return train_clip.train(model, images, scenes, texts, config, str(tmp_path))

  class Killed(Exception):
    pass

  save = checkpoint.Checkpointer.save

  def save_and_die(self, step, state):
    save(self, step, state)
    raise Killed

  with monkeypatch.context() as patch:
    patch.setattr(checkpoint.Checkpointer, 'save', save_and_die)
    with pytest.raises(Killed):
      run()
  assert _lines(tmp_path)[-1]['step'] == config.checkpoint_every_steps
  whole = transformers.FlaxCLIPModel.from_pretrained(export).params
  jax.tree.map(np.testing.assert_array_equal, run(), whole)


def test_renders_go_on_after_a_kill(tmp_path, monkeypatch):
  drawn = []

  def draw_scene(values, seed, size, look):
    drawn.append(seed)
    if len(drawn) == 300:
      raise KeyboardInterrupt
    return np.full((size, size, 3), seed % 251, np.uint8)

  monkeypatch.setattr(renders.draw, 'draw_scene', draw_scene)
  scenes = renders.make_scenes(600, 0, held_out=False)
  path = str(tmp_path / 'images.npy')
  options = dict(seed=3, size=8, ink_fraction=0.5, num_workers=0)
  with pytest.raises(KeyboardInterrupt):
    renders.render_scenes(path, scenes, **options)
  images = renders.render_scenes(path, scenes, **options)
  # The first chunk of 256 was kept, the second one drawn again.
  assert len(drawn) == 300 + 600 - 256
  expected = np.array(drawn[:256] + drawn[300:], np.uint64) % 251
  np.testing.assert_array_equal(images[:, 0, 0, 0], expected)
  renders.render_scenes(path, scenes, **options)
  assert len(drawn) == 300 + 600 - 256
  with pytest.raises(errors.PastaError, match='another --workdir'):
    renders.render_scenes(path, scenes[:100], **options)


def test_scenes_on_the_two_sides_of_the_split_differ():
  train = renders.make_scenes(500, 0, held_out=False)[:, :3]
  held_out = renders.make_scenes(500, 0, held_out=True)[:, :3]
  both = {tuple(s) for s in train} & {tuple(s) for s in held_out}
  assert not both


def test_a_second_phase_starts_from_the_first(trained, tmp_path):
  start = os.path.join(trained, 'sketch_clip')
  first = clip.ClipEncoder.load(start)
  config = _config(start=start, num_steps=2, warmup_steps=1, learning_rate=1e-8)
  train_clip.run(config, str(tmp_path))
  second = clip.ClipEncoder.load(str(tmp_path / 'sketch_clip'))
  np.testing.assert_allclose(
    first.encode_text(['a fox']), second.encode_text(['a fox']), atol=1e-3
  )


def test_a_start_that_is_not_there_is_named(tmp_path):
  config = _config(start=str(tmp_path / 'none'))
  with pytest.raises(errors.PastaError, match="'start': there is no .*none"):
    train_clip.run(config, str(tmp_path / 'work'))
