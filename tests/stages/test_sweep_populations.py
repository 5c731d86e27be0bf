"""The type sweep over populations, at smoke size on the embedded world."""

import json

import pytest

from configs import sweep_populations
from pasta import errors
from pasta.stages import sweep_populations as population_sweep


def test_two_populations_side_by_side(tmp_path, capsys):
  config = sweep_populations.get_config('smoke')
  config.collect.num_people = 6
  config.collect.sessions_per_person = 1
  config.sweep.num_types = (2,)
  population_sweep.run(config, str(tmp_path))
  first = capsys.readouterr().out
  assert '2 true types' in first
  rows = json.loads((tmp_path / 'populations.json').read_text())
  assert [(r['true_types'], r['num_types']) for r in rows] == [(1, 2), (2, 2)]
  assert all(row['step_megabytes'] > 0 for row in rows)
  assert (tmp_path / 'populations.png').stat().st_size > 5000
  made = tmp_path / 'true-types-2' / 'sessions' / 'config.json'
  assert json.loads(made.read_text())['population']['num_types'] == 2
  population_sweep.run(config, str(tmp_path))  # All is skipped.
  assert capsys.readouterr().out == first
  config.true_types = ()
  with pytest.raises(errors.PastaError, match='true_types is empty'):
    population_sweep.run(config, str(tmp_path))
