"""The stage `simulate`: people drawn from the learned user model."""

import os

import ml_collections

from pasta import errors, runs
from pasta import workdir as workdir_lib
from pasta.agent import expected_selection, policies
from pasta.agent import saved as saved_values
from pasta.interaction import simulated_people
from pasta.stages import stage
from pasta.storage import shards, typed
from pasta.surrogate import world as surrogate_world
from pasta.user_model import saved


@stage.with_worlds
def run(
  config: ml_collections.ConfigDict, workdir: str, worlds: stage.Worlds
) -> None:
  """user_model/ -> simulated/: people drawn from the learned user model."""
  errors.check_least(config, "config field '{}'", num_sessions=1, batch_size=1)
  directory = os.path.join(workdir, runs.output('simulated', config.name))
  user_model = runs.source(workdir, 'user_model', config.name)
  upstream = [workdir_lib.upstream(workdir, user_model, 'train_user_model')]
  if config.value_from:
    upstream.append(
      workdir_lib.upstream(workdir, config.value_from, 'train_value')
    )
  if config.surrogate:
    upstream.append(
      workdir_lib.upstream(workdir, config.surrogate, 'train_surrogate')
    )
  own = typed.own_prompts(config.prompts)
  upstream += typed.fingerprints(own)
  # Sittings have seeds of their own, batches one size from the first full one.
  grows = {'num_sessions': config.batch_size}
  with stage.open_stage(
    'simulate', directory, config, upstream, grows=grows
  ) as info:
    if info is None:
      return
    world = worlds(config.world)
    encoder_id = world.encoder.encoder_id
    if config.surrogate:
      world = surrogate_world.load(world, workdir, config.surrogate)
    model = saved.load(os.path.join(workdir, user_model), encoder_id)
    value = None
    if config.value_from:
      value = saved_values.load(
        os.path.join(workdir, config.value_from),
        encoder_id,
        world.generator.generator_id,
      )
    draw = simulated_people.simulated_crowd(
      model,
      own or typed.typed_in(os.path.join(workdir, 'sessions')),
      config.num_sessions,
      seed=config.seed,
    )
    behaviour = [
      policies.build(
        p,
        num_columns=config.sizes.num_columns,
        value_model=value,
        response=expected_selection.learned(model),
      )
      for p in config.behaviour.values()
    ]

    def run_batch(batch, index):
      result = stage.interact(
        config,
        world,
        draw(index),
        behaviour[batch % len(behaviour)],
        batch,
        'simulated',
        user_model=model,
        image_seed_pool=config.image_seed_pool,
        with_pool=config.with_pool,
      )
      return shards.Shard(result.sessions, features=result.features)

    before = world.num_images_made
    counts = shards.run_batches(
      run_batch, config.num_sessions, config.batch_size, directory, 'simulate'
    )
    info |= {
      'num_sessions': config.num_sessions,
      'num_images_made': world.num_images_made - before,
    }
    stage.tell_sources(info, counts)
