"""All policies on the same fresh people."""

import itertools
import os
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
from absl import logging

from pasta import errors, files, runs
from pasta import workdir as workdir_lib
from pasta.agent import expected_selection, policies
from pasta.agent.policy import Policy
from pasta.agent.value_model import ValueModel
from pasta.candidates.base import CandidateGenerator
from pasta.evaluate import belief_quality, compare, fresh_people, returning
from pasta.evaluate import judges as judges_lib
from pasta.interaction import extraction
from pasta.population import ceilings, foresight, true_types
from pasta.population import population as population_lib
from pasta.stages import stage
from pasta.storage import candidate_sources, typed
from pasta.storage import session_features as features_lib
from pasta.storage import sessions as sessions_lib
from pasta.user_model.model import UserModel
from pasta.world import world as world_lib


@stage.with_worlds
def run(
  config: ml_collections.ConfigDict, workdir: str, worlds: stage.Worlds
) -> None:
  """All policies on the same fresh people -> evaluation/."""
  errors.check_known("config field 'people'", config.people, judges_lib.KINDS)
  errors.check_least(config, "config field '{}'", num_people=1, batch_size=1)
  errors.check_least(
    config.returning,
    "config field 'returning.{}'",
    num_sessions=1,
    num_people=1,
  )
  directory = os.path.join(workdir, runs.output('evaluation', config.name))
  user_model = runs.source(workdir, 'user_model', config.name)
  values = runs.value_sources(workdir, config)
  upstream = [workdir_lib.upstream(workdir, user_model, 'train_user_model')]
  for value in dict.fromkeys(values.values()):
    upstream.append(workdir_lib.upstream(workdir, value, 'train_value'))
    runs.check_made_with(workdir, value, 'train_value', upstream[0], user_model)
  prompts = typed.own_prompts(config.prompts)
  upstream += typed.fingerprints(prompts)
  with stage.open_stage('evaluate', directory, config, upstream) as info:
    if info is None:
      return
    world = worlds(config.world)
    agents = {
      value: fresh_people.load_agent(
        workdir, world, config.allow_unseen_generator, user_model, value
      )
      for value in set(values.values())
    }
    model, _ = next(iter(agents.values()))
    population = population_lib.build(config.population)
    is_hidden = config.people == 'hidden'
    if not is_hidden:
      config = without_the_truth(config)

    def drawn(num_people, num_sessions=1):
      return judges_lib.of_config(
        config, workdir, population, model, prompts, num_people, num_sessions
      )

    judges = drawn(config.num_people)
    outcomes, beliefs = {}, {}
    for name, policy_config in config.policies.items():
      policy = build_policy(
        policy_config,
        config,
        population,
        *agents[values[name]],
        world.generator,
      )
      where = os.path.join(directory, 'sessions', name)
      outcomes[name], beliefs[name] = fresh_people.play_policy(
        policy, judges, config, workdir, where, world, model
      )
    results = compare.compare(outcomes, seed=config.seed)
    played = itertools.chain.from_iterable(
      sessions_lib.read_dir(os.path.join(directory, 'sessions', name))
      for name in config.policies
    )
    stage.tell_sources(info, candidate_sources.count(played))
    results |= {
      'num_people': config.num_people,
      'num_turns': config.sizes.num_turns,
      'seed': config.seed,
      'people': config.people,
      'population': config.population.to_dict() if is_hidden else {},
    }
    if config.beliefs_of and is_hidden:
      errors.check_known(
        "config field 'beliefs_of'", config.beliefs_of, list(config.policies)
      )
      where = os.path.join(directory, 'sessions', config.beliefs_of)
      belief = beliefs[config.beliefs_of]
      crowd = population_lib.draw_crowd(
        population, config.num_people, 1, seed=config.seed, prompts=prompts
      )
      results |= _judge_beliefs(
        config, workdir, where, belief, population, crowd, model, world
      )
    if config.returning.num_sessions > 1:
      results['returning'] = {}
      returning_people = drawn(
        config.returning.num_people, config.returning.num_sessions
      )
      for name in config.returning.policies:
        errors.check_known(
          "config field 'returning.policies'", name, list(config.policies)
        )
        policy = build_policy(
          config.policies[name],
          config,
          population,
          *agents[values[name]],
          world.generator,
        )
        where = os.path.join(directory, 'returning', name)
        results['returning'][name] = returning.play(
          policy, returning_people, config, workdir, where, world, model
        )
    if beliefs.get('pasta') is not None:
      ids = [
        s.session_id
        for s in sessions_lib.read_dir(
          os.path.join(directory, 'sessions', 'pasta')
        )
      ]
      features_lib.save_arrays(
        os.path.join(directory, 'beliefs.npz'),
        {'belief': np.exp(beliefs['pasta']), 'session_id': np.array(ids)},
      )
    files.write_json(os.path.join(directory, 'results.json'), results)
    for line in lines(results):
      print(line)


