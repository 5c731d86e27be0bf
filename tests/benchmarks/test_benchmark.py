"""The parts of launch/benchmark.py, none of which is run here."""

import importlib
import inspect

import pytest

from configs import benchmark as benchmark_config
from launch import benchmark
from pasta import errors


@pytest.mark.parametrize('variant', ['', 'smoke'])
def test_each_part_has_a_config(variant):
  config = benchmark_config.get_config(variant)
  assert set(config) == set(benchmark._MODULES)


@pytest.mark.parametrize('part', benchmark._MODULES)
def test_each_part_has_a_function_that_takes_what_it_is_given(part):
  run = importlib.import_module(benchmark._MODULES[part]).run
  needs = benchmark._READS + benchmark._WRITES
  expected = ['config'] + ['workdir'] * (part in needs)
  assert list(inspect.signature(run).parameters) == expected


@pytest.mark.parametrize('part', benchmark._READS + benchmark._WRITES)
def test_a_part_with_files_needs_a_workdir(part):
  config = benchmark_config.get_config()
  with pytest.raises(errors.PastaError, match='--workdir is missing'):
    benchmark.run(config, part, '')
