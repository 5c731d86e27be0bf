import json

import numpy as np
import pytest

from pasta import errors, metrics


def _lines(directory):
  return metrics.read_lines(str(directory / 'metrics.jsonl'))


def test_writes_one_object_a_line(tmp_path):
  with metrics.MetricWriter(str(tmp_path)) as writer:
    writer.write(1, {'train/loss': np.float32(0.5), 'time/steps': np.ones(1)})
    writer.write(2, {'val/accuracy@4': 1, 'val/gap': float('nan')})
  text = (tmp_path / 'metrics.jsonl').read_text()
  assert [json.loads(line) for line in text.splitlines()] == [
    {'step': 1, 'train/loss': 0.5, 'time/steps': 1.0},
    {'step': 2, 'val/accuracy@4': 1.0, 'val/gap': None},
  ]
  assert list(tmp_path.glob('events.out.tfevents.*'))


def test_a_restart_drops_a_torn_line_and_steps_done_again(tmp_path):
  with metrics.MetricWriter(str(tmp_path)) as writer:
    for step in (10, 20, 30):
      writer.write(step, {'train/loss': step})
  with open(tmp_path / 'metrics.jsonl', 'a') as f:
    f.write('{"step": 40, "train/lo')
  with metrics.MetricWriter(str(tmp_path), resume_step=20) as writer:
    writer.write(20, {'train/loss': -20})
  assert [(x['step'], x['train/loss']) for x in _lines(tmp_path)] == [
    (10, 10),
    (20, -20),
  ]


def test_lines_are_on_disk_before_the_writer_is_closed(tmp_path):
  writer = metrics.MetricWriter(str(tmp_path))
  writer.write(1, {'train/loss': 1})
  assert len(_lines(tmp_path)) == 1
  writer.close()


def test_a_damaged_line_is_named(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
  with pytest.raises(errors.PastaError, match=f'{path}: line 2 is not a JSON'):
    metrics.MetricWriter(str(tmp_path), resume_step=5)
  assert 'nonsense' in path.read_text()


@pytest.mark.parametrize('key', ['loss', '/loss', 'train/', 'train/a b'])
def test_refuses_keys_without_a_group(tmp_path, key):
  with (
    metrics.MetricWriter(str(tmp_path)) as writer,
    pytest.raises(ValueError, match='not of the form'),
  ):
    writer.write(1, {key: 1.0})


def test_refuses_arrays(tmp_path):
  with (
    metrics.MetricWriter(str(tmp_path)) as writer,
    pytest.raises(ValueError, match=r"'train/x' has shape \(2,\)"),
  ):
    writer.write(1, {'train/x': np.ones(2)})


def test_check_finite_names_step_key_and_batch():
  metrics.check_finite({'train/loss': 1.0, 'train/v_max': np.inf}, 3)
  for key in ('train/loss', 'train/q_loss', 'val/loss_pairs', 'objective'):
    with pytest.raises(errors.PastaError, match=f'{key} is nan at step 3'):
      metrics.check_finite({key: np.float32('nan')}, 3)
  with pytest.raises(errors.PastaError, match='inf at step 3, batch 17:'):
    metrics.check_finite({'train/loss': np.inf}, 3, 17)


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
  rng = np.random.default_rng(0)
  hits = []
  for seed in range(400):
    x = rng.normal(3.0, 2.0, 100)
    interval = metrics.bootstrap_mean(x, num_resamples=500, seed=seed)
    hits.append(interval.low <= 3.0 <= interval.high)
    assert interval.mean == pytest.approx(x.mean())
  # 95 % less the percentile method's loss at N = 100; four standard errors.
  assert 0.90 < np.mean(hits) < 0.985


def test_bootstrap_width_is_that_of_a_normal_mean():
  x = np.random.default_rng(1).normal(0.0, 2.0, 10_000)
  interval = metrics.bootstrap_mean(x, seed=0)
  width = 2 * 1.96 * x.std() / 100  # 2 z sigma / sqrt(N)
  assert interval.high - interval.low == pytest.approx(width, rel=0.08)
  assert interval == metrics.bootstrap_mean(x, seed=0)
  assert interval != metrics.bootstrap_mean(x, seed=1)


def test_bootstrap_does_not_depend_on_chunks(monkeypatch):
  x = np.random.default_rng(2).normal(size=50)
  whole = metrics.bootstrap_mean(x, num_resamples=100, seed=3)
  monkeypatch.setattr(metrics, '_CHUNK_ELEMENTS', 350)
  assert metrics.bootstrap_mean(x, num_resamples=100, seed=3) == whole


def test_paired_bootstrap_takes_differences():
  rng = np.random.default_rng(4)
  person = rng.normal(0.0, 10.0, 200)  # what both have in common cancels
  x, y = person + 1.0 + rng.normal(0.0, 0.1, 200), person
  interval = metrics.paired_bootstrap(x, y)
  assert 0.9 < interval.low < 1.0 < interval.high < 1.1
  assert metrics.bootstrap_mean([2.0]) == (2.0, 2.0, 2.0)


def test_bootstrap_refuses_bad_input():
  with pytest.raises(ValueError, match=r'shape \(0,\)'):
    metrics.bootstrap_mean(np.zeros(0))
  with pytest.raises(ValueError, match='not finite'):
    metrics.bootstrap_mean(np.array([1.0, np.nan]))
  with pytest.raises(ValueError, match=r'x has shape \(2,\), y \(3,\)'):
    metrics.paired_bootstrap(np.zeros(2), np.zeros(3))
