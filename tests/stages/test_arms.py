"""Arms of experiments: their fields, their stages, and what they share."""

import os

import ml_collections
import pytest

from configs import experiment_worlds, quickstart
from configs import experiments as experiments_config
from pasta import errors
from pasta.stages import arms, registry


def test_arms_move_seeds_and_set_fields():
  base = quickstart.get_config('smoke')
  config = arms.configured(
    base,
    (
      ('population.num_types', 3),
      ('evaluate.world.t2i.name', 'sketch:ink'),
      ('train_value.credit', 'mean'),
    ),
    seed=7,
  )
  assert config.collect.population.num_types == 3
  assert config.evaluate.population.num_types == 3
  assert config.evaluate.population.seed == base.population.seed + 7
  assert config.collect.seed == base.collect.seed + 7
  assert config.evaluate.seed == base.evaluate.seed + 7
  assert config.evaluate.world.t2i.name == 'sketch:ink'
  assert config.collect.world.t2i.name == 'sketch'
  assert config.train_value.credit == 'mean'
  assert base.train_value.credit != 'mean'
  assert base.population.num_types != 3
  with pytest.raises(errors.PastaError, match="'train_value.credits'"):
    arms.configured(base, (('train_value.credits', 'mean'),), seed=0)


def test_what_a_policy_needs():
  config = quickstart.get_config('smoke')
  assert arms.needed_stages(config, 'bayes') == ()
  assert arms.needed_stages(config, 'at_once') == ()
  assert arms.needed_stages(config, 'greedy')[-1] == 'train_user_model'
  assert 'simulate' in arms.needed_stages(config, 'pasta')
  config.simulate.surrogate = 'surrogate'
  needed = arms.needed_stages(config, 'pasta')
  assert needed.index('train_surrogate') == needed.index('simulate') - 1
  assert 'train_surrogate' not in arms.needed_stages(config, 'greedy')
  config.train_value.data = 'human'
  needed = arms.needed_stages(config, 'pasta')
  assert 'simulate' not in needed and 'train_surrogate' not in needed


@pytest.mark.parametrize('name', experiments_config.NAMES)
def test_every_experiment_sets_fields_that_exist(name):
  config = experiments_config.get_config(f'{name},smoke')
  assert config.arms and config.title and config.question
  assert not config.reference or config.reference in config.arms
  for arm in config.arms.values():
    arms.configured(config.base, arm.overrides, seed=1)
    assert not arm.previous or arm.previous in config.arms
    assert not arm.reference or arm.reference in config.arms


def test_a_matrix_has_all_pairs_of_models():
  config = experiments_config.get_config('matrix,smoke')
  models = experiment_worlds.MATRIX_MODELS
  cells = {(a.series, a.row, a.column) for a in config.arms.values()}
  assert len(cells) == len(config.arms) == 3 * len(models) ** 2
  arm = config.arms['pasta_sketch_ink_sketch']
  found = arms.configured(config.base, arm.overrides, seed=1)
  for stage in ('collect', 'extract_features', 'train_surrogate', 'simulate'):
    assert found[stage].world.t2i.name == 'sketch:ink'
  assert found.evaluate.world.t2i.name == 'sketch'
  assert arm.reference == 'pasta_sketch_sketch'
  assert not config.arms[arm.reference].reference
  # Each column's lmm is of the model in use, whoever was trained with what.
  assert {a.overrides[1][1] for a in config.arms.values()} == set(models)


def test_a_matrix_of_models_of_one_s_own_is_judged_by_the_user_model():
  config = experiments_config.get_config('matrix,sketch,sdxl,mine:Model,smoke')
  cells = {(a.row, a.column) for a in config.arms.values()}
  assert {row for row, _ in cells} == {'trained with sketch'}
  assert len(cells) == 3 and len(config.arms) == 9
  used = set()
  for arm in config.arms.values():
    found = arms.configured(config.base, arm.overrides, seed=1)
    used.add(found.evaluate.world.t2i.name)
    assert found.evaluate.people == 'user_model'
    assert found.collect.world.t2i.name == 'sketch'
    assert 'train_user_model' in arms.needed_stages(found, 'lmm')
  assert used == {'sketch', 'sdxl', 'mine:Model'}
  for variant in ('matrix,', 'pools,sketch', 'matrix,,sketch', 'other'):
    with pytest.raises(ValueError, match='unknown variant'):
      experiments_config.get_config(variant)


def test_arms_of_a_surrogate_differ_in_their_simulated_data_alone():
  config = experiments_config.get_config('surrogate,smoke')
  found = {
    name: arms.configured(config.base, arm.overrides, seed=1)
    for name, arm in config.arms.items()
  }
  for data in ('simulated', 'mixed'):
    rendered = found[f'{data}_rendered_600']
    drawn = found[f'{data}_surrogate_600']
    assert not rendered.simulate.surrogate
    assert drawn.simulate.surrogate == 'surrogate'
    assert 'train_surrogate' in arms.needed_stages(drawn, 'pasta')
    drawn.simulate.surrogate = ''
    assert drawn.to_dict() == rendered.to_dict()


def test_settings_are_in_order():
  found = experiments_config.get_config('personalisation').arms.values()
  rows = list(dict.fromkeys(a.row for a in found))
  numbers = [int(r.split()[-1]) for r in rows if r.startswith('num_types')]
  assert numbers == [1, 4, 24, 96]


@pytest.mark.parametrize('name', ['sizes', 'personalisation'])
def test_policies_are_compared_with_greedy_of_the_same_setting(name):
  found = experiments_config.get_config(name).arms.values()
  rows = {a.row for a in found}
  assert {a.row for a in found if a.column == 'pasta'} == rows
  others = [a for a in found if a.column != 'greedy']
  assert len(found) == len(others) + len(rows)
  for arm in others:
    other = experiments_config.get_config(name).arms[arm.reference]
    assert (other.row, other.overrides) == (arm.row, arm.overrides)
    assert other.column == 'greedy' and not other.reference


def test_stages_are_shared_between_arms(tmp_path, monkeypatch):
  config = arms.configured(quickstart.get_config('smoke'), (), seed=0)
  ran = []
  needed = ('collect', 'extract_features')
  for stage in needed:
    recorder = lambda c, w, worlds, s=stage: ran.append((s, w))  # noqa: E731
    monkeypatch.setitem(
      registry.LOOP, stage, registry.LOOP[stage]._replace(run=recorder)
    )
  first = arms.prepare(config, str(tmp_path), needed, None)
  other = ml_collections.ConfigDict(config.to_dict())
  other.extract_features.with_pool = True
  second = arms.prepare(other, str(tmp_path), needed, None)
  assert first != second
  same = [
    os.path.realpath(os.path.join(r, 'sessions')) for r in (first, second)
  ]
  assert same[0] == same[1]
  apart = [
    os.path.realpath(os.path.join(r, 'features')) for r in (first, second)
  ]
  assert apart[0] != apart[1]
