"""Value functions with a tiny Gemma, and the people they are learned from."""

import functools

import jax
import ml_collections
import numpy as np

from configs import common, train_value
from pasta.agent import critics, iql, value_model
from pasta.agent import episodes as episodes_lib
from pasta.agent.gemma import text as gemma_text
from pasta.interaction import hidden_people, loop
from pasta.population import population as population_lib
from pasta.stages import train_value as train_stage
from pasta.world import world as world_lib

SIZES = world_lib.Sizes(num_turns=3, num_columns=2, images_per_prompt=2)
NUM_SESSIONS = 12


def interact(world, user_model, policy, num):
  population = population_lib.build(common.population())
  crowd = population_lib.draw_crowd(population, num, 1, seed=3)
  people = hidden_people.HiddenPeople(population, crowd)
  return loop.run(
    world, people, policy, SIZES, jax.random.key(0), user_model=user_model
  )


def make_config(directory, **fields):
  config = train_value.get_config('smoke')
  config.backbone = 'gemma'
  config.credit = 'choice'
  config.gemma.path = str(directory)
  config.gemma.rank, config.gemma.targets = 2, ('q_proj', 'v_proj')
  config.gemma.max_tokens = 48
  config.gemma.chunk_texts = 40
  config.gemma.dtype = 'float32'
  config.gemma.remat = False
  config.batch_sessions = 8
  config.num_steps, config.steps_per_call = 24, 6
  config.log_steps, config.checkpoint_steps = 6, 6
  config.warmup_steps = 1
  config.weight_decay = 1.0  # Of tests that call `iql` themselves.
  config.update_from_flattened_dict(fields)
  return config


def read_episodes(base, logged, user_model):
  records, features = logged
  texts = gemma_text.of_sessions(
    base.settings.tokeniser, records, SIZES.num_turns
  )
  return episodes_lib.from_features(features, user_model, texts=texts)


def fit(episodes, config, base, directory):
  return train_stage.fit(
    episodes, config, key=jax.random.key(0), directory=directory, base=base
  )


@functools.partial(jax.jit, static_argnums=(1, 3))
def _init(keys, config, example, settings, pretrained):
  return jax.vmap(
    lambda key: iql.init(key, config, example, settings, pretrained)
  )(keys)


def random_model(config, base, episodes, num_members=1):
  """A value model whose every trained parameter matters."""
  settings = critics.settings_of(config, episodes, base.settings)
  states = jax.device_get(
    _init(
      jax.random.split(jax.random.key(5), num_members),
      ml_collections.FrozenConfigDict(config),
      episodes,
      settings,
      base.params,
    ).replace(opt_state=None)
  )
  params = jax.tree.map(lambda x: x + 0.05 * np.cos(x), states.params)
  constants = jax.tree.map(lambda x: x[0], states.constants)
  return value_model.ValueModel(params, constants, settings, frozen=base.frozen)