def _judge_beliefs(
  config: ml_collections.ConfigDict,
  workdir: str,
  directory: str,
  log_belief: np.ndarray | None,
  population: population_lib.Population,
  crowd: population_lib.Crowd,
  model: UserModel,
  world: world_lib.World,
) -> dict[str, Any]:
  """How good the beliefs were in the sessions that a policy has left.

  Returns:
    {'beliefs': `belief_quality.measure`}; {} where the user model was trained
    on people whose true types are not known.

  Raises:
    PastaError: the policy has no belief.
  """
  if log_belief is None:
    raise errors.PastaError(
      f"config field 'beliefs_of' is {config.beliefs_of!r}, which has no belief"
    )
  records = list(sessions_lib.read_dir(directory))
  features = os.path.join(workdir, 'features')
  composition = None
  if os.path.isdir(features):
    training = features_lib.load_dir(features)
    composition = true_types.hidden_composition(
      workdir, model, training, population
    )
  if composition is None:
    logging.warning(
      'evaluate: beliefs are not judged: the user model was trained on people '
      'of another population, whose true types are not known'
    )
    return {}
  found = belief_quality.measure(
    model,
    extraction.extract(world, records),
    records,
    log_belief,
    composition,
    population,
    crowd,
    world,
    config.ceilings,
    seed=config.seed,
  )
  return {'beliefs': found}


def lines(results: Mapping[str, Any]) -> list[str]:
  """The headline of an evaluation's results."""
  beliefs = results.get('beliefs')
  return [
    *compare.headline(results),
    *(belief_quality.lines(beliefs) if beliefs else []),
    *returning.lines(results.get('returning', {})),
  ]


def without_the_truth(
  config: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
  """A config without the policies that know what hidden people are."""
  config = config.copy_and_resolve_references()
  left_out = [
    name
    for name, policy in config.policies.items()
    if policy.name in (*ceilings.NAMES, foresight.SPARING[1])
    or policy.belief == 'oracle'
  ]
  with config.unlocked():
    for name in left_out:
      del config.policies[name]
  if not config.policies:
    raise errors.PastaError(
      "config field 'policies': all of them know the hidden population, "
      "expected one that does not where 'people' is 'user_model'"
    )
  if left_out:
    logging.warning(
      'evaluate: left out, as they know hidden people and these are drawn from '
      'the user model: %s',
      ', '.join(left_out),
    )
  return config


def build_policy(
  policy_config: ml_collections.ConfigDict,
  config: ml_collections.ConfigDict,
  population: population_lib.Population,
  model: UserModel | None,
  value: ValueModel | None,
  generator: CandidateGenerator,
) -> Policy:
  """A policy by name; the ceilings get the truth, pasta its value function."""
  name, num_columns = policy_config.name, config.sizes.num_columns
  if name in ceilings.NAMES:
    ceiling = ceilings.Ceiling(
      name,
      population,
      config.ceilings,
      images_per_prompt=config.sizes.images_per_prompt,
      num_columns=num_columns,
      sparing_weight=policy_config.sparing_weight,
      generator=generator,
    )
    return policies.with_options(ceiling, policy_config)
  response = None if model is None else expected_selection.learned(model)
  if name in foresight.SPARING:
    slate = foresight.SparingSlate(
      name,
      response,
      num_columns=num_columns,
      weight=policy_config.sparing_weight,
    )
    return policies.with_options(slate, policy_config)
  return policies.build(
    policy_config,
    num_columns=num_columns,
    value_model=value,
    response=response,
  )
