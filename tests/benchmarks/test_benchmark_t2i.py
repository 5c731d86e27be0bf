"""The benchmark of text-to-image models, with tiny networks."""

import importlib.util
import json
import math

import jax
import pytest

from pasta.benchmarks import t2i, t2i_networks
from pasta.t2i.sdxl import pipeline as sdxl_pipeline
from pasta.t2i.sdxl import schedule


def _run(workdir, name):
  t2i.run_model(str(workdir), name, tiny=True, batch_sizes=(2,), seconds=0.0)
  path = workdir / f'benchmark_t2i_{name}.json'
  return json.loads(path.read_text())[name]


def test_sdxl(tmp_path, capsys):
  (row,) = _run(tmp_path, 'sdxl')
  assert row['device'] == 'cpu' and row['num_devices'] == 8
  assert row['batch_size'] == 2
  assert row['images_per_second'] > 0 and row['compile_seconds'] > 0
  assert row['program_gib'] > 0
  assert 'sdxl: device cpu, num_devices 8, batch_size 2' in (
    capsys.readouterr().out
  )


def test_clip(tmp_path):
  (row,) = _run(tmp_path, 'clip')
  assert row['images_per_second'] > 0


@pytest.mark.skipif(
  importlib.util.find_spec('torch') is not None, reason='PyTorch is installed'
)
def test_without_pytorch(tmp_path, capsys):
  assert _run(tmp_path, 'torch') == []
  assert 'PyTorch is not installed' in capsys.readouterr().out


def test_the_networks_are_as_large_as_those_of_sdxl():
  # Podell et al. 2023, table 1: 2.6 billion parameters of the UNet, 817
  # million of the text encoders.
  pipeline = sdxl_pipeline.build(
    t2i_networks.sdxl_configs(tiny=False),
    t2i._tokenizers(),
    schedule.read_noise(t2i_networks.SCHEDULER, 'scheduler'),
    dtype='bfloat16',
  )
  assert pipeline.size_multiple == 32
  millions = {
    name: sum(math.prod(x.shape) for x in jax.tree.leaves(tree)) / 1e6
    for name, tree in sdxl_pipeline.param_shapes(pipeline).items()
  }
  assert round(millions['unet']) == 2567
  assert round(millions['vae']) == 84
  assert round(millions['text_encoder'] + millions['text_encoder_2']) == 818
