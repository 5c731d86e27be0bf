"""A tiny random Gemma in the layout of the real one, and instructions."""

import jax.numpy as jnp
import pytest
import tiny_gemma
from gemma_texts import INSTRUCTIONS

from configs import common
from pasta.gemma import model as gemma_model


@pytest.fixture(scope='session')
def directory(tmp_path_factory):
  path = tiny_gemma.write(
    tmp_path_factory.mktemp('gemma'), num_shards=1, turns=True
  )
  # Inputs and outputs share their embedding: a random model would mostly say
  # its last token again, whatever stands before.
  tensors = tiny_gemma.tensors()
  tensors['model.norm.weight'] -= 2
  for i in range(2):
    tensors[f'model.layers.{i}.self_attn.o_proj.weight'] *= 3
  tiny_gemma.write_weights(path, tensors, 1)
  return path


@pytest.fixture(scope='session')
def model(directory):
  return gemma_model.load(str(directory), jnp.float32)


@pytest.fixture(scope='session')
def instructions(tmp_path_factory):
  path = tmp_path_factory.mktemp('instructions')
  for name, text in INSTRUCTIONS.items():
    (path / name).write_text(text)
  return path


@pytest.fixture(scope='session')
def config(tmp_path_factory, instructions):
  directory = tiny_gemma.write(
    tmp_path_factory.mktemp('gemma'),
    num_layers=1,
    num_positions=2048,
    turns=True,
  )
  config = common.world().candidates
  config.name = 'gemma'
  config.gemma.update(
    model=str(directory),
    instructions=str(instructions),
    max_new_tokens=24,
    prompt_tokens=(96, 256),
    batch_texts=8,
    dtype='float32',
  )
  return config.lock()
