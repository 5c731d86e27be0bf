"""The stage `collect`: hidden people, a policy that needs no training."""

import os

import ml_collections

from pasta import errors
from pasta.agent import policies
from pasta.interaction import hidden_people
from pasta.population import population as population_lib
from pasta.stages import stage
from pasta.storage import shards, typed


@stage.with_worlds
def run(
  config: ml_collections.ConfigDict, workdir: str, worlds: stage.Worlds
) -> None:
  """Hidden people use a policy that needs no training -> sessions/."""
  directory = os.path.join(workdir, 'sessions')
  errors.check_least(
    config,
    "config field '{}'",
    num_people=1,
    sessions_per_person=1,
    batch_size=1,
  )
  prompts = typed.own_prompts(config.prompts)
  upstream = typed.fingerprints(prompts)
  with stage.open_stage('collect', directory, config, upstream) as info:
    if info is None:
      return
    world = worlds(config.world)
    population = population_lib.build(config.population)
    crowd = population_lib.draw_crowd(
      population,
      config.num_people,
      config.sessions_per_person,
      seed=config.seed,
      prompts=prompts,
    )
    policy = policies.build(config.policy, num_columns=config.sizes.num_columns)

    def run_batch(batch, index):
      people = hidden_people.HiddenPeople(population, crowd.select(index))
      return shards.Shard(
        stage.interact(config, world, people, policy, batch, 'people').sessions
      )

    counts = shards.run_batches(
      run_batch, len(crowd), config.batch_size, directory, 'collect'
    )
    info['num_sessions'] = len(crowd)
    stage.tell_sources(info, counts)
